"""`EventStream`: a run's event log as an SSE response.

How it works: the response only reads. It sends all events that the log has in one piece and waits for
more. The server, or a task, watches for the client's disconnect, and one timer for silence. When the
client disconnects, or the response ends for another reason, the subscription is closed; `runs` decides
what that does to the run.

A route returns an `EventStream` like any response. Below `Streaming`, the outermost ASGI layer of our own
server, the stream is sent from there, after the application has returned. So the framework's objects
for the request, twenty calls deep, are freed while the stream runs.

If the server has the extension `WRITE`, an event that comes while the response waits is written in the
same call that appends it to the log, without switching to a task. With any other server, and for a
client that reads too slowly, events are sent with ASGI's `send`.

A door whose clients know failures by their status holds the head of its stream back until the run says
something, but not for long (`Refusal`). A run that fails first has that status then, and no stream.

Two ends of a stream are not the end of its run. A reader that has to continue at another process gets a
`retry:` field and reconnects with its cursor. A reader whose events are lost gets an `error` without an
`id:`. In another dialect both are errors, since its clients do not reconnect.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol

from starlette.responses import Response

from stream_serve.errors import EventsLost, LogLost, StreamMoved
from stream_serve.events import codec, sse
from stream_serve.events.types import Error, Start
from stream_serve.web.dialects.base import events_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from stream_serve.errors import RunFailure
    from stream_serve.eventlog.base import LogReader
    from stream_serve.web.dialects.base import Translator

    Refusal = Callable[[Error, Mapping[str, str]], Response]

REDIRECT: Final = b"retry: 1000\n\n"
LOST: Final = EventsLost("events of this run are gone: what came so far is not the whole of it")
_MOVED: Final = StreamMoved(
    "this process ends: go on at another one, with the run's id and a cursor"
)
WRITE: Final = "stream_serve.write"
"""The ASGI extension of a server that can write without a task. After the first piece of the body,
`scope["extensions"][WRITE]()` returns a function `write(data: bytes) -> bool`, or None if the body cannot
be written directly. `write` returns False, and writes nothing, when the client cannot take more."""
GONE: Final = "stream_serve.gone"
"""The ASGI extension of a server that tells when a client disconnects without a task that waits for it.
`scope["extensions"][GONE](call)` has a function called then, or at once, and returns what ends that.
Whoever calls it reads no more of the request's body."""

_HELD: Final = 2.0
"""For how long a head is held back at most: a provider refuses within some round trips, and a client that
shows that it is connected, or that wants the run's id, waits no longer."""
_START: Final = 1
"""The number of a run's first event, which says no more than that it has started."""
_QUARTERS: Final = 4
_STREAMS: Final = "stream_serve.streams"
_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


def close_when_gone(subscription: Followed, scope: Scope, receive: Receive) -> Callable[[], object]:
    """Close a subscription when its client disconnects; return what ends that."""
    extension = scope.get("extensions", {}).get(GONE)
    if extension is not None:
        return extension(subscription.close)
    return asyncio.get_running_loop().create_task(_close_when_gone(subscription, receive)).cancel


def _writer(scope: Scope) -> Callable[[bytes], bool] | None:
    """Return what writes without a task, if the server has that."""
    extension = scope.get("extensions", {}).get(WRITE)
    return None if extension is None else extension()


async def _close_when_gone(subscription: Followed, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    subscription.close()


def stream_headers(heartbeat: float) -> dict[str, str]:
    """Return the headers of a stream of events whose silences are no longer than so many seconds."""
    return {**_HEADERS, "X-Heartbeat-Interval": f"{heartbeat:g}"}


@cache
def _head(heartbeat: float) -> dict[bytes, bytes]:
    return _encoded(stream_headers(heartbeat))


def _encoded(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """Return headers as a server gets them."""
    return {
        name.lower().encode("latin-1"): value.encode("latin-1") for name, value in headers.items()
    }


def _error_in(frames: bytes) -> Error | None:
    """Return the first event after a run's start in frames of its beginning, if that is its error."""
    said = next((event for _, event in events_in(frames) if not isinstance(event, Start)), None)
    return said if isinstance(said, Error) else None


class Streamed(Response):
    """A response that `Streaming` sends after the application has returned."""

    def close(self) -> None:
        """Let go of what is read, if it is never sent; a second call does nothing."""
        raise NotImplementedError

    async def stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all, until its end or until the client goes away."""
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream now, or leave it to `Streaming` if that layer is above."""
        streams: list[Streamed] | None = scope.get(_STREAMS)
        if streams is None:
            await self.stream(scope, receive, send)
        else:
            streams.append(self)


class Followed(Protocol):
    """What is streamed: a run's subscription, or a stream, which has no run id."""

    @property
    def reader(self) -> LogReader:
        """Where the events come from."""
        ...

    @property
    def run_id(self) -> str | None:
        """The run's id."""
        ...

    @property
    def redirected(self) -> bool:
        """Whether the client is to go on at another process."""
        ...

    def close(self) -> None:
        """Let go. Twice is fine."""
        ...


class EventStream(Streamed):
    """Streams a subscription's events; `heartbeat` is the longest silence before a comment goes out.

    The header `X-Heartbeat-Interval` tells the client, in seconds: a longer silence is a dead connection.
    With a `translator` the stream is in another dialect than the native one. It owns the subscription: it
    closes it at the end of the stream, and also if the constructor fails.
    If the stream is never sent, `close` does it. `refusal` makes the response for a run that fails
    before it has said anything, and soon; without it the stream tells that.
    """

    def __init__(
        self,
        subscription: Followed,
        *,
        heartbeat: float,
        headers: Mapping[str, str],
        translator: Translator | None = None,
        refusal: Refusal | None = None,
    ) -> None:
        self._subscription = subscription
        self._translator = translator
        self._refusal = refusal
        self._headers = headers
        try:
            self.status_code = 200
            self.background = None
            run_id = subscription.run_id
            run = {} if run_id is None else {b"x-run-id": run_id.encode("latin-1")}
            self.raw_headers = list({**_head(heartbeat), **run, **_encoded(headers)}.items())
            self._quarter = heartbeat / _QUARTERS
            self._held = min(heartbeat, _HELD)
            self._quiet = 0
            self._cursor = -1
        except BaseException:
            subscription.close()
            raise

    def close(self) -> None:
        """Close the subscription; a second call does nothing."""
        self._subscription.close()

    async def stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until the run ends or the client goes away.

        Cancelled, or failed, it lets go of the run.
        """
        loop = asyncio.get_running_loop()
        reader, translator = self._subscription.reader, self._translator
        self._timer: asyncio.TimerHandle = loop.call_later(self._quarter, self._beat)
        unwatch = close_when_gone(self._subscription, scope, receive)
        try:
            held: bytes | Response = b""
            if self._refusal is not None:
                held = await self._hold(reader, self._refusal)
            if isinstance(held, Response):
                await held(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            self.raw_headers = []
            body = held or reader.there()
            if translator is not None:
                body = translator.translate(body)
            # Also where there is nothing yet: the server may keep the head for it.
            await send({"type": "http.response.body", "body": body, "more_body": True})
            write = _writer(scope)
            del scope, receive  # nobody needs them for the minutes that follow
            if translator is not None and write is not None:
                write = translator.into(write)
            try:
                while (data := await reader.read(write)) is not None:
                    body = data or sse.HEARTBEAT
                    if data and translator is not None:
                        body = translator.take(data)
                    if reader.over:
                        last = body
                        break
                    if body:
                        await send({"type": "http.response.body", "body": body, "more_body": True})
                else:
                    last = self._moved() if self._subscription.redirected else b""
            except LogLost:
                last = self._failed(LOST)
            await send({"type": "http.response.body", "body": last})
        finally:
            self._timer.cancel()
            unwatch()
            self._subscription.close()

    async def _hold(self, reader: LogReader, refusal: Refusal) -> bytes | Response:
        """Return what the run has said before its stream begins; or the response, if it has failed first.

        Only its start is waited on: whatever else the run says begins the stream, and so does the time.
        """
        found = b""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._held
        timer = loop.call_at(until, reader.nudge)
        try:
            while loop.time() < until and (data := await reader.read()) is not None:
                found += data
                if data and reader.cursor > _START:
                    if codec.may_fail(data) and (error := _error_in(found)) is not None:
                        return refusal(error, self._headers)
                    return found
        except LogLost:
            return refusal(Error.of(LOST, str(LOST)), self._headers)
        finally:
            timer.cancel()
        if self._subscription.redirected:
            return refusal(Error.of(_MOVED, str(_MOVED)), self._headers)
        return found

    def _moved(self) -> bytes:
        return REDIRECT if self._translator is None else self._failed(_MOVED)

    def _failed(self, failure: RunFailure) -> bytes:
        """Return how the reader is told that its stream ends without the run's end."""
        error = Error.of(failure, str(failure))
        if self._translator is not None:
            return self._translator.failed(error)
        return sse.UNNUMBERED % codec.encode(error)

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
    """An ASGI layer around an application, which sends each `Streamed` that a route has returned.

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
        streams: list[Streamed] = []
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
