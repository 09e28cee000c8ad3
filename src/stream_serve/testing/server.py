"""The scripted upstream: an OpenAI-compatible provider on real sockets that plays scenarios.

How it works: the `model` of a request names a scenario, `name?param=value&…`; any other model gets
`answer`. Every connection and request is recorded as it happens. When the peer disconnects, the script is
cancelled at once, whatever it is waiting for.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import time
from typing import TYPE_CHECKING, Any, Final, Self, cast

import msgspec
from aiohttp import web

from stream_serve.testing.chunks import failure
from stream_serve.testing.records import Ledger, Record, Side, credential
from stream_serve.testing.reply import Connection, Reply
from stream_serve.testing.scenarios import REDIRECTED, SCENARIOS, choose
from stream_serve.testing.script import Ask, UnknownParameterError

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from stream_serve.testing.records import ConnectionRecord

_MAX_BODY: Final = 64 * 1024 * 1024
_BACKLOG: Final = 4096
_CHAT: Final = re.compile(r"/v1(/[^/]+)*/chat/completions")


class ScriptedUpstream:
    """A fake provider for tests: start it, point a client at `url`, check `requests`.

    As an async context manager it starts on a free port and stops at the end.
    """

    def __init__(self) -> None:
        self._ledger: Final = Ledger()
        self._server: asyncio.Server | None = None
        self._web: _Server | None = None
        self._origin: str = ""
        self.models: list[str] = list(SCENARIOS)
        """What `GET /v1/models` lists."""
        self.context: int | None = None
        """The tokens that it says each of them takes, as vLLM does; None: it does not say."""

    @property
    def url(self) -> str:
        """The base URL, without `/chat/completions`. Raises `RuntimeError` before the start."""
        return f"{self.origin}/v1"

    @property
    def origin(self) -> str:
        """The URL of `/requests` and its like: scheme, host and port. Raises as `url` does."""
        if not self._origin:
            raise RuntimeError("the scripted upstream has not been started")
        return self._origin

    @property
    def requests(self) -> list[Record]:
        """The records of all requests, oldest first; open ones still change."""
        return self._ledger.requests

    @property
    def connections(self) -> list[ConnectionRecord]:
        """The records of all connections, oldest first, also of those without requests."""
        return self._ledger.connections

    @property
    def open_connections(self) -> int:
        """The number of open connections."""
        return self._ledger.open_connections

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, ssl: tls.SSLContext | None = None
    ) -> None:
        """Listen on a loopback address; port 0 means a free port.

        Raises `ValueError` for an address that other machines can reach, `OSError` if the port is in
        use, `RuntimeError` if it is already started.
        """
        if self._server is not None:
            raise RuntimeError("the scripted upstream is already started")
        if not _is_loopback(host):
            raise ValueError(f"the scripted upstream listens on loopback only, not on {host!r}")
        loop = asyncio.get_running_loop()
        self._web = _Server(self._handle, self._ledger, loop)
        self._server = await loop.create_server(
            self._web, host, port, ssl=ssl, backlog=_BACKLOG, reuse_address=True
        )
        bound = self._server.sockets[0].getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        self._origin = f"{'http' if ssl is None else 'https'}://{name}:{bound}"

    async def stop(self) -> None:
        """Stop listening and close every connection at once; does nothing if it is not started."""
        server, web_server = self._server, self._web
        self._server = self._web = None
        if server is None or web_server is None:
            return
        server.close()
        for connection in web_server.connections:
            cast("Connection", connection).abort()
        await self.until(lambda: self.open_connections == 0)
        await web_server.shutdown(1.0)
        await server.wait_closed()

    async def wait_for(
        self, predicate: Callable[[Record], bool] = lambda _: True, timeout: float = 5.0
    ) -> Record:
        """Wait for a request that fulfils the predicate, and return its record.

        It checks again at every change: a request arrives, an event is sent, a side closes. Raises
        `TimeoutError` after `timeout` seconds. Cancelled, it stops waiting and changes nothing.
        """
        found: list[Record] = []

        def check() -> bool:
            found[:] = [record for record in self.requests if predicate(record)]
            return bool(found)

        await self.until(check, timeout)
        return found[0]

    async def until(self, condition: Callable[[], bool], timeout: float = 5.0) -> None:
        """Wait until a condition on the records is true, such as `open_connections == 0`.

        Raises `TimeoutError` after `timeout` seconds. Cancelled, it stops waiting and changes nothing.
        """
        await self._ledger.until(condition, timeout)

    def release(self, record: Record | None = None) -> None:
        """Let the answer of a record end: what `hold` holds of it comes at once.

        Without a record all answers end, and those to come are not held.
        """
        self._ledger.release(record)

    def clear(self) -> int:
        """Delete finished requests, closed connections and attempt counts; return how many requests."""
        return self._ledger.clear()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = cast("Connection", request.protocol)
        if request.path in _CONTROL:
            self._ledger.hide(connection.record)
            return _control(request, self)
        headers = dict(request.headers)
        record = self._ledger.receive(
            connection.record, method=request.method, path=request.path, headers=headers
        )
        record.query = request.rel_url.raw_query_string
        reply = Reply(request, connection, self._ledger, record)
        try:
            if connection.stale:
                await reply.close()
            raw = await request.read()
            await self._dispatch(reply, raw, credential(headers))
            return await reply.end()
        except ConnectionError:
            return await reply.forever()  # cancelled as soon as aiohttp sees the disconnect
        finally:
            record.close(Side.SCRIPT)
            self._ledger.touch()

    async def _dispatch(self, reply: Reply, raw: bytes, key: str) -> None:
        record = reply.record
        if raw:
            record.body, record.raw_body = _decode(raw)
        if record.path == "/v1/models" and record.method == "GET":
            await reply.json(200, _models(self.models, self.context))
        elif not _CHAT.fullmatch(record.path):
            await reply.json(404, failure(f"Invalid URL ({record.path})", code="not_found"))
        elif record.method != "POST":
            await reply.json(405, failure("Use POST.", code="method_not_allowed"))
        else:
            await self._play(reply, key)

    async def _play(self, reply: Reply, key: str) -> None:
        record = reply.record
        problem, param = _problem(record.body)
        if problem:
            await reply.json(400, failure(problem, code="invalid_parameter_error", param=param))
            return
        model = cast("str", record.body["model"])
        record.model = model
        if record.path == REDIRECTED:
            model = "answer"
        try:
            chosen, values = choose(model)
        except UnknownParameterError as error:
            body = failure(str(error), code="invalid_parameter_error", param="model")
            await reply.json(400, body)
            return
        record.scenario = "redirected" if record.path == REDIRECTED else chosen.name
        self._ledger.attempts[model] += 1
        attempt = self._ledger.attempts[model]
        ask = Ask(model=model, values=values, body=record.body, attempt=attempt, credential=key)
        self._ledger.touch()
        await chosen.play(reply, ask)


class _Server(web.Server):
    """An aiohttp server whose connections are recorded in the ledger."""

    def __init__(self, handler: Any, ledger: Ledger, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(handler, handler_cancellation=True, request_factory=self._request)
        self._ledger = ledger
        self._event_loop = loop

    def __call__(self) -> Connection:
        connection = Connection(self, loop=self._event_loop, access_log=cast("Any", None))
        connection.ledger = self._ledger
        return connection

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> Any:
        loop = self._event_loop
        return web.BaseRequest(
            message, payload, protocol, writer, task, loop, client_max_size=_MAX_BODY
        )


def _decode(raw: bytes) -> tuple[Any, str | None]:
    try:
        return json.loads(raw), None
    except (ValueError, RecursionError):
        return None, raw.decode(errors="replace")


def _problem(body: object) -> tuple[str, str | None]:
    if not isinstance(body, dict):
        return "We could not parse the JSON body of your request.", None
    fields = cast("dict[str, Any]", body)
    if not isinstance(fields.get("model"), str):
        return "you must provide a model parameter", "model"
    if not isinstance(fields.get("messages"), list) or not fields["messages"]:
        return "'messages' must be a non-empty array", "messages"
    return "", None


def _models(names: list[str], context: int | None) -> dict[str, Any]:
    more = {} if context is None else {"max_model_len": context}
    common = {"object": "model", "created": int(time.time()), "owned_by": "stream-serve", **more}
    data = [{"id": name, **common} for name in names]
    return {"object": "list", "data": data}


def _control(request: web.BaseRequest, upstream: ScriptedUpstream) -> web.Response:
    methods = _CONTROL[request.path]
    answer = methods.get(request.method)
    if answer is None:
        refused = failure(f"Use {' or '.join(methods)}.", code="method_not_allowed")
        return web.json_response(refused, status=405)
    return web.json_response(answer(upstream))


def _health(_: ScriptedUpstream) -> dict[str, Any]:
    """Return what llama.cpp's server answers, so that a gateway's check of it passes here, too."""
    return {"status": "ok"}


def _release(upstream: ScriptedUpstream) -> dict[str, Any]:
    upstream.release()
    return {"status": "ok"}


def _report(upstream: ScriptedUpstream) -> dict[str, Any]:
    return {
        "openConnections": upstream.open_connections,
        "requests": msgspec.to_builtins(upstream.requests),
        "connections": msgspec.to_builtins(upstream.connections),
    }


def _clear(upstream: ScriptedUpstream) -> dict[str, Any]:
    return {"cleared": upstream.clear()}


def _scenarios(_: ScriptedUpstream) -> dict[str, Any]:
    listed = [
        {"name": one.name, "description": one.description, "params": dict(one.params)}
        for one in SCENARIOS.values()
    ]
    return {"scenarios": listed}


_CONTROL: Final[Mapping[str, Mapping[str, Callable[[ScriptedUpstream], dict[str, Any]]]]] = {
    "/health": {"GET": _health},
    "/release": {"POST": _release},
    "/requests": {"GET": _report, "DELETE": _clear},
    "/scenarios": {"GET": _scenarios},
}
"""What answers beside the provider's own addresses, by path and method; none of it is recorded."""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
