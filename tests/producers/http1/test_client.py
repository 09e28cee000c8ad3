"""The HTTP client of the provider's connection, against a server that says exactly what it is told."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

import pytest

from stream_serve.producers.http1 import client as http
from stream_serve.testing import unused_port

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.both_loops

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


class Server:
    """Reads a request on each connection, and then does what the test says."""

    def __init__(self) -> None:
        self.connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.Queue()
        )
        self.url = ""
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(one.wait_closed() for one in self._writers), return_exceptions=True)
        await self._server.wait_closed()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        await self.connections.put((reader, writer))


class Talk:
    """An exchange, seen from both sides."""

    def __init__(
        self,
        exchange: http.Exchange,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
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
        """Read the response to its end; give its body."""
        async with asyncio.timeout(10):
            await self.exchange.head()
            await self.exchange.pour(self.pieces.append)
        return self.body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@asynccontextmanager
async def talking(server: Server, pool: http.Pool) -> AsyncGenerator[Talk]:
    """Send a request on a new connection; what the server says is the test's to say."""
    connection = await pool.connect(lambda _: None)
    head = http.request_head(server.url + "/chat", {"X-One": "1"})
    exchange = connection.post(http.request(head, b"{}"))
    reader, writer = await server.connections.get()
    request = await reader.readuntil(b"{}")
    assert request.startswith(b"POST /v1/chat HTTP/1.1\r\nHost: 127.0.0.1:")
    assert request.endswith(b"\r\nX-One: 1\r\nContent-Length: 2\r\n\r\n{}")
    try:
        yield Talk(exchange, reader, writer)
    finally:
        await http.close([connection])
        writer.close()
        await pool.close()


@asynccontextmanager
async def talk() -> AsyncGenerator[Talk]:
    async with Server() as server:
        pool = http.Pool(server.url, timeout=5)
        async with talking(server, pool) as made:
            yield made


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (CHUNKED + chunk(b"one") + chunk(b"two") + END, b"onetwo"),
        (CHUNKED + b"3;ext=1\r\none\r\n0\r\nTrailer: x\r\n\r\n", b"one"),
        (OK + b"Content-Length: 6\r\n\r\nonetwo", b"onetwo"),
        (OK + b"Content-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + CHUNKED + chunk(b"late") + END, b"late"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx", b"x"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_body_is_read_to_its_end_however_it_is_framed_and_cut(
    response: bytes, body: bytes, size: int
) -> None:
    async with talk() as one:
        for at in range(0, len(response), size):
            one.say(response[at : at + size])
            await asyncio.sleep(0)
        assert await one.read() == body
        assert one.exchange.status == 200
        assert "link" not in one.exchange.headers
        assert await one.exchange.finish(5)


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Linux has it")
async def test_small_segments_of_a_stream_are_not_acknowledged_one_by_one() -> None:
    async with talk() as one:
        sock = one.exchange.connection.socket
        one.say(CHUNKED + chunk(b"one"))
        await one.exchange.head()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 0
        one.say(END)
        assert await one.read() == b"one"


async def test_a_body_without_a_length_ends_with_the_connection() -> None:
    async with talk() as one:
        one.say(OK + b"Content-Type: text/event-stream\r\n\r\nall of ")
        await one.exchange.head()
        one.say(b"it")
        one.writer.close()
        assert await one.read() == b"all of it"
        assert not await one.exchange.finish(5)


@pytest.mark.parametrize(
    "response",
    [
        CHUNKED + chunk(b"one"),
        CHUNKED + b"5\r\non",
        OK + b"Content-Length: 10\r\n\r\none",
        CHUNKED + chunk(b"one") + b"what?\r\n",
    ],
)
async def test_a_body_that_breaks_off_is_an_error_after_what_came(response: bytes) -> None:
    async with talk() as one:
        one.say(response)
        one.writer.close()
        with pytest.raises(http.ConnectionBroken):
            await one.read()
        assert one.body in {b"one", b"on"}
        assert not await one.exchange.finish(5)


@pytest.mark.parametrize("early", [b"", b"HTTP/1.1 20", OK])
async def test_a_connection_that_is_closed_before_the_head_is_broken(early: bytes) -> None:
    async with talk() as one:
        one.say(early)
        one.writer.close()
        with pytest.raises(http.ConnectionBroken):
            await one.exchange.head()


@pytest.mark.parametrize(
    "response",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        OK + b"X: " + b"y" * 100_000,
        OK + b"A: b\r\n" * 20_000,
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["ssh", "upgrade", "long line", "many lines", "two lengths"],
)
async def test_what_is_no_response_to_a_post_is_not_http(response: bytes) -> None:
    async with talk() as one:
        one.say(response)
        with pytest.raises(http.NotHTTP):
            await asyncio.wait_for(one.exchange.head(), 10)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate"])
async def test_a_compressed_body_is_inflated_piece_by_piece(encoding: str) -> None:
    text = bytes(1_000_000) + b"end"
    packed = zlib.compress(text) if encoding == "deflate" else gzip.compress(text)
    async with talk() as one:
        one.say(OK + b"Content-Encoding: %b\r\n" % encoding.encode())
        one.say(b"Content-Length: %d\r\n\r\n" % len(packed), packed)
        assert await one.read() == text
        assert max(map(len, one.pieces)) <= 65_536


async def test_a_body_that_is_not_compressed_as_it_says_is_broken() -> None:
    async with talk() as one:
        one.say(OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope")
        with pytest.raises(http.ConnectionBroken, match="decompress"):
            await one.read()


async def test_an_encoding_that_is_not_known_is_named() -> None:
    async with talk() as one:
        one.say(OK + b"Content-Encoding: br\r\nContent-Length: 4\r\n\r\nnope")
        with pytest.raises(http.NotHTTP, match="br"):
            await one.read()


async def test_enough_ends_the_reading_and_the_rest_of_the_body_is_thrown_away() -> None:
    async with talk() as one:

        def receive(piece: bytes) -> None:
            one.pieces.append(piece)
            one.exchange.enough()

        one.say(CHUNKED + chunk(b"one"))
        await one.exchange.head()
        await one.exchange.pour(receive)
        assert not await one.exchange.finish(0.01)
        one.say(chunk(b"two") + END)
        assert await one.exchange.finish(5)
        assert one.body == b"one"


async def test_what_the_receiver_raises_is_raised_to_who_waits() -> None:
    async with talk() as one:

        def receive(piece: bytes) -> None:
            one.pieces.append(piece)
            raise ValueError(piece)

        await asyncio.sleep(0)
        one.say(CHUNKED + chunk(b"one") + chunk(b"two"))
        await one.exchange.head()
        with pytest.raises(ValueError, match="one"):
            await one.exchange.pour(receive)
        assert one.body == b"one"


async def test_a_cancelled_reading_is_told_nothing_more() -> None:
    async with talk() as one:
        one.say(CHUNKED + chunk(b"one"))
        await one.exchange.head()
        reading = asyncio.ensure_future(one.exchange.pour(one.pieces.append))
        while not one.pieces:
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        one.say(chunk(b"two") + END)
        await one.exchange.finish(5)
        assert one.body == b"one"


async def test_a_connection_that_is_kept_serves_the_next_request() -> None:
    async with Server() as server:
        pool = http.Pool(server.url, timeout=5)
        sockets: list[socket.socket] = []
        async with talking(server, pool) as one:
            one.say(OK + b"Content-Length: 1\r\n\r\nx")
            assert await one.read() == b"x"
            assert await one.exchange.finish(5)
            one.exchange.connection.release()
            pool.keep(one.exchange.connection)
            again = await pool.connect(sockets.append)
            assert again is one.exchange.connection
            assert sockets == [again.socket]
            one.exchange = again.post(b"POST / HTTP/1.1\r\n\r\n")
            one.say(OK + b"Content-Length: 1\r\n\r\ny")
            assert await one.read() == b"xy"


@pytest.mark.parametrize(
    "response",
    [
        OK + b"Connection: close\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
        OK + b"Content-Length: 1\r\n\r\nx" + OK + b"Content-Length: 1\r\n\r\ny",
        OK + b"Content-Length: 1\r\n\r\nxGARBAGE",
    ],
)
async def test_a_connection_that_cannot_be_trusted_is_not_used_again(response: bytes) -> None:
    async with talk() as one:
        one.say(response)
        assert await one.read() == b"x"
        assert not await one.exchange.finish(5)


@pytest.mark.parametrize("unasked", [b"HTTP/1.1 408 Timeout\r\n\r\n", None])
async def test_a_kept_connection_on_which_something_comes_is_closed(unasked: bytes | None) -> None:
    async with Server() as server:
        pool = http.Pool(server.url, timeout=5)
        async with talking(server, pool) as one:
            one.say(OK + b"Content-Length: 0\r\n\r\n")
            await one.read()
            connection = one.exchange.connection
            connection.release()
            pool.keep(connection)
            if unasked is None:
                one.writer.close()
            else:
                one.say(unasked)
            await asyncio.wait_for(connection.closed, 10)
            other = await pool.connect(lambda _: None)
            assert other is not connection
            await http.close([other])


async def test_kept_connections_are_closed_when_nobody_wants_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "_IDLE_SECONDS", 0.05)
    async with Server() as server:
        pool = http.Pool(server.url, timeout=5)
        kept = [await pool.connect(lambda _: None) for _ in range(3)]
        for connection in kept:
            pool.keep(connection)
        async with asyncio.timeout(10):
            await asyncio.gather(*(connection.closed for connection in kept))
        assert all(connection.socket.fileno() == -1 for connection in kept)
        await pool.close()


async def test_closing_the_pool_closes_what_it_keeps() -> None:
    async with Server() as server:
        pool = http.Pool(server.url, timeout=5)
        connection = await pool.connect(lambda _: None)
        pool.keep(connection)
        await pool.close()
        assert connection.socket.fileno() == -1
        pool.keep(connection)
        await pool.close()


@pytest.mark.parametrize("turns", range(12))
async def test_a_connect_that_is_cancelled_leaves_no_socket(turns: int) -> None:
    async with Server() as server:
        pool = http.Pool(server.url, timeout=5)
        sockets: list[socket.socket] = []
        connecting = asyncio.ensure_future(pool.connect(sockets.append))
        for _ in range(turns):
            await asyncio.sleep(0)
        if not connecting.cancel():
            await http.close([connecting.result()])
        await asyncio.wait([connecting])
        if not connecting.cancelled():
            await http.close([connecting.result()])
        for _ in range(3):
            await asyncio.sleep(0)
        assert all(sock.fileno() == -1 for sock in sockets)
        await pool.close()


async def test_a_refused_connection_is_an_os_error() -> None:
    pool = http.Pool(f"http://127.0.0.1:{unused_port()}", timeout=5)
    with pytest.raises(ConnectionRefusedError):
        await pool.connect(lambda _: None)


def test_a_request_names_the_host_and_quotes_the_path() -> None:
    head = http.request_head("https://bücher.example:8443/v1/a b/é", {"A": "b"})
    assert head == b"POST /v1/a%20b/%C3%A9 HTTP/1.1\r\nHost: xn--bcher-kva.example:8443\r\nA: b"
