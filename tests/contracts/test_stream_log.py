"""What every event log promises, whatever keeps it; the backends are at the top."""

from __future__ import annotations

import asyncio
import gc
import secrets
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stream_serve.cluster.redis.client import Link
from stream_serve.cluster.redis.lease import Lease
from stream_serve.cluster.redis.listener import Listener
from stream_serve.errors import LogExists, LogForbidden, LogNotFound
from stream_serve.eventlog.memory import MemoryStreamLog
from stream_serve.eventlog.redis.log import RedisStreamLog
from support.redis import shared_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from stream_serve.eventlog.base import LogInfo, LogReader, LogWriter, Orphan, StreamLog
    from stream_serve.eventlog.redis.writer import RedisLogWriter

BATCH: Final = 65_536
SOME: Final = 10
"""Futures that a backend's own tasks may have at one time and not at another."""


@pytest.fixture(params=["memory", "redis", "redis-other"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[StreamLog]:
    """Each backend; `redis-other` is read in another process than it is written in."""
    if request.param == "memory":
        yield MemoryStreamLog()
        return
    writing = shared_log()
    await writing.open(lost=never_lost, orphaned=never_orphaned)
    if request.param == "redis":
        yield writing
    else:
        reading = shared_log()
        await reading.open(lost=never_lost, orphaned=never_orphaned)
        apart = Apart(writing, reading)
        yield apart
        await apart.close()
        await reading.close()
    await writing.close()


def shared_log() -> RedisStreamLog:
    """One process's view of the logs in a real Redis."""
    link = Link(shared_server().url, 5.0)
    return RedisStreamLog(
        link,
        Listener(link),
        Lease(link, 30.0),
        flush_interval=0.001,
        live_ttl=600.0,
        retention=60.0,
    )


def never_lost(name: str) -> None:
    raise AssertionError(f"{name} was lost")


async def never_orphaned(orphan: Orphan) -> None:
    raise AssertionError(f"{orphan.name} is an orphan")


class Apart:
    """Writes in one process and reads in another one, which is given the time to see it all.

    A follower of its own on each log says what the other process has seen.
    """

    def __init__(self, writing: RedisStreamLog, reading: RedisStreamLog) -> None:
        self._writing = writing
        self._reading = reading
        self._probes: dict[str, Probe] = {}

    @property
    def ready(self) -> bool:
        return self._reading.ready

    async def open(
        self, *, lost: Callable[[str], None], orphaned: Callable[[Orphan], Awaitable[None]]
    ) -> None:
        raise AssertionError(f"both are open: {lost} {orphaned}")

    async def close(self) -> None:
        for probe in self._probes.values():
            await probe.close()

    async def create(self, name: str, about: bytes = b"") -> LogWriter:
        writer = await self._writing.create(name, about)
        self._probes[name] = Probe(writer, await self._reading.read(name))
        return writer

    async def forbid(self, name: str, seconds: float) -> bool:
        return await self._reading.forbid(name, seconds)

    async def look(self, name: str) -> LogInfo:
        await self._catch_up(name)
        return await self._reading.look(name)

    async def read(self, name: str, after: int = 0) -> LogReader:
        reader = await self._reading.read(name, after)
        await self._catch_up(name)
        return reader

    async def drop(self, name: str) -> None:
        await self._catch_up(name)
        await self._writing.drop(name)
        if (probe := self._probes.pop(name, None)) is not None:
            await probe.close()

    async def _catch_up(self, name: str) -> None:
        if name in self._probes:
            async with asyncio.timeout(20):
                while not self._probes[name].is_level:
                    await asyncio.sleep(0.001)


class Probe:
    """Follows a log in the other process."""

    def __init__(self, writer: RedisLogWriter, reader: LogReader) -> None:
        self._writer = writer
        self._reader = reader
        self._seen = 0
        self._task = asyncio.create_task(self._run())

    @property
    def is_level(self) -> bool:
        """Whether the other process has seen all that was written."""
        written = self._writer.frames
        return self._seen == sum(map(len, written.list)) and (
            not written.finished or self._task.done()
        )

    async def close(self) -> None:
        self._reader.close()
        await self._task

    async def _run(self) -> None:
        while (batch := await self._reader.read()) is not None:
            self._seen += len(batch)


def new_name() -> str:
    return f"test-{secrets.token_urlsafe(16)}"


def frames(first: int, last: int, size: int = 0) -> list[bytes]:
    """Frames that say their number, each of at least `size` bytes."""
    return [(b"<%d" % number).ljust(size, b".") + b">" for number in range(first, last + 1)]


async def settle() -> None:
    """Let every task that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def start(reader: LogReader) -> asyncio.Task[bytes | None]:
    """Begin a read that has to wait."""
    task = asyncio.create_task(reader.read())
    await settle()
    assert not task.done(), "there was something to read"
    return task


async def take(reader: LogReader, count: int) -> bytes:
    """Read some frames, in however many batches they come."""
    got = b""
    while got.count(b">") < count:
        batch = await reader.read()
        assert batch, "neither the end nor a nudge"
        got += batch
    return got


async def rest(reader: LogReader) -> bytes:
    """Read to the end."""
    got = b""
    while (batch := await reader.read()) is not None:
        assert batch, "nobody nudged"
        got += batch
    return got


def futures() -> int:
    """How many futures there are in the whole process."""
    gc.collect()
    return sum(isinstance(thing, asyncio.Future) for thing in gc.get_objects())


async def outcome(task: asyncio.Task[bytes | None]) -> bytes:
    """What a read brought that was cancelled, maybe too late."""
    try:
        return await task or b""
    except asyncio.CancelledError:
        return b""


async def test_a_new_log_is_empty_and_its_writer_counts_the_frames(log: StreamLog) -> None:
    writer = await log.create(new_name())
    assert writer.last == 0
    writer.append(frames(1, 3))
    assert writer.last == 3
    writer.append(frames(4, 4))
    assert writer.last == 4
    writer.finish()
    assert writer.last == 4


async def test_a_reader_gets_every_frame_in_order_and_then_the_end(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    reader = await log.read(name)
    writer.append(frames(1, 2))
    assert await take(reader, 2) == b"<1><2>"
    writer.append(frames(3, 3))
    writer.finish()
    assert await rest(reader) == b"<3>"
    assert await reader.read() is None


async def test_a_reader_waits_for_the_next_frame_and_for_the_end(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    reader = await log.read(name)
    waiting = await start(reader)
    writer.append(frames(1, 1))
    assert await waiting == b"<1>"
    waiting = await start(reader)
    writer.finish()
    assert await waiting is None


async def test_a_log_that_was_finished_empty_has_only_an_end(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    writer.finish()
    assert await (await log.read(name)).read() is None


@pytest.mark.parametrize("after", range(6))
@pytest.mark.parametrize("finished", [False, True])
async def test_a_reader_begins_after_its_cursor(log: StreamLog, after: int, finished: bool) -> None:
    name = new_name()
    writer = await log.create(name)
    writer.append(frames(1, 5))
    if finished:
        writer.finish()
    reader = await log.read(name, after)
    assert await take(reader, 5 - after) == b"".join(frames(after + 1, 5))
    if not finished:
        waiting = await start(reader)
        writer.finish()
        assert await waiting is None
    assert await reader.read() is None


async def test_a_reader_that_joins_late_gets_what_was_before_and_what_comes(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    early = await log.read(name)
    writer.append(frames(1, 10))
    assert await take(early, 10)
    late = await log.read(name)
    writer.append(frames(11, 20))
    writer.finish()
    assert await rest(late) == b"".join(frames(1, 20))
    assert await rest(early) == b"".join(frames(11, 20))


async def test_a_reader_ahead_of_the_log_waits_for_its_own_frame(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    writer.append(frames(1, 1))
    waiting = await start(await log.read(name, 3))
    writer.append(frames(2, 2))
    writer.append(frames(3, 3))
    await settle()
    writer.append(frames(4, 4))
    assert await waiting == b"<4>"


async def test_readers_at_different_places_do_not_disturb_each_other(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    writer.append(frames(1, 30))
    readers = [await log.read(name, after) for after in (0, 7, 29, 30)]
    assert await take(readers[1], 1)
    gone = await start(readers[3])
    gone.cancel()
    await asyncio.wait({gone})
    readers[2].close()
    writer.append(frames(31, 40))
    writer.finish()
    assert await rest(readers[0]) == b"".join(frames(1, 40))
    assert await rest(readers[3]) == b"".join(frames(31, 40))
    assert await readers[2].read() is None


async def test_one_frame_wakes_every_reader_that_waits(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    waiting = [await start(await log.read(name)) for _ in range(50)]
    writer.append(frames(1, 1))
    assert await asyncio.gather(*waiting) == [b"<1>"] * 50


async def test_adding_no_frames_changes_nothing(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    reader = await log.read(name)
    waiting = await start(reader)
    reader.nudge()
    assert await waiting == b""
    waiting = await start(reader)
    writer.append([])
    await settle()
    assert writer.last == 0
    writer.append(frames(1, 1))
    assert await waiting == b"<1>"


async def test_what_was_given_to_append_may_be_used_for_something_else(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    batch = frames(1, 2)
    writer.append(batch)
    batch[:] = [b"other"]
    writer.append(tuple(frames(3, 3)))
    writer.finish()
    assert await rest(await log.read(name)) == b"<1><2><3>"


async def test_a_long_log_comes_in_batches_of_about_64_kib(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    everything = frames(1, 1000, 1000)
    writer.append(everything)
    writer.finish()
    reader = await log.read(name)
    batches: list[bytes] = []
    while (batch := await reader.read()) is not None:
        batches.append(batch)
    assert b"".join(batches) == b"".join(everything)
    assert max(len(batch) for batch in batches) <= BATCH + 1001
    assert all(batch.endswith(b">") for batch in batches), "a frame is never cut"
    assert len(batches) < 100, "frames are joined"


async def test_a_frame_larger_than_a_batch_comes_whole(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    big = frames(1, 3, 3 * BATCH)
    writer.append(big)
    reader = await log.read(name)
    assert [await reader.read() for _ in range(3)] == big


async def test_any_bytes_come_back_as_they_were(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    everything = [bytes(range(256)), "😀\u2028".encode(), b"\r\n\r\n", b"\0"]
    writer.append(everything)
    writer.finish()
    reader = await log.read(name, 1)
    assert await rest_of_any(reader) == b"".join(everything[1:])


async def rest_of_any(reader: LogReader) -> bytes:
    got = b""
    while batch := await reader.read():
        got += batch
    return got


async def test_a_cancelled_read_has_moved_nothing(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    reader = await log.read(name)
    waiting = await start(reader)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    writer.append(frames(1, 2))
    writer.finish()
    assert await rest(reader) == b"<1><2>"


async def test_what_comes_while_a_read_waits_can_be_written_at_once(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    writer.append(frames(1, 1))
    reader = await log.read(name)
    got: list[bytes] = []
    willing = True

    def write(data: bytes) -> bool:
        if willing:
            got.append(data)
        return willing

    assert await reader.read(write) == b"<1>"
    waiting = asyncio.create_task(reader.read(write))
    await settle()
    writer.append(frames(2, 3))
    writer.append(frames(4, 4))
    async with asyncio.timeout(20):
        while b"".join(got) != b"<2><3><4>":
            await asyncio.sleep(0.001)
    assert not waiting.done()
    willing = False
    writer.append(frames(5, 5))
    assert await waiting == b"<5>"
    waiting = asyncio.create_task(reader.read(write))
    await settle()
    writer.finish()
    assert await waiting is None
    assert b"".join(got) == b"<2><3><4>"


async def test_what_a_write_raises_is_raised_to_the_reader_and_not_to_the_writer(
    log: StreamLog,
) -> None:
    name = new_name()
    writer = await log.create(name)
    writer.append(frames(1, 1))
    reader = await log.read(name)

    def write(data: bytes) -> bool:
        raise ValueError(data)

    await reader.read(write)
    waiting = asyncio.create_task(reader.read(write))
    await settle()
    writer.append(frames(2, 2))
    with pytest.raises(ValueError, match="<2>"):
        await waiting


async def test_a_read_cancelled_in_the_instant_a_frame_comes_loses_nothing(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    for cancel_first in (False, True):
        reader = await log.read(name, writer.last)
        waiting = await start(reader)
        first = writer.last + 1
        if cancel_first:
            waiting.cancel()
        writer.append(frames(first, first))
        if not cancel_first:
            waiting.cancel()
        got = await outcome(waiting)
        writer.append(frames(first + 1, first + 1))
        got += await take(reader, 2 - got.count(b">"))
        assert got == b"".join(frames(first, first + 1))


async def test_a_read_cancelled_in_the_instant_of_the_end_can_be_repeated(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    reader = await log.read(name)
    waiting = await start(reader)
    writer.finish()
    waiting.cancel()
    assert await outcome(waiting) == b""
    assert await reader.read() is None


async def test_cancelled_reads_leave_nothing_behind_that_waits(log: StreamLog) -> None:
    name = new_name()
    await log.create(name)
    reader = await log.read(name)

    async def wait_in_vain() -> None:
        waiting = await start(reader)
        waiting.cancel()
        await asyncio.wait({waiting})

    before = futures()
    for _ in range(100):
        await wait_in_vain()
    await settle()
    assert futures() <= before + SOME


async def test_nudged_reads_leave_nothing_behind_that_waits(log: StreamLog) -> None:
    name = new_name()
    await log.create(name)
    reader = await log.read(name)

    async def wait_for_a_nudge() -> None:
        waiting = await start(reader)
        reader.nudge()
        assert await waiting == b""

    before = futures()
    for _ in range(100):
        await wait_for_a_nudge()
    await settle()
    assert futures() <= before + SOME


async def test_a_nudge_ends_one_wait_once_with_nothing(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    reader, other = await log.read(name), await log.read(name)
    waiting, others = await start(reader), await start(other)
    reader.nudge()
    reader.nudge()
    assert await waiting == b""
    again = await start(reader)
    writer.append(frames(1, 1))
    assert await again == b"<1>"
    assert await others == b"<1>", "a nudge is for one reader"


async def test_a_nudge_that_nobody_waits_for_has_no_effect(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    reader = await log.read(name)
    reader.nudge()
    waiting = await start(reader)
    waiting.cancel()
    await asyncio.wait({waiting})
    reader.nudge()
    waiting = await start(reader)
    writer.append(frames(1, 1))
    assert await waiting == b"<1>"
    reader.nudge()
    writer.append(frames(2, 2))
    reader.nudge()
    assert await take(reader, 1) == b"<2>"


@pytest.mark.parametrize("nudge_first", [True, False])
async def test_a_nudge_in_the_instant_a_frame_comes_loses_and_doubles_nothing(
    log: StreamLog, nudge_first: bool
) -> None:
    name = new_name()
    writer = await log.create(name)
    reader = await log.read(name)
    waiting = await start(reader)
    if nudge_first:
        reader.nudge()
    writer.append(frames(1, 1))
    if not nudge_first:
        reader.nudge()
    got = await waiting
    assert got in {b"", b"<1>"}
    writer.append(frames(2, 2))
    writer.finish()
    assert (got or b"") + await rest(reader) == b"<1><2>"


async def test_closing_a_reader_ends_its_wait_and_every_later_read(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    reader, other = await log.read(name), await log.read(name)
    waiting = await start(reader)
    reader.close()
    assert await waiting is None
    writer.append(frames(1, 1))
    assert await reader.read() is None
    reader.nudge()
    reader.close()
    assert await reader.read() is None
    assert await take(other, 1) == b"<1>"


async def test_a_reader_closed_before_it_has_read_everything_reads_no_more(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    writer.append(frames(1, 3))
    reader = await log.read(name)
    reader.close()
    assert await reader.read() is None


async def test_a_reader_closed_in_the_instant_a_frame_comes_ends(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    reader = await log.read(name)
    waiting = await start(reader)
    writer.append(frames(1, 1))
    reader.close()
    assert await waiting in {None, b"<1>"}
    assert await reader.read() is None


async def test_a_finished_log_takes_no_more_frames(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    writer.append(frames(1, 1))
    writer.finish()
    with pytest.raises(RuntimeError):
        writer.append(frames(2, 2))
    assert writer.last == 1
    assert await rest(await log.read(name)) == b"<1>"


async def test_a_name_can_be_taken_only_once(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    writer.append(frames(1, 1))
    with pytest.raises(LogExists):
        await log.create(name)
    writer.finish()
    with pytest.raises(LogExists):
        await log.create(name)
    assert await rest(await log.read(name)) == b"<1>"


async def test_logs_of_different_names_have_nothing_in_common(log: StreamLog) -> None:
    one, two = new_name(), new_name()
    first, second = await log.create(one), await log.create(two)
    first.append(frames(1, 2))
    first.finish()
    second.append(frames(7, 7))
    assert await rest(await log.read(one)) == b"<1><2>"
    assert await take(await log.read(two), 1) == b"<7>"


async def test_a_log_that_never_was_or_was_dropped_cannot_be_read(log: StreamLog) -> None:
    name = new_name()
    with pytest.raises(LogNotFound):
        await log.read(name)
    await log.create(name)
    await log.drop(name)
    with pytest.raises(LogNotFound):
        await log.read(name)
    await log.drop(name)
    await log.drop(new_name())


async def test_whoever_is_on_a_log_when_it_is_dropped_may_read_it_to_its_end(
    log: StreamLog,
) -> None:
    name = new_name()
    writer = await log.create(name)
    writer.append(frames(1, 300, 1000))
    writer.finish()
    reader = await log.read(name)
    assert await reader.read()
    late = await log.read(name, 299)
    await log.drop(name)
    assert await rest(late) == frames(300, 300, 1000)[0]
    assert (await rest(reader)).endswith(frames(300, 300, 1000)[0])


async def test_a_dropped_name_can_be_taken_again_for_another_log(log: StreamLog) -> None:
    name = new_name()
    (await log.create(name)).append(frames(1, 5))
    await log.drop(name)
    writer = await log.create(name)
    assert writer.last == 0
    writer.append(frames(9, 9))
    writer.finish()
    assert await rest(await log.read(name)) == b"<9>"


async def test_the_number_goes_on_behind_the_numbers_that_were_skipped(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    reader, ahead = await log.read(name), await log.read(name, 1000)
    writer.append(frames(1, 3))
    writer.skip(1000)
    assert writer.last == 1000
    writer.append(frames(1001, 1002))
    writer.finish()
    assert writer.last == 1002
    whole = frames(1, 3) + frames(1001, 1002)
    assert await rest(reader) == b"".join(whole)
    assert await rest(ahead) == b"".join(whole[3:])
    for after, place in ((2, 2), (3, 3), (4, 3), (999, 3), (1000, 3), (1001, 4), (1002, 5)):
        assert await rest(await log.read(name, after)) == b"".join(whole[place:])
    assert (await log.look(name)).last == 1002


@pytest.mark.parametrize("written", [0, 3])
async def test_a_log_may_end_behind_numbers_that_were_skipped(log: StreamLog, written: int) -> None:
    name = new_name()
    writer = await log.create(name)
    writer.append(frames(1, written))
    writer.skip(50)
    writer.finish()
    assert await rest(await log.read(name)) == b"".join(frames(1, written))
    assert await (await log.read(name, 50)).read() is None
    assert (await log.look(name)).last == 50


async def test_numbers_that_are_used_cannot_be_skipped_nor_more_than_once(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    writer.append(frames(1, 3))
    writer.skip(2)
    assert writer.last == 3
    writer.skip(10)
    writer.skip(20)
    assert writer.last == 10
    writer.append(frames(11, 11))
    writer.finish()
    assert await rest(await log.read(name, 3)) == b"<11>"


async def test_a_look_tells_what_a_log_is_about_how_far_it_is_and_its_note(log: StreamLog) -> None:
    name = new_name()
    with pytest.raises(LogNotFound):
        await log.look(name)
    writer = await log.create(name, b"about\xff")
    first = await log.look(name)
    assert (first.about, first.last, first.finished, first.note) == (b"about\xff", 0, False, b"")
    writer.append(frames(1, 7))
    writer.note(b"one")
    assert await look_until(log, name, note=b"one")
    assert (await log.look(name)).last == 7
    writer.append(frames(8, 8))
    writer.note(b"two")
    writer.finish()
    assert await look_until(log, name, note=b"two")
    last = await log.look(name)
    assert (last.about, last.last, last.finished) == (b"about\xff", 8, True)
    writer.note(b"\0three\xff")
    assert await look_until(log, name, note=b"\0three\xff")
    await log.drop(name)
    with pytest.raises(LogNotFound):
        await log.look(name)


async def look_until(log: StreamLog, name: str, *, note: bytes) -> bool:
    """Look until the note is there, which follows within a flush interval."""
    async with asyncio.timeout(20):
        while (await log.look(name)).note != note:
            await asyncio.sleep(0.001)
    return True


async def test_a_writer_has_its_log_until_another_process_takes_it(log: StreamLog) -> None:
    writer = await log.create(new_name())
    writer.append(frames(1, 1))
    assert not writer.lost
    writer.finish()
    assert not writer.lost
    assert log.ready


async def test_nobody_can_make_a_log_of_a_forbidden_name(log: StreamLog) -> None:
    name = new_name()
    assert await log.forbid(name, 60)
    assert await log.forbid(name, 60), "it may be said again"
    for _ in range(2):
        with pytest.raises(LogForbidden):
            await log.create(name)
    with pytest.raises(LogNotFound):
        await log.look(name)


async def test_a_name_is_forbidden_only_for_a_while(log: StreamLog) -> None:
    name = new_name()
    assert await log.forbid(name, 0.05)
    async with asyncio.timeout(20):
        while True:
            try:
                await log.create(name)
            except LogForbidden:
                await asyncio.sleep(0.01)
            else:
                break
    assert (await log.look(name)).last == 0


async def test_the_name_of_a_log_cannot_be_forbidden(log: StreamLog) -> None:
    name = new_name()
    writer = await log.create(name)
    assert not await log.forbid(name, 60)
    writer.append(frames(1, 1))
    writer.finish()
    assert not await log.forbid(name, 60)
    assert await rest(await log.read(name)) == b"<1>"


class Follower:
    """A reader, and what it has to have seen so far."""

    def __init__(self, reader: LogReader, after: int) -> None:
        self.reader = reader
        self.cursor = after
        self.closed = False
        self.nudged = False
        self.willing = True
        self.following = False
        self.read: asyncio.Task[bytes | None] | None = None

    def write(self, batch: bytes, written: Sequence[bytes]) -> bool:
        """Take what comes while a read waits, or say that it has to be read."""
        assert batch
        if self.willing:
            self.check(batch, written, finished=False)
        return self.willing

    def check(self, batch: bytes | None, written: Sequence[bytes], *, finished: bool) -> None:
        """Hold what one read gave against what was written."""
        if batch is None:
            assert self.closed or (finished and self.cursor == len(written))
        elif not batch:
            assert self.nudged
        else:
            count = batch.count(b">")
            assert batch == b"".join(written[self.cursor : self.cursor + count])
            assert len(batch) <= BATCH + max(map(len, written))
            self.cursor += count


Act = Literal[
    "append", "finish", "attach", "read", "follow", "turn", "nudge", "close", "cancel", "settle"
]


class Play:
    """A log, its writer and its readers, and a model of what they should do."""

    def __init__(self, log: StreamLog, name: str, writer: LogWriter) -> None:
        self.log = log
        self.name = name
        self.writer = writer
        self.written: list[bytes] = []
        self.finished = False
        self.followers: list[Follower] = []

    async def do(self, act: Act, number: int) -> None:
        if act == "append" and not self.finished:
            first = len(self.written) + 1
            more = frames(first, first + number % 4, 30_000 if number > 90 else 0)
            self.written += more
            self.writer.append(more)
        elif act == "finish":
            self.writer.finish()
            self.finished = True
        elif act == "attach":
            after = number % (len(self.written) + 1)
            self.followers.append(Follower(await self.log.read(self.name, after), after))
        elif act == "settle":
            await self.settle()
        elif self.followers:
            await self.move(act, self.followers[number % len(self.followers)])

    async def move(self, act: Act, follower: Follower) -> None:
        if act in {"read", "follow"} and follower.read is None:
            follower.nudged = False
            follower.following = act == "follow"
            write = partial(follower.write, written=self.written) if follower.following else None
            follower.read = asyncio.create_task(follower.reader.read(write))
        elif act == "turn":
            follower.willing = not follower.willing
        elif act == "nudge":
            follower.reader.nudge()
            follower.nudged = True
        elif act == "close":
            follower.reader.close()
            follower.closed = True
        elif act == "cancel" and follower.read is not None:
            follower.read.cancel()
            await self.collect(follower)

    async def settle(self) -> None:
        """Wait for every read that has a reason to end, and see that no other one does."""
        await settle()
        for follower in self.followers:
            if follower.read is None:
                continue
            while follower.following and not follower.read.done():
                if follower.cursor == len(self.written):
                    break
                await asyncio.sleep(0.001)
            due = follower.cursor < len(self.written) or self.finished or follower.closed
            if due or follower.read.done():
                await self.collect(follower)

    async def collect(self, follower: Follower) -> None:
        task, follower.read = follower.read, None
        assert task is not None
        await asyncio.wait({task})
        if not task.cancelled():
            follower.check(task.result(), self.written, finished=self.finished)

    async def end(self) -> None:
        """Finish; every reader that was not closed comes to the end without a gap."""
        self.writer.finish()
        self.finished = True
        await self.settle()
        for follower in self.followers:
            expected = b"" if follower.closed else b"".join(self.written[follower.cursor :])
            assert await rest(follower.reader) == expected
        await self.log.drop(self.name)


ACTS: Final = st.lists(
    st.tuples(
        st.sampled_from(
            ["append"] * 4 + ["read"] * 2 + ["follow"] * 3 + ["settle"] * 3 + ["attach", "attach"]
            + ["nudge", "cancel", "close", "finish", "turn"]
        ),
        st.integers(0, 100),
    ),
    max_size=60,
)  # fmt: skip


@settings(
    derandomize=True,
    deadline=None,
    max_examples=300,
    # One log serves all examples, each under a name of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(acts=ACTS)
@example(
    acts=[("attach", 0), ("read", 0), ("settle", 0), ("append", 0), ("nudge", 0), ("settle", 0)]
)
@example(
    acts=[("attach", 0), ("read", 0), ("settle", 0), ("append", 0), ("cancel", 0), ("read", 0)]
)
@example(
    acts=[
        *(("append", 0), ("attach", 0), ("read", 0), ("settle", 0), ("follow", 0), ("settle", 0)),
        *(("append", 99), ("append", 99), ("turn", 0), ("append", 0), ("cancel", 0), ("follow", 0)),
    ]
)
async def test_every_reader_sees_every_frame_after_its_cursor_once_whatever_happens(
    log: StreamLog, acts: list[tuple[Act, int]]
) -> None:
    name = new_name()
    play = Play(log, name, await log.create(name))
    for act, number in acts:
        await play.do(act, number)
    await play.end()
