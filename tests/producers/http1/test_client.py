"""The client as the providers' code sees it: through its contract only."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from stream_serve.producers import http1
from support.http1 import CHUNKED, END, OK, Server, chunk, reset
from support.tls import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

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


async def test_much_at_once_is_read_in_many_turns_of_the_loop() -> None:
    turn = 0

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async with Server() as server, connected(server) as client:
        exchange = await client.open(b"{}", lambda _: None)
        writer = await accepted(server)
        writer.write(OK + b"Content-Length: 8000000\r\n\r\n" + b"x" * 8_000_000)
        await exchange.read_head()
        counting = asyncio.create_task(count())
        pieces: list[tuple[int, int]] = []
        await exchange.read_body(lambda piece: pieces.append((turn, len(piece))))
        counting.cancel()
        assert sum(size for _, size in pieces) == 8_000_000
        turns = [at for at, size in pieces if at and size >= 65_536]
        assert len(turns) == len(set(turns)) > 1
        assert await exchange.finish(5)


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


async def keep(
    server: Server, client: http1.HTTPClient
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Let the client keep a connection; return the server's side of it."""
    exchange = await client.open(b"{}", lambda _: None)
    reader, writer = await server.connections.get()
    await reader.readuntil(b"{}")
    writer.write(OK + b"Content-Length: 0\r\n\r\n")
    await exchange.read_head()
    assert await exchange.finish(5)
    return reader, writer


@pytest.mark.parametrize("end", ["reset", "close", "408"])
async def test_a_kept_connection_that_ends_before_the_response_is_stale(end: str) -> None:
    async with Server() as server, connected(server) as client:
        sockets: list[socket.socket] = []
        reader, writer = await keep(server, client)
        exchange = await client.open(b"{}", sockets.append)
        await reader.readuntil(b"{}")
        if end == "408":
            writer.write(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
        reset(writer) if end == "reset" else writer.close()
        with pytest.raises(http1.StaleConnection):
            await exchange.read_head()
        await exchange.close()
        again = await client.open(b"{}", sockets.append, fresh=True)
        (await accepted(server)).write(OK + b"Content-Length: 0\r\n\r\n")
        await again.read_head()
        await again.close()
        assert [sock.fileno() for sock in sockets] == [-1] * 2


@pytest.mark.parametrize("kept", [True, False])
async def test_a_fresh_connection_or_one_that_has_answered_is_not_stale(*, kept: bool) -> None:
    async with Server() as server, connected(server) as client:
        if kept:
            reader, writer = await keep(server, client)
            exchange = await client.open(b"{}", lambda _: None)
        else:
            exchange = await client.open(b"{}", lambda _: None)
            reader, writer = await server.connections.get()
        await reader.readuntil(b"{}")
        writer.write(b"HTTP/1.1 2" if kept else b"")
        writer.close()
        with pytest.raises(http1.IncompleteResponse) as lost:
            await exchange.read_head()
        assert type(lost.value) is http1.IncompleteResponse


@pytest.mark.parametrize("secure", [False, True])
async def test_a_server_that_takes_nothing_any_more_holds_up_no_close(
    tmp_path: Path, *, secure: bool
) -> None:
    """As one whose packets are dropped: what is not sent yet is thrown away, and the socket closed."""
    authority = Authority()
    async with Server(authority.server() if secure else None) as server:
        access = http1.Access(ca_file=authority.write(tmp_path))
        client = http1.Client(server.url, {}, connect_timeout=5, access=access)
        sockets: list[socket.socket] = []
        exchange = await client.open(bytes(50_000_000), sockets.append)
        _, writer = await server.connections.get()  # it reads no more than its buffer takes
        await exchange.close()
        assert [sock.fileno() for sock in sockets] == [-1]
        writer.transport.abort()
        await client.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
async def test_a_host_that_confirms_nothing_is_given_up_by_the_kernel() -> None:
    async with Server() as server, connected(server) as client:
        sockets: list[socket.socket] = []
        exchange = await client.open(b"{}", sockets.append)
        (sock,) = sockets
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        timing = [
            sock.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_USER_TIMEOUT)
        ]
        assert timing == [30, 10, 30_000]
        await exchange.close()
