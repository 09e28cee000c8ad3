"""A producer that is an async generator of one's own."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from stream_serve.errors import UpstreamFailed
from stream_serve.events.types import Chunk, Reasoning
from stream_serve.producers.base import Finish, Patience
from stream_serve.producers.generator import GeneratorProducer
from stream_serve.producers.threads import in_thread
from support.deltas import content_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Sequence

    from stream_serve.events.types import Delta
    from stream_serve.producers.base import Producer


class Source:
    """A generator that yields its items, raises or waits at the end, and remembers what it saw."""

    def __init__(
        self, *items: str | Delta, fails: Exception | None = None, waits: bool = False
    ) -> None:
        self._items = items
        self._fails = fails
        self._waits = waits
        self.saw: list[str] = []
        self.waiting = asyncio.Event()

    async def generate(self) -> AsyncGenerator[str | Delta]:
        self.saw.append("begun")
        try:
            for item in self._items:
                yield item
            if self._fails is not None:
                raise self._fails
            if self._waits:
                self.waiting.set()
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.saw.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            self.saw.append("closed")


async def test_text_and_deltas_come_one_by_one_and_its_end_is_the_answers() -> None:
    producer: Producer = GeneratorProducer(Source("a", Reasoning("hm"), Chunk("b"), "").generate())
    batches: list[Sequence[Delta]] = []
    assert await producer.produce(batches.append) == Finish("stop", None)
    assert [list(batch) for batch in batches] == [
        [Chunk("a")],
        [Reasoning("hm")],
        [Chunk("b")],
        [Chunk("")],
    ]
    await producer.close()


async def test_a_generator_without_an_item_is_an_empty_answer() -> None:
    producer = GeneratorProducer(Source().generate())
    assert await producer.produce(lambda _: pytest.fail("it has no item")) == Finish()


async def test_each_item_is_handed_on_before_the_next_one_is_made() -> None:
    seen: list[str] = []

    async def generate() -> AsyncGenerator[str]:
        for item in ("a", "b"):
            seen.append(f"made {item}")
            yield item
        await asyncio.sleep(0)

    def emit(deltas: Sequence[Delta]) -> None:
        seen.extend(f"handed {content_of(delta)}" for delta in deltas)

    await GeneratorProducer(generate()).produce(emit)
    assert seen == ["made a", "handed a", "made b", "handed b"]


async def test_it_says_what_it_was_told_of_itself_and_counts_nothing() -> None:
    patience = Patience(first_token=2, idle=1)
    producer: Producer = GeneratorProducer(
        Source().generate(), model="mine", prompt_tokens=7, patience=patience
    )
    assert (producer.model, producer.prompt_tokens, producer.patience) == ("mine", 7, patience)
    assert (producer.usage, producer.closed) == (None, None)
    plain: Producer = GeneratorProducer(Source().generate())
    assert (plain.model, plain.prompt_tokens, plain.patience) == ("generator", 0, None)


@pytest.mark.parametrize("error", [UpstreamFailed("its own words"), ZeroDivisionError("a defect")])
async def test_what_it_raises_comes_out_as_it_is_after_what_it_said(error: Exception) -> None:
    source = Source("a", "b", fails=error)
    producer = GeneratorProducer(source.generate())
    deltas: list[Delta] = []
    with pytest.raises(type(error)) as caught:
        await producer.produce(deltas.extend)
    assert caught.value is error
    assert deltas == [Chunk("a"), Chunk("b")]
    await producer.close()
    assert source.saw == ["begun", "closed"]


async def test_cancelled_it_cancels_the_generator_where_it_waits() -> None:
    source = Source("a", waits=True)
    producer = GeneratorProducer(source.generate())
    deltas: list[Delta] = []
    task = asyncio.create_task(producer.produce(deltas.extend))
    await source.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert deltas == [Chunk("a")]
    await producer.close()
    await producer.close()
    assert source.saw == ["begun", "cancelled", "closed"]


async def test_a_reader_that_refuses_ends_it_and_its_finally_runs() -> None:
    source = Source("a", "b")
    producer = GeneratorProducer(source.generate())

    def refuse(deltas: Sequence[Delta]) -> None:
        raise OverflowError(len(deltas))

    with pytest.raises(OverflowError):
        await producer.produce(refuse)
    assert source.saw == ["begun", "closed"]
    await producer.close()
    assert source.saw == ["begun", "closed"]


async def test_nothing_of_it_runs_before_it_produces_and_close_leaves_it_so() -> None:
    source = Source("a")
    producer = GeneratorProducer(source.generate())
    await producer.close()
    await producer.close()
    assert source.saw == []


@pytest.mark.parametrize("item", [5, None, b"x", {"type": "end"}, Chunk, Chunk(5), ("a",)])  # type: ignore[arg-type]
async def test_what_is_neither_text_nor_a_delta_is_a_defect_and_never_read(item: Any) -> None:
    source = Source("a", item, "b")
    batches: list[Sequence[Delta]] = []
    with pytest.raises(TypeError, match="should"):
        await GeneratorProducer(source.generate()).produce(batches.append)
    assert batches == [(Chunk("a"),)]
    assert source.saw[-1] == "closed"


async def test_a_generator_that_never_awaits_can_be_stopped_and_lets_others_have_their_turn() -> (
    None
):
    async def endless() -> AsyncGenerator[str]:
        while True:
            yield "x"

    producer = GeneratorProducer(endless())
    producing = asyncio.create_task(producer.produce(lambda _: None))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await producer.close()
    with pytest.raises(asyncio.CancelledError):
        await producing


async def test_a_generator_that_calls_exit_fails_and_does_not_end_the_process() -> None:
    async def ends() -> AsyncGenerator[str]:
        yield "a"
        sys.exit(3)

    with pytest.raises(RuntimeError, match="exit"):
        await GeneratorProducer(ends()).produce(lambda _: None)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
async def test_nor_does_one_in_a_thread(error: type[BaseException]) -> None:
    def ends() -> Generator[str]:
        yield "a"
        raise error

    with pytest.raises(RuntimeError, match=error.__name__):
        await GeneratorProducer(in_thread(ends())).produce(lambda _: None)


@pytest.mark.simulated_time
async def test_one_that_swallows_its_cancellation_is_left_to_itself_and_the_log_says_so() -> None:
    waiting, over = asyncio.Event(), asyncio.Event()

    async def words() -> AsyncGenerator[str]:
        yield "one"
        waiting.set()
        while not over.is_set():
            with suppress(asyncio.CancelledError):
                await over.wait()

    producer = GeneratorProducer(words())
    producing = asyncio.create_task(producer.produce(lambda _: None))
    await waiting.wait()
    producing.cancel()
    with capture_logs() as log:
        await producer.close()
    assert [line["event"] for line in log] == ["a generator does not end: it is left to itself"]
    over.set()
    await asyncio.sleep(0)
