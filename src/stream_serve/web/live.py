"""`LiveStream`: the events of several runs as one SSE response, with one cursor.

How it works: each run has a subscription, and a task that reads it and sends what it reads. The name of
an event (`event:`) is the id of its run. Its `id:` is the cursor of the whole stream: the number of the
newest event of each run that has been sent, in the order in which the runs were asked for, such as
`12.0.7`. So a client that comes back with it misses nothing and gets nothing twice. What a client wants
to read changes by asking anew, with another list and its cursor: the server keeps nothing between two
requests.

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

    from stream_serve.runs.subscription import Subscription

_QUARTERS: Final = 4
_NUMBERED: Final = b"event: %b\nid: %b\n%b\n\n"
_UNNUMBERED: Final = b"event: %b\ndata: %b\n\n"
_ID: Final = len(b"id: ")


class Line:
    """One run in a live stream: its id, the client's cursor, and what it is read with.

    Without a subscription the run is over and read, or cannot be read: then `error` says why.
    """

    __slots__ = ("cursor", "error", "name", "subscription")

    def __init__(self, run_id: str, after: int) -> None:
        self.name = run_id.encode()
        self.cursor = b"%d" % after
        self.subscription: Subscription | None = None
        self.error: Error | None = None


class LiveStream(Streamed):
    """Streams the events of runs; it owns their subscriptions, as an `EventStream` does.

    It ends when all runs have ended. It ends early, with a `retry:` field, when one of them is to be read
    at another process.
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
        """Close all subscriptions; a second call does nothing."""
        for line in self._lines:
            if line.subscription is not None:
                line.subscription.close()

    async def stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until all runs end or the client goes away.

        Cancelled, or failed, it lets go of the runs.
        """
        chores: list[asyncio.Task[None]] = []

        def spawn(chore: Coroutine[None, None, None]) -> asyncio.Task[None]:
            chores.append(asyncio.get_running_loop().create_task(chore))
            return chores[-1]

        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            extension = scope.get("extensions", {}).get(WRITE)
            write = None if extension is None else extension()
            for line in self._lines:
                if line.error is not None:
                    await self._send(send, self._failed(line, line.error))
            spawn(self._watch(receive))
            spawn(self._beat(send))
            readers = [
                spawn(self._read(line, line.subscription, send, write))
                for line in self._lines
                if line.subscription is not None
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
        return any(
            line.subscription is not None and line.subscription.redirected for line in self._lines
        )

    async def _read(
        self,
        line: Line,
        subscription: Subscription,
        send: Send,
        write: Callable[[bytes], bool] | None,
    ) -> None:
        """Send the events of one run to its end."""
        into = None if write is None else partial(self._write, line, write)
        try:
            while (data := await subscription.reader.read(into)) is not None:
                if data:
                    await self._send(send, data, line)
        except LogLost:
            await self._send(send, self._failed(line, Error.of(LOST, str(LOST))))
        if subscription.redirected:
            self.close()

    async def _send(self, send: Send, data: bytes, line: Line | None = None) -> None:
        """Send bytes, or the frames of a run; one after the other, whoever sends."""
        async with self._sending:
            self._sent += 1
            body = data if line is None else self._told(line, data)
            await send({"type": "http.response.body", "body": body, "more_body": True})

    def _write(self, line: Line, write: Callable[[bytes], bool], data: bytes) -> bool:
        """Write frames of a run at once, if nobody waits to send."""
        if self._sending.locked():
            return False
        before = line.cursor
        if write(self._told(line, data)):
            self._sent += 1
            return True
        line.cursor = before
        return False

    def _told(self, line: Line, data: bytes) -> bytes:
        """Return frames of a run's log as this stream has them, and move the cursor past them."""
        said: list[bytes] = []
        for frame in data.split(sse.BETWEEN)[:-1]:
            head, _, fields = frame.partition(b"\n")
            line.cursor = head[_ID:]
            cursor = b".".join([one.cursor for one in self._lines])
            said.append(_NUMBERED % (line.name, cursor, fields))
        return b"".join(said)

    def _failed(self, line: Line, error: Error) -> bytes:
        return _UNNUMBERED % (line.name, codec.encode(error))

    async def _watch(self, receive: Receive) -> None:
        """Close the subscriptions when the client disconnects."""
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
