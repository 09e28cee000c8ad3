"""Connections: made, kept, and closed when nobody wants them."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from stream_serve.producers.http1 import pool as pool_module
from stream_serve.producers.http1.connection import Connection, close_all
from stream_serve.producers.http1.pool import Pool
from stream_serve.testing import unused_port
from support.http1 import OK, Server, talking
from support.waiting import until

pytestmark = pytest.mark.both_loops


async def test_a_connection_that_is_kept_serves_the_next_request() -> None:
    async with Server() as server:
        pool = Pool(server.url, connect_timeout=5)
        sockets: list[socket.socket] = []
        async with talking(server, pool) as one:
            one.say(OK + b"Content-Length: 1\r\n\r\nx")
            assert await one.read() == b"x"
            assert await one.exchange.finish(5)
            again = await pool.acquire(sockets.append)
            assert again is one.connection
            assert sockets == [again.socket]
            one.exchange = again.send(b"POST / HTTP/1.1\r\n\r\n")
            one.say(OK + b"Content-Length: 1\r\n\r\ny")
            assert await one.read() == b"xy"


@pytest.mark.parametrize("unasked", [b"HTTP/1.1 408 Timeout\r\n\r\n", None])
async def test_a_kept_connection_on_which_something_comes_is_closed(unasked: bytes | None) -> None:
    async with Server() as server:
        pool = Pool(server.url, connect_timeout=5)
        async with talking(server, pool) as one:
            one.say(OK + b"Content-Length: 0\r\n\r\n")
            await one.read()
            connection = one.connection
            assert await one.exchange.finish(5)
            if unasked is None:
                one.writer.close()
            else:
                one.say(unasked)
            await asyncio.wait_for(connection.closed, 10)
            other = await pool.acquire(lambda _: None)
            assert other is not connection
            await close_all([other])


async def test_kept_connections_are_closed_when_nobody_wants_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "_IDLE_SECONDS", 0.05)
    async with Server() as server:
        pool = Pool(server.url, connect_timeout=5)
        kept = [await pool.acquire(lambda _: None) for _ in range(3)]
        for connection in kept:
            pool.release(connection)
        async with asyncio.timeout(10):
            await asyncio.gather(*(connection.closed for connection in kept))
        assert all(connection.socket.fileno() == -1 for connection in kept)
        await pool.close()


async def test_closing_the_pool_closes_what_it_keeps() -> None:
    async with Server() as server:
        pool = Pool(server.url, connect_timeout=5)
        connection = await pool.acquire(lambda _: None)
        pool.release(connection)
        await pool.close()
        assert connection.socket.fileno() == -1
        assert not connection.release()
        await pool.close()


@pytest.mark.parametrize("turns", range(12))
async def test_a_connect_that_is_cancelled_leaves_no_socket(turns: int) -> None:
    async with Server() as server:
        pool = Pool(server.url, connect_timeout=5)
        sockets: list[socket.socket] = []
        connecting = asyncio.ensure_future(pool.acquire(sockets.append))
        for _ in range(turns):
            await asyncio.sleep(0)
        if not connecting.cancel():
            await close_all([connecting.result()])
        await asyncio.wait([connecting])
        if not connecting.cancelled():
            await close_all([connecting.result()])
        for _ in range(3):
            await asyncio.sleep(0)
        assert all(sock.fileno() == -1 for sock in sockets)
        await pool.close()


@pytest.mark.parametrize("found", [True, False])
async def test_a_burst_of_connections_asks_the_resolver_once(
    monkeypatch: pytest.MonkeyPatch, *, found: bool
) -> None:
    """Though those that asked first are cancelled; and if it finds nothing, all are told at once."""
    loop = asyncio.get_running_loop()
    asked: list[str] = []
    known = asyncio.Event()
    resolve = loop.getaddrinfo

    async def slowly(host: str, port: int, **options: Any) -> list[Any]:
        if host == "localhost":  # uvloop asks for addresses, too
            asked.append(host)
            await known.wait()
            if not found:
                raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return await resolve("127.0.0.1", port, **options)

    async with Server() as server:
        monkeypatch.setattr(loop, "getaddrinfo", slowly)
        pool = Pool(f"http://localhost:{server.port}", connect_timeout=30)
        first, *others = [asyncio.ensure_future(pool.acquire(lambda _: None)) for _ in range(10)]
        await until(lambda: len(asked) == 1)
        first.cancel()
        await until(first.cancelled)
        late = asyncio.ensure_future(pool.acquire(lambda _: None))
        await asyncio.sleep(0)
        known.set()
        made = await asyncio.gather(*others, late, return_exceptions=True)
        assert asked == ["localhost"]
        connections = [one for one in made if isinstance(one, Connection)]
        assert len(connections) == (len(made) if found else 0)
        for _ in connections:
            await server.connections.get()
        await close_all(connections)


async def test_a_pool_that_is_closed_leaves_no_lookup_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    ended = asyncio.Event()

    async def never(*_: Any, **__: Any) -> list[Any]:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return []

    monkeypatch.setattr(loop, "getaddrinfo", never)
    pool = Pool("http://localhost:1", connect_timeout=30)
    waiting = asyncio.ensure_future(pool.acquire(lambda _: None))
    await asked.wait()
    waiting.cancel()
    await until(waiting.cancelled)
    assert not ended.is_set()
    await pool.close()
    await ended.wait()


async def test_a_refused_connection_is_an_os_error() -> None:
    pool = Pool(f"http://127.0.0.1:{unused_port()}", connect_timeout=5)
    with pytest.raises(ConnectionRefusedError):
        await pool.acquire(lambda _: None)
