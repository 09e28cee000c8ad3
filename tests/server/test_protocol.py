"""The server's way to write a stream at once, for an application that we know nothing of."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from stream_serve.server.protocol import HttpProtocol
from stream_serve.web.stream import GONE, WRITE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    Write = Callable[[bytes], bool]
    Play = Callable[[Write | None, Callable[[bytes], Awaitable[None]]], Awaitable[None]]

pytestmark = pytest.mark.both_loops

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def served(
    play: Play,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    gone: asyncio.Event | None = None,
    *,
    reads: bool = True,
) -> AsyncGenerator[socket.socket]:
    """Serve an application that streams what `play` says; return a connected client.

    `gone` is set when a request is told that its client is gone, which it `reads` or is called for.
    """

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        write = scope["extensions"][WRITE]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def more(data: bytes) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": True})

        await play(write(), more)
        if gone is not None and not reads:
            scope["extensions"][GONE](gone.set)
            await gone.wait()
        elif gone is not None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(
        app,
        port=0,
        http=HttpProtocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    client = socket.create_connection(server.servers[0].sockets[0].getsockname())
    client.setblocking(False)
    try:
        yield client
    finally:
        client.close()
        await server.shutdown()


async def read(client: socket.socket, until: bytes) -> bytes:
    got = b""
    async with asyncio.timeout(10):
        while until not in got:
            got += await asyncio.get_running_loop().sock_recv(client, 65_536)
    return got


async def test_what_is_written_and_what_is_sent_are_one_body_in_order() -> None:
    async def play(write: Write | None, send: Callable[[bytes], Awaitable[None]]) -> None:
        assert write is not None
        assert write(b"one ")
        await send(b"two ")
        assert write(b"three " * 3)

    async with served(play) as client:
        for _ in range(2):
            await asyncio.get_running_loop().sock_sendall(client, GET)
            head, _, body = (await read(client, b"0\r\n\r\n")).partition(b"\r\n\r\n")
            assert b"transfer-encoding: chunked" in head
            assert body == b"4\r\none \r\n4\r\ntwo \r\n12\r\n" + b"three " * 3 + b"\r\n0\r\n\r\n"


async def test_pipelined_requests_are_answered_one_after_the_other() -> None:
    calls = 0

    async def play(write: Write | None, send: Callable[[bytes], Awaitable[None]]) -> None:
        nonlocal calls
        calls += 1
        assert write is not None
        for _ in range(3):
            assert write(b"%d" % calls)
            await asyncio.sleep(0)

    async with served(play) as client:
        await asyncio.get_running_loop().sock_sendall(client, GET + GET)
        first = await read(client, b"0\r\n\r\n")
        if first.count(b"0\r\n\r\n") < 2:
            first += await read(client, b"0\r\n\r\n")
        bodies = [one.partition(b"\r\n\r\n")[2] for one in first.split(b"0\r\n\r\n")[:2]]
        assert bodies == [b"1\r\n1\r\n" * 3, b"1\r\n2\r\n" * 3]


async def test_a_stream_learns_that_its_client_is_gone_also_with_requests_behind_it() -> None:
    gone = asyncio.Event()

    async def go_on(write: Write) -> None:
        while write(b"here"):
            await asyncio.sleep(0.001)

    async def play(write: Write | None, send: Callable[[bytes], Awaitable[None]]) -> None:
        del send
        assert write is not None
        writing.append(asyncio.ensure_future(go_on(write)))

    writing: list[asyncio.Future[None]] = []
    async with served(play, gone=gone) as client:
        await asyncio.get_running_loop().sock_sendall(client, GET + GET + GET)
        await read(client, b"here")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        try:
            await asyncio.wait_for(gone.wait(), 10)
        finally:
            for one in writing:
                one.cancel()


async def test_a_client_is_known_to_be_gone_whatever_it_has_sent_that_nobody_reads() -> None:
    gone = asyncio.Event()

    async def play(write: Write | None, send: Callable[[bytes], Awaitable[None]]) -> None:
        del send
        assert write is not None
        assert write(b"here")

    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    async with served(play, gone=gone, reads=False) as client:
        await asyncio.get_running_loop().sock_sendall(client, head)
        await read(client, b"here")
        await asyncio.get_running_loop().sock_sendall(client, b"x" * 900_000)
        client.close()
        await asyncio.wait_for(gone.wait(), 10)


async def test_a_body_of_a_known_length_cannot_be_written_at_once() -> None:
    async def play(write: Write | None, send: Callable[[bytes], Awaitable[None]]) -> None:
        assert write is None
        await send(b"12345")

    async with served(play, ((b"content-length", b"5"),)) as client:
        await asyncio.get_running_loop().sock_sendall(client, GET)
        assert b"12345" in await read(client, b"12345")


async def test_a_client_that_reads_too_slowly_or_is_gone_is_not_written_to() -> None:
    full, done = asyncio.Event(), asyncio.Event()

    async def play(write: Write | None, send: Callable[[bytes], Awaitable[None]]) -> None:
        assert write is not None
        written = 0
        while write(bytes(65_536)):
            written += 1
            assert written < 1_000, "something has to be full at last"
            await asyncio.sleep(0)
        full.set()
        await send(b"")
        assert not write(b"x")
        done.set()

    async with served(play) as client:
        await asyncio.get_running_loop().sock_sendall(client, GET)
        async with asyncio.timeout(10):
            await full.wait()
            client.close()
            await done.wait()


async def test_nothing_is_written_behind_the_end() -> None:
    writes: list[Write] = []

    async def play(write: Write | None, send: Callable[[bytes], Awaitable[None]]) -> None:
        assert write is not None
        writes.append(write)

    async with served(play) as client:
        await asyncio.get_running_loop().sock_sendall(client, GET)
        await read(client, b"0\r\n\r\n")
        assert not writes[0](b"late")


@pytest.mark.parametrize(
    "headers", [(), ((b"content-length", b"8"),)], ids=["of no known length", "of a known length"]
)
@pytest.mark.parametrize(
    "asked",
    [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"],
    ids=["once", "to be kept"],
)
async def test_a_client_of_http_1_0_gets_a_body_without_chunks(
    headers: tuple[tuple[bytes, bytes], ...], asked: bytes
) -> None:
    async def play(write: Write | None, send: Callable[[bytes], Awaitable[None]]) -> None:
        assert write is None
        await send(b"one ")
        await send(b"two ")

    async with served(play, headers) as client:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, asked)
        got = await read(client, b"two ")
        head, _, body = got.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"chunked" not in head
        assert b"connection: close" in head
        assert body == b"one two "
        assert await loop.sock_recv(client, 1) == b""


@pytest.mark.parametrize("version", [b"0.9", b"2.0"])
async def test_a_body_without_chunks_and_of_no_known_length_ends_whatever_version_is_asked_for(
    version: bytes,
) -> None:
    async def play(write: Write | None, send: Callable[[bytes], Awaitable[None]]) -> None:
        assert write is None
        await send(b"one ")
        await send(b"two ")

    async with served(play) as client:
        loop = asyncio.get_running_loop()
        asked = b"GET / HTTP/%b\r\nConnection: keep-alive\r\n\r\n" % version
        await loop.sock_sendall(client, asked)
        head, _, body = (await read(client, b"two ")).partition(b"\r\n\r\n")
        assert b"connection: close" in head
        assert body == b"one two "
        assert await loop.sock_recv(client, 1) == b""
