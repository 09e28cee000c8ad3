"""Starting, joining, stopping and keeping runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stream_serve.errors import (
    CursorBeyondLog,
    Draining,
    Full,
    LogNotFound,
    LogUnavailable,
    RunConflict,
    RunNotFound,
    StoppedEarly,
    TooManyRuns,
)
from stream_serve.events.types import End, Error
from stream_serve.runs.lifecycle import State
from stream_serve.runs.spec import Bounds, OnDisconnect, Plan, RunSpec
from support.runs import Harness, read, turns
from support.upstream import StepProvider, ToldProvider

if TYPE_CHECKING:
    from stream_serve.runs.run import Run

pytestmark = pytest.mark.both_loops

ID = "a" * 16


async def done(harness: Harness, run: Run) -> None:
    """Wait until a run is stopped or has ended by itself, and is closed."""
    await harness.runs.idle()
    assert run.closed


async def test_a_shutdown_takes_no_new_runs_and_interrupts_those_that_go_on() -> None:
    harness = Harness(StepProvider(batches=10_000))
    subscription = await harness.start()
    await turns(3)
    harness.runs.interrupt()
    with pytest.raises(Draining):
        await harness.start()
    await harness.runs.close()
    last = (await read(subscription))[-1]
    assert isinstance(last, Error)
    assert last.code == "run_interrupted"


@pytest.mark.parametrize("how", ["drain", "interrupt"])
async def test_a_start_on_its_way_is_finished_by_a_drain_and_interrupted_by_the_end(
    how: str,
) -> None:
    harness = Harness(StepProvider())
    runs = harness.runs
    preparing, go = asyncio.Event(), asyncio.Event()

    async def prepare(run_id: str) -> Plan:
        del run_id
        preparing.set()
        await go.wait()
        return Plan(harness.provider.ask())

    starting = asyncio.ensure_future(runs.start(RunSpec(prepare=prepare), owner=None))
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
    harness = Harness(StepProvider())
    run_id = (await harness.start("anna")).run_id
    for owner in ("bert", None):
        with pytest.raises(RunNotFound):
            harness.run(run_id, owner)
        with pytest.raises(RunNotFound):
            await harness.runs.stop(run_id, owner=owner)
    assert harness.run(run_id, "anna").id == run_id
    await harness.runs.close()


@pytest.mark.parametrize("lasts", [True, False])
async def test_a_run_is_forgotten_when_its_log_is_dropped_for_good(
    monkeypatch: pytest.MonkeyPatch, *, lasts: bool
) -> None:
    harness = Harness(StepProvider())
    run_id = (await harness.start()).run_id
    dropping, go = asyncio.Event(), asyncio.Event()

    async def drop(name: str) -> bool:
        del name
        dropping.set()
        await go.wait()
        return lasts

    monkeypatch.setattr(harness.log, "drop", drop)
    forgetting = asyncio.ensure_future(harness.runs.forget(run_id, owner=None))
    await dropping.wait()
    await turns(3)
    assert not forgetting.done()
    go.set()
    await asyncio.wait([forgetting])
    assert isinstance(forgetting.exception(), LogUnavailable) is not lasts
    with pytest.raises(RunNotFound):
        harness.run(run_id)
    await harness.runs.close()


async def test_a_forgotten_run_is_unknown_and_its_log_is_dropped() -> None:
    harness = Harness(StepProvider(), retention=0.001)
    subscription = await harness.start()
    await read(subscription)
    async with asyncio.timeout(10):
        while True:
            try:
                harness.run(subscription.run_id)
            except RunNotFound:
                break
            await asyncio.sleep(0)
    await harness.runs.close()
    with pytest.raises(LogNotFound):
        await harness.log.read(subscription.run_id)


async def test_ids_cannot_be_guessed() -> None:
    harness = Harness(StepProvider())
    ids = {(await harness.start()).run_id for _ in range(100)}
    assert len(ids) == 100
    assert all(len(run_id) == 22 for run_id in ids)
    await harness.runs.close()


# One start


async def test_two_identical_starts_at_once_are_one_generation_with_two_readers() -> None:
    harness = Harness(StepProvider())
    runs, spec = harness.runs, harness.spec(ID, turns_to_prepare=5)
    both = await asyncio.gather(*(runs.start(spec, owner=None) for _ in range(2)))
    first, second = await asyncio.gather(*(read(subscription) for subscription in both))
    assert first == second
    assert len(harness.provider.producers) == 1
    third = await runs.start(spec, owner=None)
    assert await read(third) == first, "a finished run is joined, too"
    assert len(harness.provider.producers) == 1
    await runs.close()


async def test_another_request_under_a_used_id_is_refused() -> None:
    harness = Harness(StepProvider())
    await harness.runs.start(harness.spec(ID), owner=None)
    other = harness.spec(ID, fingerprint=b"g")
    with pytest.raises(RunConflict):
        await harness.runs.start(other, owner=None)
    await harness.runs.start(other, owner="anna")
    await harness.runs.close()


async def test_a_start_that_fails_or_is_cancelled_leaves_its_id_and_its_place_free() -> None:
    harness = Harness(StepProvider(), total=1)
    runs = harness.runs

    async def fail(run_id: str) -> Plan:
        raise ValueError(run_id)

    for _ in range(3):
        with pytest.raises(ValueError, match="aaaa"):
            await runs.start(RunSpec(prepare=fail, run_id=ID), owner=None)
    slow = harness.spec(ID, turns_to_prepare=5)
    starting = asyncio.ensure_future(runs.start(slow, owner=None))
    await turns(1)
    joining = asyncio.ensure_future(runs.start(slow, owner=None))
    await turns(1)
    starting.cancel()
    await read(await joining)
    assert starting.cancelled()
    await runs.close()


async def test_a_stop_before_the_start_refuses_the_start_and_asks_nobody() -> None:
    harness = Harness(StepProvider())
    with pytest.raises(RunNotFound):
        await harness.runs.stop(ID, owner=None)
    with pytest.raises(StoppedEarly):
        await harness.runs.start(harness.spec(ID), owner=None)
    assert harness.provider.producers == []
    await harness.runs.start(harness.spec(ID), owner="anna")
    await harness.runs.close()


async def test_a_stop_during_the_start_stops_the_run_without_asking_the_provider() -> None:
    provider = StepProvider()
    harness = Harness(provider)
    starting = asyncio.ensure_future(
        harness.runs.start(harness.spec(ID, turns_to_prepare=5), owner=None)
    )
    await turns(1)
    receipt = await harness.runs.stop(ID, owner=None)
    assert receipt.outcome == "stopped"
    assert not provider.producers[0].begun
    assert isinstance((await read(await starting))[-1], End)
    await harness.runs.close()


# Nobody reads


async def test_a_run_that_goes_on_unread_is_stopped_when_nobody_comes_back_in_time() -> None:
    provider = ToldProvider()
    harness = Harness(provider, detached=0.05)
    spec = harness.spec(ID, on_disconnect=OnDisconnect.CONTINUE)
    subscription = await harness.runs.start(spec, owner=None)
    run = harness.run(ID)
    provider.producers[0].orders.put_nowait(1)
    subscription.close()
    await turns(5)
    assert run.state is State.STREAMING
    back = await harness.subscribe(ID)
    back.close()
    async with asyncio.timeout(10):
        await done(harness, run)
    assert run.state is State.STOPPED
    await harness.runs.close()


# Cursors and limits


async def test_a_cursor_beyond_the_log_is_refused() -> None:
    harness = Harness(StepProvider())
    subscription = await harness.start()
    run_id, events = subscription.run_id, await read(subscription)
    with pytest.raises(CursorBeyondLog):
        await harness.subscribe(run_id, len(events) + 1)
    for after in range(len(events)):
        assert await read(await harness.subscribe(run_id, after)) == events[after:]
    assert await harness.runs.subscribe(run_id, owner=None, after=len(events)) is None
    await harness.runs.close()


async def test_a_full_process_or_key_refuses_and_a_place_comes_free() -> None:
    harness = Harness(StepProvider(batches=1_000_000), total=3, each=2)
    held = [await harness.start("anna") for _ in range(2)]
    with pytest.raises(TooManyRuns) as refused:
        await harness.start("anna")
    assert refused.value.retry_after
    await harness.start("bert")
    with pytest.raises(Full):
        await harness.start("carl")
    await harness.runs.stop(held[0].run_id, owner="anna")
    await harness.start("anna")
    assert harness.runs.running == 3
    await harness.runs.close()
    assert harness.runs.running == 0


async def test_only_so_many_ended_runs_are_kept() -> None:
    harness = Harness(StepProvider(batches=1), kept=2)
    ids: list[str] = []
    for _ in range(4):
        subscription = await harness.start()
        await read(subscription)
        await harness.runs.idle()
        ids.append(subscription.run_id)
    for run_id in ids[:2]:
        with pytest.raises(RunNotFound):
            harness.run(run_id)
    for run_id in ids[2:]:
        assert harness.run(run_id).closed
    await harness.runs.close()


async def test_a_run_with_too_many_events_is_cut() -> None:
    provider = ToldProvider()
    harness = Harness(provider, bounds=Bounds(bytes=10_000_000, events=50))
    subscription = await harness.start()
    provider.producers[0].orders.put_nowait(100)
    events = await read(subscription)
    assert isinstance(events[-1], Error)
    assert events[-1].code == "upstream_too_large"
    await harness.runs.close()
