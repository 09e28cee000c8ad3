"""The way from a socket to a server: through a proxy, with TLS or without."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Final

import pytest

from stream_serve.producers import http1
from stream_serve.testing import blackhole, unused_port
from support.forward import flow
from support.http1 import CHUNKED, END, OK, Server, chunk
from support.tls import Authority

if TYPE_CHECKING:
    import socket
    from pathlib import Path

TARGET: Final = "https://localhost:4433/v1"
AUTHORITY: Final = Authority()


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def proxy(request: pytest.FixtureRequest) -> Server:
    """A proxy that says what a test tells it, reached by TLS or without."""
    return Server(AUTHORITY.server() if request.param else None)


@pytest.fixture
def ca_file(tmp_path: Path) -> str:
    return AUTHORITY.write(tmp_path)


class Through:
    """A client whose server is behind a proxy, which says what a test tells it."""

    def __init__(self, proxy: Server, ca_file: str, url: str = TARGET) -> None:
        scheme, _, address = proxy.url.removesuffix("/v1").partition("://")
        self.sockets: list[socket.socket] = []
        self.client = http1.Client(
            url,
            {"X-One": "1"},
            connect_timeout=5,
            access=http1.Access(proxy=f"{scheme}://u:p%40@{address}", ca_file=ca_file),
        )

    @property
    def closed(self) -> bool:
        return bool(self.sockets) and all(sock.fileno() == -1 for sock in self.sockets)

    def open(self) -> asyncio.Task[http1.HTTPExchange]:
        return asyncio.ensure_future(self.client.open(b"{}", self.sockets.append))


async def accept(proxy: Server) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await proxy.connections.get()
    return await reader.readuntil(b"\r\n\r\n"), reader, writer


@pytest.mark.both_loops
async def test_a_tunnel_is_asked_for_with_connect_and_leads_to_the_server(
    proxy: Server, ca_file: str
) -> None:
    async with proxy, Server(AUTHORITY.server()) as server:
        through = Through(proxy, ca_file)
        opening = through.open()
        request, near, to_near = await accept(proxy)
        assert request == (
            b"CONNECT localhost:4433 HTTP/1.1\r\nHost: localhost:4433\r\n"
            b"Proxy-Authorization: Basic dTpwQA==\r\n\r\n"
        )
        for part in (b"HTTP/1.0 200 Con", b"nection established\r\nVia: x\r", b"\n\r\n"):
            to_near.write(part)
            await asyncio.sleep(0.001)
        far, to_far = await asyncio.open_connection("127.0.0.1", server.port)
        flows = asyncio.gather(flow(near, to_far), flow(far, to_near))
        exchange = await opening
        reader, writer = await server.connections.get()
        request = await reader.readuntil(b"{}")
        assert request.startswith(b"POST /v1 HTTP/1.1\r\nHost: localhost:4433\r\nX-One")
        assert b"Proxy" not in request
        writer.write(CHUNKED + chunk(b"one") + END)
        await exchange.read_head()
        pieces: list[bytes] = []
        await exchange.read_body(pieces.append)
        assert b"".join(pieces) == b"one"
        assert await exchange.finish(5)
        again = await through.open()
        assert len({id(sock) for sock in through.sockets}) == 1, "the tunnel is kept"
        await again.close()
        assert through.closed
        await flows


@pytest.mark.both_loops
async def test_a_proxy_gets_a_plain_request_in_absolute_form(proxy: Server, ca_file: str) -> None:
    async with proxy:
        through = Through(proxy, ca_file, "http://a.example:81/v1?q=1")
        exchange = await through.open()
        request, _, writer = await accept(proxy)
        assert request.startswith(
            b"POST http://a.example:81/v1?q=1 HTTP/1.1\r\nHost: a.example:81\r\nX-One: 1\r\n"
            b"Proxy-Authorization: Basic dTpwQA==\r\n"
        )
        writer.write(OK + b"Content-Length: 0\r\n\r\n")
        await exchange.read_head()
        assert exchange.status == 200
        await exchange.close()
        assert through.closed


@pytest.mark.both_loops
@pytest.mark.parametrize("steps", ["", "answer", "half a handshake"])
async def test_a_connect_that_is_cancelled_at_any_moment_closes_the_socket(
    proxy: Server, ca_file: str, steps: str
) -> None:
    async with proxy:
        through = Through(proxy, ca_file)
        opening = through.open()
        _, reader, writer = await accept(proxy)
        if steps:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await reader.read(1)  # the handshake begins
        if "half" in steps:
            writer.write(b"\x16\x03\x03\x00")
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        assert opening.cancelled()
        assert through.closed
        async with asyncio.timeout(10):
            while await reader.read(65_536):
                pass


@pytest.mark.both_loops
@pytest.mark.parametrize(
    ("answer", "words", "retryable"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "user and password", False),
        (b"HTTP/1.0 401 Unauthorized\r\n\r\n", "user and password", False),
        (b"HTTP/1.1 403 Filtered\r\nContent-Length: 2\r\n\r\nno", "403 Forbidden", False),
        (b"HTTP/1.1 502 Oh\x1b[1m\r\n\r\n", "502 Bad Gateway", True),
        (b"HTTP/1.1 503\r\n\r\n", "503 Service Unavailable", True),
        (b"HTTP/1.1 599\r\n\r\n", "answered 599", True),
        (b"SSH-2.0-OpenSSH\r\n", "not answer with HTTP", False),
        (b"HTTP/1.1 200 OK\r\n\r\nHello", "sends what no server", False),
        (b"", "closed the connection", True),
        (b"HTTP/1.1 200", "closed the connection", True),
    ],
)
async def test_a_tunnel_that_is_refused_is_an_error_in_words(
    proxy: Server, ca_file: str, answer: bytes, words: str, *, retryable: bool
) -> None:
    async with proxy:
        through = Through(proxy, ca_file)
        opening = through.open()
        _, _, writer = await accept(proxy)
        writer.write(answer)
        writer.close()
        with pytest.raises(http1.ProxyError, match=words) as refused:
            await opening
        assert refused.value.retryable is retryable
        assert through.closed


async def test_a_proxy_that_is_not_there_is_an_error_in_words() -> None:
    for url in ("https://a.example", "http://a.example"):
        client = http1.Client(
            url,
            {},
            connect_timeout=5,
            access=http1.Access(proxy=f"127.0.0.1:{unused_port()}"),
        )
        with pytest.raises(http1.ProxyError, match="cannot be reached: Connection refused"):
            await client.open(b"{}", lambda _: None)
    client = http1.Client(
        TARGET, {}, connect_timeout=5, access=http1.Access(proxy="nowhere.invalid")
    )
    with pytest.raises(http1.ProxyError, match="its name cannot be resolved"):
        await client.open(b"{}", lambda _: None)


async def test_a_proxy_that_does_not_answer_is_given_up() -> None:
    async with Server() as proxy:
        with blackhole() as port:
            for address in (f"127.0.0.1:{port}", proxy.url.partition("//")[2].partition("/")[0]):
                client = http1.Client(
                    TARGET, {}, connect_timeout=0.05, access=http1.Access(proxy=address)
                )
                with pytest.raises(TimeoutError):
                    await client.open(b"{}", lambda _: None)


@pytest.mark.both_loops
@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_a_handshake_that_is_cancelled_in_any_turn_of_the_loop_closes_the_socket(
    proxy: Server, ca_file: str, turns: int
) -> None:
    """TLS inside of TLS, too, if the proxy is reached by it."""
    async with proxy, Server(AUTHORITY.server()) as server:
        through = Through(proxy, ca_file)
        opening = through.open()
        _, near, to_near = await accept(proxy)
        far, to_far = await asyncio.open_connection("127.0.0.1", server.port)
        flows = asyncio.gather(flow(near, to_far), flow(far, to_near))
        to_near.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(turns):
            await asyncio.sleep(0)
        if not opening.cancel():
            await (await opening).close()
        await asyncio.wait([opening])
        assert through.closed
        await flows


@pytest.mark.both_loops
async def test_a_proxy_whose_tls_is_not_trusted_or_is_none_is_an_error_in_words(
    tmp_path: Path, ca_file: str
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority().write(tmp_path / "other")
    for tls, trusted, words in (
        (AUTHORITY.server(), other, "its TLS certificate is not trusted"),
        (None, ca_file, r"handshake with it was not accepted .*begins with http://"),
    ):
        async with Server(tls) as proxy:
            proxy.url = f"https://localhost:{proxy.port}"
            for target in (TARGET, "http://a.example"):
                through = Through(proxy, trusted, target)
                opening = through.open()
                if tls is None:
                    _, writer = await proxy.connections.get()
                    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                with pytest.raises(http1.ProxyError, match=words) as refused:
                    await opening
                assert refused.value.retryable is False
                assert through.closed


@pytest.mark.both_loops
async def test_a_proxy_that_cuts_the_handshake_is_an_error_that_may_pass(ca_file: str) -> None:
    async with Server() as proxy:
        proxy.url = f"https://localhost:{proxy.port}"
        through = Through(proxy, ca_file)
        opening = through.open()
        _, writer = await proxy.connections.get()
        writer.close()
        with pytest.raises(http1.ProxyError, match="cut the connection") as refused:
            await opening
        assert refused.value.retryable is True
        assert through.closed


@pytest.mark.both_loops
async def test_a_server_whose_tls_is_not_trusted_is_no_error_of_the_proxy(
    proxy: Server, ca_file: str
) -> None:
    async with proxy, Server(Authority().server()) as server:
        through = Through(proxy, ca_file)
        opening = through.open()
        _, near, to_near = await accept(proxy)
        far, to_far = await asyncio.open_connection("127.0.0.1", server.port)
        flows = asyncio.gather(flow(near, to_far), flow(far, to_near))
        to_near.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with pytest.raises(ssl.SSLCertVerificationError):
            await opening
        assert through.closed
        await flows


@pytest.mark.both_loops
async def test_what_a_server_says_unasked_right_after_the_handshake_ends_the_connection(
    ca_file: str,
) -> None:
    async with Server(AUTHORITY.server()) as server:
        client = http1.Client(
            server.url, {}, connect_timeout=5, access=http1.Access(ca_file=ca_file)
        )

        async def talk_first() -> None:
            _, writer = await server.connections.get()
            writer.write(b"220 mail.example ESMTP\r\n")

        talking = asyncio.ensure_future(talk_first())
        exchange = await client.open(b"{}", lambda _: None)
        async with asyncio.timeout(10):
            with pytest.raises((http1.IncompleteResponse, http1.ProtocolError)):
                await exchange.read_head()
        await exchange.close()
        await talking


@pytest.mark.both_loops
async def test_handshakes_that_are_cancelled_together_disturb_no_other_connection(
    ca_file: str,
) -> None:
    """A socket that was closed beside its transport gives its number to the next one."""
    async with Server(AUTHORITY.server()) as server:
        access = http1.Access(ca_file=ca_file)
        client = http1.Client(server.url, {}, connect_timeout=5, access=access)

        async def cancelled(turns: int) -> None:
            sockets: list[socket.socket] = []
            opening = asyncio.ensure_future(client.open(b"{}", sockets.append))
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            await asyncio.wait([opening])
            if not opening.cancelled():
                await (await opening).close()
            assert [sock.fileno() for sock in sockets] == [-1] * len(sockets)

        for begin in range(0, 40, 4):
            await asyncio.gather(*(cancelled(begin + turns) for turns in range(8)))
        last = await client.open(b"{}", lambda _: None)  # the server has seen all before it
        await last.close()
