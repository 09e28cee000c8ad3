"""Responses that can still be read: the contract of who finds them, and those of the event log.

How it works: a response is kept with the items of its input and the response that it goes on from, so
that a chain of them is the whole of what was said. The event log keeps a run for as long as it is known;
what the run was asked with is in its start event. A small body may name many large responses; so what a
question makes of them has a `Budget`.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from stream_serve.errors import (
    InvalidFields,
    ItemNotFound,
    LogLost,
    ResponseNotFound,
    RunNotFound,
)
from stream_serve.events import codec
from stream_serve.web.body import invalid
from stream_serve.web.dialects.responses import ids
from stream_serve.web.dialects.responses import input as input_items
from stream_serve.web.dialects.responses.object import ResponseObject

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from stream_serve.events.types import Event
    from stream_serve.runs.service import Runs
    from stream_serve.web.dialects.responses.object import Door

Json = dict[str, Any]

MAX_RESPONSES: Final = 1000
"""The most kept responses that one question is made of: each is looked for alone."""
_GOES_ON: Final = frozenset({"completed", "incomplete", "cancelled"})
"""The states of responses from which a chain may go on."""
NO_PREVIOUS: Final = "previous_response_not_found"


class FoundResponse(Struct, frozen=True, kw_only=True):
    """A response as far as it has come: its object, and the new items that it was asked with."""

    shown: Json
    input: list[Json]

    @property
    def items(self) -> list[Json]:
        """What a chain that goes on from it begins with."""
        return [*self.input, *self.output]

    @property
    def output(self) -> list[Json]:
        """Its items as a question has them: without logprobs, which no provider is told."""
        output: list[Json] = self.shown["output"]
        return [_without_logprobs(item) if "content" in item else item for item in output]


class Budget:
    """What one question may still be made of: how many kept responses, and the bytes of their items.

    A caller who sends all of a history may send as many bytes as a body may have; one who only names it
    may name as many.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._bytes = max_bytes
        self._responses = MAX_RESPONSES

    def spend(self, items: list[Json], field: str) -> None:
        """Take the items of one response from it; `field` is where the question names it.

        Raises `InvalidFields` when too little is left.
        """
        self._bytes -= input_items.size_of(items)
        self._responses -= 1
        if self._bytes < 0:
            raise _too_much(field, f"{self.max_bytes} bytes (STREAM_SERVE_MAX_BODY_BYTES)")
        if self._responses < 0:
            raise _too_much(field, f"{MAX_RESPONSES} responses")


class KeptResponses(Protocol):
    """Who finds the responses that one question is made of."""

    budget: Budget

    async def find(self, owner: str | None, run_id: str, *, whole: bool = False) -> FoundResponse:
        """Return a response, with its input if it is to be `whole`.

        Raises `ResponseNotFound`, also for somebody else's.
        """
        ...


class LoggedResponses:
    """The responses whose runs are in the event log."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    async def read(self, owner: str | None, run_id: str) -> ResponseObject:
        """Return the fold of a run's events so far. Raises `ResponseNotFound`."""
        response = ResponseObject(run_id)
        try:
            newest = (await self._runs.state(run_id, owner=owner)).newest
            async with aclosing(self._events(owner, run_id)) as events:
                async for number, event in events:
                    response.add(event)
                    if response.end is not None or number >= newest:
                        break
        except RunNotFound:
            raise not_found(run_id) from None
        return _readable(response, run_id)

    async def door(self, owner: str | None, run_id: str) -> Door:
        """Return what a response was asked with. Raises `ResponseNotFound`."""
        response = ResponseObject(run_id)
        try:
            async with aclosing(self._events(owner, run_id)) as events:
                async for _, event in events:
                    response.add(event)
                    break
        except RunNotFound:
            raise not_found(run_id) from None
        return _readable(response, run_id).door

    async def delete(self, owner: str | None, run_id: str) -> None:
        """End a response if it goes on, and forget it. Raises `ResponseNotFound`."""
        try:
            await self._runs.forget(run_id, owner=owner)
        except RunNotFound:
            raise not_found(run_id) from None

    async def _events(self, owner: str | None, run_id: str) -> AsyncGenerator[tuple[int, Event]]:
        """Yield the events of a run from the first on. Raises `RunNotFound`, `ResponseNotFound`."""
        subscription = await self._runs.subscribe(run_id, owner=owner)
        if subscription is None:
            return
        try:
            while (data := await subscription.reader.read()) is not None:
                for one in codec.split(data):
                    yield one
        except LogLost:
            raise not_found(run_id) from None
        finally:
            subscription.close()


async def chain(kept: KeptResponses, owner: str | None, response_id: str | None) -> list[Json]:
    """Return all items of a response and of those before it, the oldest first.

    Raises `InvalidFields` for one that is not known, has not ended, or ended badly, and for more than the
    budget has.
    """
    found: list[list[Json]] = []
    wanted = response_id
    while wanted is not None:
        run_id = ids.run_of(wanted)
        if run_id is None:
            raise _no_previous(wanted)
        try:
            one = await kept.find(owner, run_id, whole=True)
        except ResponseNotFound:
            raise _no_previous(wanted) from None
        status = one.shown["status"]
        if status not in _GOES_ON:
            message = f"is {status}: wait for its end, or go on from another one"
            raise invalid("previous_response_id", message)
        items = one.items
        kept.budget.spend(items, "previous_response_id")
        found.append(items)
        wanted = one.shown["previous_response_id"]
    return [item for items in reversed(found) for item in items]


async def resolve(kept: KeptResponses, owner: str | None, items: list[Json]) -> list[Json]:
    """Return the items with what references mean in their place.

    Raises `ItemNotFound`, and `InvalidFields` for one that is named twice, and for more than the budget
    has: a small body must not become a question without bounds.
    """
    known: dict[str, Json] = {}
    named: set[str] = set()
    found: list[Json] = []
    for item in items:
        if item["type"] != input_items.REFERENCE:
            found.append(item)
            continue
        if item["id"] in named:
            raise invalid("input", f"Duplicate item found with id '{item['id'][:100]}'.")
        named.add(item["id"])
        run_id = ids.run_of_item(item["id"])
        if run_id is not None and item["id"] not in known:
            output = await _output(kept, owner, run_id)
            kept.budget.spend(output, "input")
            known |= {one["id"]: one for one in output}
        if item["id"] not in known:
            raise ItemNotFound(
                f"Item with id '{item['id'][:100]}' not found. Items are kept for as long as their "
                "response is, and not with store: false."
            )
        found.append(known[item["id"]])
    return found


async def input_of(kept: KeptResponses, owner: str | None, one: FoundResponse) -> list[Json]:
    """Return all items that a response was asked with, the oldest first, as far as they are known.

    Raises `InvalidFields` for more than the budget has.
    """
    try:
        before = await chain(kept, owner, one.shown["previous_response_id"])
    except InvalidFields as error:
        if error.code != NO_PREVIOUS:
            raise
        before = []
    return [*before, *one.input]


def not_found(run_id: str) -> ResponseNotFound:
    """Return the error for a response that is unknown, or somebody else's."""
    return ResponseNotFound(f"Response with id '{ids.response_id(run_id)}' not found.")


async def _output(kept: KeptResponses, owner: str | None, run_id: str) -> list[Json]:
    try:
        return (await kept.find(owner, run_id)).output
    except ResponseNotFound:
        return []


def _readable(response: ResponseObject, run_id: str) -> ResponseObject:
    """Refuse a response that only its own reader may have. Raises `ResponseNotFound`."""
    door = response.door
    if response.start is None or not (door.store or door.background or door.foreign):
        raise not_found(run_id)
    return response


def _no_previous(response_id: str) -> InvalidFields:
    return InvalidFields(
        f"Previous response with id '{response_id[:100]}' not found.",
        fields=(("previous_response_id", "is not found"),),
        code=NO_PREVIOUS,
    )


def _too_much(field: str, limit: str) -> InvalidFields:
    """Return the error for a question that names more than it may."""
    message = (
        f"the responses and items that it goes on from are more than {limit}: send the part of the "
        "history that matters as input"
    )
    return invalid(field, message)


def _without_logprobs(message: Json) -> Json:
    parts: list[Json] = message["content"]
    empty: Json = {"logprobs": []}
    content = [part | empty if "logprobs" in part else part for part in parts]
    return {**message, "content": content}
