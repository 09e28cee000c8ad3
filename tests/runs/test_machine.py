"""Runs, readers, cuts, stops and ends in any order: every reader sees a gapless part of one log.

Nothing here is measured in seconds. In memory the clock is simulated, and it is checked that nothing
has waited for it. Over Redis every bound of the service is `PATIENCE`, which only a hang reaches, and a
step waits for round trips, or until every reader has what was written.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from stream_serve.backends import create_log
from stream_serve.cluster.local import LocalPeers
from stream_serve.errors import CursorBeyondLog, LogNotFound
from stream_serve.eventlog.memory import MemoryEventLog
from stream_serve.quotas.local import LocalQuotas
from stream_serve.runs.service import Runs
from stream_serve.runs.spec import OnDisconnect, Plan, RunSpec
from stream_serve.settings import Settings
from support.limits import limits
from support.patient import PATIENCE, PatientPeers
from support.properties import examples
from support.redis import shared_server
from support.simulated import SimulatedLoop
from support.upstream import ToldProducer, ToldProvider

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from stream_serve.eventlog.base import EventLog
    from stream_serve.runs.run import Run
    from stream_serve.runs.subscription import Subscription
    from stream_serve.runs.view import Receipt

LIMITS = limits(run=3600, retention=3600, detached=3600)

_NUMBER = re.compile(rb"^id: (\d+)$", re.MULTILINE)
_TERMINAL = re.compile(rb'"type":"(?:end|error)"')


@dataclass(eq=False)
class Reader:
    """A reader of a run, where it began, what it got so far, and whether it came to the end."""

    run: Run
    subscription: Subscription | None
    after: int
    progress: asyncio.Event
    got: bytes = b""
    ended: bool = False
    cut: bool = False
    task: asyncio.Task[None] = field(init=False)

    @property
    def numbers(self) -> list[int]:
        """The numbers of the events that it got."""
        return [int(number) for number in _NUMBER.findall(self.got)]

    @property
    def behind(self) -> bool:
        """True while there is something for it that it has not got. Raises what stopped it."""
        if self.task.done():
            self.task.result()
        if self.ended or self.cut:
            return False
        return self.run.closed or self.after + len(self.numbers) < self.run.events

    async def follow(self) -> None:
        try:
            if self.subscription is not None:
                while (data := await self.subscription.reader.read()) is not None:
                    self.got += data
                    self.progress.set()
            self.ended = True
        finally:
            self.progress.set()


class RunsMachine(RuleBasedStateMachine):
    """Steps of callers and of the provider; between two steps the loop turns some times."""

    runs_of = Bundle[tuple[Any, ToldProducer]]("runs")
    readers_of = Bundle[Reader]("readers")

    def __init__(self) -> None:
        super().__init__()
        self.loop = self.make_loop()
        self.progress = asyncio.Event()
        self.provider = ToldProvider()
        self.runs = self.do(self.make())
        self.others = self.do(self.make_others())
        self.readers: list[Reader] = []
        self.stops: list[tuple[Run, asyncio.Task[Receipt]]] = []
        self.receipts: dict[Run, Receipt] = {}
        self.count = 0
        self.mark = secrets.token_urlsafe(12)

    def make_loop(self) -> asyncio.AbstractEventLoop:
        return SimulatedLoop()

    async def prepare(self, run_id: str) -> Plan:
        del run_id
        return Plan(self.provider.ask())

    async def make(self) -> Runs:
        return Runs(MemoryEventLog(), LocalPeers(), LocalQuotas(), LIMITS)

    async def make_others(self) -> Runs:
        """Return the runs through which callers come back: those of the same process here."""
        return self.runs

    async def pause(self, turns: int) -> None:
        """Let the tasks go on a little."""
        for _ in range(turns):
            await asyncio.sleep(0)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    async def follow(self, run: Run, subscription: Subscription | None, after: int) -> Reader:
        reader = Reader(run, subscription, after, self.progress)
        reader.task = asyncio.create_task(reader.follow())
        self.readers.append(reader)
        return reader

    @rule(target=runs_of, policy=st.sampled_from(OnDisconnect))
    def start(self, policy: OnDisconnect) -> tuple[Run, ToldProducer]:
        self.count += 1
        spec = RunSpec(
            prepare=self.prepare,
            run_id=f"{self.mark}-{self.count}",
            on_disconnect=policy,
            fingerprint=b"f",
        )
        subscription = self.do(self.runs.start(spec, owner=None))
        run = self.runs.get(subscription.run_id, owner=None)
        self.do(self.follow(run, subscription, 0))
        return run, self.provider.producers[-1]

    @rule(target=readers_of, pair=runs_of)
    def start_again(self, pair: tuple[Run, ToldProducer]) -> Reader:
        spec = RunSpec(prepare=self.prepare, run_id=pair[0].id, fingerprint=b"f")
        calls = len(self.provider.producers)
        subscription = self.do(self.others.start(spec, owner=None))
        assert len(self.provider.producers) == calls
        return self.do(self.follow(pair[0], subscription, 0))

    @rule(target=readers_of, pair=runs_of, after=st.integers(0, 30))
    def resume(self, pair: tuple[Run, ToldProducer], after: int) -> Reader:
        after = min(after, pair[0].events)
        subscription = self.do(self.others.subscribe(pair[0].id, owner=None, after=after))
        return self.do(self.follow(pair[0], subscription, after))

    @rule(pair=runs_of, beyond=st.integers(1, 10))
    def resume_too_far(self, pair: tuple[Run, ToldProducer], beyond: int) -> None:
        try:
            self.do(
                self.others.subscribe(pair[0].id, owner=None, after=pair[0].events + 200 + beyond)
            )
        except CursorBeyondLog:
            return
        raise AssertionError("a cursor beyond the log has to be refused")

    @rule(reader=consumes(readers_of))
    def cut(self, reader: Reader) -> None:
        reader.cut = True
        if reader.subscription is not None:
            self.loop.call_soon(reader.subscription.close)

    @rule(pair=runs_of, count=st.integers(1, 4))
    def say(self, pair: tuple[Run, ToldProducer], count: int) -> None:
        pair[1].orders.put_nowait(count)

    @rule(pair=runs_of, how=st.sampled_from(["finish", "fail"]))
    def end(self, pair: tuple[Run, ToldProducer], how: str) -> None:
        pair[1].orders.put_nowait(how)

    @rule(pair=runs_of)
    def stop(self, pair: tuple[Run, ToldProducer]) -> None:
        task = self.loop.create_task(self.others.stop(pair[0].id, owner=None))
        self.stops.append((pair[0], task))

    @rule(turns=st.integers(1, 5))
    def turn(self, turns: int) -> None:
        self.do(self.pause(turns))

    @rule()
    def deliver(self) -> None:
        """Wait until every reader has got what was written for it."""
        self.do(self.delivered())

    async def delivered(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while any(reader.behind for reader in self.readers):
                self.progress.clear()
                await self.progress.wait()

    @invariant()
    def every_reader_has_a_gapless_part_of_the_log(self) -> None:
        whole: dict[Run, bytes] = {}
        for reader in sorted(self.readers, key=lambda one: one.after):
            numbers = reader.numbers
            assert numbers == list(range(reader.after + 1, reader.after + 1 + len(numbers)))
            assert len(_TERMINAL.findall(reader.got)) <= 1
            run = reader.run
            if reader.ended and not reader.cut:
                assert reader.after + len(numbers) == run.events
                if numbers:
                    assert _TERMINAL.search(reader.got.split(b"\n\n")[-2])
            if reader.after == 0:
                known = whole.setdefault(run, b"")
                longer, shorter = sorted((known, reader.got), key=len, reverse=True)
                assert longer.startswith(shorter), "two readers see the same bytes"
                whole[run] = longer
            elif len(whole.get(run, b"")) >= len(reader.got):
                assert not reader.got or reader.got in whole[run]

    def check_clock(self) -> None:
        """Check that no step has waited for a time to pass."""
        assert self.loop.time() == 0

    async def finish(self) -> None:
        await asyncio.gather(*(stop for _, stop in self.stops))
        await self.runs.close()
        await asyncio.gather(*(reader.task for reader in self.readers))
        if self.others is not self.runs:
            await self.others.close()
        for run, stop in self.stops:
            receipt = await stop
            assert receipt == self.receipts.setdefault(run, receipt), "the first receipt stays"
            assert receipt.finish_reason == run.finish_reason

    def teardown(self) -> None:
        self.do(self.finish())
        self.every_reader_has_a_gapless_part_of_the_log()
        assert self.runs.running == 0
        assert all(producer.closings for producer in self.provider.producers)
        assert not asyncio.all_tasks(self.loop)
        self.check_clock()
        self.loop.close()


class SharedRunsMachine(RunsMachine):
    """The same with two processes over a real Redis: callers come back through the other one."""

    def __init__(self) -> None:
        self.logs: list[EventLog] = []
        super().__init__()

    def make_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.new_event_loop()

    async def make(self) -> Runs:
        settings = Settings.load(
            redis_url=shared_server().url,
            redis_timeout=PATIENCE,
            lease=10 * PATIENCE,
            run_retention=LIMITS.retention,
        )
        log, peers, quotas, _ = create_log(settings)
        self.logs.append(log)
        runs = Runs(log, PatientPeers(peers), quotas, LIMITS)
        await runs.open()
        return runs

    async def make_others(self) -> Runs:
        return await self.make()

    async def pause(self, turns: int) -> None:
        """Let so many questions of the second process be answered by Redis."""
        for _ in range(turns):
            with suppress(LogNotFound):
                await self.logs[-1].look("a log that is not there")

    def check_clock(self) -> None:
        """Check nothing: it is a real one."""


RunsMachine.TestCase.settings = settings(max_examples=examples(1.5), stateful_step_count=40)
SharedRunsMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestRuns = RunsMachine.TestCase
TestSharedRuns = pytest.mark.slow(SharedRunsMachine.TestCase)
