"""`LiveReader`: a stream as Server-Sent Events (Durable Streams 1.0, section 5.8).

How it works: each change of a stream goes out as an event `data`, and an event `control` behind it that
says where the reader is. What a change becomes is made once for all readers with the same cursor (see
`streams.entry`). A reader that is behind reads from the store, page by page. `events.EventsReader` reads
in the same way, and says it in other words.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from base64 import b64encode
from typing import TYPE_CHECKING, Final

import structlog

from stream_serve.errors import StreamServeError
from stream_serve.streams import messages, offsets
from stream_serve.streams.state import media_type
from stream_serve.web.streams import cursors

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.eventlog.base import LogReader
    from stream_serve.streams.entry import Follower, Piece
    from stream_serve.streams.state import State
    from stream_serve.web.streams.readable import Readable

_PAGE: Final = 262_144
_LIFE: Final = 60.0
"""After about so long a reader is to come back, so that caches can join readers (10.2)."""

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_log = structlog.stdlib.get_logger("stream_serve.web")


def encodes(content_type: str) -> bool:
    """Return whether the bytes of a stream go out as base64: they are no text."""
    kind = media_type(content_type)
    return not (kind.startswith("text/") or kind == "application/json")


class Live:
    """A live reader as `EventStream` and `LiveStream` take it."""

    run_id: None = None

    def __init__(self, reader: LogReader) -> None:
        self.reader = reader

    @property
    def redirected(self) -> bool:
        """Whether the client is to come back: only a client of events is told that."""
        return False

    def close(self) -> None:
        """Let go of the stream."""
        self.reader.close()


class LiveReader:
    """A reader of a stream from `start` on, whose client had the cursor `cursor`."""

    _life: float | None = _LIFE

    def __init__(
        self, readable: Readable, follower: Follower, start: int | None, cursor: int | None
    ) -> None:
        state = follower.state
        self._readable = readable
        self._follower = follower
        self._data = "" if state is None else state.data
        self.content_type = "" if state is None else state.content_type
        tail = 0 if state is None else state.tail
        self._position = tail if start is None else start
        self._seen = -1
        self._floor = cursors.above(cursor, time.time())
        self._count = 0
        self._ended = False
        self.interrupted = False
        """Whether it has ended before the stream has, for a reason that is none of the client's."""
        self._nudged = False
        self._kept: bytes | None = None
        self._write: Callable[[bytes], bool] | None = None
        self._timer: asyncio.TimerHandle | None = None
        if self._life is not None:
            life = self._life * random.uniform(0.9, 1.1)  # noqa: S311 - not a secret
            self._timer = asyncio.get_running_loop().call_later(life, self._finish)
        follower.serve = self._serve

    @property
    def cursor(self) -> int:
        """A number that grows with every event."""
        return self._count

    @property
    def over(self) -> bool:
        """False: only `read` finds that out."""
        return False

    def there(self) -> bytes:
        """Return nothing: only `read` finds what is there."""
        return b""

    async def read(self, write: Callable[[bytes], bool] | None = None) -> bytes | None:
        """Return the next events, None at the end, `b""` after a nudge; see `eventlog.base.LogReader`."""
        while not self._ended or self._kept:
            if self._kept:
                kept, self._kept = self._kept, None
                return kept
            try:
                data = self._next() or await self._behind()
            except StreamServeError as error:
                _log.warning("a stream cannot be read on", error=str(error))
                return self._failed(error)
            if data:
                return data
            state = self._state()
            if state is None or self._ended:
                continue
            if state.tail not in {self._position, self._seen}:
                continue  # it has grown while it was read
            if self._nudged:
                self._nudged = False
                return b""
            self._write = write
            try:
                await self._follower.wait()
            finally:
                self._write = None
            if self._follower.closed:
                # The process ends, if not the client has: it comes back where it is.
                self.interrupted = not self._ended
                self._ended = True
        return None

    def nudge(self) -> None:
        """Make a waiting `read` return `b""`."""
        self._nudged = True
        self._follower.nudge()

    def close(self) -> None:
        """Let go of the stream."""
        self._ended = True
        self._kept = None
        if self._timer is not None:
            self._timer.cancel()
        self._follower.close()

    def _finish(self) -> None:
        """End the response; the client comes back where it is."""
        self._ended = True
        self._follower.nudge()

    def _serve(self) -> bool:
        """Write what is new where the reader waits; return whether it goes on waiting."""
        if self._write is None or self._nudged:
            return False
        data = self._next()
        if data and not self._write(data):
            self._kept = data
            return False
        return bool(data) and not self._ended

    def _state(self) -> State | None:
        """Return the stream; None, and the end of the response, if it is gone or another one."""
        state = self._follower.state
        if state is None or state.deleted or state.data != self._data:
            self._gone()
            return None
        return state

    def _gone(self) -> None:
        """End, since the stream was removed."""
        self._ended = True

    def _failed(self, error: StreamServeError) -> bytes | None:
        """Return what is said where it cannot be read on: nothing, so that the client comes back."""
        self._ended = True
        self.interrupted = error.retryable
        return None

    def _next(self) -> bytes:
        """Return events of what is known here; nothing if there is nothing, or it has to be read."""
        state = self._state()
        if state is None:
            return b""
        piece = self._follower.entry.piece
        if piece is not None and piece.start == self._position and piece.end == state.tail:
            shared = self._shared(piece, state)
            if shared is not None:
                self._position = self._seen = piece.end
                return self._sent(shared, state)
        if self._position == state.tail and (self._seen < 0 or state.closed):
            self._seen = state.tail
            return self._sent(self._control(state, up_to_date=True), state)
        return b""

    def _shared(self, piece: Piece, state: State) -> bytes | None:
        """Return the events of a change, as all readers with this cursor have it."""
        cursor = self._cursor()
        name = f"{cursor}{state.closed}"
        found = piece.shared.get(name)
        if found is None:
            data = piece.shared.get("data")
            if data is None:
                if not state.closed and self._whole(piece.data) != len(piece.data):
                    return None
                data = piece.shared["data"] = self._event(piece.data, piece.end)
            self._position = piece.end
            found = data + self._control(state, up_to_date=True)
            if cursor == cursors.current(time.time()):
                # What a client chooses is kept for nobody else: each could choose another cursor.
                piece.shared[name] = found
        return found

    async def _behind(self) -> bytes:
        """Return events of what has to be read, if there is something."""
        state = self._state()
        if state is None or state.tail in {self._position, self._seen}:
            return b""
        page = await self._readable.read(self._position, _PAGE)
        if page.state.data != self._data:
            self._gone()
            return b""
        last = page.last
        closed = last and page.state.closed
        size = len(page.data) if closed else self._whole(page.data)
        if last:
            self._seen = page.end
        if not size and self._count:
            return b""  # a part of a character waits for the rest
        self._position = page.end - (len(page.data) - size)
        event = self._event(page.data[:size], self._position) if size else b""
        control = self._control(page.state, up_to_date=last)
        return self._sent(event + control, page.state)

    def _whole(self, data: bytes) -> int:
        return messages.whole(data) if self.content_type.startswith("text/") else len(data)

    def _event(self, data: bytes, end: int) -> bytes:
        """Return an event of bytes that end at a position."""
        del end
        if encodes(self.content_type):
            return b"event: data\ndata:%b\n\n" % b64encode(data)
        if media_type(self.content_type) == "application/json":
            return b"event: data\ndata:%b\n\n" % messages.unpack(data)
        # A reader takes one space away (WHATWG HTML, "event stream interpretation"): it gets one more.
        lines = [b" " + one if one.startswith(b" ") else one for one in _LINE_END.split(data)]
        return b"event: data\ndata:%b\n\n" % b"\ndata:".join(lines)

    def _control(self, state: State, *, up_to_date: bool) -> bytes:
        where = offsets.text(self._position)
        if state.closed and self._position == state.tail:
            lost = ',"streamLost":true' if state.lost else ""
            said = f'"streamNextOffset":"{where}","upToDate":true,"streamClosed":true{lost}'
        else:
            up = ',"upToDate":true' if up_to_date else ""
            said = f'"streamNextOffset":"{where}","streamCursor":"{self._cursor()}"{up}'
        return b"event: control\ndata:{%b}\n\n" % said.encode()

    def _cursor(self) -> int:
        return max(self._floor, cursors.current(time.time()))

    def _sent(self, data: bytes, state: State) -> bytes:
        """Take note that events go out."""
        self._count += 1
        if state.closed and self._position == state.tail:
            self._ended = True
            self._kept = None
        return data
