"""A network between a browser and a service that can be cut, taken away and frozen."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types import TracebackType

_CHUNK = 65_536


class Proxy:
    """Passes TCP connections on to the service at `target`; its own address is `url`.

    `up` is whether it takes connections at all.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._flows: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._server: asyncio.Server | None = None
        self._frozen: set[asyncio.StreamWriter] = set()
        self._lose = b""
        self.url = ""
        self.up = True
        self.lost = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        flows = list(self._flows)
        self.cut()
        for flow in flows:
            flow.cancel()
        await asyncio.gather(*flows, return_exceptions=True)

    def cut(self) -> None:
        """Break every connection that is open now, on both sides."""
        for writers in self._flows.values():
            for writer in writers:
                writer.transport.abort()

    def down(self) -> None:
        """Break every connection and take no new ones, until `up` is set again."""
        self.up = False
        self.cut()

    def freeze(self) -> None:
        """Let the connections that are open now stand, and bring nothing more through them."""
        self._frozen.update(writer for writers in self._flows.values() for writer in writers)

    def lose_answer_to(self, request: str) -> None:
        """Break the next connection that brings such a request, just when the answer begins."""
        self._lose = request.encode()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        writers = self._flows[task] = [writer]
        try:
            if not self.up:
                return
            there = await asyncio.open_connection(*self._target)
            writers.append(there[1])
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, there[1], writers))
                group.create_task(self._pump(there[0], writer, writers))
        except* OSError:
            pass  # cut: that is what it is for
        finally:
            for one in writers:
                one.transport.abort()
            del self._flows[task]

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        flow: list[asyncio.StreamWriter],
    ) -> None:
        outward = writer is flow[-1]
        while data := await reader.read(_CHUNK):
            if outward and self._lose and data.startswith(self._lose):
                self._lose = b""
                self._doomed.add(flow[0])
            elif writer in self._doomed:
                self.lost += 1
                break
            if writer not in self._frozen:
                writer.write(data)
                await writer.drain()
        for one in flow:
            with contextlib.suppress(OSError):
                one.transport.abort()
