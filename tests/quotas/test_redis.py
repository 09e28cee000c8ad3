"""How the quotas count in a real Redis, also when Redis or a process fails."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from stream_serve.cluster.redis.client import RedisClient
from stream_serve.cluster.redis.lease import Lease
from stream_serve.errors import LogUnavailable
from stream_serve.quotas.redis import RedisQuotas, key
from support.waiting import starting, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import TypeAlias

    from support.redis import Redis

    Start: TypeAlias = "Callable[..., Awaitable[Process]]"


class Process:
    """One process of a service, as far as it counts."""

    def __init__(self, server: Redis, *, timeout: float = 0.5, ttl: float = 60) -> None:
        self.client = RedisClient(server.url, timeout)
        self.lease = Lease(self.client, 1)
        self.quotas = RedisQuotas(self.client, self.lease, ttl=ttl)

    async def open(self) -> None:
        await self.quotas.open()
        await self.lease.open()

    async def close(self) -> None:
        await self.quotas.close()
        await self.lease.close()
        await self.client.close()


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a process; all are closed at the end."""
    async with starting(Process) as start:
        yield start


async def test_the_processes_count_together(start: Start, server: Redis) -> None:
    one, two = await start(server), await start(server)
    assert await one.quotas.enter("key", "run", 2)
    assert await two.quotas.enter("key", "another", 2)
    assert not await one.quotas.enter("key", "third", 2)
    assert not await two.quotas.enter("key", "third", 2)


async def test_after_redis_forgot_everything_the_runs_count_again(
    start: Start, server: Redis
) -> None:
    one, two = await start(server), await start(server)
    assert await one.quotas.enter("key", "run", 1)
    assert await one.quotas.enter("key", "over", 2)
    one.quotas.leave("key", "over")
    await until(lambda: server.cli("ZRANGE", key("key"), "0", "-1") == "run")
    server.flush()
    await until(lambda: server.cli("ZRANGE", key("key"), "0", "-1") == "run")
    assert not await two.quotas.enter("key", "another", 1)


async def test_entering_while_redis_is_away_fails_in_time(start: Start, fragile: Redis) -> None:
    one = await start(fragile)
    fragile.freeze()
    began = time.monotonic()
    with pytest.raises(LogUnavailable):
        await one.quotas.enter("key", "run", 1)
    assert time.monotonic() - began < 3
    fragile.thaw()
    fragile.stop()
    await until(lambda: not one.client.up)
    with pytest.raises(LogUnavailable):
        await one.quotas.enter("key", "run", 1)
    fragile.start()


async def test_leaving_while_redis_is_away_is_made_good_when_it_is_back(
    start: Start, fragile: Redis
) -> None:
    one, two = await start(fragile), await start(fragile)
    assert await one.quotas.enter("key", "run", 1)
    assert not await two.quotas.enter("key", "another", 1)
    fragile.freeze()
    await until(lambda: not one.client.up)
    one.quotas.leave("key", "run")
    fragile.thaw()
    await until(lambda: fragile.cli("EXISTS", key("key")) == "0")


async def test_at_the_end_what_left_is_told(start: Start, server: Redis) -> None:
    one, two = await start(server), await start(server)
    for number in range(1_200):
        assert await one.quotas.enter("key", f"run-{number}", 1_200)
    for number in range(1_200):
        one.quotas.leave("key", f"run-{number}")
    await one.close()
    assert await two.quotas.enter("key", "another", 1)


async def test_the_runs_of_a_killed_process_count_no_longer_than_a_run_may_take(
    start: Start, server: Redis
) -> None:
    one, two = await start(server, ttl=0.5), await start(server, ttl=0.5)
    assert await one.quotas.enter("key", "run", 1)
    await one.client.close()
    assert not await two.quotas.enter("key", "another", 1)
    async with asyncio.timeout(20):
        while not await two.quotas.enter("key", "another", 1):
            await asyncio.sleep(0.01)


async def test_closing_is_bounded_while_redis_is_frozen(start: Start, fragile: Redis) -> None:
    one = await start(fragile)
    assert await one.quotas.enter("key", "run", 1)
    one.quotas.leave("key", "run")
    fragile.freeze()
    began = time.monotonic()
    await one.close()
    assert time.monotonic() - began < 4
    fragile.thaw()
