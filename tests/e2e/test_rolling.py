"""A new version comes while two hundred streams go on: nobody notices more than a reconnection."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from stream_serve.testing.reply import Reply
from support.client import text
from support.cluster import Caller, check, cluster, processes, read, unpooled
from support.nginx import Nginx
from support.redis import Redis
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import aiohttp

    from stream_serve.testing import ScriptedUpstream
    from support.cluster import Node

STREAMS = 200
MODEL = "answer?tokens=20&interval=0.1"
GRACE = "25"


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with unpooled() as session:
        yield session


@pytest.fixture
def redis() -> Iterator[Redis]:
    """A Redis of its own: elsewhere, processes that were killed are listed for a while."""
    with Redis() as server:
        yield server


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """The provider's answers get on only while this is set."""
    flowing, pause = asyncio.Event(), Reply.pause

    async def held(self: Reply, seconds: float) -> None:
        await flowing.wait()
        await pause(self, seconds)

    monkeypatch.setattr(Reply, "pause", held)
    return flowing


class Crowd:
    """So many clients that each start one run after another, and readers who join every fourth.

    A run may go on while its client comes back.
    """

    def __init__(self, client: aiohttp.ClientSession, url: str, size: int) -> None:
        self.callers: list[Caller] = []
        self.readers: list[Caller] = []
        self._client = client
        self._url = url
        self._leaving = False
        self._tasks = [asyncio.create_task(self._go(number)) for number in range(size)]

    @property
    def live(self) -> int:
        """Count the runs that go on."""
        return sum(bool(one.events) and not one.done for one in self.callers)

    async def leave(self) -> None:
        """Start no more, and wait for the end of what goes on."""
        self._leaving = True
        async with asyncio.timeout(60):
            await asyncio.gather(*self._tasks)
            for reader in self.readers:
                await reader.whole()

    async def close(self) -> None:
        """Go away."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for caller in self.callers + self.readers:
            await caller.close()

    async def _go(self, number: int) -> None:
        while not self._leaving:
            caller = Caller(self._client, self._url, model=MODEL, onDisconnect="continue")
            self.callers.append(caller)
            if number % 4 == 0:
                await caller.has("start")
                self.readers.append(Caller(self._client, self._url, caller.run_id))
            await caller.whole()


async def one_by_one(nodes: list[Node], client: aiohttp.ClientSession) -> None:
    """Restart processes on ports of their own, each when the one before it serves again."""
    for node in nodes:
        assert await node.end() == 0
        node.start()
        await node.up(client)


async def by_supervisor(nodes: list[Node], redis: Redis, workers: int) -> None:
    """Let the supervisor restart its workers, all of which are there."""

    async def complete() -> bool:
        return len(await processes(redis)) == workers

    await until(complete)
    before = await processes(redis)
    nodes[0].send(signal.SIGHUP)

    async def renewed() -> bool:
        now = await processes(redis)
        return len(now) == workers and not now & before

    await until(renewed, 60)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_rolling_restart_under_two_hundred_streams_loses_and_doubles_no_event(
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    redis: Redis,
    flow: asyncio.Event,
    workers: int,
) -> None:
    nodes = 2 // workers
    settings = {"STREAM_SERVE_GRACE_TIMEOUT": GRACE}
    async with cluster(client, upstream, redis, settings, nodes=nodes, workers=workers) as made:
        with Nginx(*(node.url for node in made)) as nginx:
            crowd = Crowd(client, nginx.url, STREAMS)
            try:
                await until(lambda: crowd.live == STREAMS)
                flow.set()
                if workers == 1:
                    await one_by_one(made, client)
                else:
                    await by_supervisor(made, redis, workers)
                flow.clear()
                await until(lambda: crowd.live == STREAMS)
                flow.set()
                await crowd.leave()
            finally:
                await crowd.close()
            await _check(client, nginx.url, crowd)
        assert len(crowd.callers) >= 2 * STREAMS
        assert len(upstream.requests) == len(crowd.callers)


async def _check(client: aiohttp.ClientSession, url: str, crowd: Crowd) -> None:
    """Every client has its whole answer, once, and so has the log."""
    wanted: set[str] = set()
    for caller in crowd.callers:
        check(caller.events)
        assert caller.events[-1]["type"] == "end", caller.events[-1]
        wanted.add(text(caller.events))
    assert len(wanted) == 1
    logs = {caller.run_id: caller.events for caller in crowd.callers}
    for reader in crowd.readers:
        assert reader.events == logs[reader.run_id]
    for caller in crowd.callers[::10]:
        assert await read(client, url, caller.run_id) == caller.events
