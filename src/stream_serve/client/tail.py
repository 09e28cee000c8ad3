"""Where the reading of one stream stands: the `Course` of whatever a job, or another producer, writes.

How it works: each message has the offset behind it as its `id:`. Offsets grow, but not by one, so that a
message is new when its own is above the cursor. What has no `id:` is the service's own word: that the
stream cannot be read on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from stream_serve.client import failures, requests
from stream_serve.client.course import Course, parsed
from stream_serve.errors import ServiceProtocol
from stream_serve.events import codec, sse
from stream_serve.events.types import Error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stream_serve.client.patience import Tries
    from stream_serve.client.requests import Request
    from stream_serve.errors import StreamServeError

STOP_WAIT: Final = 5.0
"""Seconds that a stop waits for the producer's acknowledgement."""


class StreamReceipt(Struct, frozen=True):
    """What is known of the stop of a stream: when it was asked for, when the producer acknowledged it
    (None: not yet), and the offset of the stream by then."""

    asked: str
    acknowledged: str | None = None
    appended: str | None = None


class _Parser(sse.Parser):
    """A parser for which an id is its event's alone, and not that of those after it, too."""

    __slots__ = ()

    def _dispatch(self) -> sse.ServerSentEvent:
        event = super()._dispatch()
        self._id = b""
        return event


class StreamCourse(Course):
    """The state of reading one stream, by its name."""

    _parsing = _Parser

    def __init__(
        self, name: str, *, after: int = 0, url: str = "", tries: Tries | None = None
    ) -> None:
        super().__init__(name, after=after, url=url, tries=tries)

    def request(self) -> Request:
        """Return what to ask for now."""
        return requests.tail(self.run_id, self.cursor)

    def feed(self, piece: bytes) -> Iterator[Any]:
        """Return the messages that a piece of the stream completes and that have not been read before.

        Raises a `RunFailure` when the stream cannot be read on, after the others.
        """
        for one in self._events(piece):
            if not one.id:
                self._fail(one.data)
            if not one.id.isdigit():
                raise ServiceProtocol("a message has no offset")
            if int(one.id) <= self.cursor:
                continue
            message = parsed(one.data)
            self.cursor = int(one.id)
            self._tries.succeed()
            self.over = is_end(message)
            yield message
            if self.over:
                return

    def _fail(self, data: bytes) -> None:
        self.over = True
        try:
            said = codec.decode(data)
        except failures.UNREADABLE as error:
            raise ServiceProtocol(f"an event cannot be read: {error}") from error
        if isinstance(said, Error):
            raise failures.of_event(said)
        raise ServiceProtocol("an event has no number")


def is_end(message: object) -> bool:
    """Return whether a message is the end of a job."""
    if not isinstance(message, dict):
        return False
    known: dict[Any, Any] = message  # pyright: ignore[reportUnknownVariableType]
    return known.get("type") == "end" and isinstance(known.get("finishReason"), str)


_decode: Final = msgspec.json.Decoder(StreamReceipt).decode


def receipt_of(
    status: int, headers: Mapping[str, str], body: bytes
) -> StreamReceipt | StreamServeError:
    """Return the receipt that an answer is, or an error after which a stop may be asked for again.

    Raises any other error.
    """
    if status == 200:
        try:
            return _decode(body)
        except failures.UNREADABLE as error:
            raise ServiceProtocol(f"the answer to a stop is no receipt: {error}") from error
    failure = failures.of_answer(status, headers, body)
    if not failure.retryable:
        raise failure
    return failure
