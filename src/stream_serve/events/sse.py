"""Server-Sent Events as bytes: frames for our own streams, and a parser for others'.

The rules are those of the WHATWG HTML standard, section "Server-sent events". Nothing here does I/O.

How the parser works: bytes come in pieces of any size. Each piece is split into lines at LF, CR or
CRLF. The rest after the last line end is kept for the next piece; a CR at the very end may be half of a
CRLF, so that a LF at the start of the next piece is skipped. Lines build up an event, and an empty line
dispatches it. The size of an unfinished event is capped, so that no stream can fill the memory. Most
pieces are exactly one event with one `data:` line; `data` has a fast path for them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

HEARTBEAT: Final = b": heartbeat\n\n"
"""A comment, which every client ignores; it keeps proxies from closing a silent stream."""

FRAME: Final = b"id: %d\ndata: %b\n\n"
"""The format of one event, for its number and its data; see `frame`."""

_MAX_RETRY_DIGITS: Final = 15
_DATA: Final = b"data: "
_CR: Final = 0x0D
_BOM: Final = b"\xef\xbb\xbf"
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")


def frame(seq: int, data: bytes) -> bytes:
    """Return the bytes of one event with `id: seq`.

    `data` must be a single line, such as JSON without newlines; it is not checked.
    """
    return FRAME % (seq, data)


class ServerSentEvent(Struct, frozen=True, gc=False):
    """One dispatched event: its data, its type ("message" by default), and the last event id."""

    data: bytes
    event: bytes = b"message"
    id: bytes = b""


class EventTooLarge(ValueError):
    """An unfinished event is larger than the parser's cap."""


class Parser:
    """An incremental parser: `feed` it bytes as they come, and it returns the events they complete.

    `max_event_bytes` is the cap for one unfinished event. Above it `feed` and `data` raise
    `EventTooLarge`, and the parser cannot be used any more.
    """

    __slots__ = (
        "_between",
        "_cap",
        "_data",
        "_event",
        "_held",
        "_id",
        "_partial",
        "_skip_lf",
        "_started",
        "retry",
    )

    def __init__(self, max_event_bytes: int) -> None:
        self._cap = max_event_bytes
        self._partial = bytearray()
        self._held = 0
        self._data: list[bytes] = []
        self._event = b""
        self._id = b""
        self._started = False
        self._skip_lf = False
        self._between = False
        self.retry: int | None = None
        """The last `retry:` of the stream, the reconnection time in milliseconds."""

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """Parse the next bytes and return the events that they complete, in order.

        Raises `EventTooLarge`. At the end of the stream just stop: the standard discards an event
        without an empty line after it.
        """
        if not self._started:
            piece = self._start(piece)
        if self._skip_lf and piece:
            self._skip_lf = False
            if piece.startswith(b"\n"):
                piece = piece[1:]
        if _CR in piece:
            self._skip_lf = piece.endswith(b"\r")
            lines = _LINE_END.split(piece)
        else:
            lines = piece.split(b"\n")
        rest = lines.pop()
        events: list[ServerSentEvent] = []
        if lines and self._partial:
            self._partial += lines[0]
            lines[0] = bytes(self._partial)
            self._partial.clear()
        for line in lines:
            if line:
                self._add_line(line)
            elif self._data:
                events.append(self._dispatch())
            else:
                self._event = b""
        self._partial += rest
        if self._held + len(self._partial) > self._cap:
            raise EventTooLarge(f"an event of the stream is larger than {self._cap} bytes")
        self._between = self._started and not (
            self._partial or self._data or self._event or self._skip_lf
        )
        return events

    def data(self, piece: bytes) -> Sequence[bytes]:
        """Parse the next bytes as `feed` does, but return only the data of the events."""
        line, _, rest = piece.partition(b"\n")
        if (
            rest == b"\n"
            and self._between
            and line.startswith(_DATA)
            and _CR not in line
            and len(line) <= self._cap
        ):
            return (line[len(_DATA) :],)
        return [event.data for event in self.feed(piece)]

    def rest(self) -> bytes:
        """Return the data, as far as it has come, of an event that no empty line has ended yet."""
        lines = [*self._data]
        if self._partial.startswith(_DATA.rstrip()):
            lines.append(bytes(self._partial[len(_DATA) - 1 :]).removeprefix(b" "))
        return b"\n".join(lines)

    def _start(self, piece: bytes) -> bytes:
        """Drop a byte order mark at the very start, even if it comes in several pieces."""
        piece = bytes(self._partial) + piece
        self._partial.clear()
        if len(piece) < len(_BOM) and _BOM.startswith(piece):
            self._partial += piece
            return b""
        self._started = True
        return piece.removeprefix(_BOM)

    def _add_line(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            self._data.append(value)
            self._held += len(value) + 1
            if self._held > self._cap:
                raise EventTooLarge(f"an event of the stream is larger than {self._cap} bytes")
        elif name == b"event":
            self._event = value
        elif name == b"id":
            if b"\0" not in value:
                self._id = value
        elif name == b"retry" and value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
            self.retry = int(value)

    def _dispatch(self) -> ServerSentEvent:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        event = ServerSentEvent(data, self._event or b"message", self._id)
        self._data = []
        self._held = 0
        self._event = b""
        return event
