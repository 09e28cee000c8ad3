"""Executions, cancelled at every turn of the event loop, in every way, and twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import pytest

from stream_serve.errors import RunInterrupted, UpstreamFailed
from stream_serve.events.types import Chunk, End, Error, Event, Usage
from stream_serve.producers.base import Finish, Patience
from stream_serve.runs.lifecycle import State
from stream_serve.runs.observers import Observer
from stream_serve.runs.spec import RunSpec
from support.runs import Harness, read, turns
from support.upstream import StepProducer, StepProvider

if TYPE_CHECKING:
    from stream_serve.producers.base import Emit, Producer
    from stream_serve.runs.run import Run
    from stream_serve.runs.subscription import Subscription
    from stream_serve.runs.view import Receipt

pytestmark = pytest.mark.both_loops


def check(events: list[Event], run: Run) -> None:
    """Check what is true of every run that has ended, however it ended."""
    ends = [event for event in events if isinstance(event, End | Error)]
    assert ends == events[-1:]
    assert run.events == len(events)
    assert run.closed
    assert run.state.terminal
    assert (run.state is State.FAILED) == isinstance(ends[0], Error)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == f"run {run.id}"]


Way = Callable[[Harness, "Subscription"], "asyncio.Future[Receipt] | None"]


def stop(harness: Harness, subscription: Subscription) -> asyncio.Future[Receipt]:
    return asyncio.ensure_future(harness.runs.stop(subscription.run_id, owner=None))


def leave(harness: Harness, subscription: Subscription) -> None:
    assert harness.runs.running <= 1
    subscription.close()


def interrupt(harness: Harness, subscription: Subscription) -> None:
    assert harness.run(subscription.run_id).events
    harness.runs.interrupt()


def cancel(harness: Harness, subscription: Subscription) -> None:
    assert harness.runs.running <= 1
    for task in asyncio.all_tasks():
        if task.get_name() == f"run {subscription.run_id}":
            task.cancel()


WAYS: dict[str, Way] = {"stop": stop, "leave": leave, "interrupt": interrupt, "cancel": cancel}


@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
async def test_a_run_that_is_ended_at_any_turn_and_again_has_one_end_and_a_closed_producer(
    first: str, second: str
) -> None:
    for turn in range(12):
        for pause in range(4):
            provider = StepProvider()
            harness = Harness(provider)
            subscription = await harness.start()
            run = harness.run(subscription.run_id)
            reading = asyncio.ensure_future(harness.events(run.id))
            await turns(turn)
            waiting = [WAYS[first](harness, subscription)]
            await turns(pause)
            waiting.append(WAYS[second](harness, subscription))
            events = await reading
            receipts = [await one for one in waiting if one is not None]
            await harness.runs.close()
            check(events, run)
            (producer,) = provider.producers
            assert producer.closings or not producer.begun
            for receipt in receipts:
                assert (receipt.outcome == "stopped") == (run.state is State.STOPPED)
            assert harness.runs.running == 0


async def test_a_stop_that_is_cancelled_itself_has_stopped_the_run_all_the_same() -> None:
    harness = Harness(StepProvider(batches=10_000))
    subscription = await harness.start()
    reading = asyncio.ensure_future(read(subscription))
    await turns(5)
    stopping = asyncio.ensure_future(harness.runs.stop(subscription.run_id, owner=None))
    await turns(1)
    stopping.cancel()
    events = await reading
    assert harness.run(subscription.run_id).state is State.STOPPED
    assert isinstance(events[-1], End)
    await harness.runs.close()


async def test_the_last_reader_that_leaves_stops_the_run_and_an_earlier_one_does_not() -> None:
    harness = Harness(StepProvider(batches=10_000))
    first = await harness.start()
    second = await harness.subscribe(first.run_id)
    run = harness.run(first.run_id)
    await turns(5)
    first.close()
    first.close()
    await turns(5)
    assert run.state is State.STREAMING
    second.close()
    await harness.runs.idle()
    assert run.state is State.STOPPED
    await harness.runs.close()


async def test_a_defect_in_a_producer_is_an_internal_error_and_is_logged(
    capfd: pytest.CaptureFixture[str],
) -> None:
    harness = Harness(StepProvider(defect=ValueError("a bug")))
    events = await read(await harness.start())
    assert isinstance(events[-1], Error)
    assert events[-1].code == "internal_error"
    assert "a bug" not in events[-1].message
    await harness.runs.close()
    assert "a bug" in "".join(capfd.readouterr())


class Broken(StepProducer):
    """A producer of which one thing fails, once it has produced."""

    def __init__(self, what: str, *, batches: int = 1, error: BaseException | None = None) -> None:
        super().__init__(batches=batches)
        self._what = what
        self._error = error or ValueError(f"{what} is broken")

    def __getattribute__(self, name: str) -> object:
        if name == object.__getattribute__(self, "_what") and object.__getattribute__(
            self, "begun"
        ):
            raise object.__getattribute__(self, "_error")
        return object.__getattribute__(self, name)


@pytest.mark.parametrize("error", [None, asyncio.CancelledError()])
@pytest.mark.parametrize("how", ["end", "stop"])
@pytest.mark.parametrize("what", ["usage", "prompt_tokens", "closed", "close"])
async def test_whatever_of_a_producer_fails_its_run_gets_one_end_and_is_done(
    what: str, how: str, error: BaseException | None
) -> None:
    harness = Harness(StepProvider())
    producer = Broken(what, batches=1 if how == "end" else 10_000, error=error)
    subscription = await harness.runs.start(RunSpec.of(producer), owner=None)
    run = harness.run(subscription.run_id)
    reading = asyncio.ensure_future(read(subscription))
    await turns(5)
    if how == "stop":
        with suppress(
            ValueError, asyncio.CancelledError
        ):  # the receipt cannot say whether it is closed
            await harness.runs.stop(run.id, owner=None)
    check(await reading, run)
    await harness.runs.close()
    assert harness.runs.running == 0


class Saying(StepProducer):
    """A producer that does one thing."""

    def __init__(self, what: Callable[[], object]) -> None:
        super().__init__()
        self._what = what

    async def produce(self, emit: Callable[[list[Chunk]], None]) -> Finish:
        emit([Chunk("a")])
        result = self._what()
        if isinstance(result, asyncio.Future):
            await result
        return Finish("stop", "wo\udcffrd")


def fail(error: BaseException) -> Callable[[], object]:
    def what() -> object:
        raise error

    return what


def cancelled() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    return future


@pytest.mark.parametrize(
    ("what", "code"),
    [
        pytest.param(fail(UpstreamFailed("file \udcff")), "upstream_error", id="surrogate"),
        pytest.param(fail(TimeoutError("database")), "internal_error", id="its own timeout"),
        pytest.param(cancelled, "internal_error", id="its own cancellation"),
        pytest.param(fail(RunInterrupted("mine")), "run_interrupted", id="a failure"),
    ],
)
async def test_what_a_producer_raises_is_told_as_what_it_is(
    what: Callable[[], object], code: str
) -> None:
    harness = Harness(StepProvider())
    subscription = await harness.runs.start(RunSpec.of(Saying(what)), owner=None)
    events = await read(subscription)
    assert isinstance(events[-1], Error)
    assert events[-1].code == code
    await harness.runs.close()


async def test_a_word_that_cannot_be_encoded_does_not_cost_the_end() -> None:
    harness = Harness(StepProvider())
    subscription = await harness.runs.start(RunSpec.of(Saying(lambda: None)), owner=None)
    end = (await read(subscription))[-1]
    assert isinstance(end, End)
    assert end.provider_finish_reason == "wo\ufffdrd"
    await harness.runs.close()


class Odd(StepProducer):
    """A producer that returns no `Finish`."""

    async def produce(self, emit: Emit) -> Finish:
        emit([Chunk("a")])
        return None  # pyright: ignore[reportReturnType]


class Aborting(StepProducer):
    """A producer that raises its own error when it is cancelled."""

    def __init__(self, error: Exception) -> None:
        super().__init__(batches=10_000)
        self._error = error

    async def produce(self, emit: Emit) -> Finish:
        try:
            return await super().produce(emit)
        except asyncio.CancelledError:
            raise self._error from None


class Told(Observer):
    """An observer that stores, and counts what it is told."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.told: list[str] = []
        self._error = error

    def settled(self, run: Run) -> Awaitable[bool] | None:
        self.told.append(run.state.value)
        if self._error is not None:
            raise self._error

        async def store() -> bool:
            await asyncio.sleep(0)
            return True

        return store()


@pytest.mark.parametrize("error", [ValueError("a bug"), asyncio.CancelledError()])
async def test_an_observer_that_fails_in_any_way_costs_neither_the_end_nor_the_others(
    error: BaseException,
) -> None:
    other = Told()
    harness = Harness(StepProvider(), observers=[Told(error), other])
    end = (await read(await harness.start()))[-1]
    assert isinstance(end, End)
    assert (end.finish_reason, end.saved, other.told) == ("stop", True, ["completed"])
    await harness.runs.close()


@pytest.mark.parametrize("what", ["usage", "prompt_tokens"])
async def test_a_producer_that_cannot_tell_its_usage_has_its_answer_stored(what: str) -> None:
    observer = Told()
    harness = Harness(StepProvider(), observers=[observer])
    end = (await read(await harness.runs.start(RunSpec.of(Broken(what)), owner=None)))[-1]
    assert isinstance(end, End)
    assert (end.finish_reason, end.saved, observer.told) == ("stop", True, ["completed"])
    await harness.runs.close()


async def test_a_finish_that_is_none_is_a_defect_and_no_answer_is_called_complete() -> None:
    observer = Told()
    harness = Harness(StepProvider(), observers=[observer])
    end = (await read(await harness.runs.start(RunSpec.of(Odd()), owner=None)))[-1]
    assert isinstance(end, Error)
    assert (end.code, observer.told) == ("internal_error", ["failed"])
    await harness.runs.close()


@pytest.mark.parametrize("error", [UpstreamFailed("aborted"), ValueError("aborted")])
async def test_a_producer_that_says_a_stop_in_its_own_way_was_stopped_all_the_same(
    error: Exception,
) -> None:
    harness = Harness(StepProvider())
    subscription = await harness.runs.start(RunSpec.of(Aborting(error)), owner=None)
    reading = asyncio.ensure_future(read(subscription))
    await turns(5)
    receipt = await harness.runs.stop(subscription.run_id, owner=None)
    assert receipt.outcome == "stopped"
    end = (await reading)[-1]
    assert isinstance(end, End)
    assert end.finish_reason == "stopped"
    await harness.runs.close()


class Polite(StepProducer):
    """A producer that takes a cancellation for the end of its answer."""

    async def produce(self, emit: Emit) -> Finish:
        emit([Chunk("half of an ans")])
        with suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
        return Finish()


def wait(harness: Harness, subscription: Subscription) -> None:
    """Let a limit of the run end it."""
    assert harness.run(subscription.run_id).events


CUTS: dict[str, tuple[Callable[[Harness, Subscription], object], str]] = {
    "stop": (stop, "stopped"),
    "leave": (leave, "stopped"),
    "interrupt": (interrupt, "run_interrupted"),
    "silence": (wait, "upstream_timeout"),
    "time": (wait, "run_timeout"),
}


@pytest.mark.parametrize("how", CUTS)
async def test_no_answer_that_was_cut_is_whole_though_its_producer_says_so(how: str) -> None:
    observer = Told()
    way, said = CUTS[how]
    harness = Harness(
        StepProvider(), observers=[observer], **({"run": 0.01} if how == "time" else {})
    )
    producer = Polite()
    producer.patience = Patience(0.01, 0.01) if how == "silence" else None
    subscription = await harness.runs.start(RunSpec.of(producer), owner=None)
    reading = asyncio.ensure_future(harness.events(subscription.run_id))
    await turns(5)
    way(harness, subscription)
    end = (await reading)[-1]
    assert isinstance(end, End | Error)
    assert (end.code if isinstance(end, Error) else end.finish_reason) == said
    assert observer.told == ["stopped" if said == "stopped" else "failed"]
    await harness.runs.close()


class Wordless(StepProducer):
    """A producer that says that its answer has no tokens."""

    usage = Usage(7, 0, 7, "provider")


async def test_an_answer_with_text_is_never_told_to_have_no_tokens() -> None:
    harness = Harness(StepProvider())
    end = (await read(await harness.runs.start(RunSpec.of(Wordless(1)), owner=None)))[-1]
    assert isinstance(end, End)
    assert (end.usage.source, end.usage.prompt_tokens) == ("estimated", 7)
    assert end.usage.completion_tokens >= 2
    await harness.runs.close()


class Late(StepProducer):
    """A producer that goes on after its end."""

    async def produce(self, emit: Emit) -> Finish:
        emit([Chunk("a")])
        self.emit = emit
        return Finish()


async def test_nothing_is_taken_of_a_producer_after_its_end() -> None:
    harness = Harness(StepProvider(), observers=[Told()])
    producer = Late()
    subscription = await harness.runs.start(RunSpec.of(producer), owner=None)
    run = harness.run(subscription.run_id)
    while not run.state.terminal:
        await turns(1)
    before = run.size
    with pytest.raises(RuntimeError, match="after its end"):
        producer.emit([Chunk("late")])
    assert run.size == before
    assert [event.content for event in await read(subscription) if isinstance(event, Chunk)] == [
        "a"
    ]
    await harness.runs.close()


class Unusual(StepProducer):
    """A producer whose usage is none, and whose `close` is not a coroutine."""

    usage = object()  # pyright: ignore[reportAssignmentType]

    def close(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return nothing that can be awaited."""


@pytest.mark.parametrize("after", [0, 5])
async def test_a_producer_of_the_wrong_types_leaves_no_run_behind(after: int) -> None:
    harness = Harness(StepProvider(batches=10_000))
    subscription = await harness.runs.start(
        RunSpec.of(cast("Producer", Unusual(batches=10_000))), owner=None
    )
    run = harness.run(subscription.run_id)
    reading = asyncio.ensure_future(read(subscription))
    await turns(after)
    harness.runs.interrupt()
    check(await reading, run)
    await harness.runs.close()


async def test_a_run_that_is_stopped_before_its_first_step_closes_its_producer() -> None:
    provider = StepProvider()
    harness = Harness(provider)
    subscription = await harness.start()
    receipt = await harness.runs.stop(subscription.run_id, owner=None)
    assert receipt.outcome == "stopped"
    await harness.runs.idle()
    (producer,) = provider.producers
    assert not producer.begun
    assert producer.closings == 1
    await harness.runs.close()


async def test_a_start_that_fails_when_everything_is_made_leaves_nothing_behind() -> None:
    harness = Harness(StepProvider(), total=1)
    producer = StepProducer()
    producer.model = None  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(AttributeError):
        await harness.runs.start(RunSpec.of(producer), owner="anna")
    await turns(5)
    assert producer.closings == 1
    assert harness.runs.running == 0
    await read(await harness.start("anna"))
    await harness.runs.close()
