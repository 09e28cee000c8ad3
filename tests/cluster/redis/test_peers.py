from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import pytest

from stream_serve.cluster.redis import keys
from stream_serve.cluster.redis.client import RedisClient
from stream_serve.cluster.redis.lease import Lease
from stream_serve.cluster.redis.listener import Listener
from stream_serve.cluster.redis.peers import RedisPeers
from stream_serve.errors import LogUnavailable, PeerUnreachable, RunNotFound
from support.waiting import starting, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import TypeAlias

    from support.redis import Redis

    Start: TypeAlias = "Callable[..., Awaitable[Process]]"


SHORT: Final = 1.0
"""Seconds of a lease that ends, or is renewed, in the course of a test."""
LONG: Final = 60.0
"""Seconds in which a machine that is busy does what is asked."""


class Process:
    """One process of a service, as far as the others see it."""

    def __init__(self, server: Redis, *, seconds: float = LONG, timeout: float = LONG) -> None:
        self.client = RedisClient(server.url, timeout)
        self.listener = Listener(self.client)
        self.lease = Lease(self.client, seconds)
        self.peers = RedisPeers(self.client, self.listener, self.lease)
        self.heard: list[tuple[str, str, bytes]] = []
        self.gone: list[str] = []
        self.missing = 0
        self.let_go = asyncio.Event()
        self.lease.on_missing.append(self._miss)

    def _miss(self) -> None:
        self.missing += 1

    @property
    def me(self) -> str:
        return self.lease.me

    async def open(self) -> None:
        await self.peers.open(self.respond, gone=self.gone.append)
        await self.listener.open()
        await self.lease.open()

    async def close(self) -> None:
        await self.peers.close()
        await self.lease.close()
        await self.listener.close()
        await self.client.close()

    async def vanish(self) -> None:
        """End as a process does that is killed: nothing of it reaches Redis any more."""
        await self.listener.close()
        await self.client.close()

    async def respond(self, process: str, question: str, data: bytes) -> bytes:
        self.heard.append((process, question, data))
        match question:
            case "slow":
                await self.let_go.wait()
            case "unknown":
                raise RunNotFound("no such run")
            case "defect":
                raise ZeroDivisionError
            case _:
                pass
        return question.encode() + b":" + data


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a process; all are closed at the end."""
    async with starting(Process) as start:
        yield start


async def test_the_other_process_replies_to_a_question(start: Start, server: Redis) -> None:
    one, two = await start(server), await start(server)
    for number in range(100):
        data = b"\x00\r\n%d" % number
        assert await one.peers.ask(two.me, "state", data, timeout=LONG) == b"state:" + data
    assert two.heard[0] == (one.me, "state", b"\x00\r\n0")


async def test_both_ask_each_other_at_once_and_each_gets_its_own_replies(
    start: Start, server: Redis
) -> None:
    one, two = await start(server), await start(server)
    questions = [
        asker.peers.ask(asked.me, "state", b"%d" % number, timeout=LONG)
        for number in range(200)
        for asker, asked in ((one, two), (two, one))
    ]
    replies = await asyncio.gather(*questions)
    assert replies == [b"state:%d" % number for number in range(200) for _ in range(2)]


async def test_what_is_told_arrives_once_and_in_order_and_nothing_comes_back(
    start: Start, server: Redis
) -> None:
    one, two = await start(server), await start(server)
    for number in range(1_000):
        await one.peers.tell(two.me, "readers", b"%d" % number)
    await until(lambda: len(two.heard) >= 1_000)
    assert [data for _, _, data in two.heard] == [b"%d" % number for number in range(1_000)]
    assert int(server.cli("XLEN", keys.inbox(one.me))) == 1
    # What was read is thrown away.
    await until(lambda: int(server.cli("XLEN", keys.inbox(two.me))) < 600)


async def test_a_process_may_ask_and_tell_itself(start: Start, server: Redis) -> None:
    one = await start(server)
    assert await one.peers.ask(one.me, "state", b"x", timeout=LONG) == b"state:x"
    await one.peers.tell(one.me, "readers", b"y")
    await until(lambda: (one.me, "readers", b"y") in one.heard)
    with pytest.raises(PeerUnreachable, match="failed"):
        await one.peers.ask(one.me, "defect", timeout=LONG)
    with pytest.raises(PeerUnreachable, match="did not reply"):
        await one.peers.ask(one.me, "slow", timeout=0.05)


@pytest.mark.parametrize("question", ["unknown", "defect"])
async def test_a_reply_that_cannot_be_made_is_an_error_at_once(
    start: Start, server: Redis, question: str
) -> None:
    one, two = await start(server), await start(server)
    async with asyncio.timeout(10):
        with pytest.raises(PeerUnreachable, match="failed"):
            await one.peers.ask(two.me, question, timeout=LONG)
    assert await one.peers.ask(two.me, "state", timeout=LONG) == b"state:"


async def test_no_reply_in_time_is_an_error_and_a_late_reply_is_dropped(
    start: Start, server: Redis
) -> None:
    one, two = await start(server), await start(server)
    with pytest.raises(PeerUnreachable, match="did not reply"):
        await one.peers.ask(two.me, "slow", timeout=0.1)
    two.let_go.set()
    assert await one.peers.ask(two.me, "state", b"1", timeout=LONG) == b"state:1"


async def test_a_cancelled_question_leaves_the_others_alone(start: Start, server: Redis) -> None:
    one, two = await start(server), await start(server)
    for steps in range(60):
        asking = asyncio.create_task(one.peers.ask(two.me, "slow", timeout=LONG))
        for _ in range(steps % 20):
            await asyncio.sleep(0)
        asking.cancel()
        asking.cancel()
        await asyncio.wait({asking})
        assert asking.cancelled()
    two.let_go.set()
    assert await one.peers.ask(two.me, "state", b"1", timeout=LONG) == b"state:1"


async def test_who_waits_for_a_killed_process_is_told_that_it_is_gone(
    start: Start, server: Redis
) -> None:
    one, two = await start(server, seconds=SHORT), await start(server)
    await until(lambda: one.lease.steady and two.me in one.lease.alive)
    asking = asyncio.create_task(one.peers.ask(two.me, "slow", timeout=LONG))
    await until(lambda: bool(two.heard))
    await two.vanish()
    # As if its lease had run out, and its inbox with it.
    server.cli("ZADD", keys.PROCESSES, "XX", "1", two.me)
    server.cli("DEL", keys.inbox(two.me))
    with pytest.raises(PeerUnreachable, match="gone"):
        await asking
    assert one.gone == [two.me]
    with pytest.raises(PeerUnreachable, match="gone"):
        await one.peers.ask(two.me, "state", timeout=LONG)


async def test_a_process_that_ends_is_gone_at_once_and_its_own_questions_end(
    start: Start, server: Redis
) -> None:
    one, two = await start(server), await start(server)
    asking = asyncio.create_task(two.peers.ask(one.me, "slow", timeout=LONG))
    await until(lambda: bool(one.heard))
    await two.close()
    with pytest.raises(PeerUnreachable, match="ends"):
        await asking
    # The inbox is gone with it: nobody has to wait for the lease.
    with pytest.raises(PeerUnreachable, match="gone"):
        await one.peers.ask(two.me, "state", timeout=LONG)


async def test_after_redis_forgot_everything_the_processes_find_each_other_again(
    start: Start, server: Redis
) -> None:
    one, two = await start(server, seconds=SHORT), await start(server, seconds=SHORT)
    await until(lambda: one.lease.steady)
    server.flush()

    async def reached() -> bool:
        try:
            return await one.peers.ask(two.me, "state", b"1", timeout=1) == b"state:1"
        except PeerUnreachable:
            return False

    async with asyncio.timeout(20):
        while not await reached():
            await asyncio.sleep(0.01)
    await until(lambda: one.lease.alive >= {one.me, two.me})
    assert one.gone == two.gone == []


async def test_an_inbox_that_is_lost_is_made_again_and_nothing_is_heard_twice(
    start: Start, server: Redis
) -> None:
    one, two = await start(server), await start(server, seconds=5 * SHORT)
    await one.peers.tell(two.me, "readers", b"1")
    await until(lambda: len(two.heard) == 1)
    server.cli("DEL", keys.inbox(two.me))
    await one.peers.tell(two.me, "readers", b"lost")
    await until(lambda: server.cli("EXISTS", keys.inbox(two.me)) == "1")
    await one.peers.tell(two.me, "readers", b"2")
    await until(lambda: len(two.heard) == 2)
    await one.peers.tell(two.me, "readers", b"3")
    await until(lambda: len(two.heard) == 3)
    assert [data for _, _, data in two.heard] == [b"1", b"2", b"3"]


async def test_through_a_restart_of_redis_they_find_each_other_again(
    start: Start, fragile: Redis
) -> None:
    one, two = await start(fragile, seconds=5 * SHORT), await start(fragile, seconds=5 * SHORT)
    assert await one.peers.ask(two.me, "state", b"1", timeout=LONG) == b"state:1"
    fragile.stop()
    await until(lambda: not one.client.up)
    with pytest.raises(LogUnavailable):
        await one.peers.ask(two.me, "state", timeout=LONG)
    with pytest.raises(LogUnavailable):
        await one.peers.tell(two.me, "readers")
    fragile.start()
    replies: list[bytes] = []
    async with asyncio.timeout(20):
        while not replies:
            try:
                replies.append(await one.peers.ask(two.me, "state", b"2", timeout=1))
            except (LogUnavailable, PeerUnreachable):
                await asyncio.sleep(0.01)
    assert replies == [b"state:2"]
    assert one.gone == two.gone == []


async def test_while_redis_is_frozen_nothing_waits_longer_than_a_call_may_take(
    start: Start, fragile: Redis
) -> None:
    one, two = await start(fragile, timeout=SHORT), await start(fragile, timeout=SHORT)
    fragile.freeze()
    began = time.monotonic()
    with pytest.raises(LogUnavailable):
        await one.peers.ask(two.me, "state", timeout=LONG)
    with pytest.raises(LogUnavailable):
        await one.peers.tell(two.me, "readers")
    assert time.monotonic() - began < 20
    fragile.thaw()


async def test_what_nobody_understands_in_an_inbox_does_no_harm(
    start: Start, server: Redis
) -> None:
    one, two = await start(server), await start(server)
    for words in (("what", "ever"), ("k", "answer", "i", "99"), ("k", "shout"), ("k", "ask")):
        server.cli("XADD", keys.inbox(two.me), "*", *words)
    assert await one.peers.ask(two.me, "state", b"1", timeout=LONG) == b"state:1"


async def test_a_process_started_while_redis_is_away_can_be_asked_when_it_is_there(
    start: Start, fragile: Redis
) -> None:
    fragile.stop()
    one, two = await start(fragile, seconds=SHORT), await start(fragile, seconds=SHORT)
    fragile.start()
    replies: list[bytes] = []
    async with asyncio.timeout(20):
        while not replies:
            try:
                replies.append(await one.peers.ask(two.me, "state", timeout=1))
            except (LogUnavailable, PeerUnreachable):
                await asyncio.sleep(0.01)
    assert replies == [b"state:"]


async def test_closing_is_bounded_while_redis_is_frozen(start: Start, fragile: Redis) -> None:
    one = await start(fragile, timeout=SHORT)
    fragile.freeze()
    began = time.monotonic()
    await one.close()
    assert time.monotonic() - began < 20
    fragile.thaw()
