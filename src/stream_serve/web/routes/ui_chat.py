"""The door for Vercel's AI SDK: what `useChat` asks, resumes and stops, by the chat's id.

The OpenAPI document leaves it out: it is described by the AI SDK's own, "Stream protocols".
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response

from stream_serve.errors import RunNotFound, StreamServeError
from stream_serve.runs.service import Runs
from stream_serve.runs.spec import OnDisconnect
from stream_serve.settings import Settings
from stream_serve.web.asking import Asking, asking_of, fingerprint_of, run_id_of
from stream_serve.web.body import invalid, read_object
from stream_serve.web.chats import Chats
from stream_serve.web.dependencies import chats_of, runs_of, settings_of
from stream_serve.web.dialects import ui_request
from stream_serve.web.dialects.base import Translator
from stream_serve.web.dialects.ui_messages import UIMessages
from stream_serve.web.fields import disconnect_of
from stream_serve.web.response import ignored_fields, json_response
from stream_serve.web.routes import ui_turn
from stream_serve.web.security import ASK, cors_headers, guarded, owner_of
from stream_serve.web.stream import EventStream

if TYPE_CHECKING:
    from stream_serve.conversations.base import Turn

ANSWER: Final = UIMessages(whole=False)
REPLAY: Final = UIMessages()


class _AnyText(Convertor[str]):
    """A part of a path that may be any text, with slashes and line ends in it."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("anytext", _AnyText())
router = APIRouter(include_in_schema=False)

Known = Annotated[Chats, Depends(chats_of)]


@router.post("/api/chat", response_class=EventStream, status_code=200)
@guarded(ASK)
async def stream_answer(
    request: Request, asking: Annotated[Asking, Depends(asking_of)], chats: Known
) -> EventStream:
    """Answer the messages of a chat as a stream of the AI SDK's UI messages."""
    fields = await read_object(request, max_bytes=asking.settings.max_body_bytes)
    asked = ui_request.read(fields)
    default = OnDisconnect.STOP if request.state.foreign else asking.on_disconnect(ANSWER.name)
    on_disconnect = disconnect_of(fields.get("onDisconnect"), default, name="onDisconnect")
    run_id = run_id_of(request) or secrets.token_urlsafe(16)
    if asked.chat is not None:
        await chats.begin(asked.chat, run_id, owner=asking.owner)
    # A page that may not use conversations keeps its own history, and nothing is stored of it.
    stored = asked.alone or (asked.stored and asked.answerable and not request.state.foreign)

    async def converse(run_id: str, model: str) -> Turn:
        history = await asking.conversations.history()
        return await ui_turn.store(history, asking.owner or "", asked, run_id=run_id, model=model)

    try:
        subscription = await asking.start(
            asked.question,
            run_id=run_id,
            fingerprint=fingerprint_of(fields),
            on_disconnect=on_disconnect,
            converse=converse if stored else None,
            door=asked.door,
        )
    except StreamServeError:
        if asked.chat is not None:
            await chats.refuse(asked.chat, run_id, owner=asking.owner)
        raise
    headers = {**cors_headers(request.scope), **ignored_fields(asked.ignored), **ANSWER.headers}
    return EventStream(
        subscription,
        heartbeat=asking.settings.heartbeat_interval,
        headers=headers,
        translator=Translator(ANSWER.translation(run_id), coalesce=True),
    )


@router.get("/api/chat/{chat:anytext}/stream", response_class=EventStream, status_code=200)
@guarded(ASK)
async def resume_answer(
    request: Request,
    chat: str,
    chats: Known,
    runs: Annotated[Runs, Depends(runs_of)],
    settings: Annotated[Settings, Depends(settings_of)],
) -> Response:
    """Stream the answer that is under way in a chat, from its beginning; 204 if there is none."""
    headers, owner = cors_headers(request.scope), owner_of(request)
    run_id = await chats.live(chat, owner=owner)
    try:
        subscription = None if run_id is None else await runs.subscribe(run_id, owner=owner)
    except RunNotFound:
        subscription = None
    if subscription is None:
        return Response(status_code=204, headers={"Cache-Control": "no-store", **headers})
    return EventStream(
        subscription,
        heartbeat=settings.heartbeat_interval,
        headers={**headers, **REPLAY.headers},
        translator=Translator(REPLAY.translation(subscription.run_id), coalesce=True),
    )


@router.post("/api/chat/{chat:anytext}/stop", response_class=Response)
@guarded(ASK)
async def stop_answer(
    request: Request,
    chat: str,
    chats: Known,
    settings: Annotated[Settings, Depends(settings_of)],
) -> Response:
    """Stop the answer that is under way in a chat, and show the receipt; 204 if there is none.

    The body may name the one run to stop, as `activeStreamId`. 202 means that the process of the run did
    not respond; it gets the stop later.
    """
    only = await _named(request, settings)
    receipt = await chats.stop(chat, owner=owner_of(request), only=only)
    if receipt is None:
        headers = {"Cache-Control": "no-store", **cors_headers(request.scope)}
        return Response(status_code=204, headers=headers)
    return json_response(request, receipt, status=202 if receipt.outcome == "unreachable" else 200)


async def _named(request: Request, settings: Settings) -> str | None:
    """Return the run that the body names; None for a request that has no JSON."""
    if "json" not in request.headers.get("content-type", ""):
        return None
    fields: dict[str, Any] = await read_object(request, max_bytes=settings.max_body_bytes)
    named = fields.get("activeStreamId")
    if named is not None and not isinstance(named, str):
        raise invalid("activeStreamId", "should be the id of a run")
    return named
