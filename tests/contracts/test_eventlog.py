"""What every event log promises, whatever keeps it; the backends are in `conftest.py`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stream_serve.errors import LogExists, LogForbidden, LogNotFound
from support.eventlog import BATCH, frames, new_name, rest, settle, start, take

if TYPE_CHECKING:
    from stream_serve.eventlog.base import EventLog, LogReader


async def test_a_new_log_is_empty_and_its_writer_counts_the_frames(log: EventLog) -> None:
    writer = await log.create(new_name())
    assert writer.last == 0
    writer.append(frames(1, 3))
    assert writer.last == 3
    writer.append(frames(4, 4))
    assert writer.last == 4
    writer.finish()
    assert writer.last == 4


async def test_a_reader_gets_every_frame_in_order_and_then_the_end(log: EventLog) -> None:
    name = new_name()
    writer = await log.create(name)
    reader = await log.read(name)
    writer.append(frames(1, 2))
    assert await take(reader, 2) == b"<1><2>"
    writer.append(frames(3, 3))
    writer.finish()
    assert await rest(reader) == b"<3>"
    assert await reader.read() is None


async def test_a_reader_waits_for_the_next_frame_and_for_the_end(log: EventLog) -> None:
    name = new_name()
    writer = await log.create(name)
    reader = await log.read(name)
    waiting = await start(reader)
    writer.append(frames(1, 1))
    assert await waiting == b"<1>"
    waiting = await start(reader)
    writer.finish()
    assert await waiting is None


async def test_a_log_that_was_finished_empty_has_only_an_end(log: EventLog) -> None:
    name = new_name()
    writer = await log.create(name)
    writer.finish()
    assert await (await log.read(name)).read() is None


@pytest.mark.parametrize("after", range(6))
@pytest.mark.parametrize("finished", [False, True])
async def test_a_reader_begins_after_its_cursor(log: EventLog, after: int, finished: bool) -> None:
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


async def test_a_reader_that_joins_late_gets_what_was_before_and_what_comes(log: EventLog) -> None:
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


async def test_a_reader_ahead_of_the_log_waits_for_its_own_frame(log: EventLog) -> None:
    name = new_name()
    writer = await log.create(name)
    writer.append(frames(1, 1))
    waiting = await start(await log.read(name, 3))
    writer.append(frames(2, 2))
    writer.append(frames(3, 3))
    await settle()
    writer.append(frames(4, 4))
    assert await waiting == b"<4>"


async def test_readers_at_different_places_do_not_disturb_each_other(log: EventLog) -> None:
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


async def test_one_frame_wakes_every_reader_that_waits(log: EventLog) -> None:
    name = new_name()
    writer = await log.create(name)
    waiting = [await start(await log.read(name)) for _ in range(50)]
    writer.append(frames(1, 1))
    assert await asyncio.gather(*waiting) == [b"<1>"] * 50


async def test_adding_no_frames_changes_nothing(log: EventLog) -> None:
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


async def test_what_was_given_to_append_may_be_used_for_something_else(log: EventLog) -> None:
    name = new_name()
    writer = await log.create(name)
    batch = frames(1, 2)
    writer.append(batch)
    batch[:] = [b"other"]
    writer.append(tuple(frames(3, 3)))
    writer.finish()
    assert await rest(await log.read(name)) == b"<1><2><3>"


async def test_a_long_log_comes_in_batches_of_about_64_kib(log: EventLog) -> None:
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


async def test_a_frame_larger_than_a_batch_comes_whole(log: EventLog) -> None:
    name = new_name()
    writer = await log.create(name)
    big = frames(1, 3, 3 * BATCH)
    writer.append(big)
    reader = await log.read(name)
    assert [await reader.read() for _ in range(3)] == big


async def test_any_bytes_come_back_as_they_were(log: EventLog) -> None:
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


async def test_a_finished_log_takes_no_more_frames(log: EventLog) -> None:
    name = new_name()
    writer = await log.create(name)
    writer.append(frames(1, 1))
    writer.finish()
    with pytest.raises(RuntimeError):
        writer.append(frames(2, 2))
    assert writer.last == 1
    assert await rest(await log.read(name)) == b"<1>"


async def test_a_name_can_be_taken_only_once(log: EventLog) -> None:
    name = new_name()
    writer = await log.create(name)
    writer.append(frames(1, 1))
    with pytest.raises(LogExists):
        await log.create(name)
    writer.finish()
    with pytest.raises(LogExists):
        await log.create(name)
    assert await rest(await log.read(name)) == b"<1>"


async def test_logs_of_different_names_have_nothing_in_common(log: EventLog) -> None:
    one, two = new_name(), new_name()
    first, second = await log.create(one), await log.create(two)
    first.append(frames(1, 2))
    first.finish()
    second.append(frames(7, 7))
    assert await rest(await log.read(one)) == b"<1><2>"
    assert await take(await log.read(two), 1) == b"<7>"


async def test_a_log_that_never_was_or_was_dropped_cannot_be_read(log: EventLog) -> None:
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
    log: EventLog,
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


async def test_a_dropped_name_can_be_taken_again_for_another_log(log: EventLog) -> None:
    name = new_name()
    (await log.create(name)).append(frames(1, 5))
    await log.drop(name)
    writer = await log.create(name)
    assert writer.last == 0
    writer.append(frames(9, 9))
    writer.finish()
    assert await rest(await log.read(name)) == b"<9>"


async def test_the_number_goes_on_behind_the_numbers_that_were_skipped(log: EventLog) -> None:
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
async def test_a_log_may_end_behind_numbers_that_were_skipped(log: EventLog, written: int) -> None:
    name = new_name()
    writer = await log.create(name)
    writer.append(frames(1, written))
    writer.skip(50)
    writer.finish()
    assert await rest(await log.read(name)) == b"".join(frames(1, written))
    assert await (await log.read(name, 50)).read() is None
    assert (await log.look(name)).last == 50


async def test_numbers_that_are_used_cannot_be_skipped_nor_more_than_once(log: EventLog) -> None:
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


async def test_a_look_tells_the_fingerprint_the_summary_and_how_far_a_log_is(
    log: EventLog,
) -> None:
    name = new_name()
    with pytest.raises(LogNotFound):
        await log.look(name)
    writer = await log.create(name, b"fingerprint\xff")
    first = await log.look(name)
    assert (first.fingerprint, first.last, first.finished, first.summary) == (
        b"fingerprint\xff",
        0,
        False,
        b"",
    )
    writer.append(frames(1, 7))
    writer.summarize(lambda: b"one")
    assert await look_until(log, name, summary=b"one")
    assert (await log.look(name)).last == 7
    writer.append(frames(8, 8))
    writer.summarize(lambda: b"two")
    writer.finish()
    assert await look_until(log, name, summary=b"two")
    last = await log.look(name)
    assert (last.fingerprint, last.last, last.finished) == (b"fingerprint\xff", 8, True)
    writer.summarize(lambda: b"\0three\xff")
    assert await look_until(log, name, summary=b"\0three\xff")
    await log.drop(name)
    with pytest.raises(LogNotFound):
        await log.look(name)


async def look_until(log: EventLog, name: str, *, summary: bytes) -> bool:
    """Look until the summary is there, which follows within a flush interval."""
    async with asyncio.timeout(20):
        while (await log.look(name)).summary != summary:
            await asyncio.sleep(0.001)
    return True


async def test_a_writer_has_its_log_until_another_process_takes_it(log: EventLog) -> None:
    writer = await log.create(new_name())
    writer.append(frames(1, 1))
    assert not writer.lost
    writer.finish()
    assert not writer.lost
    assert log.ready


async def test_nobody_can_make_a_log_of_a_forbidden_name(log: EventLog) -> None:
    name = new_name()
    assert await log.forbid(name, 60)
    assert await log.forbid(name, 60), "it may be said again"
    for _ in range(2):
        with pytest.raises(LogForbidden):
            await log.create(name)
    with pytest.raises(LogNotFound):
        await log.look(name)


async def test_a_name_is_forbidden_only_for_a_while(log: EventLog) -> None:
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


async def test_the_name_of_a_log_cannot_be_forbidden(log: EventLog) -> None:
    name = new_name()
    writer = await log.create(name)
    assert not await log.forbid(name, 60)
    writer.append(frames(1, 1))
    writer.finish()
    assert not await log.forbid(name, 60)
    assert await rest(await log.read(name)) == b"<1>"
