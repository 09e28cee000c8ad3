"""Where the reading of one run stands: the pure core that both clients share, without I/O and time.

How it works: `request` says what to ask for next, and the client tells what came of it. An answer goes to
`accept` and its bytes to `feed`, one that is not accepted to `refuse`; a connection that could not be
made, or broke, to `lose`. The last two say how long to wait before the next request, or raise when there
is to be none. Before the service has answered, the start itself is sent again: it has an id, so that it
joins the run. After that the run is only followed, by the number of the last event: never is it started
anew.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from stream_serve.client import failures, requests
from stream_serve.client.patience import Patience, Tries, unreachable
from stream_serve.errors import EventsLost, ServiceProtocol
from stream_serve.events import codec, sse
from stream_serve.events.types import End, Error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stream_serve.client.requests import Request
    from stream_serve.events.types import Event

HEARTBEAT: Final = 15.0
"""Seconds of silence that the service allows itself where it announces nothing."""
MAX_EVENT_BYTES: Final = 64 * 1024 * 1024
"""More than any run has in all (16 MiB by default): no stream fills the memory."""

_MARGIN: Final = 1.5
"""A heartbeat may be late by a half: what is longer is silent because nothing comes through."""


class _Kind(Struct):
    type: str


class Course:
    """The state of reading one run. `start` is the body that starts it; None: it was started before."""

    _parsing: type[sse.Parser] = sse.Parser

    def __init__(
        self,
        run_id: str,
        start: bytes | None = None,
        *,
        after: int = 0,
        url: str = "",
        tries: Tries | None = None,
    ) -> None:
        self.run_id: Final = run_id
        self.cursor = after
        self._after: Final = after
        self.over = False
        """Whether the run's last event has been read, or there is nothing to read any more."""
        self._start = start
        self._heard = False
        self._url: Final = url
        self._tries: Final = Tries(Patience()) if tries is None else tries
        self._parser = self._parsing(MAX_EVENT_BYTES)

    @property
    def begun(self) -> bool:
        """Whether the run is known to have been started."""
        return self._start is None

    def request(self) -> Request:
        """Return what to ask for now."""
        if self._start is not None:
            return requests.start(self.run_id, self._start)
        return requests.follow(self.run_id, self.cursor)

    def accept(self, status: int, headers: Mapping[str, str]) -> bool:
        """Begin to read an answer; return False if there is no stream in it.

        Status 204 says that there is nothing after the cursor. The service says so only to who has read
        the end before, so that it is another server's word for who has just read something else.
        """
        if status == 204 and 0 < self.cursor == self._after:
            self.over = True
            return True
        kind = headers.get("content-type", "").lower()
        if status != 200 or not kind.startswith("text/event-stream"):
            return False
        self._start = None
        self._heard = True
        self._parser = self._parsing(MAX_EVENT_BYTES)
        return True

    def feed(self, piece: bytes) -> Iterator[Event]:
        """Return the events that a piece of the stream completes and that have not been read before.

        Raises a `RunFailure` when the run's last event is one, after the others.
        """
        for one in self._events(piece):
            event = _decode(one.data)
            if isinstance(event, Error):
                self.over = True
                raise failures.of_event(event)
            if self._is_new(one.id, event) and event is not None:
                self.over = isinstance(event, End)
                yield event
                if self.over:
                    return

    def _events(self, piece: bytes) -> list[sse.ServerSentEvent]:
        """Return the events that a piece completes, as they are on the wire."""
        try:
            found = self._parser.feed(piece)
        except sse.EventTooLarge as error:
            raise ServiceProtocol(str(error)) from error
        if piece.startswith(b":"):  # the run goes on, and has nothing to say
            self._tries.succeed()
        return found

    def _is_new(self, number: bytes, event: Event | None) -> bool:
        """Take the number of an event; return whether it follows those that were read.

        The end of a run that another process took over has a number past all others.
        """
        if not number.isdigit():
            raise ServiceProtocol("an event has no number")
        if int(number) > self.cursor + 1 and not isinstance(event, End):
            raise EventsLost(f"after event {self.cursor} came event {int(number)}")
        new = int(number) > self.cursor
        if new:
            self.cursor = int(number)
            self._tries.succeed()
        return new

    def refuse(self, status: int, headers: Mapping[str, str], body: bytes) -> float:
        """Take an answer without a stream; return the seconds to wait, or raise what it says."""
        error = failures.of_answer(status, headers, body, heard=self._heard)
        if not error.retryable:
            raise error
        return self._tries.pause(error, error.retry_after)

    def lose(self, why: object = None) -> float:
        """Take the end of a connection before the run's; return the seconds to wait.

        A stream that ends with `retry:` says that the run goes on at another process, and when.
        Raises `ServiceUnreachable`.
        """
        asked = self._parser.retry
        self._parser = self._parsing(MAX_EVENT_BYTES)
        error = unreachable(why, self._url)
        return self._tries.pause(error, None if asked is None else asked / 1000)


def silence(heartbeat: float) -> float:
    """Return the seconds of silence after which a connection is dead."""
    return heartbeat * _MARGIN


def announced(headers: Mapping[str, str]) -> float | None:
    """Return the longest silence that the service announces, in seconds; None if it does not."""
    try:
        seconds = float(headers.get("x-heartbeat-interval", ""))
    except ValueError:
        return None
    return seconds if 0 < seconds < 86_400 else None


def parsed(data: bytes) -> Any:
    """Return JSON as values. Raises `ServiceProtocol`."""
    try:
        return _values(data)
    except (*failures.UNREADABLE, json.JSONDecodeError) as error:
        raise ServiceProtocol(f"a message cannot be read: {error}") from error


def _values(data: bytes) -> Any:
    """Return JSON as values; a number that is larger than any of Python's is infinite."""
    try:
        return msgspec.json.decode(data)
    except msgspec.ValidationError:
        return json.loads(data, parse_int=_number)


def _number(digits: str) -> float:
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _decode(data: bytes) -> Event | None:
    """Return an event; None for one of a type that a later service may have."""
    try:
        return codec.decode(data)
    except failures.UNREADABLE as error:
        if _is_unknown(data):
            return None
        raise ServiceProtocol(f"an event cannot be read: {error}") from error


def _is_unknown(data: bytes) -> bool:
    try:
        kind = msgspec.json.decode(data, type=_Kind).type
    except failures.UNREADABLE:
        return False
    return kind not in _KNOWN


_KNOWN: Final = frozenset(
    {
        "start",
        "chunk",
        "reasoning",
        "tool_call",
        "tool_arguments",
        "source",
        "extra",
        "end",
        "error",
    }
)
