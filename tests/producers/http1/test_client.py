"""The client as the providers' code sees it: through its contract only."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from stream_serve.producers import http1
from support.http1 import CHUNKED, END, OK, Server, chunk

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.both_loops


@asynccontextmanager
async def connected(server: Server) -> AsyncGenerator[http1.HTTPClient]:
    client: http1.HTTPClient = http1.Client(server.url, {"X-One": "1"}, connect_timeout=5)
    try:
        yield client
    finally:
        await client.close()


async def accepted(server: Server) -> asyncio.StreamWriter:
    """Read the request on the next connection; return what writes the response."""
    reader, writer = await server.connections.get()
    await reader.readuntil(b"\r\nX-One: 1\r\nContent-Length: 2\r\n\r\n{}")
    return writer


async def test_a_request_is_sent_and_its_response_read() -> None:
    async with Server() as server, connected(server) as client:
        sockets: list[socket.socket] = []
        pieces: list[bytes] = []
        exchange = await client.open(b"{}", sockets.append)
        assert exchange.status == 0
        writer = await accepted(server)
        writer.write(OK + b"X-A: 1\r\nx-a: 2\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(chunk(b"one") + END)
        await exchange.read_head()
        assert exchange.status == 200
        assert exchange.headers["x-a"] == "1, 2"
        await exchange.read_body(pieces.append)
        assert b"".join(pieces) == b"one"
        assert await exchange.finish(5)
        assert len(sockets) == 1
        assert sockets[0].fileno() != -1
        await client.close()
        assert sockets[0].fileno() == -1


async def test_a_finished_exchange_leaves_its_connection_to_the_next() -> None:
    async with Server() as server, connected(server) as client:
        sockets: list[socket.socket] = []
        pieces: list[bytes] = []
        first = await client.open(b"{}", sockets.append)
        writer = await accepted(server)
        writer.write(OK + b"Content-Length: 0\r\n\r\n")
        await first.read_head()
        assert await first.finish(5)
        second = await client.open(b"{}", sockets.append)
        assert sockets[0] is sockets[1]
        first.discard_rest()
        await first.close()
        assert await first.finish(5)
        writer.write(CHUNKED + chunk(b"two") + END)
        async with asyncio.timeout(10):
            await second.read_head()
            await second.read_body(pieces.append)
        assert b"".join(pieces) == b"two"
        await second.close()


async def test_a_closed_exchange_leaves_no_socket() -> None:
    async with Server() as server, connected(server) as client:
        sockets: list[socket.socket] = []
        exchange = await client.open(b"{}", sockets.append)
        await accepted(server)
        await exchange.close()
        assert [sock.fileno() for sock in sockets] == [-1]
        with pytest.raises(http1.IncompleteResponse):
            await exchange.read_head()
