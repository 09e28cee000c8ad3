from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from stream_serve.cluster.redis import keys
from stream_serve.cluster.redis.client import RedisClient
from stream_serve.cluster.redis.lease import Lease
from support.waiting import starting, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import TypeAlias

    from support.redis import Redis

    Start: TypeAlias = "Callable[..., Awaitable[Process]]"

SHORT = 1.0
PATIENCE = 20


class Clock:
    """A clock that can be set forward: what a process sees that was frozen."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class Process:
    """A process's lease, and what was heard of it."""

    def __init__(self, server: Redis, *, seconds: float = SHORT, timeout: float = 0.5) -> None:
        self.client = RedisClient(server.url, timeout)
        self.clock = Clock()
        self.lease = Lease(self.client, seconds, clock=self.clock)
        self.heard: list[str] = []
        self.beats = 0
        self.dead: list[str] = []
        self.lease.on_beat.append(self._beat)
        self.lease.on_dead.append(self.dead.append)
        self.lease.on_missing.append(lambda: self.heard.append("missing"))
        self.lease.on_lapse.append(self._lapse)

    def _beat(self) -> None:
        self.beats += 1

    def _lapse(self) -> None:
        self.heard.append("lapse" if not self.lease.valid else "lapse while valid")

    async def beat(self, times: int = 1) -> None:
        """Wait for some more beats that succeed."""
        wanted = self.beats + times
        await until(lambda: self.beats >= wanted)

    async def open(self) -> None:
        await self.lease.open()

    async def close(self) -> None:
        await self.lease.close()
        await self.client.close()

    async def vanish(self) -> None:
        """End as a process does that is killed: nothing of it reaches Redis any more."""
        await self.client.close()


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a process; all are closed at the end."""
    async with starting(Process) as start:
        yield start


async def test_after_open_the_lease_is_valid_and_the_process_is_among_the_living(
    start: Start, server: Redis
) -> None:
    one = await start(server)
    assert one.lease.valid
    assert one.lease.alive == {one.lease.me}
    assert one.beats == 1
    two = await start(server)
    assert two.lease.alive == {one.lease.me, two.lease.me}
    await one.beat()
    assert one.lease.alive == two.lease.alive
    assert one.lease.me != two.lease.me


async def test_the_lease_is_renewed_and_nobody_is_judged(start: Start, server: Redis) -> None:
    one, two = await start(server), await start(server)
    await one.beat(8)
    assert one.lease.steady
    assert one.lease.valid
    assert two.lease.valid
    assert one.dead == two.dead == one.heard == []


async def test_a_crowd_of_calls_does_not_keep_the_lease_from_being_renewed(
    start: Start, server: Redis
) -> None:
    one = await start(server, timeout=10 * PATIENCE)
    calls = [asyncio.create_task(one.client.run("BLPOP", "nothing", 0)) for _ in range(200)]
    await until(lambda: "blocked_clients:64" in server.cli("INFO", "clients").split())
    await one.beat(2)
    assert one.lease.valid
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)


async def test_a_process_that_ends_is_gone_at_once(start: Start, server: Redis) -> None:
    one, two = await start(server), await start(server)
    await two.lease.close()
    assert not two.lease.valid
    await one.beat()
    assert one.lease.alive == {one.lease.me}
    await one.beat(8)
    assert one.dead == []


async def test_a_process_that_ends_and_leaves_logs_is_judged_dead_without_waiting(
    start: Start, server: Redis
) -> None:
    one, two = await start(server), await start(server)
    await one.beat(8)
    await one.client.run("SADD", keys.unfinished(two.lease.me), "some-log")
    await two.lease.close()
    began = one.beats
    await until(lambda: bool(one.dead))
    assert one.beats - began <= 2


async def test_a_killed_process_is_reported_at_each_beat_until_it_is_removed(
    start: Start, server: Redis
) -> None:
    one, two = await start(server), await start(server)
    killed = two.lease.me
    await two.vanish()
    await until(lambda: len(one.dead) >= 3)
    assert set(one.dead) == {killed}
    assert killed not in one.lease.alive
    await one.lease.remove(killed)
    await one.beat()
    one.dead.clear()
    await one.beat(2)
    assert one.dead == []


async def test_after_an_outage_nobody_is_judged_before_all_had_the_time_to_come_back(
    fragile: Redis, start: Start
) -> None:
    one, two = await start(fragile), await start(fragile, seconds=6)
    await one.beat(8)
    await two.vanish()
    fragile.freeze()
    await until(lambda: not one.client.up)
    assert not one.lease.steady
    fragile.thaw()
    await until(lambda: one.client.up)
    # As if the dead process's lease had run out while nobody could see it.
    fragile.cli("ZADD", keys.PROCESSES, "XX", "1", two.lease.me)
    back = time.monotonic()
    await one.beat(2)
    assert one.dead == []
    await until(lambda: bool(one.dead))
    assert time.monotonic() - back > SHORT * 0.8
    assert "lapse" not in one.heard


async def test_while_redis_is_frozen_the_lease_runs_out_and_comes_back(
    fragile: Redis, start: Start
) -> None:
    one = await start(fragile)
    fragile.freeze()
    await until(lambda: not one.lease.valid and not one.client.up)
    fragile.thaw()
    await until(lambda: one.lease.valid and one.client.up)
    # It was Redis that stood still, and not this process.
    assert "lapse" not in one.heard


async def test_a_process_started_while_redis_is_away_gets_its_lease_when_it_is_there(
    fragile: Redis, start: Start, server: Redis
) -> None:
    fragile.stop()
    one = await start(fragile)
    assert not one.lease.valid
    assert not one.client.up
    fragile.start()
    await until(lambda: one.lease.valid and one.client.up)
    assert one.heard == []


async def test_a_redis_that_forgot_everything_is_told_again(start: Start, server: Redis) -> None:
    one = await start(server)
    await one.beat(8)
    server.flush()
    await until(lambda: "missing" in one.heard)
    assert one.lease.alive == {one.lease.me}
    # The others are not there yet, and that says nothing of them.
    assert not one.lease.steady
    await one.beat(2)
    assert one.heard == ["missing"]


async def test_a_process_that_was_frozen_past_its_lease_notices_before_it_is_valid_again(
    start: Start, server: Redis
) -> None:
    one = await start(server)
    await one.beat(8)
    one.clock.ahead += SHORT + 0.5
    assert not one.lease.valid
    await until(lambda: bool(one.heard))
    assert one.heard == ["lapse"]
    await until(lambda: one.lease.valid)
    assert not one.lease.steady


async def test_a_freeze_while_the_answer_of_redis_is_on_its_way_makes_nothing_valid(
    start: Start, monkeypatch: pytest.MonkeyPatch, server: Redis
) -> None:
    one = await start(server)
    client, call = one.client, one.client.call
    frozen: list[bool] = []

    async def slow(awaitable: Awaitable[object], *, always: bool = False) -> object:
        answer = await call(awaitable, always=always)
        if not frozen:
            frozen.append(True)
            one.clock.ahead += SHORT + 1
        return answer

    monkeypatch.setattr(client, "call", slow)
    await until(lambda: bool(frozen))
    await until(lambda: bool(one.heard))
    assert one.heard == ["lapse"]
    await until(lambda: one.lease.valid)


async def test_a_callback_that_raises_does_not_end_the_lease(start: Start, server: Redis) -> None:
    def fail() -> None:
        raise ValueError("no")

    one = await start(server)
    one.lease.on_beat.insert(0, fail)
    await one.beat(3)
    assert one.lease.valid


async def test_the_inbox_lives_as_long_as_the_lease(start: Start, server: Redis) -> None:
    one = await start(server)
    await one.beat()
    assert not one.lease.inbox
    inbox = keys.inbox(one.lease.me)
    server.cli("XADD", inbox, "*", "k", "")
    await until(lambda: one.lease.inbox)
    assert 0 < int(server.cli("PTTL", inbox)) <= SHORT * 1000


async def test_closing_is_bounded_while_redis_is_frozen(fragile: Redis, start: Start) -> None:
    one = await start(fragile)
    fragile.freeze()
    began = time.monotonic()
    await one.lease.close()
    assert time.monotonic() - began < PATIENCE
    fragile.thaw()
