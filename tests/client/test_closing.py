"""Both clients, closed while their service has not answered yet."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from support.clients_of_ours import opened

SILENT = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Heartbeat-Interval: 60\r\n\r\n"


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_an_answer_that_is_closed_before_its_stream_begins_is_not_read(kind: str) -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await closed.wait()
        writer.write(SILENT)
        with suppress(ConnectionError):
            await reader.read()  # until the client lets go
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, opened(kind, f"http://127.0.0.1:{port}") as ours:
        reading = ours.follow("a")
        waiting = asyncio.create_task(reading.next())
        await asked.wait()
        await reading.close()
        closed.set()
        async with asyncio.timeout(5):
            assert await waiting is None
