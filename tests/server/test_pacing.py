"""The coalescer: a busy loop looks at its sockets less often, an idle one at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stream_serve.server.pacing import Coalescer
from support.service import Service

if TYPE_CHECKING:
    import aiohttp

pytestmark = pytest.mark.both_loops

LONGEST = 0.0015


class Time:
    """A clock that only a sleep, or the test, moves; it keeps the sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sleeps: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    def coalescer(self, longest: float = LONGEST) -> Coalescer:
        return Coalescer(longest, clock=self.clock, sleep=self.sleep)

    def bring(self, coalescer: Coalescer, rate: float) -> None:
        """Bring as many pieces as are looked at together, so many a second."""
        for _ in range(64):
            self.now += 1 / rate
            coalescer.count()


async def turn() -> None:
    """Let the loop do what is planned."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def asleep(time: Time, coalescer: Coalescer) -> None:
    """Bring so many pieces that the loop sleeps between its looks."""
    time.bring(coalescer, rate=4_000)
    await turn()
    coalescer.count()
    await turn()
    assert time.sleeps
    time.sleeps.clear()


async def test_while_few_tokens_come_nobody_waits() -> None:
    time = Time()
    coalescer = time.coalescer()
    time.bring(coalescer, rate=1_000)
    await turn()
    assert coalescer.interval == 0
    assert time.sleeps == []


async def test_while_many_come_the_loop_sleeps_between_two_looks_and_never_longer_than_set() -> (
    None
):
    time = Time()
    coalescer = time.coalescer()
    time.bring(coalescer, rate=4_000)
    assert coalescer.interval == LONGEST
    await turn()
    coalescer.count()
    await turn()
    assert time.sleeps
    assert max(time.sleeps) <= LONGEST


async def test_the_more_come_the_shorter_is_the_wait() -> None:
    time = Time()
    coalescer = time.coalescer()
    time.bring(coalescer, rate=16_000)
    assert coalescer.interval == pytest.approx(8 / 16_000)
    time.bring(coalescer, rate=80_000)
    assert coalescer.interval == pytest.approx(8 / 80_000)


async def test_the_pieces_of_one_look_bring_one_sleep() -> None:
    time = Time()
    coalescer = time.coalescer()
    time.bring(coalescer, rate=4_000)
    await turn()
    time.sleeps.clear()
    for _ in range(5):
        coalescer.count()
    await turn()
    assert len(time.sleeps) == 1


async def test_a_look_that_took_longer_than_the_interval_is_followed_by_the_next_at_once() -> None:
    time = Time()
    coalescer = time.coalescer()
    time.bring(coalescer, rate=4_000)
    await turn()
    time.sleeps.clear()
    coalescer.count()
    time.now += 2 * LONGEST
    await turn()
    assert time.sleeps == []


async def test_for_what_is_asked_nobody_sleeps() -> None:
    time = Time()
    coalescer = time.coalescer()
    await asleep(time, coalescer)
    coalescer.hurry()
    coalescer.count()
    await turn()
    assert time.sleeps == []
    time.now += 0.005
    coalescer.count()
    await turn()
    coalescer.count()
    await turn()
    assert len(time.sleeps) == 1


async def test_a_request_over_http_finds_nobody_asleep(client: aiohttp.ClientSession) -> None:
    time = Time()
    coalescer = time.coalescer()
    async with Service(coalescer=coalescer) as service:
        await asleep(time, coalescer)
        async with client.get(f"{service.url}/health/live") as response:
            assert response.status == 200
        coalescer.count()
        await turn()
        assert time.sleeps == []


async def test_when_the_burst_is_over_nobody_waits_any_more() -> None:
    time = Time()
    coalescer = time.coalescer()
    time.bring(coalescer, rate=4_000)
    time.bring(coalescer, rate=50)
    await turn()
    time.sleeps.clear()
    coalescer.count()
    await turn()
    assert time.sleeps == []


async def test_with_no_interval_nobody_ever_waits() -> None:
    time = Time()
    coalescer = time.coalescer(0)
    time.bring(coalescer, rate=50_000)
    await turn()
    assert time.sleeps == []
