"""`EventStream`: a run's event log as an SSE response.

How it works: the response only reads. It takes what the log has, sends it in one piece, and waits for
more; one task watches for the client's going away, one timer for silence. When the client is gone, or
the response ends for another reason, it lets go of the run; what that means is for `runs` to say.

The route gives an `EventStream` back like any response. Below `Streaming`, the outermost layer of our
own server, it is streamed there: what the framework keeps for a request, twenty calls deep, is gone
while the stream runs.

Where the server offers it (`WRITE`), what comes while the response waits is written at once, in the
very call that appended it to the log: no task is switched to for a token. With any other server, and
for a client that reads too slowly, it goes out by `send`.

Two endings are not the run's. A reader that has to go on at another process gets a `retry:` field, and
reconnects with its cursor. One whose events are gone gets an `error` without an `id:`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from stream_serve.errors import EventsLost, LogLost
from stream_serve.events import sse
from stream_serve.events.types import Error, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from stream_serve.runs.subscription import Attachment

_MOVE: Final = b"retry: 1000\n\n"
_LOST: Final = encode(
    Error.of(EventsLost("events of this run are gone: what came so far is not the whole of it"))
)
WRITE: Final = "stream_serve.write"
"""The ASGI extension of a server that can write without a task: `scope["extensions"][WRITE]()`, after
the response's start, gives a function that takes a piece of the body, or says False; or None."""

_QUARTERS: Final = 4
_STREAMS: Final = "stream_serve.streams"
_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


class EventStream(Response):
    """Streams an attachment's events; `heartbeat` is the longest silence before a comment goes out.

    From its making on it owns the attachment: one that cannot be made, or is never streamed, lets
    go of it.
    """

    def __init__(
        self, attachment: Attachment, *, heartbeat: float, headers: Mapping[str, str]
    ) -> None:
        self._attachment = attachment
        try:
            self.status_code = 200
            self.background = None
            self.init_headers({**_HEADERS, "X-Run-Id": attachment.run_id, **headers})
            self._quarter = heartbeat / _QUARTERS
            self._quiet = 0
            self._cursor = -1
        except BaseException:
            attachment.close()
            raise

    def close(self) -> None:
        """Let go of the run. Twice is fine."""
        self._attachment.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream, or leave it to `Streaming`."""
        streams: list[EventStream] | None = scope.get(_STREAMS)
        if streams is None:
            await self.stream(scope, receive, send)
        else:
            streams.append(self)

    async def stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until the run ends or the client goes away."""
        loop = asyncio.get_running_loop()
        reader = self._attachment.reader
        self._timer: asyncio.TimerHandle = loop.call_later(self._quarter, self._beat)
        watcher = loop.create_task(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            self.raw_headers: list[tuple[bytes, bytes]] = []
            extension = scope.get("extensions", {}).get(WRITE)
            write = None if extension is None else extension()
            try:
                while (data := await reader.read(write)) is not None:
                    await send(
                        {
                            "type": "http.response.body",
                            "body": data or sse.HEARTBEAT,
                            "more_body": True,
                        }
                    )
                last = _MOVE if self._attachment.moved else b""
            except LogLost:
                last = b"data: " + _LOST + b"\n\n"
            await send({"type": "http.response.body", "body": last})
        except asyncio.CancelledError:
            # The server ends and has waited long enough for a client that does not read.
            return
        finally:
            self._timer.cancel()
            watcher.cancel()
            self._attachment.close()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._attachment.close()

    def _beat(self) -> None:
        """Wake the reader before the silence has lasted for too long.

        Looking every quarter of the time whether something was read costs nothing for a token.
        """
        reader = self._attachment.reader
        cursor, self._cursor = self._cursor, reader.cursor
        self._quiet = self._quiet + 1 if cursor == self._cursor else 0
        if self._quiet == _QUARTERS - 1:
            self._quiet = 0
            reader.nudge()
        self._timer = asyncio.get_running_loop().call_later(self._quarter, self._beat)


class Streaming:
    """An ASGI layer around an application: streams what that has answered with an `EventStream`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, and then stream, when nothing else of it is left."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        streams: list[EventStream] = []
        # Who asks waits for no token of somebody else's.
        scope["state"]["runs"].coalescer.hurry()
        try:
            await self._app({**scope, _STREAMS: streams}, receive, send)
            for stream in streams:
                await stream.stream(scope, receive, send)
        finally:
            for stream in streams:
                stream.close()
