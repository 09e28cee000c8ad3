"""What becomes of logs in a real Redis when something fails: they come whole, and once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from stream_serve.cluster.redis.keys import unfinished
from stream_serve.errors import LogLost, LogNotFound, LogUnavailable
from stream_serve.eventlog.redis import keys
from support.redis_log import (
    PATIENCE,
    Process,
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
    from collections.abc import Awaitable, Callable

    from support.redis import Redis


async def harmed(server: Redis, harm: Callable[[Process, Process], Awaitable[None]]) -> None:
    """A log of one process is read in another one while Redis is harmed: it comes whole, once."""
    async with process(server.url) as here, process(server.url) as there:
        writer, done = await here.log.create("run", b"fingerprint"), await here.log.create("done")
        done.append(frames(1, 50))
        done.finish()
        reader = await there.log.read("run")
        writer.append(frames(1, 100))
        assert await take(reader, 100) == b"".join(frames(1, 100))
        await flushed(there, "done", 50)
        await harm(here, there)
        writer.append(frames(101, 200))
        got = await take(reader, 100)
        assert got == b"".join(frames(101, 200))
        writer.append(frames(201, 210))
        writer.summarize(lambda: b"summary")
        writer.finish()
        assert await rest(reader) == b"".join(frames(201, 210))
        await flushed(there, "done", 50)
        assert await rest(await there.log.read("run")) == b"".join(frames(1, 210))
        assert await rest(await there.log.read("done", 40)) == b"".join(frames(41, 50))
        assert (await there.log.look("run")).fingerprint == b"fingerprint"
        assert here.lost == there.lost == []
        assert here.orphans == there.orphans == []
    assert server.cli("SCARD", unfinished(here.lease.me)) == "0"


async def test_a_log_that_redis_was_told_to_forget_is_written_again(server: Redis) -> None:
    async def flush(*processes: Process) -> None:
        del processes
        server.flush()

    await harmed(server, flush)


async def test_a_log_survives_a_redis_that_comes_back_empty(server: Redis) -> None:
    async def restart(*processes: Process) -> None:
        del processes
        await asyncio.to_thread(server.restart)

    await harmed(server, restart)


async def test_a_redis_that_stands_still_for_longer_than_a_call_may_take_doubles_nothing(
    server: Redis,
) -> None:
    async def stand_still(here: Process, there: Process) -> None:
        server.freeze()
        await until(lambda: not here.log.ready and not there.log.ready)
        server.thaw()

    await harmed(server, stand_still)


async def test_connections_that_break_lose_and_double_nothing(server: Redis) -> None:
    async def kill(*processes: Process) -> None:
        del processes
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
    async with process(server.url, PATIENCE) as here, process(server.url, PATIENCE) as there:
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
            assert time.monotonic() - began < PATIENCE / 3
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
    async with asyncio.timeout(30):
        await here.log.close()


async def test_a_long_log_is_read_elsewhere_in_large_pieces(server: Redis) -> None:
    async with process(server.url) as here, process(server.url) as there:
        writer = await here.log.create("run")
        for number in range(1, 1301):
            writer.append(frames(number, number))
            if number % 50 == 0:
                await flushed(there, "run", number)
        writer.append(frames(1301, 1400, 20_000))
        writer.finish()
        await flushed(there, "run", 1400)
        whole = b"".join([*frames(1, 1300), *frames(1301, 1400, 20_000)])
        assert await rest(await there.log.read("run")) == whole
        entries = server.cli("XLEN", *server.cli("KEYS", keys.frames("run", "*")).split())
        assert 20 < int(entries) < 700
