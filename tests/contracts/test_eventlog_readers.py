"""What every event log promises to a reader that is cancelled, nudged or closed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from support.eventlog import SOME, frames, futures, new_name, outcome, rest, settle, start, take

if TYPE_CHECKING:
    from stream_serve.eventlog.base import EventLog


async def test_a_cancelled_read_has_moved_nothing(log: EventLog) -> None:
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


async def test_what_comes_while_a_read_waits_can_be_written_at_once(log: EventLog) -> None:
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


async def test_a_reader_knows_with_the_last_frames_that_they_are_the_last(log: EventLog) -> None:
    name = new_name()
    writer = await log.create(name)
    reader = await log.read(name)
    assert reader.there() == b""
    writer.append(frames(1, 1))
    assert await reader.read() == b"<1>"
    assert not reader.over
    got: list[bytes] = []

    def write(data: bytes) -> bool:
        got.append(data)
        return True

    waiting = asyncio.create_task(reader.read(write))
    await settle()
    writer.finish(frames(2, 3))
    read = await waiting or b""
    assert reader.over
    assert b"".join([*got, read]) == b"<2><3>"
    again = await log.read(name)
    assert again.there() + await rest(again) == b"<1><2><3>"
    with pytest.raises(RuntimeError):
        writer.finish(frames(4, 4))


async def test_what_a_write_raises_is_raised_to_the_reader_and_not_to_the_writer(
    log: EventLog,
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


async def test_a_read_cancelled_in_the_instant_a_frame_comes_loses_nothing(log: EventLog) -> None:
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


async def test_a_read_cancelled_in_the_instant_of_the_end_can_be_repeated(log: EventLog) -> None:
    name = new_name()
    writer = await log.create(name)
    reader = await log.read(name)
    waiting = await start(reader)
    writer.finish()
    waiting.cancel()
    assert await outcome(waiting) == b""
    assert await reader.read() is None


async def test_cancelled_reads_leave_nothing_behind_that_waits(log: EventLog) -> None:
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


async def test_nudged_reads_leave_nothing_behind_that_waits(log: EventLog) -> None:
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


async def test_a_nudge_ends_one_wait_once_with_nothing(log: EventLog) -> None:
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


async def test_a_nudge_that_nobody_waits_for_has_no_effect(log: EventLog) -> None:
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
    log: EventLog, nudge_first: bool
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


async def test_closing_a_reader_ends_its_wait_and_every_later_read(log: EventLog) -> None:
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


async def test_a_reader_closed_before_it_has_read_everything_reads_no_more(log: EventLog) -> None:
    name = new_name()
    writer = await log.create(name)
    writer.append(frames(1, 3))
    reader = await log.read(name)
    reader.close()
    assert await reader.read() is None


async def test_a_reader_closed_in_the_instant_a_frame_comes_ends(log: EventLog) -> None:
    name = new_name()
    writer = await log.create(name)
    reader = await log.read(name)
    waiting = await start(reader)
    writer.append(frames(1, 1))
    reader.close()
    assert await waiting in {None, b"<1>"}
    assert await reader.read() is None
