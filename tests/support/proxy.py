"""A network between a browser and a service that can be cut, taken away and frozen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types import TracebackType

_CHUNK = 65_536


class _Flow:
    """One connection: the browser's side, and the service's once it is open."""

    def __init__(self, near: asyncio.StreamWriter) -> None:
        self.near = near
        self.far: asyncio.StreamWriter | None = None
        self.asked = b""
        self.frozen = False

    def cut(self) -> None:
        for writer in (self.near, self.far):
            if writer is not None:
                writer.transport.abort()


class Proxy:
    """Passes connections on to the service at `target`; its own address is `url`."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._flows: dict[asyncio.Task[None], _Flow] = {}
        self._server: asyncio.Server | None = None
        self._up = True
        self.url = ""

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
        try:
            if self._up:
                answers, flow.far = await asyncio.open_connection(*self._target)
                await asyncio.gather(self._ask(flow, reader, flow.far), self._answer(flow, answers))
        finally:
            flow.cut()
            del self._flows[task]

    async def _ask(
        self, flow: _Flow, reader: asyncio.StreamReader, far: asyncio.StreamWriter
    ) -> None:
        while data := await _read(reader):
            flow.asked = data
            if not flow.frozen:
                far.write(data)
        flow.cut()

    async def _answer(self, flow: _Flow, reader: asyncio.StreamReader) -> None:
        while data := await _read(reader):
            if not flow.frozen:
                flow.near.write(data)
        if not flow.frozen:
            flow.cut()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Read what is there; nothing when the connection is at its end or was cut."""
    try:
        return await reader.read(_CHUNK)
    except OSError:
        return b""
