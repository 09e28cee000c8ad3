from __future__ import annotations

import asyncio
import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from stream_serve.cluster.redis.client import RedisClient
from stream_serve.cluster.redis.listener import Listener
from stream_serve.errors import LogUnavailable
from support.redis import Redis, shared_server
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from stream_serve.cluster.redis.listener import Entry


LONG = 60.0


class Ear:
    """Keeps what a callback was called with."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def __call__(self, entries: list[Entry]) -> None:
        self.heard += [fields[b"d"] for _, fields in entries]


@pytest.fixture
async def listener(client: RedisClient) -> AsyncIterator[Listener]:
    made = Listener(client)
    await made.open()
    yield made
    await made.close()


async def add(client: RedisClient, key: str, number: int) -> None:
    await client.run("XADD", key, f"{number}-0", "d", str(number))


async def add_surely(client: RedisClient, key: str, number: int) -> None:
    """Add through connections that may be broken."""
    async with asyncio.timeout(20):
        while True:
            try:
                await add(client, key, number)
            except LogUnavailable as error:
                if "equal or smaller" in str(error):
                    return
                await asyncio.sleep(0.01)
            else:
                return


def numbers(first: int, last: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, last + 1)]


async def test_what_is_behind_the_id_and_what_comes_is_heard_once_and_in_order(
    client: RedisClient, listener: Listener
) -> None:
    ear = Ear()
    for number in range(1, 101):
        await add(client, "a", number)
    listener.watch("a", b"40-0", ear)
    for number in range(101, 141):
        await add(client, "a", number)
    await until(lambda: len(ear.heard) >= 100)
    assert ear.heard == numbers(41, 140)


async def test_a_new_key_is_followed_at_once_and_not_after_the_wait_for_the_others(
    client: RedisClient, listener: Listener
) -> None:
    listener.watch("quiet", b"0-0", Ear())
    quickest = LONG
    for number in range(50):
        ear = Ear()
        await add(client, f"key-{number}", 1)
        began = asyncio.get_running_loop().time()
        listener.watch(f"key-{number}", b"0-0", ear)
        await until(lambda ear=ear: bool(ear.heard))
        quickest = min(quickest, asyncio.get_running_loop().time() - began)
    # A wait for the others takes a second, each time; what a busy machine adds is not always there.
    assert quickest < 0.5


async def test_a_thousand_streams_are_followed_through_one_connection(
    client: RedisClient, listener: Listener, server: Redis
) -> None:
    ears = [Ear() for _ in range(1_000)]
    for number, ear in enumerate(ears):
        listener.watch(f"key-{number}", b"0-0", ear)
    for entry in (1, 2, 3):
        await asyncio.gather(*(add(client, f"key-{number}", entry) for number in range(1_000)))
    await until(lambda: all(len(ear.heard) == 3 for ear in ears))
    assert server.cli("CLIENT", "LIST").count("cmd=xread") <= 1
    for number in range(1_000):
        listener.unwatch(f"key-{number}")
    await add(client, "key-7", 4)
    last = Ear()
    listener.watch("last", b"0-0", last)
    await add(client, "last", 1)
    await until(lambda: bool(last.heard))
    assert all(ear.heard == numbers(1, 3) for ear in ears)


async def test_a_key_that_is_watched_anew_belongs_to_the_new_callback(
    client: RedisClient, listener: Listener
) -> None:
    old, new = Ear(), Ear()
    listener.watch("a", b"0-0", old)
    await add(client, "a", 1)
    await until(lambda: bool(old.heard))
    listener.watch("a", b"0-0", new)
    await add(client, "a", 2)
    await until(lambda: len(new.heard) == 2)
    assert (old.heard, new.heard) == (numbers(1, 1), numbers(1, 2))


async def test_nothing_is_heard_of_a_key_that_a_callback_unwatched_in_the_same_round(
    client: RedisClient, listener: Listener
) -> None:
    heard: list[str] = []

    def first(name: str, other: str) -> Callable[[list[Entry]], None]:
        def hear(entries: list[Entry]) -> None:
            heard.append(name)
            listener.unwatch(other)

        return hear

    await add(client, "a", 1)
    await add(client, "b", 1)
    listener.watch("a", b"0-0", first("a", "b"))
    listener.watch("b", b"0-0", first("b", "a"))
    await until(lambda: bool(heard))
    end = Ear()
    listener.watch("end", b"0-0", end)
    await add(client, "end", 1)
    await until(lambda: bool(end.heard))
    assert len(heard) == 1


async def test_a_callback_that_raises_is_called_no_more_and_harms_no_other(
    client: RedisClient, listener: Listener
) -> None:
    calls: list[int] = []

    def fail(entries: list[Entry]) -> None:
        calls.append(len(entries))
        raise ValueError("no")

    ear = Ear()
    listener.watch("bad", b"0-0", fail)
    listener.watch("good", b"0-0", ear)
    for number in (1, 2, 3):
        await add(client, "bad", number)
        await add(client, "good", number)
        await until(lambda number=number: len(ear.heard) == number)
    assert calls == [1]


async def test_a_listener_that_is_closed_hears_nothing_and_may_be_opened_again(
    client: RedisClient,
) -> None:
    listener, ear = Listener(client), Ear()
    listener.watch("a", b"0-0", ear)
    await listener.close()
    await listener.open()
    await listener.open()
    await add(client, "a", 1)
    await until(lambda: bool(ear.heard))
    await listener.close()
    await add(client, "a", 2)
    await listener.open()
    await until(lambda: len(ear.heard) == 2)
    await listener.close()
    assert ear.heard == numbers(1, 2)


async def test_through_breaks_and_restarts_nothing_is_lost_and_nothing_doubled() -> None:
    shared_server()
    with Redis(persistent=True) as server:
        client = RedisClient(server.url, 1)
        listener, ear = Listener(client), Ear()
        await listener.open()
        listener.watch("a", b"0-0", ear)
        number = 0
        for harm in range(12):
            for _ in range(20):
                number += 1
                await add_surely(client, "a", number)
            if harm % 4 == 3:
                server.restart(signal.SIGKILL)
            else:
                server.cli("CLIENT", "KILL", "TYPE", "normal")
        await until(lambda: len(ear.heard) >= number)
        await listener.close()
        await client.close()
        assert ear.heard == numbers(1, number)


def given_up(logs: Sequence[Mapping[str, object]]) -> bool:
    """Whether a connection was given up, or not made."""
    return any(line["event"] == "the streams cannot be followed" for line in logs)


async def test_a_frozen_redis_is_noticed_and_what_came_meanwhile_is_heard(
    fragile: Redis, fragile_client: RedisClient
) -> None:
    listener, ear = Listener(fragile_client), Ear()
    await listener.open()
    listener.watch("a", b"0-0", ear)
    await add_surely(fragile_client, "a", 1)
    await until(lambda: bool(ear.heard))
    with capture_logs() as logs:
        fragile.freeze()
        await until(partial(given_up, logs))
    fragile.thaw()
    await add_surely(fragile_client, "a", 2)
    await until(lambda: len(ear.heard) == 2)
    await listener.close()
    assert ear.heard == numbers(1, 2)


async def test_a_listener_begun_while_redis_is_away_begins_when_it_is_there(
    fragile: Redis, fragile_client: RedisClient
) -> None:
    fragile.stop()
    listener, ear = Listener(fragile_client), Ear()
    with capture_logs() as logs:
        await listener.open()
        listener.watch("a", b"0-0", ear)
        await until(partial(given_up, logs))
    fragile.start()
    await add_surely(fragile_client, "a", 1)
    await until(lambda: bool(ear.heard))
    await listener.close()


async def test_closing_is_immediate_while_redis_is_frozen(
    fragile: Redis,
) -> None:
    client = RedisClient(fragile.url, LONG)
    listener = Listener(client)
    await listener.open()
    listener.watch("a", b"0-0", Ear())
    await client.run("PING")
    fragile.freeze()
    listener.watch("b", b"0-0", Ear())
    for _ in range(20):
        await asyncio.sleep(0)
    # Whoever waited for Redis would wait for longer than this.
    async with asyncio.timeout(LONG / 3):
        await listener.close()
    fragile.thaw()
    await client.close()
