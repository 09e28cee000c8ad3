"""Runs, cancelled at every turn of the event loop, in every way, and twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from stream_serve.errors import Draining, LogNotFound, RunNotFound
from stream_serve.events import End, Error, Event
from stream_serve.lifecycle import State
from stream_serve.runs import Attachment, Limits, Runs
from stream_serve.streams.memory import MemoryStreamLog
from stream_serve.terminal import read_events
from support.upstream import REQUEST, StepUpstream

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.run import Receipt, Run

LIMITS = Limits(first_token=60, idle=60, run=60, retention=60, bytes=1_000_000)

pytestmark = pytest.mark.both_loops


def make(upstream: StepUpstream, **limits: Any) -> Runs:

    return Runs(upstream, MemoryStreamLog(), msgspec.structs.replace(LIMITS, **limits))


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def read(attachment: Attachment) -> list[Event]:
    return [event async for event in read_events(attachment)]


def check(events: list[Event], attachment: Attachment) -> None:
    """What is true of every run that has ended, however it ended."""
    run = attachment.run
    ends = [event for event in events if isinstance(event, End | Error)]
    assert ends == events[-1:]
    assert run.events == len(events)
    assert run.state.terminal
    assert (run.state is State.FAILED) == isinstance(ends[0], Error)
    assert run.over.is_set()
    assert run.task is None


def stop(runs: Runs, run: Run) -> asyncio.Future[Receipt]:
    return asyncio.ensure_future(runs.stop(run.id, owner=None))


def interrupt(runs: Runs, run: Run) -> None:
    assert run.events
    runs.interrupt()


def cancel(runs: Runs, run: Run) -> None:
    assert runs.running <= 1
    if run.task is not None:
        run.task.cancel()


WAYS: dict[str, Callable[[Runs, Run], asyncio.Future[Receipt] | None]] = {
    "stop": stop,
    "detach": Runs.detach,
    "interrupt": interrupt,
    "cancel": cancel,
}


@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
async def test_a_run_that_is_ended_at_any_turn_and_again_has_one_end_and_a_closed_call(
    first: str, second: str
) -> None:
    for turn in range(12):
        for pause in range(4):
            upstream = StepUpstream()
            runs = make(upstream)
            attachment = await runs.start(REQUEST, owner=None)
            reading = asyncio.ensure_future(read(attachment))
            await turns(turn)
            waiting = [WAYS[first](runs, attachment.run)]
            await turns(pause)
            waiting.append(WAYS[second](runs, attachment.run))
            events = await reading
            receipts = [await one for one in waiting if one is not None]
            await runs.close()
            check(events, attachment)
            (call,) = upstream.calls
            assert call.closed or not call.begun
            for receipt in receipts:
                assert (receipt.outcome == "stopped") == (attachment.run.state is State.STOPPED)
            assert runs.running == 0


async def test_a_stop_that_is_cancelled_itself_has_stopped_the_run_all_the_same() -> None:
    runs = make(StepUpstream(batches=10_000))
    attachment = await runs.start(REQUEST, owner=None)
    reading = asyncio.ensure_future(read(attachment))
    await turns(5)
    stopping = asyncio.ensure_future(runs.stop(attachment.run.id, owner=None))
    await turns(1)
    stopping.cancel()
    events = await reading
    assert attachment.run.state is State.STOPPED
    assert isinstance(events[-1], End)
    await runs.close()


async def test_the_last_reader_that_leaves_stops_the_run_and_an_earlier_one_does_not() -> None:
    runs = make(StepUpstream(batches=10_000))
    attachment = await runs.start(REQUEST, owner=None)
    attachment.run.readers += 1
    await turns(5)
    attachment.close()
    attachment.close()
    await turns(5)
    assert attachment.run.state is State.STREAMING
    runs.detach(attachment.run)
    await attachment.run.over.wait()
    assert attachment.run.state is State.STOPPED
    await runs.close()


async def test_a_defect_in_an_upstream_is_an_internal_error_and_is_logged(
    capfd: pytest.CaptureFixture[str],
) -> None:
    runs = make(StepUpstream(defect=ValueError("a bug")))
    attachment = await runs.start(REQUEST, owner=None)
    events = await read(attachment)
    assert isinstance(events[-1], Error)
    assert events[-1].code == "internal_error"
    assert "a bug" not in events[-1].message
    await runs.close()
    assert "a bug" in "".join(capfd.readouterr())


async def test_a_shutdown_takes_no_new_runs_and_closes_the_upstream_last() -> None:
    upstream = StepUpstream(batches=10_000)
    runs = make(upstream)
    attachment = await runs.start(REQUEST, owner=None)
    await turns(3)
    runs.interrupt()
    with pytest.raises(Draining):
        await runs.start(REQUEST, owner=None)
    assert not upstream.closed
    await runs.close()
    assert upstream.closed
    assert (await read(attachment))[-1].code == "run_interrupted"  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def test_a_run_belongs_to_its_owner() -> None:
    runs = make(StepUpstream())
    attachment = await runs.start(REQUEST, owner="anna")
    for owner in ("bert", None):
        with pytest.raises(RunNotFound):
            runs.get(attachment.run.id, owner=owner)
        with pytest.raises(RunNotFound):
            await runs.stop(attachment.run.id, owner=owner)
    assert runs.get(attachment.run.id, owner="anna") is attachment.run
    await runs.close()


async def test_a_forgotten_run_is_unknown_and_its_log_is_dropped() -> None:
    log = MemoryStreamLog()

    runs = Runs(StepUpstream(), log, msgspec.structs.replace(LIMITS, retention=0.001))
    attachment = await runs.start(REQUEST, owner=None)
    await read(attachment)
    async with asyncio.timeout(10):
        while True:
            try:
                runs.get(attachment.run.id, owner=None)
            except RunNotFound:
                break
            await asyncio.sleep(0)
    await runs.close()
    with pytest.raises(LogNotFound):
        await log.read(attachment.run.id)


async def test_ids_cannot_be_guessed() -> None:
    runs = make(StepUpstream())
    ids = {(await runs.start(REQUEST, owner=None)).run.id for _ in range(100)}
    assert len(ids) == 100
    assert all(len(run_id) == 22 for run_id in ids)
    await runs.close()
