"""Server-Sent Events as bytes: frames for our own streams, and a parser for others'.

The rules are those of the WHATWG HTML standard, section "Server-sent events". Nothing here does I/O.

How the parser works: bytes come in pieces of any size. Each piece is split into lines at LF, CR or
CRLF. The rest after the last line end is kept for the next piece; a CR at the very end may be half of a
CRLF, so that a LF at the start of the next piece is skipped. Lines build up an event, and an empty line
dispatches it. The size of an unfinished event is capped, so that no stream can fill the memory. Most
pieces are whole events with one `data:` line each; `data` has a fast path for them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

HEARTBEAT: Final = b": heartbeat\n\n"
"""A comment, which every client ignores; it keeps proxies from closing a silent stream."""

FRAME: Final = b"id: %d\ndata: %b\n\n"
"""The format of one event, for its number and its data; see `frame`."""

UNNUMBERED: Final = b"data: %b\n\n"
"""The format of one event without a number, for its data."""

DONE: Final = b"data: [DONE]\n\n"
"""What comes last in the dialects whose clients wait for it."""

BETWEEN: Final = b"\n\n"
"""What ends an event, where its data is one line."""

_MAX_RETRY_DIGITS: Final = 15
_DATA: Final = b"data: "
_CR: Final = 0x0D
_NEXT: Final = BETWEEN + _DATA
_BOM: Final = b"\xef\xbb\xbf"
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_DONE: Final = b"[DONE]"
_JSON: Final = re.compile(rb"\s*(\{|\[\s*(\{|$)|\[DONE\])")
_FIELDS: Final = (b"data:", b"event:", b"id:", b"retry:")
_ERROR: Final = b"error:"
_FAILURES: Final = (b"error", b"failed", b"failure", b"exception")
_SEPARATORS: Final = re.compile(rb"[\s._:/-]")


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
    """An unfinished event is larger than the parser's cap.

    `before` is the data of the events that the same bytes have completed before it.
    """

    def __init__(self, cap: int) -> None:
        super().__init__(f"an event of the stream is larger than {cap} bytes")
        self.before: Sequence[bytes] = ()


class Parser:
    """An incremental parser: `feed` it bytes as they come, and it returns the events they complete.

    `max_event_bytes` is the cap for one unfinished event. Above it `feed` and `data` raise
    `EventTooLarge`, which has the events before it, and the parser cannot be used any more.
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
        if lines and self._partial:
            self._partial += lines[0]
            lines[0] = bytes(self._partial)
            self._partial.clear()
        events: list[ServerSentEvent] = []
        try:
            self._add_lines(lines, events)
            self._keep(rest)
        except EventTooLarge as error:
            self._end_piece(events)
            error.before = [event.data for event in events]
            raise
        self._end_piece(events)
        self._between = self._started and not (
            self._partial or self._data or self._event or self._skip_lf
        )
        return events

    def _keep(self, rest: bytes) -> None:
        """Keep the beginning of a line."""
        self._partial += rest
        if self._held + len(self._partial) > self._cap:
            raise EventTooLarge(self._cap)

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
        if not self._started and not self._partial and piece.startswith(_DATA):
            self._started = self._between = True  # there is no byte order mark
        return self._several(piece) or [event.data for event in self.feed(piece)]

    def _several(self, piece: bytes) -> Sequence[bytes]:
        """Return the data of whole events with one line each; nothing for any other piece."""
        if (
            not (self._between and piece.startswith(_DATA) and piece.endswith(BETWEEN))
            or _CR in piece
            or len(piece) > self._cap
        ):
            return ()
        events = piece[len(_DATA) : -len(BETWEEN)].split(_NEXT)
        return events if piece.count(b"\n") == len(BETWEEN) * len(events) else ()

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

    def _add_lines(self, lines: list[bytes], events: list[ServerSentEvent]) -> None:
        """Add whole lines, and append the events that they complete."""
        for line in lines:
            if line:
                self._add_line(line)
            elif self._data:
                events.append(self._dispatch())
            else:
                self._event = b""

    def _end_piece(self, events: list[ServerSentEvent]) -> None:
        """Look at the events that a piece has completed, before they are returned."""

    def _add_line(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            self._hold(value)
        elif name == b"event":
            self._event = value
        elif name == b"id":
            if b"\0" not in value:
                self._id = value
        elif name == b"retry" and value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
            self.retry = int(value)

    def _hold(self, value: bytes) -> None:
        """Add a line to the event's data."""
        self._data.append(value)
        self._held += len(value) + 1
        if self._held > self._cap:
            raise EventTooLarge(self._cap)

    def _dispatch(self) -> ServerSentEvent:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        event = ServerSentEvent(data, self._event or b"message", self._id)
        self._data = []
        self._held = 0
        self._event = b""
        return event


class JSONParser(Parser):
    """A parser for streams whose data is JSON, and that are not always written after the standard.

    - Events may be divided by one line end only. A line that JSON cannot have after the lines before
      it (`{` and `[` come first, or after `[`, `,` and `:`) begins an event. After the first such line
      each line that is whole JSON is an event at once.
    - JSON without `data:`, in one line or in many, is an event, too. If it has many lines, it ends
      where the next event begins, or with the stream.
    - A field `error`, which llama.cpp had, is an error event.
    - An event whose name says that it reports an error is the last: its data is `failure`, and nothing
      after it is read. `failure` is None before it.
    """

    __slots__ = ("_bare", "_before", "_by_line", "_late", "failure")

    def __init__(self, max_event_bytes: int) -> None:
        super().__init__(max_event_bytes)
        self._bare = False
        self._by_line = False
        self._late = False
        self._before = 0
        self.failure: bytes | None = None

    @property
    def fails(self) -> bool:
        """Whether the event that nothing has ended yet is named as an error."""
        return self._partial.startswith(_ERROR) or self._name().lower().endswith(_FAILURES)

    @property
    def may_fail(self) -> bool:
        """Whether the name of an event has come only by half, and can become that of an error."""
        if not self._partial.startswith(b"event:"):
            return False
        word = _SEPARATORS.split(self._name().lower())[-1]
        return any(failure.startswith(word) for failure in _FAILURES)

    def _name(self) -> bytes:
        """Return the name of the event that nothing has ended yet, as far as it has come."""
        if self._partial.startswith(b"event:"):
            return bytes(self._partial).partition(b":")[2].strip()
        return self._event

    def rest(self) -> bytes:
        """Return the data, as far as it has come, of an event that nothing has ended yet."""
        partial = bytes(self._partial)
        if partial.startswith(_ERROR) and not self._bare:
            return partial[len(_ERROR) :].strip()
        if self._bare or _JSON.match(partial):
            return b"\n".join([*self._data, partial])
        return super().rest()

    def _add_lines(self, lines: list[bytes], events: list[ServerSentEvent]) -> None:
        for line in lines:
            if not line:
                if self._data and not self._bare:
                    if self._event:
                        self._end_event(events)
                    else:
                        events.append(self._dispatch())
                elif self._event:
                    self._record_failure(self._event, b"", len(events))
                    self._event = b""
            elif line.startswith(_DATA) and not (self._data or self._by_line):
                self._data.append(line[len(_DATA) :])
                self._held += len(line)
                if self._held > self._cap:
                    raise EventTooLarge(self._cap)
            elif not line.startswith(b":"):
                self._add_unusual_line(line, events)

    def _end_piece(self, events: list[ServerSentEvent]) -> None:
        """Leave out what came after an event that reports an error."""
        if self.failure is not None:
            del events[self._before :]
            self._before = 0

    def _add_unusual_line(self, line: bytes, events: list[ServerSentEvent]) -> None:
        if line.startswith(_ERROR) and not self._bare:
            if self._data:
                self._end_line(events)
            self._record_failure(b"error", line[len(_ERROR) :].strip(), len(events))
            return
        bare = not line.startswith(_FIELDS) and self._is_bare(line)
        if self._data and self._begins_event(line, bare=bare):
            self._end_line(events)
        self._late = self._late or (self._data != [] and line.startswith(b"event:"))
        if bare:
            self._bare = True
            self._hold(line)
        else:
            self._add_line(line)
        if (self._by_line or bare) and len(self._data) == 1 and _is_whole(self._data[0]):
            self._end_event(events)

    def _is_bare(self, line: bytes) -> bool:
        """Return whether a line belongs to JSON without `data:`."""
        if self._bare:
            return True
        return _JSON.match(line) is not None

    def _begins_event(self, line: bytes, *, bare: bool) -> bool:
        """Return whether a line cannot belong to the event that has begun."""
        if not bare:
            if self._bare:
                return True
            name, _, line = line.partition(b":")
            if name != b"data":
                return False
        value = line.strip()
        if value.startswith(_DONE):
            return True
        if not value.startswith((b"{", b"[")):
            return False
        before = next((held for one in reversed(self._data) if (held := one.rstrip())), b"")
        return before != b"" and before[-1] not in b"[,:"

    def _record_failure(self, name: bytes, data: bytes, before: int) -> bool:
        """Keep the data of the first event that reports an error; `before` events came before it."""
        failed = self.failure is None and name.lower().endswith(_FAILURES)
        if failed:
            self.failure, self._before = data, before
        return failed

    def _end_line(self, events: list[ServerSentEvent]) -> None:
        """Dispatch an event that only a line end divides from the next.

        A name that came after its data is the name of the next one.
        """
        self._by_line = self._by_line or not self._bare
        late = self._event if self._late else b""
        if late:
            self._event = b""
        self._end_event(events)
        self._event = late

    def _end_event(self, events: list[ServerSentEvent]) -> None:
        """Dispatch an event that has a name, or is not written after the standard."""
        self._bare = self._late = False
        name = self._event
        event = self._dispatch()
        if not self._record_failure(name, event.data, len(events)):
            events.append(event)


def may_begin(start: bytes) -> bool | None:
    """Return whether a body that begins so is a stream of events, or JSON; None: it is too short to say.

    White space and a byte order mark before it do not count.
    """
    start = start.removeprefix(_BOM).lstrip()
    if start.startswith((b"{", b"[", b":", *_FIELDS)):
        return True
    if any(field.startswith(start) for field in (*_FIELDS, _BOM)):
        return None
    return False


def _is_whole(data: bytes) -> bool:
    """Return whether a line is whole JSON, or the mark that ends a stream."""
    if not _JSON.match(data):
        return False
    if data.strip().startswith(_DONE):
        return True
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
