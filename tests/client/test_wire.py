"""The wires of both clients: a connection ends with its reader, and no other one does."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import pytest

from stream_serve.client import requests
from stream_serve.client.wire import AsyncWire, SyncWire
from stream_serve.events.types import Chunk
from support.canon import frames
from support.clients_of_ours import opened

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from stream_serve.client.requests import Request
    from stream_serve.client.wire import Line

BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno"
BEGUN: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"
SILENT: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Heartbeat-Interval: 60\r\n\r\n"
    + b"".join(frames([Chunk("a")]))
)
KINDS: Final = ("sync", "async")


class Site:
    """A server that keeps its connections; what it answers to a path is in `answers`."""

    def __init__(self) -> None:
        self.answers: dict[bytes, bytes] = {}
        self.goes_on = asyncio.Event()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                answer = self.answers[head.split(b" ")[1].rpartition(b"/")[2]]
                writer.write(answer)
                if answer == BEGUN:
                    await self.goes_on.wait()
                    writer.write(b"rest")
        writer.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made


class Both:
    """A wire of either kind. What a plain one does is done in a thread."""

    def __init__(self, kind: str, url: str) -> None:
        self._wire = SyncWire(url, None) if kind == "sync" else AsyncWire(url, None)

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncGenerator[tuple[Line, asyncio.Task[bytes]]]:
        if isinstance(self._wire, AsyncWire):
            async with self._wire.open(request, 30) as line:
                yield line, asyncio.create_task(line.body())
            return
        opening = self._wire.open(request, 30)
        line = await asyncio.to_thread(opening.__enter__)
        try:
            yield line, asyncio.create_task(asyncio.to_thread(line.body))
        finally:
            await asyncio.to_thread(opening.__exit__, None, None, None)

    async def close(self) -> None:
        if isinstance(self._wire, AsyncWire):
            await self._wire.close()
        else:
            self._wire.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_late_end_of_a_stream_does_not_end_what_came_after_it(
    kind: str, site: Site
) -> None:
    site.answers = {b"events": BUSY, b"stop": BEGUN}
    wire = Both(kind, site.url)
    async with wire.open(requests.follow("a", 0)) as (first, body):
        assert await body == b"no"
        async with wire.open(requests.stop("a")) as (_, stopping):
            first.hang_up()
            site.goes_on.set()
            assert await stopping == b"halfrest"
    await wire.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_is_closed_ends_what_is_read_and_says_why(
    kind: str, site: Site
) -> None:
    site.answers = {b"events": SILENT}
    async with opened(kind, site.url) as ours:
        reading = ours.follow("a")
        assert await reading.next() == Chunk("a")
        waiting = asyncio.create_task(reading.next())
    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError, match="the client is closed"):
            await waiting
