"""Runs, cancelled at every turn of the event loop, in every way, and twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.cluster.local import NoPeers
from stream_serve.commands.chat import read_events
from stream_serve.errors import (
    CursorBeyondLog,
    Draining,
    Full,
    LogNotFound,
    RunConflict,
    RunNotFound,
    StoppedEarly,
    TooManyRuns,
)
from stream_serve.eventlog.memory import MemoryStreamLog
from stream_serve.events.types import End, Error, Event
from stream_serve.runs.lifecycle import State
from stream_serve.runs.run import Bounds, OnDisconnect, Order, Task
from stream_serve.runs.service import Runs
from support.limits import limits
from support.upstream import REQUEST, StepUpstream, ToldUpstream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stream_serve.runs.run import Run
    from stream_serve.runs.subscription import Attachment
    from stream_serve.runs.view import Receipt

pytestmark = pytest.mark.both_loops


def make(upstream: StepUpstream, **changes: Any) -> Runs:

    return Runs(upstream, MemoryStreamLog(), NoPeers(), limits(**changes))


def run_of(attachment: Attachment) -> Run:
    assert attachment.run is not None
    return attachment.run


async def attach(runs: Runs, run_id: str, after: int = 0) -> Attachment:
    attachment = await runs.attach(run_id, owner=None, after=after)
    assert attachment is not None
    return attachment


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def read(attachment: Attachment) -> list[Event]:
    return [event async for event in read_events(attachment)]


def check(events: list[Event], attachment: Attachment) -> None:
    """What is true of every run that has ended, however it ended."""
    run = run_of(attachment)
    ends = [event for event in events if isinstance(event, End | Error)]
    assert ends == events[-1:]
    assert run.events == len(events)
    assert run.state.terminal
    assert (run.state is State.FAILED) == isinstance(ends[0], Error)
    assert run.over.done()
    assert run.pump is None


def stop(runs: Runs, run: Run) -> asyncio.Future[Receipt]:
    return asyncio.ensure_future(runs.stop(run.id, owner=None))


def interrupt(runs: Runs, run: Run) -> None:
    assert run.events
    runs.interrupt()


def cancel(runs: Runs, run: Run) -> None:
    assert runs.running <= 1
    if run.pump is not None:
        run.pump.cancel()


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
            attachment = await runs.start(Order.of(REQUEST), owner=None)
            reading = asyncio.ensure_future(read(attachment))
            await turns(turn)
            waiting = [WAYS[first](runs, run_of(attachment))]
            await turns(pause)
            waiting.append(WAYS[second](runs, run_of(attachment)))
            events = await reading
            receipts = [await one for one in waiting if one is not None]
            await runs.close()
            check(events, attachment)
            (call,) = upstream.calls
            assert call.closed or not call.begun
            for receipt in receipts:
                assert (receipt.outcome == "stopped") == (run_of(attachment).state is State.STOPPED)
            assert runs.running == 0


async def test_a_stop_that_is_cancelled_itself_has_stopped_the_run_all_the_same() -> None:
    runs = make(StepUpstream(batches=10_000))
    attachment = await runs.start(Order.of(REQUEST), owner=None)
    reading = asyncio.ensure_future(read(attachment))
    await turns(5)
    stopping = asyncio.ensure_future(runs.stop(attachment.run_id, owner=None))
    await turns(1)
    stopping.cancel()
    events = await reading
    assert run_of(attachment).state is State.STOPPED
    assert isinstance(events[-1], End)
    await runs.close()


async def test_the_last_reader_that_leaves_stops_the_run_and_an_earlier_one_does_not() -> None:
    runs = make(StepUpstream(batches=10_000))
    attachment = await runs.start(Order.of(REQUEST), owner=None)
    run_of(attachment).readers += 1
    await turns(5)
    attachment.close()
    attachment.close()
    await turns(5)
    assert run_of(attachment).state is State.STREAMING
    runs.detach(run_of(attachment))
    await asyncio.wait([run_of(attachment).over])
    assert run_of(attachment).state is State.STOPPED
    await runs.close()


async def test_a_defect_in_an_upstream_is_an_internal_error_and_is_logged(
    capfd: pytest.CaptureFixture[str],
) -> None:
    runs = make(StepUpstream(defect=ValueError("a bug")))
    attachment = await runs.start(Order.of(REQUEST), owner=None)
    events = await read(attachment)
    assert isinstance(events[-1], Error)
    assert events[-1].code == "internal_error"
    assert "a bug" not in events[-1].message
    await runs.close()
    assert "a bug" in "".join(capfd.readouterr())


async def test_a_shutdown_takes_no_new_runs_and_closes_the_upstream_last() -> None:
    upstream = StepUpstream(batches=10_000)
    runs = make(upstream)
    attachment = await runs.start(Order.of(REQUEST), owner=None)
    await turns(3)
    runs.interrupt()
    with pytest.raises(Draining):
        await runs.start(Order.of(REQUEST), owner=None)
    assert not upstream.closed
    await runs.close()
    assert upstream.closed
    assert (await read(attachment))[-1].code == "run_interrupted"  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


@pytest.mark.parametrize("how", ["drain", "interrupt"])
async def test_a_start_on_its_way_is_finished_by_a_drain_and_interrupted_by_the_end(
    how: str,
) -> None:
    runs = make(StepUpstream())
    preparing, go = asyncio.Event(), asyncio.Event()

    async def prepare(run_id: str) -> Task:
        del run_id
        preparing.set()
        await go.wait()
        return Task(REQUEST)

    starting = asyncio.ensure_future(runs.start(Order(prepare=prepare), owner=None))
    await preparing.wait()
    (runs.drain if how == "drain" else runs.interrupt)()
    idle = asyncio.ensure_future(runs.idle())
    await turns(3)
    assert not idle.done()
    go.set()
    last = (await read(await starting))[-1]
    await idle
    await runs.close()
    if how == "drain":
        assert isinstance(last, End)
    else:
        assert isinstance(last, Error)
        assert last.code == "run_interrupted"


async def test_a_run_belongs_to_its_owner() -> None:
    runs = make(StepUpstream())
    attachment = await runs.start(Order.of(REQUEST), owner="anna")
    for owner in ("bert", None):
        with pytest.raises(RunNotFound):
            runs.get(attachment.run_id, owner=owner)
        with pytest.raises(RunNotFound):
            await runs.stop(attachment.run_id, owner=owner)
    assert runs.get(attachment.run_id, owner="anna") is run_of(attachment)
    await runs.close()


async def test_a_forgotten_run_is_unknown_and_its_log_is_dropped() -> None:
    log = MemoryStreamLog()

    runs = Runs(StepUpstream(), log, NoPeers(), limits(retention=0.001))
    attachment = await runs.start(Order.of(REQUEST), owner=None)
    await read(attachment)
    async with asyncio.timeout(10):
        while True:
            try:
                runs.get(attachment.run_id, owner=None)
            except RunNotFound:
                break
            await asyncio.sleep(0)
    await runs.close()
    with pytest.raises(LogNotFound):
        await log.read(attachment.run_id)


async def test_ids_cannot_be_guessed() -> None:
    runs = make(StepUpstream())
    ids = {(await runs.start(Order.of(REQUEST), owner=None)).run_id for _ in range(100)}
    assert len(ids) == 100
    assert all(len(run_id) == 22 for run_id in ids)
    await runs.close()


# One start


async def slowly(run_id: str) -> Task:
    del run_id
    await turns(5)
    return Task(REQUEST)


def order(
    run_id: str,
    *,
    fingerprint: bytes = b"f",
    prepare: Callable[[str], Awaitable[Task]] = slowly,
    on_disconnect: OnDisconnect = OnDisconnect.STOP,
) -> Order:
    return Order(
        prepare=prepare, run_id=run_id, fingerprint=fingerprint, on_disconnect=on_disconnect
    )


async def test_two_identical_starts_at_once_are_one_generation_with_two_readers() -> None:
    upstream = StepUpstream()
    runs = make(upstream)
    both = await asyncio.gather(*(runs.start(order("a" * 16), owner=None) for _ in range(2)))
    first, second = await asyncio.gather(*(read(attachment) for attachment in both))
    assert first == second
    assert len(upstream.calls) == 1
    third = await runs.start(order("a" * 16), owner=None)
    assert await read(third) == first, "a finished run is joined, too"
    assert len(upstream.calls) == 1
    await runs.close()


async def test_another_request_under_a_used_id_is_refused() -> None:
    runs = make(StepUpstream())
    await runs.start(order("a" * 16), owner=None)
    with pytest.raises(RunConflict):
        await runs.start(order("a" * 16, fingerprint=b"g"), owner=None)
    await runs.start(order("a" * 16, fingerprint=b"g"), owner="anna")
    await runs.close()


async def test_a_start_that_fails_or_is_cancelled_leaves_its_id_and_its_place_free() -> None:
    runs = make(StepUpstream(), total=1)

    async def fail(run_id: str) -> Task:
        raise ValueError(run_id)

    for _ in range(3):
        with pytest.raises(ValueError, match="aaaa"):
            await runs.start(order("a" * 16, prepare=fail), owner=None)
    starting = asyncio.ensure_future(runs.start(order("a" * 16), owner=None))
    await turns(1)
    joining = asyncio.ensure_future(runs.start(order("a" * 16), owner=None))
    await turns(1)
    starting.cancel()
    await read(await joining)
    assert starting.cancelled()
    await runs.close()


async def test_a_stop_before_the_start_refuses_the_start_without_a_call() -> None:
    upstream = StepUpstream()
    runs = make(upstream)
    with pytest.raises(RunNotFound):
        await runs.stop("a" * 16, owner=None)
    with pytest.raises(StoppedEarly):
        await runs.start(order("a" * 16), owner=None)
    assert upstream.calls == []
    await runs.start(order("a" * 16), owner="anna")
    await runs.close()


async def test_a_stop_during_the_start_stops_the_run_without_asking_the_provider() -> None:
    upstream = StepUpstream()
    runs = make(upstream)
    starting = asyncio.ensure_future(runs.start(order("a" * 16), owner=None))
    await turns(1)
    receipt = await runs.stop("a" * 16, owner=None)
    assert receipt.outcome == "stopped"
    assert not upstream.calls[0].begun
    check(await read(await starting), await starting)
    await runs.close()


# Nobody reads


async def test_a_run_that_goes_on_unread_is_stopped_when_nobody_comes_back_in_time() -> None:
    upstream = ToldUpstream()
    runs = Runs(upstream, MemoryStreamLog(), NoPeers(), limits(detached=0.05))
    attachment = await runs.start(order("a" * 16, on_disconnect=OnDisconnect.CONTINUE), owner=None)
    upstream.calls[0].orders.put_nowait(1)
    attachment.close()
    await turns(5)
    assert run_of(attachment).state is State.STREAMING
    back = await attach(runs, "a" * 16)
    assert run_of(attachment).detached is None
    back.close()
    async with asyncio.timeout(10):
        await asyncio.wait([run_of(attachment).over])
    assert run_of(attachment).state is State.STOPPED
    await runs.close()


# Cursors and limits


async def test_a_cursor_beyond_the_log_is_refused() -> None:
    runs = make(StepUpstream())
    attachment = await runs.start(Order.of(REQUEST), owner=None)
    events = await read(attachment)
    with pytest.raises(CursorBeyondLog):
        await runs.attach(attachment.run_id, owner=None, after=len(events) + 1)
    for after in range(len(events)):
        assert await read(await attach(runs, attachment.run_id, after)) == events[after:]
    assert await runs.attach(attachment.run_id, owner=None, after=len(events)) is None
    await runs.close()


async def test_a_full_process_or_key_refuses_and_a_place_comes_free() -> None:
    runs = make(StepUpstream(batches=1_000_000), total=3, each=2)
    held = [await runs.start(Order.of(REQUEST), owner="anna") for _ in range(2)]
    with pytest.raises(TooManyRuns) as refused:
        await runs.start(Order.of(REQUEST), owner="anna")
    assert dict(refused.value.headers)["Retry-After"]
    await runs.start(Order.of(REQUEST), owner="bert")
    with pytest.raises(Full):
        await runs.start(Order.of(REQUEST), owner="carl")
    await runs.stop(held[0].run_id, owner="anna")
    await runs.start(Order.of(REQUEST), owner="anna")
    assert runs.running == 3
    await runs.close()
    assert runs.running == 0


async def test_only_so_many_ended_runs_are_kept() -> None:
    runs = make(StepUpstream(batches=1), kept=2)
    ids: list[str] = []
    for _ in range(4):
        attachment = await runs.start(Order.of(REQUEST), owner=None)
        await read(attachment)
        await asyncio.wait([run_of(attachment).over])
        ids.append(attachment.run_id)
    for run_id in ids[:2]:
        with pytest.raises(RunNotFound):
            runs.get(run_id, owner=None)
    for run_id in ids[2:]:
        assert runs.get(run_id, owner=None).closed
    await runs.close()


async def test_a_run_with_too_many_events_is_cut() -> None:
    upstream = ToldUpstream()
    runs = Runs(
        upstream, MemoryStreamLog(), NoPeers(), limits(bounds=Bounds(bytes=10_000_000, events=50))
    )
    attachment = await runs.start(Order.of(REQUEST), owner=None)
    upstream.calls[0].orders.put_nowait(100)
    events = await read(attachment)
    assert isinstance(events[-1], Error)
    assert events[-1].code == "upstream_too_large"
    await runs.close()
