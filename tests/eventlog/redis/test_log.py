"""What becomes of logs in a real Redis when something fails: Redis, a process, the network between."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest

from stream_serve.cluster.redis import keys
from stream_serve.cluster.redis.client import Link
from stream_serve.cluster.redis.lease import Lease
from stream_serve.cluster.redis.listener import Listener
from stream_serve.errors import LogExists, LogLost, LogNotFound, LogUnavailable
from stream_serve.eventlog.redis.log import RedisStreamLog
from support.proxy import Proxy
from support.redis import Redis, shared_server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from stream_serve.eventlog.base import LogReader, LogWriter, Orphan

LEASE: Final = 1.0
END: Final = b"<end>"
FAR: Final = 1000


@pytest.fixture
def server() -> Iterator[Redis]:
    """An empty Redis, that may be harmed."""
    redis = shared_server()
    redis.flush()
    yield redis
    redis.thaw()
    redis.maxmemory(0)


class Process:
    """One process's view of the logs; what it is told is kept."""

    def __init__(self, url: str, timeout: float = 0.5) -> None:
        self.frozen = 0.0
        self.lost: list[str] = []
        self.orphans: list[tuple[str, list[bytes]]] = []
        self.refusals = 0
        link = Link(url, timeout)
        self.lease = Lease(link, LEASE, clock=lambda: time.monotonic() + self.frozen)
        self.log = RedisStreamLog(
            link, Listener(link), self.lease, flush_interval=0.005, live_ttl=600, retention=60
        )

    async def open(self) -> None:
        await self.log.open(lost=self.lost.append, orphaned=self.finish)

    async def finish(self, orphan: Orphan) -> None:
        """Finish a log for a process that is gone."""
        self.orphans.append((orphan.name, list(orphan.frames)))
        if self.refusals:
            self.refusals -= 1
            raise LogUnavailable("not now")
        await orphan.finish([END], first=len(orphan.frames) + FAR, note=b"interrupted")


@asynccontextmanager
async def process(url: str, timeout: float = 0.5) -> AsyncGenerator[Process]:
    made = Process(url, timeout)
    await made.open()
    try:
        yield made
    finally:
        await made.log.close()


@asynccontextmanager
async def cut_off(server: Redis) -> AsyncGenerator[tuple[Process, Proxy]]:
    """A process, and the network between it and Redis."""
    async with Proxy(f"http://127.0.0.1:{server.port}") as network:
        url = f"redis://:{server.password}@{network.url.removeprefix('http://')}/0"
        async with process(url) as made:
            yield made, network


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def frames(first: int, last: int, size: int = 0) -> list[bytes]:
    return [(b"<%d" % number).ljust(size, b".") + b">" for number in range(first, last + 1)]


async def take(reader: LogReader, count: int) -> bytes:
    got = b""
    async with asyncio.timeout(30):
        while got.count(b">") < count:
            batch = await reader.read()
            assert batch, "neither the end nor a nudge"
            got += batch
    return got


async def rest(reader: LogReader) -> bytes:
    got = b""
    async with asyncio.timeout(30):
        while (batch := await reader.read()) is not None:
            got += batch
    reader.close()
    return got


async def flushed(one: Process, name: str, last: int) -> None:
    """Wait until another process can read a log so far."""
    async with asyncio.timeout(30):
        while True:
            try:
                if (await one.log.look(name)).last >= last:
                    return
            except (LogNotFound, LogUnavailable):
                pass
            await asyncio.sleep(0.01)


async def harmed(server: Redis, harm: Callable[[], None]) -> None:
    """A log of one process is read in another one while Redis is harmed: it comes whole, once."""
    async with process(server.url) as here, process(server.url) as there:
        writer, done = await here.log.create("run", b"about"), await here.log.create("done")
        done.append(frames(1, 50))
        done.finish()
        reader = await there.log.read("run")
        writer.append(frames(1, 100))
        assert await take(reader, 100) == b"".join(frames(1, 100))
        await flushed(there, "done", 50)
        await asyncio.to_thread(harm)
        writer.append(frames(101, 200))
        got = await take(reader, 100)
        assert got == b"".join(frames(101, 200))
        writer.append(frames(201, 210))
        writer.note(b"note")
        writer.finish()
        assert await rest(reader) == b"".join(frames(201, 210))
        await flushed(there, "done", 50)
        assert await rest(await there.log.read("run")) == b"".join(frames(1, 210))
        assert await rest(await there.log.read("done", 40)) == b"".join(frames(41, 50))
        assert (await there.log.look("run")).about == b"about"
        assert here.lost == there.lost == []
        assert here.orphans == there.orphans == []
    assert server.cli("SCARD", keys.logs(here.lease.me)) == "0"


async def test_a_log_that_redis_was_told_to_forget_is_written_again(server: Redis) -> None:
    await harmed(server, server.flush)


async def test_a_log_survives_a_redis_that_comes_back_empty(server: Redis) -> None:
    await harmed(server, server.restart)


async def test_a_redis_that_stands_still_for_longer_than_a_call_may_take_doubles_nothing(
    server: Redis,
) -> None:
    def stand_still() -> None:
        server.freeze()
        time.sleep(1.2)
        server.thaw()

    await harmed(server, stand_still)


async def test_connections_that_break_lose_and_double_nothing(server: Redis) -> None:
    def kill() -> None:
        server.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    await harmed(server, kill)


async def test_what_was_written_while_redis_stood_still_arrives_once(server: Redis) -> None:
    async with process(server.url) as here, process(server.url) as there:
        writer = await here.log.create("run")
        reader = await there.log.read("run")
        written = 0
        for _ in range(3):
            server.freeze()
            # These reach the connection's buffer, and nobody says whether they were taken.
            writer.append(frames(written + 1, written + 5))
            await until(lambda: not there.log.ready or not here.log.ready)
            writer.append(frames(written + 6, written + 10))
            server.thaw()
            assert await take(reader, 10) == b"".join(frames(written + 1, written + 10))
            written += 10
            await until(lambda: here.lease.valid and here.log.ready and there.log.ready)
        writer.finish()
        assert await rest(reader) == b""
        assert await rest(await there.log.read("run")) == b"".join(frames(1, 30))


async def test_a_redis_that_is_full_gets_everything_when_there_is_room(server: Redis) -> None:
    async with process(server.url) as here, process(server.url) as there:
        writer = await here.log.create("run")
        reader, local = await there.log.read("run"), await here.log.read("run")
        writer.append(frames(1, 1))
        assert await take(reader, 1) == b"<1>"
        server.maxmemory(1)
        writer.append(frames(2, 50, 10_000))
        writer.finish()
        assert (await rest(local)).endswith(frames(50, 50, 10_000)[0]), "ours need no Redis"
        with pytest.raises(LogUnavailable):
            await here.log.create("other")
        await until(lambda: not here.log.ready)
        server.maxmemory(0)
        assert await rest(reader) == b"".join(frames(2, 50, 10_000))
        await until(lambda: here.lease.valid and here.log.ready)
        other = await until_created(here, "other")
        assert other.last == 0


async def until_created(one: Process, name: str) -> LogWriter:
    """Create a log as soon as that can be done: when Redis is back, and has forgotten the last one."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await one.log.create(name)
            except (LogExists, LogUnavailable):
                await asyncio.sleep(0.01)


async def test_a_stream_whose_newest_entries_are_gone_is_written_again(server: Redis) -> None:
    async with process(server.url) as here, process(server.url) as there:
        writer = await here.log.create("run")
        reader = await there.log.read("run")
        for number in range(1, 11):
            writer.append(frames(number, number))
            await flushed(there, "run", number)
        assert await take(reader, 10) == b"".join(frames(1, 10))
        (stream,) = server.cli("KEYS", keys.frames("run", "*")).split()
        server.cli("XDEL", stream, "8-0", "9-0", "10-0")
        server.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        writer.append(frames(11, 12))
        assert await take(reader, 2) == b"".join(frames(11, 12))
        writer.finish()
        assert await rest(reader) == b""
        assert await rest(await there.log.read("run")) == b"".join(frames(1, 12))


async def test_frames_that_are_gone_while_their_owner_is_are_never_passed_over(
    server: Redis,
) -> None:
    async with process(server.url) as there, cut_off(server) as (here, network):
        writer = await here.log.create("run")
        reader = await there.log.read("run")
        writer.append(frames(1, 3))
        assert await take(reader, 3) == b"<1><2><3>"
        network.down()
        server.cli("DEL", *server.cli("KEYS", keys.frames("run", "*")).split())
        with pytest.raises(LogLost):
            await rest(reader)
        assert there.orphans == []
        with pytest.raises(LogNotFound):
            await there.log.read("run")


async def test_an_entry_that_is_gone_between_others_is_noticed(server: Redis) -> None:
    async with process(server.url) as here, process(server.url) as there:
        writer = await here.log.create("run")
        for number in range(1, 6):
            writer.append(frames(number, number))
            await flushed(there, "run", number)
        (stream,) = server.cli("KEYS", keys.frames("run", "*")).split()
        server.cli("XDEL", stream, "3-0")
        reader = await there.log.read("run")
        with pytest.raises(LogLost):
            await rest(reader)


async def test_the_logs_of_a_process_that_is_gone_are_finished_once(server: Redis) -> None:
    async with (
        process(server.url) as one,
        process(server.url) as two,
        cut_off(server) as (here, network),
    ):
        names = [f"run-{number}" for number in range(20)]
        writers = [await here.log.create(name) for name in names]
        readers = [await one.log.read(name) for name in names]
        for writer in writers[1:]:
            writer.append(frames(1, 3))
        for reader in readers[1:]:
            await take(reader, 3)
        network.down()
        for reader in readers:
            assert await rest(reader) == END
        found = dict(one.orphans + two.orphans)
        assert sorted(found) == sorted(names)
        assert found.pop(names[0]) == [], "one that was only claimed"
        assert all(got == frames(1, 3) for got in found.values())
        info = await two.log.look(names[1])
        assert (info.last, info.finished, info.note) == (3 + FAR, True, b"interrupted")
        assert await rest(await two.log.read(names[1])) == b"".join(frames(1, 3)) + END
        assert await rest(await two.log.read(names[1], 3)) == END
        await until(lambda: here.lease.me not in server.cli("ZRANGE", keys.PROCESSES, "0", "-1"))
        assert server.cli("EXISTS", keys.logs(here.lease.me)) == "0"


async def test_a_writer_that_lost_its_log_reaches_it_no_more(server: Redis) -> None:
    async with process(server.url) as there, cut_off(server) as (here, network):
        writer, done = await here.log.create("run"), await here.log.create("done")
        done.append(frames(1, 1))
        done.finish()
        local, reader = await here.log.read("run"), await there.log.read("run")
        writer.append(frames(1, 3))
        await take(reader, 3)
        await flushed(there, "done", 1)
        network.down()
        writer.append(frames(4, 5))
        assert await rest(reader) == END
        network.up()
        await until(lambda: writer.lost)
        writer.append(frames(6, 6))
        writer.finish()
        assert await rest(local) == b"".join(frames(1, 6)), "who reads here sees it all the same"
        assert here.lost == ["run"]
        assert not done.lost
        await here.log.drop("run")
        assert await rest(await here.log.read("run")) == b"".join(frames(1, 3)) + END
        assert await rest(await there.log.read("run")) == b"".join(frames(1, 3)) + END
        assert await rest(await there.log.read("done")) == b"<1>"
        assert len(server.cli("KEYS", keys.frames("run", "*")).split()) == 1


async def test_a_process_that_was_frozen_gives_up_its_logs_at_once(server: Redis) -> None:
    async with process(server.url) as here, process(server.url) as there:
        writer, done = await here.log.create("run"), await here.log.create("done")
        done.append(frames(1, 2))
        done.finish()
        writer.append(frames(1, 2))
        reader = await there.log.read("run")
        await take(reader, 2)
        await flushed(there, "done", 2)
        here.frozen += 10 * LEASE
        writer.append(frames(3, 4))
        assert await rest(reader) == END
        assert here.lost == ["run"]
        assert writer.lost
        assert not done.lost
        assert [name for name, _ in here.orphans + there.orphans] == ["run"]
        await until_created(here, "next")
        await until(lambda: server.cli("SMEMBERS", keys.logs(here.lease.me)) == "next")


async def test_an_orphan_that_could_not_be_finished_comes_again(server: Redis) -> None:
    async with process(server.url) as there, cut_off(server) as (here, network):
        there.refusals = 2
        writer = await here.log.create("run")
        writer.append(frames(1, 2))
        reader = await there.log.read("run")
        await take(reader, 2)
        network.down()
        assert await rest(reader) == END
        assert there.orphans == [("run", frames(1, 2))] * 3


async def test_what_a_process_has_not_finished_at_its_end_is_finished_by_others(
    server: Redis,
) -> None:
    async with process(server.url) as there:
        async with process(server.url) as here:
            writer, done = await here.log.create("run"), await here.log.create("done")
            reader = await there.log.read("run")
            writer.append(frames(1, 20))
            done.append(frames(1, 1000, 1000))
            done.finish()
        assert await rest(reader) == b"".join(frames(1, 20)) + END
        assert await rest(await there.log.read("done")) == b"".join(frames(1, 1000, 1000))
        assert there.orphans == [("run", frames(1, 20))]
        await until(lambda: here.lease.me not in server.cli("ZRANGE", keys.PROCESSES, "0", "-1"))


async def test_the_end_of_a_log_of_a_process_that_is_gone_stays_as_it_was(server: Redis) -> None:
    async with process(server.url) as there, cut_off(server) as (here, network):
        writer = await here.log.create("run")
        writer.append(frames(1, 2))
        writer.finish()
        await flushed(there, "run", 2)
        await until(lambda: server.cli("HGET", keys.meta("run"), "ended") == "1")
        network.down()
        # As if the process had had no time to say that it is finished.
        server.cli("HDEL", keys.meta("run"), "ended")
        server.cli("SADD", keys.logs(here.lease.me), "run")
        await until(lambda: here.lease.me not in server.cli("ZRANGE", keys.PROCESSES, "0", "-1"))
        assert await rest(await there.log.read("run")) == b"<1><2>"
        assert there.orphans == []
        assert (await there.log.look("run")).finished


async def test_a_claim_without_an_answer_is_given_back(server: Redis) -> None:
    async with process(server.url) as here, process(server.url) as there:
        server.freeze()
        with pytest.raises(LogUnavailable):
            await here.log.create("run")
        with pytest.raises(LogUnavailable):
            await here.log.create("run")
        server.thaw()
        await until(lambda: here.log.ready and there.log.ready)
        await until(lambda: server.cli("EXISTS", keys.meta("run")) == "0")
        writer = await until_created(here, "run")
        writer.append(frames(1, 1))
        await flushed(there, "run", 1)
        with pytest.raises(LogExists):
            await there.log.create("run")
        await until(lambda: server.cli("SMEMBERS", keys.logs(here.lease.me)) == "run")
        assert server.cli("SCARD", keys.logs(there.lease.me)) == "0"


async def test_a_claim_that_is_cancelled_is_given_back(server: Redis) -> None:
    async with process(server.url) as here, process(server.url) as there:
        for turns in range(12):
            task = asyncio.create_task(here.log.create(f"run-{turns}"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                await here.log.drop(f"run-{turns}")
        for turns in range(12):
            await until_created(there, f"run-{turns}")
        await until(lambda: server.cli("SCARD", keys.logs(here.lease.me)) == "0")


async def test_a_log_dropped_while_redis_is_away_is_forgotten_when_it_is_back(
    server: Redis,
) -> None:
    async with process(server.url) as there, cut_off(server) as (here, network):
        writer = await here.log.create("run")
        writer.append(frames(1, 1))
        writer.finish()
        await flushed(there, "run", 1)
        network.down()
        await here.log.drop("run")
        with pytest.raises(LogUnavailable):
            await here.log.create("run")
        network.up()
        await until(lambda: server.cli("EXISTS", keys.meta("run")) == "0")
        assert server.cli("KEYS", keys.frames("run", "*")) == ""
        await until_created(here, "run")


async def test_a_name_that_is_used_again_is_never_mixed_with_the_log_before(server: Redis) -> None:
    async with process(server.url) as here, process(server.url) as there:
        first = await here.log.create("run")
        first.append(frames(1, 3))
        old = await there.log.read("run")
        await take(old, 3)
        await here.log.drop("run")
        second = await here.log.create("run")
        second.append(frames(1, 9))
        second.finish()
        new = await there.log.read("run")
        assert await rest(new) == b"".join(frames(1, 9))
        with pytest.raises(LogLost):
            await rest(old)


async def test_while_redis_is_away_nobody_waits_long_and_readers_stay(server: Redis) -> None:
    async with process(server.url) as here, process(server.url) as there:
        writer = await here.log.create("run")
        reader = await there.log.read("run")
        server.stop()
        try:
            await until(lambda: not there.log.ready and not here.log.ready)
            began = time.monotonic()
            for attempt in (
                there.log.read("run"),
                there.log.look("run"),
                there.log.forbid("new", 1),
                there.log.create("new"),
            ):
                with pytest.raises(LogUnavailable):
                    await attempt
            assert time.monotonic() - began < 0.4
            writer.append(frames(1, 1))
            assert await take(await here.log.read("run"), 1) == b"<1>"
        finally:
            server.start()
        writer.finish()
        assert await rest(reader) == b"<1>"


async def test_closing_is_bounded_when_redis_stands_still(server: Redis) -> None:
    here = Process(server.url)
    await here.open()
    (await here.log.create("run")).append(frames(1, 1))
    server.freeze()
    async with asyncio.timeout(2.5):
        await here.log.close()


async def test_a_long_log_is_read_elsewhere_in_large_pieces(server: Redis) -> None:
    async with process(server.url) as here, process(server.url) as there:
        writer = await here.log.create("run")
        for number in range(1, 1301):
            writer.append(frames(number, number))
            if number % 10 == 0:
                await asyncio.sleep(0.006)
        writer.append(frames(1301, 1400, 20_000))
        writer.finish()
        await flushed(there, "run", 1400)
        whole = b"".join([*frames(1, 1300), *frames(1301, 1400, 20_000)])
        assert await rest(await there.log.read("run")) == whole
        entries = server.cli("XLEN", *server.cli("KEYS", keys.frames("run", "*")).split())
        assert 20 < int(entries) < 700
