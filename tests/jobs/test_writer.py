"""`Writer`: when a place answers late, wrongly, or not at all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stream_serve.errors import ServiceUnreachable, Unauthorized
from stream_serve.jobs.errors import JobError, JobTaken
from stream_serve.jobs.patience import Patience
from stream_serve.jobs.writer import Writer
from stream_serve.streams.errors import StaleProducer

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.errors import StreamServeError
    from stream_serve.jobs.base import Found
    from stream_serve.jobs.outbox import Batch

HASTE = Patience(attempts=20, first=0.001, longest=0.002)
NEVER = Patience(attempts=0)


class Stream:
    """A place as the contract says; `answer` may lose what has been appended already."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.sent: list[Batch] = []
        self.closed = False
        self.answer: Callable[[int], StreamServeError | None] = lambda _: None

    async def find(self) -> Found | None:
        return None

    async def create(self) -> None: ...

    async def remove(self) -> None: ...

    async def append(self, batch: Batch) -> bool:
        if batch not in self.sent:
            self.kept.extend(batch.messages)
            self.closed = batch.last
        self.sent.append(batch)
        await asyncio.sleep(0)
        lost = self.answer(len(self.sent))
        if lost is not None:
            raise lost
        return False

    async def stopped(self) -> None:
        await asyncio.Event().wait()


async def test_an_append_whose_answer_is_lost_is_sent_again_as_it_was() -> None:
    stream = Stream()
    stream.answer = lambda count: ServiceUnreachable("no answer") if count % 3 else None
    writer = Writer(stream, patience=HASTE)
    await writer.open()
    for number in range(100):
        await writer.put(b"%d" % number)
        if number % 10 == 0:
            await writer.flush()
    await writer.finish(b"end")
    await writer.close()
    assert stream.kept == [*(b"%d" % number for number in range(100)), b"end"]
    assert stream.closed
    assert len(stream.sent) > len(set(stream.sent)) > 10
    assert writer.unsent == 0


async def test_what_cannot_be_mended_ends_it_for_all_who_wait() -> None:
    stream = Stream()
    writer = Writer(stream, patience=NEVER, most=10)
    await writer.open()
    stream.answer = lambda _: StaleProducer("newer", epoch=2)
    await writer.put(b"x" * 10)
    results = await asyncio.gather(writer.put(b"y"), writer.flush(), return_exceptions=True)
    assert [type(one) for one in results] == [JobTaken, JobTaken]
    with pytest.raises(JobTaken):
        await writer.finish(b"end")
    assert not await writer.offer(b"z")
    assert writer.dropped == 1
    await writer.close()


async def test_a_defect_of_a_place_is_told_too() -> None:
    class Broken(Stream):
        async def append(self, batch: Batch) -> bool:
            if batch.messages:
                raise RuntimeError("closed")
            return await super().append(batch)

    writer = Writer(Broken(), patience=HASTE)
    await writer.open()
    await writer.put(b"a")
    with pytest.raises(JobError, match="RuntimeError: closed"):
        await writer.finish(b"end")
    await writer.close()


async def test_what_is_offered_after_the_end_is_not_missing() -> None:
    writer = Writer(Stream(), patience=HASTE)
    await writer.open()
    await writer.finish(b"end")
    assert not await writer.offer(b"late")
    assert writer.dropped == 0
    await writer.close()


async def test_a_place_that_stays_away_is_given_up() -> None:
    stream = Stream()
    writer = Writer(stream, patience=HASTE)
    stream.answer = lambda _: ServiceUnreachable("no answer")
    with pytest.raises(ServiceUnreachable):
        await writer.open()
    assert len(stream.sent) == 21
    await writer.close()


async def test_a_refusal_is_not_asked_again() -> None:
    stream = Stream()
    writer = Writer(stream, patience=HASTE)
    stream.answer = lambda _: Unauthorized("no key")
    with pytest.raises(Unauthorized):
        await writer.open()
    assert len(stream.sent) == 1
    await writer.close()


async def test_what_is_offered_while_the_place_is_away_is_dropped_beyond_the_bound() -> None:
    stream = Stream()
    writer = Writer(stream, patience=HASTE, most=10)
    await writer.open()
    back = asyncio.Event()
    stream.answer = lambda _: None if back.is_set() else ServiceUnreachable("no answer")
    offered = [await writer.offer(b"%04d" % number) for number in range(20)]
    assert offered == [True] * 3 + [False] * 17
    back.set()
    await writer.finish(b"end")
    await writer.close()
    assert stream.kept == [b"0000", b"0001", b"0002", b"end"]
    assert (writer.dropped, writer.unsent) == (17, 0)


async def test_cancelled_while_it_opens_it_leaves_nothing_behind() -> None:
    stream = Stream()
    stream.answer = lambda _: ServiceUnreachable("no answer")
    writer = Writer(stream, patience=Patience(attempts=1_000_000, first=0.001, longest=0.001))
    opening = asyncio.create_task(writer.open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await writer.close()
    assert {task for task in asyncio.all_tasks() if "job" in task.get_name()} == set()
