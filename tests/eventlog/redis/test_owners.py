"""Whose a log in Redis is: claims, and what becomes of the logs of a process that is gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stream_serve.cluster.redis.keys import PROCESSES, unfinished
from stream_serve.errors import LogExists, LogNotFound, LogUnavailable
from stream_serve.eventlog.redis import keys
from support.redis_log import (
    END,
    FAR,
    LEASE,
    cut_off,
    flushed,
    frames,
    process,
    rest,
    take,
    until_created,
)
from support.waiting import until

if TYPE_CHECKING:
    from support.redis import Redis


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
        assert (info.last, info.finished, info.summary) == (3 + FAR, True, b"interrupted")
        assert await rest(await two.log.read(names[1])) == b"".join(frames(1, 3)) + END
        assert await rest(await two.log.read(names[1], 3)) == END
        await until(lambda: here.lease.me not in server.cli("ZRANGE", PROCESSES, "0", "-1"))
        assert server.cli("EXISTS", unfinished(here.lease.me)) == "0"


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


async def test_a_finished_log_of_a_process_that_is_gone_is_erased_for_good(server: Redis) -> None:
    async with process(server.url) as there, cut_off(server) as (here, network):
        done, kept = await here.log.create("done"), await here.log.create("kept")
        for writer in (done, kept):
            writer.append(frames(1, 2))
            writer.finish()
            await flushed(there, writer.name, 2)
        await until(lambda: there.lease.steady)
        assert not await there.log.erase("done"), "its process lives"
        assert not await there.log.erase("none")
        network.down()
        await until(lambda: here.lease.me not in there.lease.alive)
        assert await there.log.erase("done")
        assert not await there.log.erase("done")
        with pytest.raises(LogNotFound):
            await there.log.look("done")
        network.up()
        await until(lambda: done.lost)
        with pytest.raises(LogNotFound):
            await here.log.read("done")
        assert here.lost == []
        await flushed(there, "kept", 2)
        assert not kept.lost
        again = await until_created(there, "done")
        again.append(frames(1, 3))
        await flushed(here, "done", 3)
        server.cli("DEL", keys.meta("done"))
        there.log._flusher.doubt_all()  # pyright: ignore[reportPrivateUsage]
        again.append(frames(4, 4))
        await flushed(here, "done", 4)


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
        await until(lambda: server.cli("SMEMBERS", unfinished(here.lease.me)) == "next")


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
        await until(lambda: here.lease.me not in server.cli("ZRANGE", PROCESSES, "0", "-1"))


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
        server.cli("SADD", unfinished(here.lease.me), "run")
        await until(lambda: here.lease.me not in server.cli("ZRANGE", PROCESSES, "0", "-1"))
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
        await until(lambda: server.cli("SMEMBERS", unfinished(here.lease.me)) == "run")
        assert server.cli("SCARD", unfinished(there.lease.me)) == "0"


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
        await until(lambda: server.cli("SCARD", unfinished(here.lease.me)) == "0")


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
