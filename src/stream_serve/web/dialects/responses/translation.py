"""A run as the streaming events of a response.

How it works: the events are numbered from 0 without a hole (`sequence_number`). They follow only from the
run's events, so that every process numbers them alike, and a reader that comes back with a number gets
what follows it. There are no `id:` lines: together with comments they break OpenAI's Python client.
`event_id` is the number of the run's own event, for readers that go on in another dialect.

A piece of text costs little: what is the same for all pieces of an item is encoded once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from stream_serve.events import sse
from stream_serve.events.types import Chunk, Reasoning
from stream_serve.web.dialects.responses.items import Message
from stream_serve.web.dialects.responses.object import NAME, ResponseObject, error_event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream_serve.events.types import Error, Event
    from stream_serve.web.dialects.responses.items import Item

Json = dict[str, Any]

_encode: Final = msgspec.json.Encoder().encode


class Responses:
    """The dialect. With `starting_after` a stream has only the events after that number, all for -1."""

    name: ClassVar[str] = NAME

    def __init__(self, *, starting_after: int = -1) -> None:
        self.headers: Mapping[str, str] = {}
        self._starting_after = starting_after

    def translation(self, run_id: str) -> ResponsesTranslation:
        """Return the translation of a run into streaming events."""
        return ResponsesTranslation(run_id, starting_after=self._starting_after)


class ResponsesTranslation:
    """One reader's streaming events of a run."""

    __slots__ = (
        "_append",
        "_head",
        "_item",
        "_kind",
        "_last",
        "_newest",
        "_response",
        "_said",
        "_starting_after",
        "_tail",
    )

    def __init__(self, run_id: str, *, starting_after: int = -1) -> None:
        self._response = ResponseObject(run_id)
        self._starting_after = starting_after
        self._last = self._newest = -1
        self._said: list[tuple[int, Json]] = []
        self._item: Item | None = None
        self._kind: type[Event] | None = None
        self._append: Callable[[str], None] = _ignore
        self._head = self._tail = b""

    def add(self, number: int, event: Event) -> bytes:
        """Return the streaming events for an event."""
        if type(event) is self._kind and (text := event.content):  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportAttributeAccessIssue]
            self._append(text)  # pyright: ignore[reportUnknownArgumentType]
            last = self._last = self._newest = self._last + 1
            return b'%b%b%b%d,"event_id":%d}\n\n' % (
                self._head,
                _encode(text),
                self._tail,
                last,
                number,
            )
        self._settle()
        said = [self._number(number, one) for one in self._response.add(event)]
        if self._response.end is not None:
            said.append(sse.DONE)
        self._prepare()
        return b"".join(said)

    def joined(self) -> bytes:
        """Return the past of the response, with one delta for all that an item has said.

        Each event has its own number, a delta that of the last one in it.
        """
        self._settle()
        past = list(self._said)
        for item in self._response.output.items:
            if item.last >= 0:
                whole = item.repeated() if isinstance(item, Message) else item.delta(item.text)
                past.append((item.last, whole))
        past.sort(key=lambda one: one[0])
        return b"".join(_frame(sequence, event) for sequence, event in past)

    def failed(self, error: Error) -> bytes:
        """Return the error, under the number of the last event that the reader has, or -1.

        One that comes back with this number misses nothing, and gets nothing twice.
        """
        return _frame(max(self._last, self._starting_after), error_event(error))

    def _prepare(self) -> None:
        """Get ready for more of the text that is open, unless the reader has it already."""
        item = self._response.output.open
        self._kind = None
        if item is None or self._last < self._starting_after:
            return
        self._kind = Chunk if isinstance(item, Message) else Reasoning
        if item is not self._item:
            self._item, self._append = item, item.pieces.append
            self._head, self._tail = _around(item)

    def _settle(self) -> None:
        """Record at the item which number its newest delta has."""
        if self._item is not None and self._newest > self._item.last:
            self._item.last = self._newest

    def _number(self, number: int, event: Json) -> bytes:
        self._last += 1
        if "delta" in event:
            self._response.output.items[event["output_index"]].last = self._last
        else:
            self._said.append((self._last, {**event, "event_id": number}))
        if self._last <= self._starting_after:
            return b""
        return _frame(self._last, {**event, "event_id": number})


def _ignore(text: str) -> None:
    """Take the text of an item that is not there."""


def _frame(sequence: int, event: Json) -> bytes:
    kind = event["type"]
    data = _encode({"type": kind, "sequence_number": sequence, **event})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


def _around(item: Item) -> tuple[bytes, bytes]:
    """Return what is before and after the text of each delta of an item, up to its number."""
    event = item.delta("")
    kind = event["type"]
    before = {name: value for name, value in event.items() if name not in {"delta", "logprobs"}}
    head = _encode({**before, "delta": None}).removesuffix(b"null}")
    more = b',"logprobs":[]' if "logprobs" in event else b""
    return b"event: %b\ndata: %b" % (kind.encode(), head), more + b',"sequence_number":'
