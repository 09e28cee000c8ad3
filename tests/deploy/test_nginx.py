"""Streams and stops through a real nginx with the site file that the project ships."""

from __future__ import annotations

import asyncio
import io
import socket
from typing import TYPE_CHECKING

import pytest

from stream_serve.testing import ANSWER, ScriptedUpstream, unused_port
from support.client import ask, stop, text
from support.nginx import Nginx
from support.process import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import aiohttp

    from stream_serve.testing import Record
    from support.service import Service


def settings(upstream: ScriptedUpstream, **more: str) -> dict[str, str]:
    return {
        "STREAM_SERVE_UPSTREAM_URL": upstream.url,
        "STREAM_SERVE_MODEL": "answer",
        **more,
    }


def gone(record: Record) -> bool:
    return record.closed_by == "peer"


async def served(nginx: Nginx, end: str) -> None:
    """Wait for a line of nginx's log that ends so: it is written after the answer is out."""
    async with asyncio.timeout(5):
        while not any(line.endswith(end) for line in nginx.served()):
            await asyncio.sleep(0.01)


@pytest.fixture
async def server(upstream: ScriptedUpstream) -> AsyncIterator[str]:
    """A server process that takes two runs at once; its URL."""
    async with serving(**settings(upstream, STREAM_SERVE_MAX_RUNS="2")) as running:
        yield running.url


@pytest.fixture
def nginx(server: str) -> Iterator[Nginx]:
    """nginx in front of that."""
    with Nginx(server) as running:
        yield running


def test_nginx_accepts_the_file() -> None:
    nginx = Nginx("http://127.0.0.1:3000", "http://127.0.0.1:3001")
    try:
        assert "test is successful" in nginx.check()
        assert "warn" not in nginx.check()
    finally:
        nginx.close()


async def test_a_token_arrives_before_the_next_one_is_sent(
    nginx: Nginx, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with ask(client, nginx.url, model="hang-mid?tokens=2") as stream:
        said = [await stream.until("chunk") for _ in range(2)]
        assert all(event["content"] for event in said)
        assert "Content-Encoding" not in stream.response.headers
        assert upstream.open_connections == 1


async def test_an_answer_arrives_whole(service: Service, client: aiohttp.ClientSession) -> None:
    with Nginx(service.url) as nginx:
        async with ask(client, nginx.url) as stream:
            assert text(await stream.rest()) == ANSWER


async def test_a_stop_through_nginx_closes_the_providers_connection(
    nginx: Nginx, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with ask(client, nginx.url, model="hang-mid?tokens=2") as stream:
        await stream.until("chunk")
        receipt = await stop(client, nginx.url, stream.run_id)
        await upstream.wait_for(gone)
        assert (receipt["outcome"], receipt["upstreamClosed"]) == ("stopped", True)
        assert (await stream.rest())[-1]["finishReason"] == "stopped"


async def test_a_client_that_leaves_closes_the_providers_connection(
    nginx: Nginx, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    for asked, model in enumerate(("silent", "hang-mid", "forever"), start=1):
        async with ask(client, nginx.url, model=model) as stream:
            await stream.next()
            await upstream.until(lambda asked=asked: len(upstream.requests) == asked)
            stream.drop()
            await upstream.wait_for(
                lambda record, model=model: record.model == model and gone(record)
            )
    await upstream.until(lambda: upstream.open_connections == 0)


async def test_a_body_that_is_too_large_is_refused_by_the_service(
    service: Service, client: aiohttp.ClientSession
) -> None:
    body = io.BytesIO(b'{"message": "' + b"x" * 1_500_000 + b'"}')
    headers = {"Content-Type": "application/json"}
    with Nginx(service.url) as nginx:
        url = f"{nginx.url}/ai/chat/stream-sse"
        async with client.post(url, data=body, headers=headers) as response:
            assert response.status == 413
            assert (await response.json())["code"] == "body_too_large"


async def test_the_service_knows_its_own_pages_by_their_origin(
    service: Service, client: aiohttp.ClientSession
) -> None:
    with Nginx(service.url) as nginx:
        for origin, status in ((nginx.url, 404), ("http://evil.example", 403)):
            headers = {"Origin": origin}
            async with client.get(f"{nginx.url}/ai/runs/none", headers=headers) as response:
                assert response.status == status


async def test_a_process_that_is_down_costs_nobody_a_run(
    server: str, client: aiohttp.ClientSession
) -> None:
    with Nginx(f"http://127.0.0.1:{unused_port()}", server) as nginx:
        for _ in range(4):
            async with ask(client, nginx.url) as stream:
                assert text(await stream.rest()) == ANSWER
        await served(nginx, f", {server.removeprefix('http://')}")


async def test_a_run_that_one_process_has_no_room_for_goes_to_the_next(
    server: str, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with (
        serving(**settings(upstream, STREAM_SERVE_MAX_RUNS="1")) as full,
        ask(client, full.url, model="silent"),
    ):
        with Nginx(full.url, server) as nginx:
            for _ in range(4):
                async with ask(client, nginx.url) as stream:
                    assert text(await stream.rest()) == ANSWER
            hosts = [url.removeprefix("http://") for url in (full.url, server)]
            await served(nginx, ", ".join(hosts))


async def test_when_all_are_full_nginx_says_what_they_say_and_stops_still_get_through(
    server: str, client: aiohttp.ClientSession
) -> None:
    with Nginx(server, server) as nginx:
        async with (
            ask(client, nginx.url, model="silent") as stream,
            ask(client, nginx.url, model="silent"),
        ):
            for _ in range(4):
                async with client.post(
                    f"{nginx.url}/ai/chat/stream-sse", json={"message": "hi"}
                ) as response:
                    assert response.status == 503
                    assert "Retry-After" in response.headers
                    assert (await response.json())["code"] == "full"
            receipt = await stop(client, nginx.url, stream.run_id)
            assert receipt["outcome"] == "stopped"


async def test_a_stop_gets_past_a_process_that_is_frozen(
    server: str, client: aiohttp.ClientSession
) -> None:
    # The system takes connections for a frozen process, and nobody answers.
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        silent = f"127.0.0.1:{frozen.getsockname()[1]}"
        with Nginx(f"http://{silent}", server) as nginx:
            async with ask(client, server, model="silent") as stream:
                receipts = [await stop(client, nginx.url, stream.run_id) for _ in range(2)]
            assert [receipt["upstreamClosed"] for receipt in receipts] == [True, True]
            await served(nginx, f"{silent}, {server.removeprefix('http://')}")
