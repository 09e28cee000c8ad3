"""Whatever produces can be a run: a generator, or somebody who pushes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stream_serve.errors import UpstreamRejected
from stream_serve.events.types import Chunk, End, Error, Reasoning, Start
from stream_serve.producers.base import Finish, Patience
from stream_serve.producers.generator import GeneratorProducer
from stream_serve.runs.spec import RunSpec
from support.runs import Harness, read, turns
from support.upstream import StepProvider

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from stream_serve.events.types import Delta, Event
    from stream_serve.producers.base import Emit, Producer


async def events_of(producer: Producer) -> list[Event]:
    runs = Harness(StepProvider()).runs
    events = await read(await runs.start(RunSpec.of(producer), owner=None))
    await runs.close()
    return events


async def test_an_async_generator_of_strings_is_a_run() -> None:
    async def words() -> AsyncGenerator[str]:
        for word in ("one ", "two ", "three"):
            yield word

    start, *chunks, end = await events_of(GeneratorProducer(words(), model="mine"))
    assert isinstance(start, Start)
    assert start.model == "mine"
    assert chunks == [Chunk("one "), Chunk("two "), Chunk("three")]
    assert isinstance(end, End)
    assert (end.finish_reason, end.usage.source) == ("stop", "estimated")


async def test_a_generator_that_raises_fails_the_run_in_its_own_words() -> None:
    async def words() -> AsyncGenerator[str | Delta]:
        yield Reasoning("hm")
        raise UpstreamRejected("not today")

    *_, end = await events_of(GeneratorProducer(words()))
    assert isinstance(end, Error)
    assert (end.code, end.message) == ("upstream_rejected", "not today")


async def test_a_stop_runs_the_finally_of_a_generator() -> None:
    cleaned = asyncio.Event()

    async def words() -> AsyncGenerator[str]:
        try:
            yield "one"
            await asyncio.Event().wait()
        finally:
            await turns(2)
            cleaned.set()

    runs = Harness(StepProvider()).runs
    subscription = await runs.start(RunSpec.of(GeneratorProducer(words())), owner=None)
    await turns(5)
    receipt = await runs.stop(subscription.run_id, owner=None)
    assert receipt.outcome == "stopped"
    assert receipt.upstream_closed is None
    assert cleaned.is_set()
    await runs.close()


async def test_a_generator_that_is_silent_longer_than_its_patience_fails() -> None:
    async def words() -> AsyncGenerator[str]:
        yield "one"
        await asyncio.Event().wait()

    patience = Patience(first_token=60, idle=0.01)
    *_, end = await events_of(GeneratorProducer(words(), patience=patience))
    assert isinstance(end, Error)
    assert end.code == "upstream_timeout"


async def test_a_generator_that_takes_no_notice_of_a_stop_is_not_heard_any_more() -> None:
    async def words() -> AsyncGenerator[str]:
        while True:
            try:
                yield "one"
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                yield "I go on"

    runs = Harness(StepProvider()).runs
    subscription = await runs.start(RunSpec.of(GeneratorProducer(words())), owner=None)
    await turns(4)
    receipt = await runs.stop(subscription.run_id, owner=None)
    assert receipt.outcome == "stopped"
    events = await read(subscription)
    assert Chunk("I go on") not in events
    assert isinstance(events[-1], End)
    await runs.close()


@pytest.mark.simulated_time
async def test_a_generator_whose_end_waits_for_ever_holds_up_no_stop() -> None:
    async def words() -> AsyncGenerator[str]:
        try:
            yield "one"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(3600)

    runs = Harness(StepProvider()).runs
    subscription = await runs.start(RunSpec.of(GeneratorProducer(words())), owner=None)
    await turns(4)
    began = asyncio.get_running_loop().time()
    receipt = await runs.stop(subscription.run_id, owner=None)
    assert receipt.outcome == "stopped"
    assert asyncio.get_running_loop().time() - began <= 1
    await runs.close()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()  # what the generator still waits for


async def test_half_a_surrogate_pair_in_a_generators_text_is_replaced() -> None:
    async def words() -> AsyncGenerator[str]:
        yield "a\ud83d"
        yield "\ud83d\ude00"

    _, first, second, end = await events_of(GeneratorProducer(words()))
    assert (first, second) == (Chunk("a\ufffd"), Chunk("\U0001f600"))
    assert isinstance(end, End)


class Pushed:
    """A producer that others push to, from wherever they are."""

    model = "pushed"
    patience = None
    prompt_tokens = 0
    usage = None
    closed = None

    def __init__(self) -> None:
        self.emit: Emit | None = None
        self.ended = asyncio.Event()

    async def produce(self, emit: Emit) -> Finish:
        self.emit = emit
        await self.ended.wait()
        return Finish("length")

    async def close(self) -> None:
        self.emit = None


async def test_who_pushes_makes_a_run() -> None:
    producer = Pushed()
    runs = Harness(StepProvider()).runs
    subscription = await runs.start(RunSpec.of(producer), owner=None)
    await turns(2)
    for word in ("one ", "two"):
        assert producer.emit is not None
        producer.emit([Chunk(word)])
    producer.ended.set()
    *_, first, second, end = await read(subscription)
    assert [first, second] == [Chunk("one "), Chunk("two")]
    assert isinstance(end, End)
    assert end.finish_reason == "length"
    await runs.close()
