"""Observers: what they are told, when, and that one that fails harms nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_serve.events.types import End
from stream_serve.runs.observers import Observer
from support.runs import Harness, read, turns
from support.upstream import StepProvider

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from stream_serve.runs.run import Run

pytestmark = pytest.mark.both_loops


class Witness(Observer):
    """Writes down what it is told, and how far the run's log was."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, bool]] = []

    def began(self, run: Run) -> None:
        self.told.append(("began", run.events, run.closed))

    def first_token(self, run: Run) -> None:
        self.told.append(("first token", run.events, run.closed))

    def settled(self, run: Run) -> Awaitable[bool] | None:
        self.told.append(("settled", run.events, run.closed))

    def done(self, run: Run) -> None:
        self.told.append(("done", run.events, run.closed))


class Failing(Observer):
    """Fails at whatever it is told."""

    def began(self, run: Run) -> None:
        raise RuntimeError(run.id)

    first_token = settled = done = began


class Storing(Observer):
    """Stores an answer in some turns."""

    def __init__(self, *, stored: bool) -> None:
        self._stored = stored

    async def _store(self) -> bool:
        await turns(3)
        return self._stored

    def settled(self, run: Run) -> Awaitable[bool] | None:
        del run
        return self._store()


async def test_an_observer_is_told_of_each_moment_once_and_of_no_token() -> None:
    witness = Witness()
    harness = Harness(StepProvider(batches=3), observers=[Failing(), witness])
    events = await read(await harness.start())
    await harness.runs.close()
    assert len(events) == 8
    assert witness.told == [
        ("began", 1, False),
        ("first token", 1, False),
        ("settled", 7, False),
        ("done", 8, True),
    ]


async def test_a_method_that_an_observer_gets_of_its_own_is_called_like_one_of_its_class() -> None:
    told: list[str] = []
    observer = Observer()
    observer.done = lambda run: told.append(run.id)
    harness = Harness(StepProvider(), observers=[observer])
    subscription = await harness.start()
    await harness.runs.stop(subscription.run_id, owner=None)
    await harness.runs.close()
    assert told == [subscription.run_id]


async def test_a_stopped_run_that_said_nothing_has_no_first_token() -> None:
    witness = Witness()
    harness = Harness(StepProvider(), observers=[witness])
    subscription = await harness.start()
    await harness.runs.stop(subscription.run_id, owner=None)
    await harness.runs.close()
    assert [what for what, _, _ in witness.told] == ["began", "settled", "done"]


class Broken(Observer):
    """Promises to store an answer, and fails."""

    async def _store(self) -> bool:
        await turns(1)
        raise OSError("no disk")

    def settled(self, run: Run) -> Awaitable[bool] | None:
        del run
        return self._store()


@pytest.mark.parametrize(
    ("observers", "saved"),
    [
        ([Storing(stored=True), Storing(stored=True)], True),
        ([Storing(stored=False), Storing(stored=True)], False),
        ([Storing(stored=True), Storing(stored=False)], False),
        ([Broken(), Storing(stored=True)], False),
    ],
)
async def test_of_several_who_store_all_are_waited_for(
    observers: list[Observer], saved: bool
) -> None:
    harness = Harness(StepProvider(), observers=observers)
    last = (await read(await harness.start()))[-1]
    await harness.runs.close()
    assert isinstance(last, End)
    assert last.saved is saved


@pytest.mark.parametrize("stored", [True, False])
async def test_the_end_says_whether_the_answer_is_stored(stored: bool) -> None:
    harness = Harness(StepProvider(), observers=[Storing(stored=stored), Witness()])
    last = (await read(await harness.start()))[-1]
    await harness.runs.close()
    assert isinstance(last, End)
    assert last.saved is stored


async def test_where_nobody_stores_the_end_says_nothing_of_it() -> None:
    harness = Harness(StepProvider(), observers=[Failing()])
    last = (await read(await harness.start()))[-1]
    await harness.runs.close()
    assert isinstance(last, End)
    assert last.saved is None
