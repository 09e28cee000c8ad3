"""A server that says on each connection exactly what a test tells it, and both sides of an exchange."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Self

from stream_serve.producers.http1.connection import close_all
from stream_serve.producers.http1.pool import Pool
from stream_serve.producers.http1.request import request_head, with_body

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

    from stream_serve.producers.http1.connection import Connection
    from stream_serve.producers.http1.exchange import Exchange

OK: Final = b"HTTP/1.1 200 OK\r\n"
CHUNKED: Final = OK + b"Transfer-Encoding: chunked\r\n\r\n"
END: Final = b"0\r\n\r\n"


class Server:
    """Reads a request on each connection, and then does what the test says."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.Queue()
        )
        self.url = ""
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = int(self._server.sockets[0].getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}/v1"
        if self._tls is not None:
            self.url = f"https://localhost:{self.port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(one.wait_closed() for one in self._writers), return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        await self.connections.put((reader, writer))


class Talk:
    """An exchange, seen from both sides."""

    def __init__(
        self,
        connection: Connection,
        exchange: Exchange,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.connection = connection
        self.exchange = exchange
        self.reader = reader
        self.writer = writer
        self.pieces: list[bytes] = []

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def say(self, *texts: bytes) -> None:
        for one in texts:
            self.writer.write(one)

    async def read(self) -> bytes:
        """Read the response to its end; return its body."""
        async with asyncio.timeout(10):
            await self.exchange.read_head()
            await self.exchange.read_body(self.pieces.append)
        return self.body


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@asynccontextmanager
async def talking(server: Server, pool: Pool) -> AsyncGenerator[Talk]:
    """Send a request on a new connection; the test says what the server says."""
    connection = await pool.acquire(lambda _: None)
    head = request_head(server.url + "/chat", {"X-One": "1"})
    exchange = connection.send(with_body(head, b"{}"))
    reader, writer = await server.connections.get()
    request = await reader.readuntil(b"{}")
    assert request.startswith(b"POST /v1/chat HTTP/1.1\r\nHost: 127.0.0.1:")
    assert request.endswith(b"\r\nX-One: 1\r\nContent-Length: 2\r\n\r\n{}")
    try:
        yield Talk(connection, exchange, reader, writer)
    finally:
        await close_all([connection])
        writer.close()
        await pool.close()


@asynccontextmanager
async def talk() -> AsyncGenerator[Talk]:
    async with Server() as server:
        pool = Pool(server.url, connect_timeout=5)
        async with talking(server, pool) as made:
            yield made
