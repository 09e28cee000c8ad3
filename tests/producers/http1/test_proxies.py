"""Which proxy a URL has, and the way through it."""

from __future__ import annotations

import asyncio
import base64
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pytest

from stream_serve.errors import SettingsError
from stream_serve.producers import http1
from stream_serve.producers.http1.proxies import Proxy, proxy_for
from stream_serve.testing import blackhole, unused_port
from support.http1 import CHUNKED, END, OK, Server, chunk
from support.tls import Authority
from support.waiting import until

if TYPE_CHECKING:
    import socket
    from pathlib import Path

TARGET: Final = "https://localhost:4433/v1"


@pytest.mark.parametrize(
    ("url", "host", "port", "pair"),
    [
        ("http://proxy.example:3128", "proxy.example", 3128, None),
        ("http://proxy.example", "proxy.example", 80, None),
        ("proxy.example:3128", "proxy.example", 3128, None),
        (" HTTP://Proxy.example:3128/ ", "proxy.example", 3128, None),
        ("http://[::1]:3128", "::1", 3128, None),
        ("http://bücher.example:1", "xn--bcher-kva.example", 1, None),
        ("http://user:p%40ss%3A@proxy.example:1", "proxy.example", 1, "user:p@ss:"),
        ("http://user@proxy.example:1", "proxy.example", 1, "user:"),
        ("user:%E5%AF%86@proxy.example:1", "proxy.example", 1, "user:密"),
    ],
)
def test_the_url_of_a_proxy_is_read(url: str, host: str, port: int, pair: str | None) -> None:
    proxy = Proxy.of(url)
    assert (proxy.host, proxy.port) == (host, port)
    word, _, encoded = proxy.authorization.partition(" ")
    assert (word == "Basic") is (pair is not None)
    assert base64.b64decode(encoded).decode() == (pair or "")
    assert not pair or not {encoded, pair} & set(repr(proxy).split("'"))


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@proxy.example:1",
        "socks5://user:secret@proxy.example:1",
        "http://user:secret@",
        "http://user:secret@proxy.example:port",
        "http://user:secret@[::1",
        "http://user:secret@pro xy",
        "",
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    access = http1.Access(proxy=url)
    with pytest.raises(SettingsError, match=r"proxy") as refused:
        http1.check(access)
    assert "secret" not in str(refused.value) + repr(access)


@pytest.mark.parametrize(
    ("url", "variables", "proxy"),
    [
        ("https://a.example", {"https_proxy": "p:1", "http_proxy": "q:1"}, "p:1"),
        ("http://a.example", {"https_proxy": "p:1", "http_proxy": "q:1"}, "q:1"),
        ("http://a.example", {"https_proxy": "p:1"}, None),
        ("http://a.example", {"https_proxy": "p:1", "all_proxy": "r:1"}, "r:1"),
        ("http://a.example", {"http_proxy": " ", "all_proxy": ""}, None),
        ("http://127.0.0.1", {"http_proxy": "p:1"}, "p:1"),
        ("http://a.example", {}, None),
    ],
)
def test_the_scheme_chooses_the_variable(
    url: str, variables: dict[str, str], proxy: str | None
) -> None:
    assert proxy_for(url, variables) == proxy


@pytest.mark.parametrize(
    ("entries", "without", "through"),
    [
        ("*", "http://a.example http://10.0.0.1", ""),
        ("example.com", "http://example.com http://A.EXAMPLE.com. https://a.b.example.com:8", ""),
        ("example.com", "", "http://notexample.com http://example.com.evil http://example.org"),
        (".example.com", "http://example.com http://a.example.com", "http://notexample.com"),
        ("*.example.com", "http://a.example.com", "http://notexample.com"),
        ("one, two\tthree four,,", "http://two http://four", "http://five"),
        ("localhost,127.0.0.1,::1", "http://localhost:1 http://127.0.0.1:1 http://[::1]:1", ""),
        ("localhost", "", "http://127.0.0.1"),
        ("127.0.0.1", "", "http://127.0.0.11 http://1.127.0.0.1"),
        ("10.0.0.0/8 fe80::/10", "http://10.9.9.9 http://[fe80::1]", "http://11.0.0.1 http://a"),
        ("10.0.0.0/8", "", "http://[::1]"),
        ("a.example:8080", "http://a.example:8080", "http://a.example http://a.example:80"),
        ("a.example:80", "http://a.example", "https://a.example"),
        ("[::1]:80 10.0.0.1:443", "http://[::1] https://10.0.0.1", "http://10.0.0.1"),
        ("https://a.example", "https://a.example", "http://a.example"),
        ("bücher.example", "", "http://a.example"),
        (". : [ [] /8 a:b:c", "", "http://a.example"),
    ],
)
def test_hosts_that_need_no_proxy_are_named_in_every_usual_way(
    entries: str, without: str, through: str
) -> None:
    variables = {"all_proxy": "p:1", "no_proxy": entries}
    assert [url for url in without.split() if proxy_for(url, variables) is not None] == []
    assert [url for url in through.split() if proxy_for(url, variables) is None] == []


class Through:
    """A client whose server is behind a proxy, which says what a test tells it."""

    def __init__(self, proxy: Server, url: str = TARGET, **access: str) -> None:
        address = proxy.url.removeprefix("http://").removesuffix("/v1")
        self.sockets: list[socket.socket] = []
        self.client = http1.Client(
            url,
            {"X-One": "1"},
            connect_timeout=5,
            access=http1.Access(proxy=f"http://u:p%40@{address}", **access),
        )

    @property
    def closed(self) -> bool:
        return bool(self.sockets) and all(sock.fileno() == -1 for sock in self.sockets)

    def open(self) -> asyncio.Task[http1.HTTPExchange]:
        return asyncio.ensure_future(self.client.open(b"{}", self.sockets.append))


async def flow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes, and its end."""
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


async def accept(proxy: Server) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await proxy.connections.get()
    return await reader.readuntil(b"\r\n\r\n"), reader, writer


@pytest.mark.both_loops
async def test_a_tunnel_is_asked_for_with_connect_and_leads_to_the_server(tmp_path: Path) -> None:
    authority = Authority()
    async with Server() as proxy, Server(authority.server()) as server:
        through = Through(proxy, ca_file=authority.write(tmp_path))
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
async def test_a_proxy_gets_a_plain_request_in_absolute_form() -> None:
    async with Server() as proxy:
        through = Through(proxy, "http://a.example:81/v1?q=1")
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
async def test_a_connect_that_is_cancelled_at_any_moment_closes_the_socket(steps: str) -> None:
    async with Server() as proxy:
        through = Through(proxy)
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
        await until(lambda: through.closed)
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
    answer: bytes, words: str, *, retryable: bool
) -> None:
    async with Server() as proxy:
        through = Through(proxy)
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
