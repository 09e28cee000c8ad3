"""Several real processes behind a real nginx are one service."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import pytest

from stream_serve.testing import ANSWER
from support.client import Json, show, stop, text
from support.cluster import Caller, check, cluster, process_of, processes, read, stored, unpooled
from support.nginx import Nginx
from support.redis import shared_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from stream_serve.testing import ScriptedUpstream
    from support.history import Place
    from support.redis import Redis

SLOW = "answer?interval=0.02"


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with unpooled() as session:
        yield session


@pytest.fixture
def redis() -> Redis:
    return shared_server()


async def spread(client: aiohttp.ClientSession, url: str, redis: Redis) -> list[Caller]:
    """Start runs that hang until more than one process has some."""
    callers: list[Caller] = []
    wrote: set[str] = set()
    while len(wrote) < 2:
        assert len(callers) < 200, "one process takes all runs"
        new = [Caller(client, url, model="hang-mid") for _ in range(8)]
        callers += new
        for caller in new:
            await caller.has("chunk")
            wrote.add(await process_of(redis, caller.run_id))
    return callers


@pytest.mark.parametrize(("nodes", "workers"), [(2, 1), (1, 4)])
async def test_processes_behind_nginx_are_one_service(
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    redis: Redis,
    nodes: int,
    workers: int,
) -> None:
    async with cluster(client, upstream, redis, nodes=nodes, workers=workers) as made:
        with Nginx(*(node.url for node in made)) as nginx:
            await _resume(client, nginx.url)
            await _join(client, nginx.url, upstream)
            await _stop(client, nginx.url, upstream, redis)
            asked = {line.rpartition(" ")[2] for line in nginx.served()}
            assert asked == {f"127.0.0.1:{node.port}" for node in made}
        assert len(await processes(redis)) == nodes * workers
    assert await processes(redis) == set()


async def _resume(client: aiohttp.ClientSession, url: str) -> None:
    """Whoever is asked, a run is read live and afterwards, from any cursor."""
    callers = [Caller(client, url, model=SLOW) for _ in range(6)]
    for caller in callers:
        await caller.has("chunk")
    readers = [Caller(client, url, caller.run_id) for caller in callers for _ in range(3)]
    for caller in callers:
        events = await caller.whole()
        check(events)
        assert text(events) == ANSWER
        seen = await asyncio.gather(*(read(client, url, caller.run_id, after=n) for n in range(6)))
        assert seen == [events[n:] for n in range(6)]
    logs = {caller.run_id: caller.events for caller in callers}
    for reader in readers:
        assert await reader.whole() == logs[reader.run_id]


async def _join(client: aiohttp.ClientSession, url: str, upstream: ScriptedUpstream) -> None:
    """The same start, several times at once, is one generation."""
    for _ in range(4):
        before = len(upstream.requests)
        run_id = secrets.token_urlsafe(16)
        callers = [Caller(client, url, run_id, model="answer?tokens=30") for _ in range(5)]
        logs = [await caller.whole() for caller in callers]
        assert logs == [logs[0]] * 5
        check(logs[0])
        assert len(upstream.requests) == before + 1


async def _stop(
    client: aiohttp.ClientSession, url: str, upstream: ScriptedUpstream, redis: Redis
) -> None:
    """Whoever is asked to stop, the provider's connection is closed, and everybody says the same."""
    callers = await spread(client, url, redis)
    receipts = await asyncio.gather(*(stop(client, url, caller.run_id) for caller in callers))
    for caller, receipt in zip(callers, receipts, strict=True):
        assert (receipt["outcome"], receipt["upstreamClosed"]) == ("stopped", True)
        events = await caller.whole()
        check(events)
        assert events[-1]["finishReason"] == "stopped"
    asked = [record for record in upstream.requests if record.scenario == "hang-mid"]
    assert len(asked) == len(callers)
    await upstream.until(lambda: all(record.closed_by == "peer" for record in asked))
    again = await asyncio.gather(*(stop(client, url, one.run_id) for one in callers))
    assert again == receipts, "repeated, it gives the first stop's receipt"
    states = await asyncio.gather(*(show(client, url, one.run_id) for one in callers))
    assert {state["state"] for state in states} == {"stopped"}


async def test_a_restart_of_the_database_loses_no_answer_on_any_process(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, redis: Redis, place: Place
) -> None:
    assert place.server is not None
    settings = {"STREAM_SERVE_DATABASE_URL": place.url, "STREAM_SERVE_SAVE_INTERVAL": "0.2"}
    async with cluster(client, upstream, redis, settings) as made:
        callers = [Caller(client, node.url, model=SLOW, conversationId="new") for node in made * 3]
        for caller in callers:
            await caller.has("chunk")
        await asyncio.to_thread(place.server.restart)
        for caller, other in zip(callers, made[::-1] * 3, strict=True):
            events = await caller.whole()
            check(events)
            assert (events[-1]["type"], caller.cuts) == ("end", 0)
            assert await read(client, other.url, caller.run_id) == events
            kept = await _complete(client, other.url, caller.conversation)
            assert kept["content"] == text(events) == ANSWER


async def _complete(client: aiohttp.ClientSession, url: str, conversation: str) -> Json:
    """Wait until an answer is stored as it ended: what failed at first is tried again."""
    async with asyncio.timeout(30):
        while (kept := await stored(client, url, conversation))["status"] == "generating":
            await asyncio.sleep(0.02)
    assert kept["status"] == "complete"
    return kept
