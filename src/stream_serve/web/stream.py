"""`EventStream`: a run's event log as an SSE response.

How it works: the response only reads. It sends all events that the log has in one piece and waits for
more. One task watches for the client's disconnect, one timer for silence. When the client disconnects,
or the response ends for another reason, the subscription is closed; `runs` decides what that does to
the run.

A route returns an `EventStream` like any response. Below `Streaming`, the outermost ASGI layer of our own
server, the stream is sent from there, after the application has returned. So the framework's objects
for the request, twenty calls deep, are freed while the stream runs.

If the server has the extension `WRITE`, an event that comes while the response waits is written in the
same call that appends it to the log, without switching to a task. With any other server, and for a
client that reads too slowly, events are sent with ASGI's `send`.

Two ends of a stream are not the end of its run. A reader that has to continue at another process gets a
`retry:` field and reconnects with its cursor. A reader whose events are lost gets an `error` without an
`id:`. In another dialect both are errors, since its clients do not reconnect.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from stream_serve.errors import EventsLost, LogLost, StreamMoved
from stream_serve.events import codec, sse
from stream_serve.events.types import Error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from stream_serve.errors import RunFailure
    from stream_serve.runs.subscription import Subscription
    from stream_serve.web.dialects.base import Translator

_REDIRECT: Final = b"retry: 1000\n\n"
_LOST: Final = EventsLost("events of this run are gone: what came so far is not the whole of it")
_MOVED: Final = StreamMoved(
    "this process ends: go on at another one, with the run's id and a cursor"
)
WRITE: Final = "stream_serve.write"
"""The ASGI extension of a server that can write without a task. After the start of the response,
`scope["extensions"][WRITE]()` returns a function `write(data: bytes) -> bool`, or None if the body cannot
be written directly. `write` returns False, and writes nothing, when the client cannot take more."""

_QUARTERS: Final = 4
_STREAMS: Final = "stream_serve.streams"
_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


class EventStream(Response):
    """Streams a subscription's events; `heartbeat` is the longest silence before a comment goes out.

    With a `translator` the stream is in another dialect than the native one. It owns the subscription: it
    closes it at the end of the stream, and also if the constructor fails.
    If the stream is never sent, `close` does it.
    """

    def __init__(
        self,
        subscription: Subscription,
        *,
        heartbeat: float,
        headers: Mapping[str, str],
        translator: Translator | None = None,
    ) -> None:
        self._subscription = subscription
        self._translator = translator
        try:
            self.status_code = 200
            self.background = None
            self.init_headers({**_HEADERS, "X-Run-Id": subscription.run_id, **headers})
            self._quarter = heartbeat / _QUARTERS
            self._quiet = 0
            self._cursor = -1
        except BaseException:
            subscription.close()
            raise

    def close(self) -> None:
        """Close the subscription; a second call does nothing."""
        self._subscription.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream now, or leave it to `Streaming` if that layer is above."""
        streams: list[EventStream] | None = scope.get(_STREAMS)
        if streams is None:
            await self.stream(scope, receive, send)
        else:
            streams.append(self)

    async def stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until the run ends or the client goes away.

        Cancelled, or failed, it lets go of the run.
        """
        loop = asyncio.get_running_loop()
        reader = self._subscription.reader
        self._timer: asyncio.TimerHandle = loop.call_later(self._quarter, self._beat)
        watcher = loop.create_task(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            self.raw_headers: list[tuple[bytes, bytes]] = []
            extension = scope.get("extensions", {}).get(WRITE)
            write = None if extension is None else extension()
            translator = self._translator
            if translator is not None and write is not None:
                write = translator.into(write)
            try:
                while (data := await reader.read(write)) is not None:
                    body = data or sse.HEARTBEAT
                    if data and translator is not None:
                        body = translator.take(data)
                    if body:
                        await send({"type": "http.response.body", "body": body, "more_body": True})
                last = self._moved() if self._subscription.redirected else b""
            except LogLost:
                last = self._failed(_LOST)
            await send({"type": "http.response.body", "body": last})
        finally:
            self._timer.cancel()
            watcher.cancel()
            self._subscription.close()

    def _moved(self) -> bytes:
        return _REDIRECT if self._translator is None else self._failed(_MOVED)

    def _failed(self, failure: RunFailure) -> bytes:
        """Return how the reader is told that its stream ends without the run's end."""
        error = Error.of(failure, str(failure))
        if self._translator is not None:
            return self._translator.failed(error)
        return sse.UNNUMBERED % codec.encode(error)

    async def _watch(self, receive: Receive) -> None:
        """Close the subscription when the client disconnects."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._subscription.close()

    def _beat(self) -> None:
        """Wake the reader for a heartbeat before the silence has lasted too long.

        The timer compares cursors every quarter of the time, so that a token does not have to set one.
        """
        reader = self._subscription.reader
        cursor, self._cursor = self._cursor, reader.cursor
        self._quiet = self._quiet + 1 if cursor == self._cursor else 0
        if self._quiet == _QUARTERS - 1:
            self._quiet = 0
            reader.nudge()
        self._timer = asyncio.get_running_loop().call_later(self._quarter, self._beat)


class Streaming:
    """An ASGI layer around an application, which sends each `EventStream` that a route has returned.

    `on_request` is called at the beginning of each HTTP request.
    """

    def __init__(self, app: ASGIApp, *, on_request: Callable[[], None] = lambda: None) -> None:
        self._app = app
        self._on_request = on_request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, and send the stream after the application has returned."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        streams: list[EventStream] = []
        self._on_request()
        try:
            await self._app({**scope, _STREAMS: streams}, receive, send)
            for stream in streams:
                await stream.stream(scope, receive, send)
        except asyncio.CancelledError:
            # The server ends, and has waited long enough for a client that does not read.
            return
        finally:
            for stream in streams:
                stream.close()
