"""`LiveStream`: the events of several runs and streams as one SSE response, with one cursor.

How it works: each of them is a line, with a task that reads it and sends what it reads. An event has the
name of its line (`event:`). Its `id:` is the cursor of the whole response: the number of the newest event
of each line that has been sent, in the order in which they were asked for, such as `12.0.7`. So a client
that comes back with it misses nothing and gets nothing twice. What a client wants to read changes by
asking anew, with another list and its cursor: the server keeps nothing between two requests.

An event that comes while the response waits is written in the call that appends it to the log, as in
`EventStream`. While a task waits to send, nothing is written past it, so that no cursor is ahead of
what was sent.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from stream_serve.errors import LogLost
from stream_serve.events import codec, sse
from stream_serve.events.types import Error
from stream_serve.web.stream import LOST, REDIRECT, WRITE, Streamed, stream_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from starlette.types import Receive, Scope, Send

    from stream_serve.web.stream import Followed

_QUARTERS: Final = 4
_NUMBERED: Final = b"event: %b\nid: %b\n%b\n\n"
_UNNUMBERED: Final = b"event: %b\n%b\n\n"
_ID: Final = len(b"id: ")


class Line:
    """One run or stream of a live stream: the name of its events, the client's cursor, and its reader.

    If nothing is `followed`, it is over and read, or cannot be read: then `error` says why.
    """

    __slots__ = ("cursor", "error", "followed", "name")

    def __init__(self, name: str, after: int) -> None:
        self.name = name.encode()
        self.cursor = b"%d" % after
        self.followed: Followed | None = None
        self.error: Error | None = None


class LiveStream(Streamed):
    """Streams the events of lines; it owns what they follow, as an `EventStream` does.

    It ends when all lines have ended. It ends early, with a `retry:` field, when one of them is to be
    read at another process.
    """

    def __init__(
        self, lines: Sequence[Line], *, heartbeat: float, headers: Mapping[str, str]
    ) -> None:
        self._lines = lines
        self._quarter = heartbeat / _QUARTERS
        self._sending = asyncio.Lock()
        self._sent = 0
        self.status_code = 200
        self.background = None
        self.init_headers({**stream_headers(heartbeat), **headers})

    def close(self) -> None:
        """Let go of all that is followed; a second call does nothing."""
        for line in self._lines:
            if line.followed is not None:
                line.followed.close()

    async def stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until all lines end or the client goes away.

        Cancelled, or failed, it lets go of what is followed.
        """
        chores: list[asyncio.Task[None]] = []

        def spawn(chore: Coroutine[None, None, None]) -> asyncio.Task[None]:
            chores.append(asyncio.get_running_loop().create_task(chore))
            return chores[-1]

        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            extension = scope.get("extensions", {}).get(WRITE)
            write = None if extension is None else extension()
            for line in self._lines:
                if line.error is not None:
                    await self._fail(send, line, line.error)
            spawn(self._watch(receive))
            spawn(self._beat(send))
            readers = [
                spawn(self._read(line, line.followed, send, write))
                for line in self._lines
                if line.followed is not None
            ]
            await asyncio.gather(*readers)
            last = REDIRECT if self._redirected else b""
            await send({"type": "http.response.body", "body": last})
        finally:
            for chore in chores:
                chore.cancel()
            self.close()

    @property
    def _redirected(self) -> bool:
        followed = (line.followed for line in self._lines)
        return any(one is not None and one.redirected for one in followed)

    async def _read(
        self,
        line: Line,
        followed: Followed,
        send: Send,
        write: Callable[[bytes], bool] | None,
    ) -> None:
        """Send the events of one line to its end, and let go of it."""
        into = None if write is None else partial(self._write, line, write)
        try:
            while (data := await followed.reader.read(into)) is not None:
                if data:
                    await self._send(send, data, line)
        except LogLost:
            await self._fail(send, line, Error.of(LOST, str(LOST)))
        finally:
            followed.close()
        if followed.redirected:
            self.close()

    async def _fail(self, send: Send, line: Line, error: Error) -> None:
        """Say why a line cannot be read, or not to its end."""
        await self._send(send, sse.UNNUMBERED % codec.encode(error), line)

    async def _send(self, send: Send, data: bytes, line: Line | None = None) -> None:
        """Send bytes, or the frames of a line; one after the other, whoever sends."""
        async with self._sending:
            self._sent += 1
            body = data if line is None else self._told(line, data)
            await send({"type": "http.response.body", "body": body, "more_body": True})

    def _write(self, line: Line, write: Callable[[bytes], bool], data: bytes) -> bool:
        """Write frames of a line at once, if nobody waits to send."""
        if self._sending.locked():
            return False
        before = line.cursor
        if write(self._told(line, data)):
            self._sent += 1
            return True
        line.cursor = before
        return False

    def _told(self, line: Line, data: bytes) -> bytes:
        """Return frames of a line as this stream has them, and move the cursor past them."""
        said: list[bytes] = []
        for frame in data.split(sse.BETWEEN)[:-1]:
            head, _, fields = frame.partition(b"\n")
            if not fields:  # an error, which has no number
                said.append(_UNNUMBERED % (line.name, head))
                continue
            line.cursor = head[_ID:]
            cursor = b".".join([one.cursor for one in self._lines])
            said.append(_NUMBERED % (line.name, cursor, fields))
        return b"".join(said)

    async def _watch(self, receive: Receive) -> None:
        """Let go when the client disconnects."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self.close()

    async def _beat(self, send: Send) -> None:
        """Send a heartbeat before a silence has lasted too long."""
        quiet, sent = 0, self._sent
        with suppress(OSError):
            while True:
                await asyncio.sleep(self._quarter)
                quiet = quiet + 1 if sent == self._sent else 0
                if quiet == _QUARTERS - 1:
                    await self._send(send, sse.HEARTBEAT)
                    quiet = 0
                sent = self._sent
