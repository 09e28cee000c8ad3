"""`Asking`: starts the runs of all doors, within the operator's terms.

How it works: a door reads its body into a `Question`, and says who reads the answer. The rest is the same
for all of them: the terms, the model, what the provider can be told, the conversation, the run.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from fastapi import Request
from msgspec import structs

from stream_serve.producers.provider import is_picture, sees
from stream_serve.runs import names
from stream_serve.runs.spec import OnDisconnect, Plan, RunSpec
from stream_serve.web import terms
from stream_serve.web.body import invalid
from stream_serve.web.security import check_origin_trusted, fields_of, owner_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stream_serve.conversations.base import Turn
    from stream_serve.conversations.context import Conversations
    from stream_serve.events.types import MessageRef
    from stream_serve.producers.provider import ChatRequest, Provider
    from stream_serve.runs.service import Runs
    from stream_serve.runs.subscription import Subscription
    from stream_serve.settings import Settings
    from stream_serve.web.question import Question

    Converse = Callable[[str, str], Awaitable[Turn]]
    Keep = Callable[[str, str], Awaitable[tuple[MessageRef | None, dict[str, Any]]]]


_SHARE: Final = 4
"""What part of a run's events its start may be."""


class Asking:
    """Starts the run of one request."""

    def __init__(self, request: Request) -> None:
        self._request = request
        state = request.scope["state"]
        self.runs: Runs = state["runs"]
        self.provider: Provider = state["provider"]
        self.conversations: Conversations = state["conversations"]
        self.settings: Settings = request.app.state.settings
        self.owner = owner_of(request)

    async def start(  # noqa: PLR0913 - what all doors say of a run
        self,
        asked: Question,
        *,
        run_id: str | None,
        fingerprint: bytes,
        on_disconnect: OnDisconnect,
        converse: Converse | None = None,
        keep: Keep | None = None,
        door: dict[str, Any] | None = None,
    ) -> Subscription:
        """Start the run of a question, or join it, and subscribe to it.

        `converse` stores the question in a conversation, for the run's id and its model. `keep` only
        stores it, where the question has all that the provider is told, and returns where, and the
        door's data. `door` goes out with the start. Raises what `Runs.start` raises, `InvalidFields`,
        and `ForeignOrigin` for a page that may neither use conversations nor leave a run behind.
        """
        if converse is not None or on_disconnect is not OnDisconnect.STOP:
            check_origin_trusted(self._request)
        defaults = [one.name for one in self.provider.models if one.default]
        terms.check(asked, self.settings, defaults=defaults)
        self._check_door(asked, door)

        async def prepare(run_id: str) -> Plan:
            model = await self.provider.model_for(asked.model)
            request = self._request_for(asked, model)
            if keep is not None:
                return Plan(self.provider.ask(request), *await keep(run_id, model))
            if converse is None:
                return Plan(self.provider.ask(request), door=door)
            turn = await converse(run_id, model)
            if asked.whole:
                return Plan(self.provider.ask(request), turn.ref, door)
            prompt = terms.system_prompt(asked, self.settings)
            ask = self.conversations.ask
            producer = ask(self.provider, turn, system_prompt=prompt, request=request)
            return Plan(producer, turn.ref, door)

        spec = RunSpec(
            prepare=prepare,
            run_id=run_id,
            fingerprint=fingerprint,
            on_disconnect=on_disconnect,
        )
        return await self.runs.start(spec, owner=self.owner)

    def on_disconnect(self, door: str) -> OnDisconnect:
        """Return what becomes of a door's run that nobody reads any more, where a caller does not say."""
        doors = self.settings.continue_doors
        return OnDisconnect.CONTINUE if door in doors else OnDisconnect.STOP

    def _check_door(self, asked: Question, door: dict[str, Any] | None) -> None:
        """Check that what the run keeps of its question leaves room for the answer: it is one of its
        events. Raises `InvalidFields`.
        """
        most = self.settings.max_run_bytes // _SHARE
        if door is not None and len(msgspec.json.encode(door)) > most:
            raise asked.invalid(
                "messages",
                f"what the run keeps of its question may have {most} bytes, a quarter of "
                "STREAM_SERVE_MAX_RUN_BYTES: send less, or raise the setting",
            )

    def _request_for(self, asked: Question, model: str) -> ChatRequest:
        """Return the request, within the operator's caps. Raises `InvalidFields`.

        What the provider cannot be told is refused here, before anything is stored.
        """
        prompt = terms.system_prompt(asked, self.settings)
        request = asked.request(model=model, system_prompt=prompt)
        for option, reason in self.provider.unsupported(request).items():
            raise asked.invalid(option, reason)
        models = self.provider.models
        if not sees(models, model):
            _check_no_pictures(asked, model)
        return structs.replace(terms.fill(request, self.settings, models), owner=self.owner)


def _check_no_pictures(asked: Question, model: str) -> None:
    """Check that a question has none. Raises `InvalidFields`."""
    for number, message in enumerate(asked.messages):
        content = message.get("content")
        if isinstance(content, list) and any(map(is_picture, cast("list[object]", content))):
            raise asked.invalid(
                f"messages[{number}].content",
                f"the model {model} takes no pictures: leave them out, or ask one that does "
                "(GET /ai/models says which see)",
            )


async def asking_of(request: Request) -> Asking:
    """Return what starts the run of a request."""
    return Asking(request)


def fingerprint_of(fields: dict[str, Any]) -> bytes:
    """Return what tells the run of a body from others with its id, for one that is passed on as it is."""
    return hashlib.sha256(msgspec.json.encode(fields)).digest()


def run_id_of(request: Request, asked: str | None = None) -> str | None:
    """Return the caller's run id: `asked` in the body, or the header Idempotency-Key; None for none.

    Raises `InvalidFields`.
    """
    key = fields_of(request.scope).get("idempotency-key")
    if key is None:
        return asked
    try:
        names.check(key)
    except ValueError as error:
        raise invalid("Idempotency-Key", str(error)) from None
    if asked not in {None, key}:
        raise invalid("Idempotency-Key", "should be the runId of the body, where both are given")
    return key
