"""The endpoint of streams: Durable Streams 1.0 at `/v1/stream/{path}`, with a stop, and runs to read.

It is a plain ASGI application: an append is short, and what a framework does for a request would cost
more than the append itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import msgspec
from starlette.exceptions import HTTPException
from starlette.routing import Route

from stream_serve.errors import BadRequest, StreamServeError
from stream_serve.streams import offsets
from stream_serve.streams.errors import (
    ProducerGap,
    StaleProducer,
    StreamClosed,
    StreamsUnavailable,
)
from stream_serve.web import problems
from stream_serve.web.security import STREAM, cors_headers, guarded
from stream_serve.web.streams import appends, control, reading, request
from stream_serve.web.streams.appends import CONTROL, PREFIX, RUNS, STOP
from stream_serve.web.streams.readable import StreamReadable
from stream_serve.web.streams.response import BROWSER, Raw
from stream_serve.web.streams.runs import RunReadable
from stream_serve.web.streams.stopping import stop, wait_of

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from stream_serve.runs.service import Runs
    from stream_serve.settings import Settings
    from stream_serve.streams.service import Streams
    from stream_serve.streams.state import Key, State
    from stream_serve.web.streams.appends import Submitted
    from stream_serve.web.streams.readable import Readable
    from stream_serve.web.streams.request import Headers

_NOT_STARTED: Final = (
    "the application was not started: run its lifespan (a mounted application's is run by the one "
    "around it)"
)
_METHODS: Final = ("GET", "HEAD", "PUT", "POST", "DELETE")


class Call:
    """One request: its stream, its headers, and what it was sent to."""

    __slots__ = ("headers", "intake", "key", "path", "receive", "scope", "settings", "streams")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        state = scope["state"]
        self.scope = scope
        self.receive = receive
        if "streams" not in state:
            raise StreamsUnavailable(_NOT_STARTED)
        self.streams = cast("Streams", state["streams"])
        self.settings = cast("Settings", scope["app"].state.settings)
        self.headers: Headers = dict(scope["headers"])
        self.path = request.path_of(scope["path_params"]["path"])
        self.key: Key = (state.get("owner") or "", self.path)
        self.intake = request.Intake(scope["app"].state.appending, self.key[0])

    @property
    def prefix(self) -> str:
        """What the path of each stream begins with."""
        return cast("str", self.scope.get("root_path", "")) + PREFIX

    async def body(self) -> bytes:
        """Return the body. Raises as `request.read_body` does."""
        most = self.settings.max_append_bytes
        return await request.read_body(self.receive, self.headers, most, self.intake)


@guarded(STREAM, direct=True)
class StreamsEndpoint:
    """Everything that can be done with a stream."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Do what the method says, and say what has gone wrong."""
        try:
            response = await self._respond(scope, receive)
        except request.ClientGone:
            return
        except StreamServeError as error:
            if not problems.known(error):
                raise
            response = failed(error)
            response.headers.update(cors_headers(scope))
        await response(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive) -> ASGIApp:
        call = Call(scope, receive)
        try:
            return await self._answer(call, scope["method"])
        finally:
            call.intake.close()

    async def _answer(self, call: Call, method: str) -> ASGIApp:
        if call.path.startswith(RUNS):
            return await self._read_run(call, method)
        for ending, respond in ((STOP, self._stop), (CONTROL, self._control)):
            if call.path.endswith(ending):
                return await respond(call, method)
        if method == "POST":
            return await self._append(call)
        if method == "PUT":
            return await self._create(call)
        if method == "DELETE":
            await call.streams.delete(call.key, closed=request.only_closed(call.headers))
            return Raw(204, {"cache-control": "no-store"})
        return await self._read(call, method, StreamReadable(call.streams, call.key))

    async def _append(self, call: Call) -> Raw:
        submitted: Submitted | None = call.scope.get(appends.SUBMITTED)
        if submitted is not None:
            return appends.appended(submitted.asked, await submitted.done)
        wanted = request.append_of(call.headers, await call.body())
        return appends.appended(wanted, await call.streams.append(call.key, wanted))

    async def _create(self, call: Call) -> Raw:
        body = await call.body()
        at = request.fork_of(call.headers, call.prefix)
        if at is None:
            wanted = request.create_of(call.headers, body, kind=None)
            done = await call.streams.create(call.key, wanted)
        else:
            source, offset, sub = at
            kind = await _type_of(call, source) if body else None
            wanted = request.create_of(call.headers, body, kind=kind)
            done = await call.streams.fork(call.key, wanted, source, offset, sub)
        said = {
            "content-type": done.content_type,
            "stream-next-offset": offsets.text(done.tail),
            "cache-control": "no-store",
        }
        if done.closed:
            said["stream-closed"] = "true"
        if done.new:
            said["location"] = _location(call)
        return Raw(201 if done.new else 200, said)

    async def _read_run(self, call: Call, method: str) -> ASGIApp:
        """Read a run as a stream of its events; nothing else can be done with it here."""
        if method not in {"GET", "HEAD"}:
            return failed(HTTPException(405, headers={"Allow": "GET, HEAD"}))
        state = call.scope["state"]
        run_id = call.path.removeprefix(RUNS)
        readable = RunReadable(cast("Runs", state["runs"]), run_id, state.get("owner"))
        return await self._read(call, method, readable)

    async def _stop(self, call: Call, method: str) -> ASGIApp:
        """Ask the producer of a stream to end, and say what is known of that."""
        if method != "POST":
            return failed(HTTPException(405, headers={"Allow": "POST"}))
        key = (call.key[0], call.path.removesuffix(STOP))
        wait = wait_of(request.value_of(call.scope, "wait"))
        receipt = await stop(call.streams, key, wait, call.receive)
        said = {"content-type": "application/json", "cache-control": "no-store"}
        return Raw(200, said, msgspec.json.encode(receipt))

    async def _control(self, call: Call, method: str) -> ASGIApp:
        """Say what a producer has to know, once or as it changes."""
        if method != "GET":
            return failed(HTTPException(405, headers={"Allow": "GET"}))
        readable = StreamReadable(call.streams, (call.key[0], call.path.removesuffix(CONTROL)))
        live = request.value_of(call.scope, "live")
        if live is None:
            said = {"content-type": "application/json", "cache-control": "no-store"}
            return Raw(200, said, control.told(await readable.describe()))
        if live != "sse":
            raise BadRequest("live: it should be sse")
        return await control.live(
            readable,
            heartbeat=call.settings.heartbeat_interval,
            headers=call.scope["state"].get("cors", {}),
        )

    async def _read(self, call: Call, method: str, readable: Readable) -> ASGIApp:
        if method == "HEAD":
            return _described(await readable.describe())
        wanted = request.reading_of(call.scope)
        if not wanted.live:
            return await reading.catch_up(readable, wanted, call.headers)
        if wanted.live == "long-poll":
            timeout = call.settings.long_poll_timeout
            return await reading.long_poll(readable, wanted, call.receive, timeout)
        return await reading.live(
            readable,
            wanted,
            heartbeat=call.settings.heartbeat_interval,
            headers=call.scope["state"].get("cors", {}),
        )


async def _type_of(call: Call, source: str) -> str | None:
    """Return the type of the source of a fork, for the fork's first bytes."""
    return (await call.streams.describe((call.key[0], source))).content_type


def _described(state: State) -> Raw:
    said = {
        "content-type": state.content_type,
        "stream-next-offset": offsets.text(state.tail),
        "cache-control": "no-store",
    }
    if state.ttl is not None:
        said["stream-ttl"] = str(state.ttl)
    if state.expires_at is not None:
        said["stream-expires-at"] = request.time_text(state.expires_at)
    if state.closed:
        said["stream-closed"] = "true"
    if state.lost:
        said["stream-lost"] = "true"
    if state.stop is not None:
        said["stream-stop-requested"] = "true"
    return Raw(200, said)


def _location(call: Call) -> str:
    """Return the address of the stream as the client wrote it."""
    scheme = cast("str", call.scope.get("scheme", "http"))
    host = call.headers.get(b"host", b"").decode("latin-1")
    raw = call.scope.get("raw_path") or call.scope["path"].encode()
    path = cast("bytes", raw).partition(b"?")[0].decode("latin-1")
    return f"{scheme}://{host}{path}" if host else path


def failed(error: StreamServeError | HTTPException) -> Response:
    """Return the response for an error, with the headers that say what the client needs to go on."""
    response = problems.from_error(error)
    said = dict(BROWSER)
    if isinstance(error, StreamClosed):
        said |= {"stream-closed": "true", "stream-next-offset": offsets.text(error.tail)}
    elif isinstance(error, StaleProducer):
        said["producer-epoch"] = str(error.epoch)
    elif isinstance(error, ProducerGap):
        said["producer-expected-seq"] = str(error.expected)
        said["producer-received-seq"] = str(error.received)
    response.headers.update(said)
    return response


routes: Final = [Route(PREFIX + "{path:path}", StreamsEndpoint(), methods=list(_METHODS))]
