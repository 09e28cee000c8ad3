"""A network between a client and a service that can be cut, taken away and frozen, or answer itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from stream_serve.events.sse import HEARTBEAT

if TYPE_CHECKING:
    from types import TracebackType

_CHUNK = 65_536
_METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ")
_BETWEEN = b"\n\n"
_LAST = b"0\r\n\r\n"


class _Flow:
    """One connection: the browser's side, and the service's once it is open."""

    def __init__(self, near: asyncio.StreamWriter) -> None:
        self.near = near
        self.far: asyncio.StreamWriter | None = None
        self.asked = b""
        self.frozen = False
        self.streaming = False

    def cut(self) -> None:
        for writer in (self.near, self.far):
            if writer is not None:
                writer.transport.abort()


class Proxy:
    """Passes connections on to the service at `target`; its own address is `url`."""

    target: str

    def __init__(self, target: str) -> None:
        self.redirect(target)
        self._flows: dict[asyncio.Task[None], _Flow] = {}
        self._server: asyncio.Server | None = None
        self._up = True
        self.url = ""
        self.connections = 0
        """How many connections have been made."""
        self.open = 0
        """How many of them are open."""
        self.events: int | None = None
        """After so many events of a stream a connection is cut."""
        self.beyond = 0
        """How many more bytes come through before that."""
        self.limit: int | None = None
        """How many connections there may be at once; others wait, as in a browser."""
        self.answered = 0
        """How many requests have got `answer`."""
        self.answer: bytes | None = None
        """What each request gets instead of the service's answer; its connection ends with it."""
        self.requests: list[bytes] = []
        """The first bytes of each request."""
        self.heartbeats = 0
        """How many heartbeats of streams have come through."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.down()
        await asyncio.gather(*self._flows)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def streams(self) -> list[str]:
        """The requests whose answer is a stream that goes on: their method and path."""
        asked = [flow.asked for flow in self._flows.values() if flow.streaming]
        return [one.partition(b" HTTP")[0].partition(b"?")[0].decode() for one in asked]

    def cut(self) -> None:
        """Break every connection that is open now."""
        for flow in self._flows.values():
            flow.cut()

    def down(self) -> None:
        """Break every connection, and every new one, until `up`."""
        self._up = False
        self.cut()

    def up(self) -> None:
        """Take connections again."""
        self._up = True

    def redirect(self, target: str) -> None:
        """Pass new connections on to another service, as if it were this one started anew."""
        self.target = target
        parts = urlsplit(target)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)

    def freeze(self, request: str) -> None:
        """Let the connections whose last request begins so stand, and bring nothing more through.

        Not even their end.
        """
        for flow in self._flows.values():
            flow.frozen = flow.asked.startswith(request.encode())

    async def _pass(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        flow = self._flows[task] = _Flow(near)
        self.connections += 1
        while self.limit is not None and self.open >= self.limit:
            await asyncio.sleep(0.005)
        self.open += 1
        try:
            if self._up:
                answers, flow.far = await asyncio.open_connection(*self._target)
                await asyncio.gather(self._ask(flow, reader, flow.far), self._answer(flow, answers))
        finally:
            flow.cut()
            self.open -= 1
            del self._flows[task]

    async def _ask(
        self, flow: _Flow, reader: asyncio.StreamReader, far: asyncio.StreamWriter
    ) -> None:
        while data := await _read(reader):
            if data.startswith(_METHODS):  # and not the body, which may come by itself
                flow.asked = data
                self.requests.append(data)
                if self.answer is not None:
                    await self._say(self.answer, flow, reader)
                    break
            if not flow.frozen:
                far.write(data)
        flow.cut()

    async def _say(self, answer: bytes, flow: _Flow, reader: asyncio.StreamReader) -> None:
        self.answered += 1
        flow.near.write(answer)
        await flow.near.drain()
        flow.near.close()
        await _read(reader)

    async def _answer(self, flow: _Flow, reader: asyncio.StreamReader) -> None:
        seen = 0
        while data := await _read(reader):
            end = self._end(data, seen)
            seen += data.count(_BETWEEN)
            flow.streaming |= b"text/event-stream" in data
            if data.endswith(_LAST):
                flow.streaming = False
            if not flow.frozen:
                flow.near.write(data[:end])
                self.heartbeats += data[:end].count(HEARTBEAT)
            if end is not None:
                flow.near.close()
                flow.cut()
        if not flow.frozen:
            flow.cut()

    def _end(self, data: bytes, seen: int) -> int | None:
        """Return where a connection is cut that has brought so many events; None: not here."""
        if self.events is None or seen + data.count(_BETWEEN) < self.events:
            return None
        at = 0
        for _ in range(self.events - seen):
            at = data.index(_BETWEEN, at) + len(_BETWEEN)
        return at + self.beyond


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Read what is there; nothing when the connection is at its end or was cut."""
    try:
        return await reader.read(_CHUNK)
    except OSError:
        return b""
