"""Streams in Redis, from outside: where they go, and what callers are told when Redis is away."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from fastapi import FastAPI

from stream_serve import Streams
from stream_serve.backends import create_streams
from stream_serve.errors import SettingsError
from stream_serve.settings import Settings, explain
from support.host import serving
from support.redis import Redis
from support.service import Service
from support.waiting import until

if TYPE_CHECKING:
    import aiohttp

TEXT: Final = {"Content-Type": "text/plain"}


@pytest.mark.parametrize("name", ["redis_url", "streams_url"])
async def test_streams_are_in_redis_where_one_is_set(
    client: aiohttp.ClientSession, server: Redis, name: str
) -> None:
    async with Service(**{name: server.url}) as service:
        url = f"{service.url}/v1/stream/jobs/1"
        assert (await client.put(url, headers=TEXT, data=b"x")).status == 201
        assert "stream:jobs/1" in server.cli("KEYS", "*:stream:*")
    async with Service(**{name: server.url}) as service:
        async with client.get(f"{service.url}/v1/stream/jobs/1") as response:
            assert await response.text() == "x"
        assert (await client.delete(f"{service.url}/v1/stream/jobs/1")).status == 204
    assert not Path("data/streams.db").exists()


async def test_a_file_wins_over_the_redis_of_the_runs(
    client: aiohttp.ClientSession, server: Redis
) -> None:
    async with Service(redis_url=server.url, streams_url="own.db") as service:
        await client.put(f"{service.url}/v1/stream/a", headers=TEXT, data=b"x")
    assert Path("own.db").exists()
    assert server.cli("KEYS", "*:stream:*") == ""


async def test_without_redis_appends_are_refused_in_our_words_and_go_on_when_it_is_back(
    client: aiohttp.ClientSession,
) -> None:
    with Redis(persistent=True) as redis:
        async with Service(streams_url=redis.url, redis_timeout=1) as service:
            url = f"{service.url}/v1/stream/job"
            await client.put(url, headers=TEXT)
            live = await client.get(url, params={"offset": "-1", "live": "sse"})
            await client.post(url, headers=producer(0), data=b"<0>")
            await asyncio.to_thread(redis.stop)
            for refused in (
                await client.post(url, headers=producer(1), data=b"<1>"),
                await client.get(url),
                await client.put(f"{url}/other", headers=TEXT),
                await client.delete(url),
            ):
                said = await refused.text()
                assert refused.status == 503
                assert refused.headers["Retry-After"]
                assert "Redis cannot be reached" in said
                assert str(redis.port) not in said
                assert "127.0.0.1" not in said
                assert redis.password not in said
            await asyncio.to_thread(redis.start)

            async def appended() -> bool:
                async with client.post(url, headers=producer(1), data=b"<1>") as response:
                    return response.status in {200, 204}

            await until(appended)
            async with client.post(url, headers=producer(1), data=b"<1>") as response:
                assert response.status == 204  # it is there already
            await client.post(url, headers={**TEXT, "Stream-Closed": "true"}, data=b"<2>")
            seen = (await live.read()).decode()
            assert [f"<{n}>" in seen for n in range(3)] == [True] * 3
            async with client.get(url) as response:
                assert await response.text() == "<0><1><2>"


def producer(seq: int) -> dict[str, str]:
    return {**TEXT, "Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": str(seq)}


@pytest.mark.parametrize("url", ["http://host", "redis://host:port", "redis://host?what=1"])
def test_an_address_that_is_none_is_refused_by_its_name(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        create_streams(Settings.load(streams_url=url))
    assert "STREAM_SERVE_STREAMS_URL" in explain(caught.value)
    assert url not in explain(caught.value)


async def test_streams_of_the_library_are_in_the_redis_that_it_names(
    client: aiohttp.ClientSession, server: Redis
) -> None:
    streams = Streams.redis(server.url)
    app = FastAPI(lifespan=streams.lifespan)
    app.mount("/own", streams.routes())
    async with serving(app) as url:
        place = f"{url}/own/v1/stream/a"
        assert (await client.put(place, headers=TEXT, data=b"x")).status == 201
    assert "stream:a" in server.cli("KEYS", "*:stream:*")
