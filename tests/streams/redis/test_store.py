"""Streams in Redis: how bytes are kept, what one round trip does, and a Redis that fails."""

from __future__ import annotations

import asyncio
import random
import signal
from typing import TYPE_CHECKING, Any, Final

import pytest
from structlog.testing import capture_logs

from stream_serve.cluster.redis.client import RedisClient
from stream_serve.errors import SettingsError
from stream_serve.streams.base import Change
from stream_serve.streams.decisions import Create
from stream_serve.streams.errors import StreamNotFound, StreamsUnavailable, StreamUnreadable
from stream_serve.streams.redis import keys
from stream_serve.streams.redis.durability import doubts
from stream_serve.streams.redis.store import RedisStore
from stream_serve.streams.service import Streams
from support.redis import Redis
from support.streams import QUOTA, RULES, TEXT, text
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Iterator,
        Mapping,
        Sequence,
    )

    from stream_serve.streams.state import Key

    Open = Callable[..., Awaitable[Streams]]

KEY: Final = ("owner", "a")
CHUNK: Final = 65_536


class Telling(RedisStore):
    """A store that keeps what it has told."""

    def __init__(self, url: str, timeout: float) -> None:
        super().__init__(url, timeout)
        self.told: list[Key | None] = []

    async def open(self, changed: Callable[[Key | None], None]) -> None:
        def tell(key: Key | None) -> None:
            changed(key)
            self.told.append(key)

        await super().open(tell)


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Opens streams in a Redis, with little patience; they are closed at the end."""
    made: list[Streams] = []

    async def open_in(redis: Redis, timeout: float = 1.0) -> Streams:
        streams = Streams(RedisStore(redis.url, timeout), RULES, QUOTA)
        await streams.open()
        made.append(streams)
        return streams

    yield open_in
    for streams in made:
        await streams.close()


@pytest.fixture
def kept() -> Iterator[Redis]:
    """A Redis that keeps what it has answered, also after a crash."""
    with Redis(persistent=True) as running:
        yield running


async def written(streams: Streams, key: Key = KEY) -> bytes:
    page = await streams.read(key, 0, 10_000_000)
    assert page.last
    return page.data


async def again(call: Callable[[], Awaitable[Any]]) -> Any:
    """Do it until the store is there."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await call()
            except StreamsUnavailable:
                await asyncio.sleep(0.01)


async def test_bytes_are_in_chunks_and_any_part_of_them_is_read(
    server: Redis, opened: Open
) -> None:
    streams = await opened(server)
    await streams.create(KEY, Create(content_type=TEXT))
    whole = b""
    sizes = (1, CHUNK - 2, 1, CHUNK, CHUNK - 1, 2, 3 * CHUNK + 5, CHUNK, 7, CHUNK - 12, 1, 100)
    for number, size in enumerate(sizes):
        data = random.Random(number).randbytes(size)
        whole += data
        await streams.append(KEY, text(data))
    state = await streams.describe(KEY)
    chunks, rest = divmod(len(whole), CHUNK)
    assert server.cli("HLEN", keys.chunks(state.data)) == str(chunks)
    assert server.cli("STRLEN", keys.tail(state.data)) == str(rest)
    edges = {0, len(whole)} | {
        edge + by for edge in range(CHUNK, len(whole), CHUNK) for by in (-1, 0, 1)
    }
    for start in edges:
        for end in edges:
            if start <= end <= len(whole):
                page = await streams.read(KEY, start, end - start)
                assert page.data == whole[start:end]
    await streams.delete(KEY)
    assert server.cli("DBSIZE") == "0"
    with pytest.raises(StreamNotFound):
        await streams.read(KEY, 0, 1)


async def test_an_append_costs_what_it_brings_however_long_the_stream_is(
    server: Redis, opened: Open
) -> None:
    streams = await opened(server)
    await streams.create(KEY, Create(content_type=TEXT))
    large = bytes(400_000)
    await streams.append(KEY, text(large))
    state = await streams.describe(KEY)
    before = int(server.cli("MEMORY", "USAGE", keys.chunks(state.data), "SAMPLES", "0"))
    for _ in range(50):
        await streams.append(KEY, text(b"x" * 200))
    # Whole chunks are not touched, and take no more memory than they have bytes.
    after = int(server.cli("MEMORY", "USAGE", keys.chunks(state.data), "SAMPLES", "0"))
    assert before == after < 1.3 * len(large)
    assert await written(streams) == large + b"x" * 10_000


async def test_what_waits_in_a_process_is_one_round_trip(server: Redis, opened: Open) -> None:
    streams = await opened(server, 10.0)
    names = [("owner", str(number)) for number in range(100)]
    await asyncio.gather(*(streams.create(key, Create(content_type=TEXT)) for key in names))
    server.cli("CONFIG", "RESETSTAT")
    await asyncio.gather(*(streams.append(key, text(b"x")) for key in names for _ in range(10)))
    calls = server.cli("INFO", "commandstats").split("cmdstat_evalsha:calls=")[1].split(",")[0]
    assert int(calls) <= 3
    for key in names:
        assert await written(streams, key) == b"x" * 10


async def test_a_redis_that_hangs_acknowledges_nothing_and_a_retry_doubles_nothing(
    fragile: Redis, opened: Open
) -> None:
    streams = await opened(fragile)
    await streams.create(KEY, Create(content_type=TEXT))
    await streams.append(KEY, text(b"0", producer=("p", 0, 0)))
    fragile.freeze()
    for call in (
        streams.append(KEY, text(b"1", producer=("p", 0, 1))),
        streams.read(KEY, 0, 9),
        streams.describe(("owner", "b")),
    ):
        with pytest.raises(StreamsUnavailable, match="did not reply") as caught:
            await call
        assert caught.value.retryable
        assert str(fragile.port) in caught.value.for_operator
        assert str(fragile.port) not in str(caught.value)
        assert "127.0.0.1" not in str(caught.value)
    fragile.thaw()
    # Redis does now what nobody waits for any more; or not, if the connection was closed first.
    await again(lambda: streams.append(KEY, text(b"1", producer=("p", 0, 1))))
    await streams.append(KEY, text(b"2", producer=("p", 0, 2)))
    assert await written(streams) == b"012"


async def test_a_redis_that_is_restarted_has_all_and_live_readers_go_on(
    kept: Redis, opened: Open
) -> None:
    here, there = await opened(kept), await opened(kept)
    await here.create(KEY, Create(content_type=TEXT))
    follower = await there.follow(KEY)
    acknowledged = b""
    for number in range(6):
        data = b"%d" % number
        request = text(data, producer=("p", 0, number))
        await again(lambda request=request: here.append(KEY, request))
        acknowledged += data
        await until(
            lambda tail=number + 1: follower.state is not None and follower.state.tail == tail
        )
        if number % 2:
            await asyncio.to_thread(kept.stop, signal.SIGKILL if number == 3 else signal.SIGTERM)
            with pytest.raises(StreamsUnavailable, match="cannot be reached"):
                await here.append(KEY, text(b"lost"))
            await asyncio.to_thread(kept.start)
    assert await again(lambda: written(there)) == acknowledged
    follower.close()


async def test_a_live_reader_gets_an_append_that_redis_made_after_all(
    fragile: Redis, opened: Open
) -> None:
    streams = await opened(fragile, 0.3)
    await streams.create(KEY, Create(content_type=TEXT))
    follower = await streams.follow(KEY)
    fragile.freeze()
    with pytest.raises(StreamsUnavailable):
        await streams.append(KEY, text(b"late"))
    fragile.thaw()
    await until(lambda: follower.state is not None and follower.state.tail == 4)
    follower.close()


async def test_a_live_reader_gets_what_was_written_while_it_could_not_hear(
    server: Redis, opened: Open
) -> None:
    here, there = await opened(server), await opened(server)
    await here.create(KEY, Create(content_type=TEXT))
    follower = await there.follow(KEY)
    for number in range(1, 20):
        server.cli("CLIENT", "KILL", "TYPE", "pubsub")
        await here.append(KEY, text(b"x"))
        await until(lambda tail=number: follower.state is not None and follower.state.tail == tail)
    follower.close()


async def test_of_a_redis_that_has_lost_its_newest_data_nothing_is_taken_as_known(
    server: Redis, opened: Open
) -> None:
    store = Telling(server.url, 5.0)
    here, there = Streams(store, RULES, QUOTA), await opened(server)
    await here.open()
    store.watch(("", "any"))
    await until(lambda: ("", "any") in store.told)
    client = RedisClient(server.url, 5.0)
    await here.create(KEY, Create(content_type=TEXT))
    await here.append(KEY, text(b"0"))
    names = (keys.stream(*KEY), keys.tail((await here.describe(KEY)).data))
    saved = [await client.run("DUMP", name) for name in names]
    await here.append(KEY, text(b"lost"))
    for name, data in zip(names, saved, strict=True):
        await client.run("RESTORE", name, 0, data, "REPLACE")
    # Another process makes another state of the version that is known here.
    await there.append(KEY, text(b"1"))
    store.told.clear()
    server.cli("CLIENT", "KILL", "TYPE", "pubsub")
    await until(lambda: None in store.told)
    assert (await here.append(KEY, text(b"2"))).tail == 3
    assert await written(there) == b"012"
    await here.close()
    await client.close()


async def test_a_full_redis_refuses_what_grows_and_lets_streams_be_deleted(
    fragile: Redis, opened: Open
) -> None:
    streams = await opened(fragile)
    for path in "ab":
        await streams.create(("owner", path), Create(content_type=TEXT, data=bytes(100_000)))
    await streams.create(KEY, Create(content_type=TEXT, data=bytes(100_000)))
    fragile.maxmemory(1)
    with pytest.raises(StreamsUnavailable, match="is full") as caught:
        await streams.append(KEY, text(b"x"))
    assert "delete streams" in str(caught.value)
    with pytest.raises(StreamsUnavailable, match="is full"):
        await streams.create(("owner", "c"), Create(content_type=TEXT))
    assert len(await written(streams)) == 100_000
    await streams.delete(("owner", "b"))
    await streams.delete(KEY)
    assert fragile.cli("DBSIZE") == "0"
    fragile.maxmemory(0)
    await streams.create(KEY, Create(content_type=TEXT, data=b"x"))
    assert await written(streams) == b"x"


async def test_a_stream_that_cannot_be_read_says_so_and_no_other_one(
    server: Redis, opened: Open
) -> None:
    streams = await opened(server)
    for path in "ab":
        await streams.create(("owner", path), Create(content_type=TEXT))
    await asyncio.to_thread(server.cli, "HSET", keys.stream(*KEY), "s", "damaged")
    with pytest.raises(StreamUnreadable, match="another name"):
        await streams.describe(KEY)
    assert (await streams.describe(("owner", "b"))).tail == 0


async def test_a_commit_that_waits_at_the_end_is_told(fragile: Redis) -> None:
    store = RedisStore(fragile.url, 0.2)
    await store.open(lambda _: None)
    fragile.freeze()
    change = Change(key=KEY, version=1, state=None, data_id="d")
    waiting = [store.commit([change], QUOTA) for _ in range(1_000)]
    await store.close()
    waiting.append(store.commit([change], QUOTA))
    for one in waiting:
        with pytest.raises(StreamsUnavailable):
            await one
    fragile.thaw()


async def test_what_makes_a_redis_lose_streams_is_named(server: Redis, kept: Redis) -> None:
    client = RedisClient(server.url, 5.0)
    (found,) = await doubts(client)
    assert "appendonly" in found
    await client.close()
    client = RedisClient(kept.url, 5.0)
    assert await doubts(client) == []
    kept.cli("CONFIG", "SET", "appendfsync", "no")
    kept.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    found, policy = await doubts(client)
    assert "appendfsync" in found
    assert "noeviction" in policy
    kept.cli("ACL", "SETUSER", "default", "-config")
    assert len(await doubts(client)) == 1
    await client.close()


async def test_a_redis_that_comes_late_or_is_another_one_is_warned_of() -> None:
    with Redis() as redis, capture_logs() as lines:
        redis.stop()
        store = RedisStore(redis.url, 1.0)
        await store.open(lambda _: None)
        await until(lambda: any("cannot be heard" in line["event"] for line in lines))
        assert warned(lines) == []
        await asyncio.to_thread(redis.start)
        await until(lambda: warned(lines) == ["appendonly"])
        # Another connection to the same one says nothing new, and to a worse one only that.
        redis.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        redis.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await until(lambda: warned(lines) == ["appendonly", "maxmemory-policy"])
        await store.close()


def warned(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was warned of, by the first word."""
    return [line["reason"].split()[0] for line in lines if "may get lost" in line["event"]]


@pytest.mark.parametrize("url", ["redis://host:port", "http://host", "redis://host?what=1"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        RedisStore(url, 1.0)
    assert caught.value.parameters == ("RedisStore.url",)
