"""`Writer`: when a place answers late, wrongly, or not at all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from stream_serve.errors import BodyTooLarge, ServiceUnreachable, Unauthorized
from stream_serve.jobs import messages
from stream_serve.jobs.base import Found
from stream_serve.jobs.errors import JobError, JobTaken
from stream_serve.jobs.patience import Patience
from stream_serve.jobs.writer import Writer
from stream_serve.streams.errors import ProducerGap, StaleProducer, StreamNotFound
from support.waiting import cut_off

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.errors import StreamServeError
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


async def test_a_stream_that_is_removed_without_an_answer_is_begun_anew() -> None:
    class Ended(Stream):
        """A place with a stream that has ended; the answer to its removal is lost."""

        def __init__(self) -> None:
            super().__init__()
            self.removals = self.made = 0

        async def find(self) -> Found | None:
            return Found(json=True, closed=True, lost=False) if not self.removals else None

        async def remove(self) -> None:
            self.removals += 1
            raise ServiceUnreachable("no answer") if self.removals == 1 else StreamNotFound("gone")

        async def create(self) -> None:
            self.made += 1

    stream = Ended()
    writer = Writer(stream, patience=HASTE)
    await writer.open(again=True)
    await writer.finish(b"end")
    await writer.close()
    assert (stream.removals, stream.made, stream.kept) == (2, 1, [b"end"])


async def test_what_is_offered_after_the_end_is_not_missing() -> None:
    writer = Writer(Stream(), patience=HASTE)
    await writer.open()
    await writer.finish(b"end")
    assert not await writer.offer(b"late")
    assert writer.dropped == 0
    await writer.close()


class Small(Stream):
    """A place that takes appends of at most `most` bytes, and numbers one after another."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.number = -1

    async def append(self, batch: Batch) -> bool:
        if sum(map(len, batch.messages)) > self.most:
            raise BodyTooLarge("the body may have at most 10 bytes (MAX_APPEND_BYTES)")
        if batch.number > self.number + 1:
            raise ProducerGap("missing")
        if batch.number <= self.number:
            return False
        self.number = batch.number
        return await super().append(batch)


async def test_an_append_that_is_too_large_is_divided_and_all_later_ones_are_smaller() -> None:
    stream = Small(10)
    writer = Writer(stream, patience=HASTE)
    await writer.open()
    said = [b"%03d" % number for number in range(100)]
    for message in said:
        await writer.put(message)
    await writer.finish(b"end")
    await writer.close()
    assert stream.kept == [*said, b"end"]
    assert stream.closed
    sizes = [sum(map(len, batch.messages)) for batch in stream.sent]
    assert 5 < max(sizes) <= 10, "half of what was refused last"


async def test_a_text_that_is_too_large_is_divided_and_all_later_ones_before_they_are_sent() -> (
    None
):
    stream = Small(200)
    writer = Writer(stream, patience=HASTE)
    await writer.open()
    texts = ["x" * 900, "\x00" * 90, "y" * 500]
    await writer.put(messages.log(texts[0], source="stdout"))
    await writer.put(messages.chunk(texts[1]))
    await writer.flush()
    assert writer.unsent == 0
    tried = len(stream.sent)
    await writer.put(messages.log(texts[2]))
    await writer.finish(messages.end("completed"))
    await writer.close()
    said = [msgspec.json.decode(one) for one in stream.kept]
    lines = [one for one in said if one["type"] == "log"]
    assert "".join(one["content"] for one in lines) == texts[0] + texts[2]
    ends = [number for number, one in enumerate(lines) if not one.get("partial")]
    assert "".join(one["content"] for one in lines[: ends[0] + 1]) == texts[0]
    assert {one.get("source") for one in lines[: ends[0] + 1]} == {"stdout"}
    assert len(ends) == 2
    assert "".join(one["content"] for one in said if one["type"] == "chunk") == texts[1]
    assert all(map(len, (one.messages for one in stream.sent[tried:])))
    assert (writer.unsent, stream.closed) == (0, True)


async def test_a_message_that_is_too_large_ends_the_job_as_failed_and_is_told() -> None:
    stream = Small(200)
    writer = Writer(stream, patience=HASTE)
    await writer.open()
    for message in (b"a", b"x" * 300, b"b"):
        await writer.put(message)
    with pytest.raises(BodyTooLarge, match=r"300 bytes .*MAX_APPEND_BYTES"):
        await writer.finish(b"completed")
    with pytest.raises(BodyTooLarge):
        await writer.put(b"c")
    await writer.close()
    first, end = stream.kept
    assert first == b"a"
    assert msgspec.json.decode(end)["finishReason"] == "failed"
    assert stream.closed


@pytest.mark.parametrize("taken", [True, False])
async def test_an_append_without_an_answer_that_is_refused_later_is_not_doubled(
    *, taken: bool
) -> None:
    """The service has restarted with a smaller limit, and may have the append or not."""
    stream = Small(10)

    class Restarting(Small):
        async def append(self, batch: Batch) -> bool:
            if len(batch.messages) == 4 and not stream.sent:
                stream.sent.append(batch)
                if taken:
                    self.most = 1_000
                    await super().append(batch)
                    self.most = 10
                raise ServiceUnreachable("no answer")
            return await super().append(batch)

    place = Restarting(10)
    writer = Writer(place, patience=HASTE)
    await writer.open()
    for number in range(4):
        await writer.put(b"%04d" % number)
    await writer.finish(b"end")
    await writer.close()
    assert place.kept == [b"0000", b"0001", b"0002", b"0003", b"end"]


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
    await cut_off(writer.open())
    await writer.close()
    assert {task for task in asyncio.all_tasks() if "job" in task.get_name()} == set()
