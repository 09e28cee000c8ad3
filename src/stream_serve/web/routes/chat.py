"""The article's endpoint: `POST /ai/chat/stream-sse`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Depends, Request
from pydantic.alias_generators import to_camel

from stream_serve.conversations.context import Conversations
from stream_serve.producers.provider import Provider
from stream_serve.runs import names
from stream_serve.runs.service import Runs
from stream_serve.runs.spec import OnDisconnect, Plan, RunSpec
from stream_serve.settings import Settings
from stream_serve.web import terms
from stream_serve.web.body import invalid, read_json
from stream_serve.web.dependencies import conversations_of, provider_of, runs_of, settings_of
from stream_serve.web.question import NEW, ChatBody
from stream_serve.web.security import ASK, check_origin_trusted, cors_headers, guarded, owner_of
from stream_serve.web.stream import EventStream

if TYPE_CHECKING:
    from stream_serve.conversations.base import History, Turn
    from stream_serve.producers.provider import ChatRequest

_SHOWN: Final = 10
_SHOWN_LENGTH: Final = 40
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_.-]")

router = APIRouter(tags=["chat"])


@router.post("/ai/chat/stream-sse", response_class=EventStream, status_code=200)
@guarded(ASK)
async def stream_chat(
    request: Request,
    runs: Annotated[Runs, Depends(runs_of)],
    provider: Annotated[Provider, Depends(provider_of)],
    conversations: Annotated[Conversations, Depends(conversations_of)],
    settings: Annotated[Settings, Depends(settings_of)],
) -> EventStream:
    """Ask the model and stream its answer.

    The response is an event stream: one `start`, any number of `chunk` and `reasoning`, and one `end`
    or `error`, each with its number as `id:`. The header `X-Run-Id` has the id of the run, and
    `X-Ignored-Fields` the fields of the body that are not known here. Closing the connection stops the
    run and closes the connection to the provider, unless `onDisconnect` is `continue`.
    """
    body = await read_json(request, ChatBody, max_bytes=settings.max_body_bytes)
    body.check()
    if body.conversation_id is not None or body.on_disconnect == "continue":
        check_origin_trusted(request)
    terms.check(body, settings, defaults=[one.name for one in provider.models if one.default])
    owner = owner_of(request)
    prompt = terms.system_prompt(body, settings)

    async def prepare(run_id: str) -> Plan:
        model = await provider.model_for(body.model)
        asked = body.request(model=model, system_prompt=prompt)
        _check_supported(asked, provider)
        asked = terms.fill(asked, settings)
        if body.conversation_id is None:
            return Plan(provider.ask(asked))
        turn = await _turn(body, await conversations.history(), owner, run_id, model)
        return Plan(
            conversations.ask(provider, turn, system_prompt=prompt, request=asked), turn.ref
        )

    spec = RunSpec(
        prepare=prepare,
        run_id=_run_id(request, body),
        fingerprint=body.fingerprint(),
        on_disconnect=OnDisconnect(body.on_disconnect),
    )
    headers = {**cors_headers(request.scope), **_ignored(body)}
    subscription = await runs.start(spec, owner=owner)
    return EventStream(subscription, heartbeat=settings.heartbeat_interval, headers=headers)


def _check_supported(asked: ChatRequest, provider: Provider) -> None:
    """Refuse what the provider cannot be told before anything is sent. Raises `InvalidFields`."""
    for option, reason in provider.unsupported(asked).items():
        raise invalid(to_camel(option), reason)


def _ignored(body: ChatBody) -> dict[str, str]:
    """Return the header that names the ignored fields, if there are any: cleaned, and not too many."""
    if not body.ignored:
        return {}
    shown = [_UNFIT.sub("?", name[:_SHOWN_LENGTH]) or "?" for name in body.ignored[:_SHOWN]]
    if len(body.ignored) > _SHOWN:
        shown.append("...")
    return {"X-Ignored-Fields": ", ".join(shown)}


async def _turn(
    body: ChatBody, history: History, owner: str | None, run_id: str, model: str
) -> Turn:
    """Store the user message and its new answer, or another answer to an old message."""
    conversation_id = body.conversation_id if body.conversation_id != NEW else None
    if body.regenerate is not None and conversation_id is not None:
        return await history.ask_again(
            owner or "", conversation_id, body.regenerate, run_id=run_id, model=model
        )
    return await history.ask(
        owner or "",
        conversation_id,
        body.message or "",
        parent_id=body.parent_id,
        at_root="parent_id" in body.model_fields_set and body.parent_id is None,
        run_id=run_id,
        model=model,
    )


def _run_id(request: Request, body: ChatBody) -> str | None:
    """Return the caller's run id from the body or the header Idempotency-Key. Raises `InvalidFields`."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return body.run_id
    try:
        names.check(key)
    except ValueError as error:
        raise invalid("Idempotency-Key", str(error)) from None
    if body.run_id not in {None, key}:
        raise invalid("Idempotency-Key", "should be the runId of the body, where both are given")
    return key
