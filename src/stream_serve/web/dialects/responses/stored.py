"""Responses that are kept with the conversations: for as long as these are, in any process.

How it works: a response is an answer in the tree of messages, and the response that it goes on from is
the answer before its question. What else it was asked with, its input among it, is kept for the door.
While its run is in the event log, the log tells of it, since that is newer; afterwards the same events
are made of what was stored.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from stream_serve.conversations.base import Kept, NewAnswer, Status
from stream_serve.errors import (
    ConversationNotFound,
    HistoryError,
    InvalidFields,
    MessageNotFound,
    ResponseNotFound,
    RunInterrupted,
)
from stream_serve.events.types import (
    Chunk,
    End,
    Error,
    Reasoning,
    Start,
    ToolArguments,
    ToolCall,
    Usage,
)
from stream_serve.web.dialects.responses import ids
from stream_serve.web.dialects.responses import input as input_items
from stream_serve.web.dialects.responses.kept import (
    Budget,
    FoundResponse,
    LoggedResponses,
    not_found,
)
from stream_serve.web.dialects.responses.object import NAME, Door, ResponseObject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_serve.conversations.base import History
    from stream_serve.conversations.context import Conversations
    from stream_serve.events.types import Event, MessageRef
    from stream_serve.runs.service import Runs

Json = dict[str, Any]

_LOOKED: Final = 100
_NOTHING: Final = Usage(0, 0, 0, "estimated")
_log: Final = structlog.stdlib.get_logger("stream_serve.web")


class StoredResponses:
    """The responses of the event log, and those of the conversations, for one request.

    It asks the database once for a whole chain, as far as `budget` may reach.
    """

    def __init__(self, runs: Runs, conversations: Conversations, budget: Budget) -> None:
        self.logged = LoggedResponses(runs)
        self.budget = budget
        self._conversations = conversations
        self._known: dict[str, Kept] = {}

    async def find(self, owner: str | None, run_id: str, *, whole: bool = False) -> FoundResponse:
        """Return a response as it is now. Raises `ResponseNotFound`, `HistoryError`."""
        if (known := self._known.get(run_id)) is not None:
            return _found(known, run_id)
        try:
            response = await self.logged.read(owner, run_id)
        except ResponseNotFound:
            return _found(await self._stored(owner, run_id, whole=whole), run_id)
        found = FoundResponse(shown=response.shown(), input=response.door.input)
        if not whole or response.start is None or response.start.ref is None:
            return found
        stored = await self._stored(owner, run_id, whole=True)
        return msgspec.structs.replace(found, input=_found(stored, run_id).input)

    async def door(self, owner: str | None, run_id: str) -> Door:
        """Return what a response was asked with. Raises `ResponseNotFound`, `HistoryError`."""
        try:
            return await self.logged.door(owner, run_id)
        except ResponseNotFound:
            return Door.of(_start(await self._stored(owner, run_id), run_id))

    async def delete(self, owner: str | None, run_id: str) -> None:
        """End a response if it goes on, and forget it. Raises `ResponseNotFound`, `HistoryError`."""
        stored: Kept | None = None
        with suppress(ResponseNotFound):
            stored = await self._stored(owner, run_id)
        try:
            await self.logged.delete(owner, run_id)
        except ResponseNotFound:
            if stored is None:
                raise
        if stored is not None:
            with suppress(ConversationNotFound, MessageNotFound):
                await _erase(await self._conversations.history(), owner or "", stored)

    async def keep(
        self, owner: str | None, door: Door, *, run_id: str, model: str
    ) -> tuple[MessageRef | None, Json]:
        """Store what a response was asked with; return where, and what its start event keeps.

        Where it cannot be stored, or there is no more room, it says so itself.
        """
        new = input_items.new_messages(door.input)
        if not new or new[-1].role == input_items.ASSISTANT:
            return None, _unstored(door)
        door = msgspec.structs.replace(door, created_at=int(time.time()))
        answer = NewAnswer(run_id=run_id, model=model, door=door.as_start())
        try:
            history = await self._conversations.history()
            place, parent = await self._place(history, owner, door.previous_response_id)
            at_root = parent is None
            turn = await history.ask(
                owner or "", place, new, answer, parent_id=parent, at_root=at_root
            )
        except (HistoryError, InvalidFields) as error:
            _log.warning("a response cannot be stored", run_id=run_id, error=str(error))
            return None, _unstored(door)
        return turn.ref, msgspec.structs.replace(door, input=[]).as_start()

    async def _place(
        self, history: History, owner: str | None, previous: str | None
    ) -> tuple[str | None, str | None]:
        """Return the conversation and the answer that a response goes on from; None for a new one."""
        run_id = None if previous is None else ids.run_of(previous)
        if run_id is None:
            return None, None
        try:
            found = await history.answer(owner or "", run_id)
        except MessageNotFound:
            return None, None
        return found.conversation_id, found.message.id

    async def _stored(self, owner: str | None, run_id: str, *, whole: bool = False) -> Kept:
        """Return what was stored of a run; if it is to be `whole`, learn of its chain at once."""
        history = await self._conversations.history()
        try:
            found = await history.answer(owner or "", run_id)
        except MessageNotFound:
            raise not_found(run_id) from None
        if NAME not in (found.door or {}):
            raise not_found(run_id)
        if whole:
            reach = self.budget.max_bytes
            for one in await history.answers(owner or "", found.message.id, max_bytes=reach):
                if one.ending is not None and NAME in (one.door or {}):
                    self._known[one.message.run_id or ""] = one
        return found


async def _erase(history: History, owner: str, stored: Kept) -> None:
    """Erase an answer with its question; a conversation with nothing else is deleted.

    Raises `ConversationNotFound`, `MessageNotFound`.
    """
    conversation_id = stored.conversation_id
    own = set(await history.turn(owner, stored.message.id))
    page = await history.messages(owner, conversation_id, limit=_LOOKED)
    others = [one for one in page.messages if not one.erased and one.id not in own]
    if not others and page.next_cursor is None:
        await history.delete(owner, conversation_id)
        return
    for message_id in own:
        await history.erase(owner, message_id)


def _unstored(door: Door) -> Json:
    """Return what the start event keeps of a response that is not stored."""
    kept = door.input if door.background else []
    return msgspec.structs.replace(door, store=False, input=kept).as_start()


def _found(stored: Kept, run_id: str) -> FoundResponse:
    """Return a response from what was stored of its run."""
    response = ResponseObject(run_id)
    for event in _events(stored, run_id):
        response.add(event)
    return FoundResponse(shown=response.shown(), input=response.door.input)


def _start(stored: Kept, run_id: str) -> Start:
    message = stored.message
    created_at = int(message.created_at)
    return Start(run_id, message.model or "", created_at=created_at, door=stored.door)


def _events(stored: Kept, run_id: str) -> Iterator[Event]:
    """Yield events that lead to what was stored."""
    message = stored.message
    yield _start(stored, run_id)
    yield Reasoning(message.reasoning or "")
    yield Chunk(str(message.content))
    yield from message.sources or ()
    for index, call in enumerate(message.tool_calls or ()):
        yield ToolCall(index, call.id, call.name)
        yield ToolArguments(index, call.arguments)
    if message.status is not Status.GENERATING:
        yield stored.ending or _ending(stored)


def _ending(stored: Kept) -> End | Error:
    """Return the end of an answer whose run could not tell it."""
    message = stored.message
    if message.status is Status.COMPLETE or message.status is Status.STOPPED:
        reason = "stop" if message.status is Status.COMPLETE else "stopped"
        return End(reason, message.usage or _NOTHING)
    code = message.error or RunInterrupted.code
    return Error("the answer was cut short", code, retryable=True)
