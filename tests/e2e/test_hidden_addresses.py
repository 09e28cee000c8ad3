"""What callers are told of servers of ours that are away: never where these are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.test_doors import DOORS, WHOLE
from stream_serve.testing import ScriptedUpstream, unused_port
from support.service import Service
from support.tls import Authority

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

NATIVE = ("/ai/chat/stream-sse", {"messages": [{"role": "user", "content": "hi"}]})
ASKED = {
    "native": NATIVE,
    **{door: (path, body) for door, (path, _, body) in DOORS.items()},
    **{f"{door}, whole": asked for door, asked in WHOLE.items()},
}


async def told(client: aiohttp.ClientSession, url: str, door: str, model: str) -> str:
    """Return all that a caller is told at a door, headers and body."""
    path, body = ASKED[door]
    body = body | ({"forwardedProps": {"model": model}} if door == "ag-ui" else {"model": model})
    async with client.post(url + path, json=body) as response:
        return f"{response.headers} {await response.text()}"


def hidden(said: str, port: int) -> str:
    """Return what was said; it must not name the address of a server of ours at `port`."""
    assert f":{port}" not in said
    assert "127.0.0.1" not in said
    assert "localhost" not in said
    return said


@pytest.mark.parametrize("door", ASKED)
async def test_no_door_names_the_address_of_a_provider_that_is_away(
    client: aiohttp.ClientSession, capsys: pytest.CaptureFixture[str], door: str
) -> None:
    port = unused_port()
    async with Service(upstream_url=f"http://127.0.0.1:{port}/v1") as service:
        said = hidden(await told(client, service.url, door, "x"), port)
    assert "no connection to the provider: Connection refused" in said
    printed = capsys.readouterr()
    assert f"127.0.0.1:{port}" in printed.out + printed.err


@pytest.mark.parametrize("door", ["native", "chat, whole"])
async def test_no_door_names_the_url_at_which_a_provider_has_nothing(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, door: str
) -> None:
    async with Service(upstream_url=f"{upstream.origin}/nowhere") as service:
        said = await told(client, service.url, door, "x")
    assert "the provider has nothing there" in said
    assert upstream.origin not in said


async def test_a_certificate_for_another_host_does_not_name_the_host(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority, upstream = Authority(), ScriptedUpstream()
    monkeypatch.setenv("SSL_CERT_FILE", authority.write(tmp_path))
    await upstream.start(ssl=authority.server())
    try:
        async with Service(upstream_url=upstream.url) as service:
            said = await told(client, service.url, "native", "x")
    finally:
        await upstream.stop()
    assert "its TLS certificate is not trusted (it is for another host)" in said
    assert "127.0.0.1" not in said


async def test_a_model_that_nobody_can_be_asked_for_names_no_address(
    client: aiohttp.ClientSession,
) -> None:
    port = unused_port()
    async with Service(upstream_url=f"http://127.0.0.1:{port}/v1", model="") as service:
        path, body = NATIVE
        async with client.post(service.url + path, json=body) as response:
            assert response.status == 503
            said = hidden(await response.text(), port)
    assert "no connection to the provider" in said
