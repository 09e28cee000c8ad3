"""A provider behind a real forward proxy, as companies have one."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stream_serve.errors import SettingsError
from stream_serve.testing import ANSWER, ScriptedUpstream, unused_port
from support.client import Json, ask, stop, text
from support.forward import PASSWORD, USER, ForwardProxy, with_tls
from support.http1 import Server
from support.process import command
from support.service import Service
from support.tls import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp


@asynccontextmanager
async def provider(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *, secure: bool
) -> AsyncGenerator[ScriptedUpstream]:
    """A provider with http, or with https and an authority that the system trusts."""
    authority = Authority()
    monkeypatch.setenv("SSL_CERT_FILE", authority.write(folder))
    upstream = ScriptedUpstream()
    await upstream.start(ssl=authority.server() if secure else None)
    try:
        yield upstream
    finally:
        await upstream.stop()


def address(upstream: ScriptedUpstream) -> str:
    return upstream.url.replace("127.0.0.1", "localhost")


async def answer(client: aiohttp.ClientSession, url: str, **body: str) -> list[Json]:
    async with ask(client, url, **body) as stream:
        return await stream.rest()


@pytest.mark.parametrize(
    ("secure", "variable"),
    [
        (True, "HTTPS_PROXY"),
        (True, "https_proxy"),
        (True, "ALL_PROXY"),
        (False, "HTTP_PROXY"),
        (False, "http_proxy"),
    ],
)
@pytest.mark.parametrize("secret", [True, False])
async def test_an_answer_comes_through_the_proxy_that_the_environment_names(
    client: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    secure: bool,
    variable: str,
    secret: bool,
) -> None:
    with ForwardProxy(secret=secret) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        async with provider(monkeypatch, tmp_path, secure=secure) as upstream:
            async with Service(upstream_url=address(upstream)) as service:
                for _ in range(2):
                    assert text(await answer(client, service.url)) == ANSWER
            assert not any(
                "proxy-auth" in str(record.headers).lower() for record in upstream.requests
            )
            if secure:
                assert proxy.log().count("CONNECT localhost:") == 1, "the tunnel is kept"
            else:
                assert proxy.log().count("POST http://localhost:") == 2


@pytest.mark.parametrize(
    ("model", "secure"),
    [
        ("silent", True),  # without a tunnel tinyproxy looks after us only once there are headers
        *(
            (model, secure)
            for model in ("silent-after-headers", "hang-mid")
            for secure in (True, False)
        ),
    ],
)
async def test_a_stop_through_a_proxy_closes_at_the_provider_too(
    client: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    model: str,
    *,
    secure: bool,
) -> None:
    with ForwardProxy() as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        async with (
            provider(monkeypatch, tmp_path, secure=secure) as upstream,
            Service(upstream_url=address(upstream)) as service,
            ask(client, service.url, model=model) as stream,
        ):
            await stream.next()
            await upstream.wait_for(lambda record: record.model == model)
            receipt = await stop(client, service.url, stream.run_id)
            assert receipt["upstreamClosed"] is True
            await upstream.until(lambda: upstream.open_connections == 0)


@pytest.mark.parametrize("secure", [True, False])
async def test_a_proxy_may_be_reached_by_tls(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, secure: bool
) -> None:
    authority = Authority()
    async with provider(monkeypatch, tmp_path, secure=secure) as upstream:
        with ForwardProxy(secret=True) as proxy:
            (tmp_path / "own").mkdir()
            ca_file = authority.write(tmp_path / "own")
            async with with_tls(proxy, authority.server()) as url:
                Path("stream-serve.toml").write_text(
                    f"""
                    [[providers]]
                    name = "own"
                    url = "{address(upstream)}"
                    proxy = "{url}"
                    ca_file = "{ca_file}"
                    """,
                    encoding="utf-8",
                )
                async with Service() as service:
                    for _ in range(2):
                        assert text(await answer(client, service.url, model="answer")) == ANSWER
                    async with ask(client, service.url, model="hang-mid") as stream:
                        await stream.next()
                        await upstream.wait_for(lambda record: record.model == "hang-mid")
                        receipt = await stop(client, service.url, stream.run_id)
                        assert receipt["upstreamClosed"] is True
                        await upstream.until(lambda: upstream.open_connections == 0)
            requests = proxy.log().count(
                "CONNECT localhost:" if secure else "POST http://localhost:"
            )
            assert requests == (1 if secure else 3), "a tunnel is kept"


@pytest.mark.parametrize("moment", ["handshake", "answer"])
async def test_a_stop_while_a_proxy_is_asked_closes_the_socket_at_once(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, moment: str
) -> None:
    authority = Authority()
    monkeypatch.setenv("SSL_CERT_FILE", authority.write(tmp_path))
    async with Server(None if moment == "handshake" else authority.server()) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"https://localhost:{proxy.port}")
        async with (
            Service(upstream_url="https://provider.example/v1") as service,
            ask(client, service.url) as stream,
        ):
            await stream.next()
            reader, _ = await proxy.connections.get()
            begin = await reader.read(7)
            assert (begin == b"CONNECT") is (moment == "answer")
            receipt = await stop(client, service.url, stream.run_id)
            assert receipt["upstreamClosed"] is True
            async with asyncio.timeout(10):
                while await reader.read(65_536):
                    pass


async def test_a_provider_may_have_no_proxy_whatever_the_environment_says(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, upstream: ScriptedUpstream
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{unused_port()}")
    for line, reached in (('proxy = "none"', True), ("", False)):
        Path("stream-serve.toml").write_text(
            f'[[providers]]\nname = "near"\nurl = "{upstream.url}"\n{line}\n', encoding="utf-8"
        )
        async with Service() as service:
            events = await answer(client, service.url, model="answer")
        assert (text(events) == ANSWER) is reached, events


@pytest.mark.parametrize(
    ("secure", "credentials"), [(True, f"{USER}:wrong-{PASSWORD}@"), (True, ""), (False, "")]
)
async def test_a_proxy_that_wants_a_password_says_so_and_nobody_sees_ours(
    client: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    secure: bool,
    credentials: str,
) -> None:
    with ForwardProxy(secret=True) as proxy:
        monkeypatch.setenv("all_proxy", f"http://{credentials}127.0.0.1:{proxy.port}")
        async with (
            provider(monkeypatch, tmp_path, secure=secure) as upstream,
            Service(upstream_url=address(upstream)) as service,
        ):
            (*_, error) = await answer(client, service.url)
    assert (error["code"], error["retryable"]) == ("upstream_unreachable", False)
    assert str(proxy.port) not in str(error)
    assert "user and password" in error["message"]
    printed = capsys.readouterr()
    assert PASSWORD not in str(error) + printed.out + printed.err


async def test_what_is_not_behind_or_not_at_the_proxy_is_an_error_in_words(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"https://localhost:{unused_port()}/v1"
    with ForwardProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with Service(upstream_url=target) as service:
            (*_, error) = await answer(client, service.url)
        assert (error["code"], error["retryable"]) == ("upstream_unreachable", True)
        assert "no connection through the proxy: it answered 50" in error["message"]
    async with Service(upstream_url=target) as service:
        (*_, error) = await answer(client, service.url)
    assert (error["code"], error["retryable"]) == ("upstream_unreachable", True)
    assert error["message"].endswith("it cannot be reached: Connection refused")


async def test_a_host_in_no_proxy_is_asked_directly(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, upstream: ScriptedUpstream
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    monkeypatch.setenv("NO_PROXY", "example.com, 127.0.0.0/8")
    async with Service(upstream_url=upstream.url) as service:
        assert text(await answer(client, service.url)) == ANSWER


def test_a_proxy_that_cannot_be_used_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"socks5://{USER}:{PASSWORD}@127.0.0.1:1080")
    with pytest.raises(SettingsError, match=r"socks5://.*not supported") as refused:
        Service(upstream_url="https://localhost/v1")
    assert PASSWORD not in str(refused.value)
    Service(upstream_url="http://localhost/v1")


async def test_doctor_shows_the_proxy_and_not_its_password(upstream: ScriptedUpstream) -> None:
    with ForwardProxy(secret=True) as proxy:
        code, out, err = await command(
            "doctor",
            HTTP_PROXY=proxy.url,
            STREAM_SERVE_UPSTREAM_URL=upstream.url,
            STREAM_SERVE_MODEL="answer",
        )
    assert code == 0, err
    assert f"127.0.0.1:{proxy.port}" in out
    assert PASSWORD not in out + err


async def test_a_provider_has_a_proxy_an_authority_and_a_certificate_of_its_own(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file names them, beside it; the environment's proxy is for the other providers."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{unused_port()}")
    authority = Authority()
    authority.write(tmp_path)
    authority.write_client(tmp_path, "client", separate=True)
    upstream = ScriptedUpstream()
    await upstream.start(ssl=authority.server(ask=True))
    try:
        with ForwardProxy(secret=True) as proxy:
            Path("stream-serve.toml").write_text(
                f"""
                [[providers]]
                name = "own"
                url = "{address(upstream)}"
                proxy = "{proxy.url}"
                ca_file = "authority.pem"
                client_cert = "client.pem"
                client_key = "client.key"

                [[models]]
                name = "answer"
                targets = [{{ provider = "own" }}]
                default = true
                """,
                encoding="utf-8",
            )
            async with Service() as service:
                assert text(await answer(client, service.url)) == ANSWER
            assert "CONNECT localhost:" in proxy.log()
            Path("client.key").write_text("none", encoding="utf-8")
            with pytest.raises(SettingsError, match=r"provider own: .*client\.key no key"):
                Service()
    finally:
        await upstream.stop()
