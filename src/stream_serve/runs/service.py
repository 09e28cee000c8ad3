"""`Runs`: all runs of the process, to start, subscribe to and stop.

How it works: a run is known by its name: its owner and its id. `start` claims the name in the event log,
prepares the run and sets its execution going; a subscription only reads the log. While a run is being
started under a name, a second start under the same name waits and joins it; a stop is remembered, and so
are readers elsewhere. The event log sees to it that of all processes only one starts a run. What another
process has, `remote` reads and asks for; `_respond` does here what the others ask for.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import structlog

from stream_serve.errors import (
    Draining,
    LogExists,
    LogForbidden,
    LogNotFound,
    LogUnavailable,
    StoppedEarly,
    TooManyRuns,
)
from stream_serve.quotas.admission import Admission
from stream_serve.quotas.readers import Readers
from stream_serve.runs import recovery, remote, view
from stream_serve.runs.audience import READERS
from stream_serve.runs.execution import Context, Execution
from stream_serve.runs.names import name_for, name_of, not_found, parts_of, split
from stream_serve.runs.observers import Observers
from stream_serve.runs.remote import RemoteRuns, beyond, check_same
from stream_serve.runs.retention import Retention
from stream_serve.runs.run import Run
from stream_serve.runs.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from stream_serve.cluster.base import Peers
    from stream_serve.errors import RunFailure
    from stream_serve.eventlog.base import EventLog, LogReader, LogWriter, Orphan
    from stream_serve.quotas.base import Quotas
    from stream_serve.runs.observers import Observer
    from stream_serve.runs.spec import Limits, Plan, RunSpec
    from stream_serve.runs.view import Receipt, RunState

Some = TypeVar("Some")

_AGAIN: Final = 1.0
_log: Final = structlog.stdlib.get_logger("stream_serve.runs")


class Runs:
    """The runs of this process.

    `observers` are told of each run; `readers` counts who subscribes to one; `explain` says a failure in
    the words of who serves; `on_piece` is called for each piece that a producer brings.
    """

    def __init__(  # noqa: PLR0913 - what runs are made of
        self,
        log: EventLog,
        peers: Peers,
        quotas: Quotas,
        limits: Limits,
        *,
        observers: Sequence[Observer] = (),
        readers: Readers | None = None,
        explain: Callable[[RunFailure], str] = str,
        on_piece: Callable[[], None] = lambda: None,
    ) -> None:
        self._event_log = log
        self._peers = peers
        self._quotas = quotas
        self._limits = limits
        self._readers = readers or Readers()
        self._observers = Observers(observers)
        self._remote = RemoteRuns(log, peers, early_stop=limits.early_stop)
        self._admission = Admission(limits.total)
        self._retention = Retention(limits, self._forget)
        self._context = Context(
            limits,
            self._observers,
            on_piece=on_piece,
            explain=explain,
            spawn=self._spawn,
            done=self._done,
        )
        self._executions: dict[str, Execution] = {}
        self._going: set[Execution] = set()
        self._starting: dict[str, asyncio.Future[None]] = {}
        self._stopping: set[str] = set()
        self._early: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._chores: set[asyncio.Task[Any]] = set()
        self._draining = False
        self._interrupted = False

    async def open(self) -> None:
        """Begin to work with the other processes. Before that, and without it, runs are local."""
        await self._quotas.open()
        await self._peers.open(self._respond, gone=self._gone)
        await self._event_log.open(lost=self._lost, orphaned=self._orphaned)

    @property
    def running(self) -> int:
        """How many runs of this process have been admitted and are not done."""
        return self._admission.count

    @property
    def draining(self) -> bool:
        """True when the process is about to end."""
        return self._draining

    @property
    def ready(self) -> bool:
        """True when a run can be started: not draining, and the event log is there."""
        return not self._draining and self._event_log.ready

    async def start(self, spec: RunSpec, *, owner: str | None) -> Subscription:
        """Start a run, or join the one that the same spec started, and subscribe to it.

        Raises `Draining`, `RunConflict`, `StoppedEarly`, `TooManyRuns`, `Full`, `LogUnavailable`,
        `ValueError` for an owner that `name_of` does not take, and what `spec.prepare` raises; a
        start that is refused or cancelled leaves nothing behind.
        """
        run_id = spec.run_id or secrets.token_urlsafe(16)
        name = name_of(owner, run_id)
        while True:
            while name in self._starting:
                await asyncio.wait([self._starting[name]])
            if (known := self._executions.get(name)) is not None:
                check_same(known.run.fingerprint, spec.fingerprint)
                subscription = await self.subscribe(run_id, owner=owner)
            else:
                subscription = await self._start_or_join(name, spec)
            if subscription is not None:
                return subscription

    async def subscribe(
        self, run_id: str, *, owner: str | None, after: int = 0
    ) -> Subscription | None:
        """Subscribe to a run from the event that follows number `after`.

        None when the run is over and has no event after that one. Raises `RunNotFound`,
        `LogUnavailable`, `TooManyReaders`, and `CursorBeyondLog` when the run has no such event.
        """
        leave = self._readers.admit(owner)
        subscription: Subscription | None = None
        try:
            subscription = await self._subscribe(run_id, owner, after)
        finally:
            if subscription is None:
                leave()
            else:
                subscription.then(leave)
        return subscription

    async def _subscribe(self, run_id: str, owner: str | None, after: int) -> Subscription | None:
        name = name_for(owner, run_id)
        execution = self._executions.get(name)
        if execution is None:
            return await self._remote.subscribe(name, after)
        run, presence = execution.run, execution.presence
        if after > run.events:
            raise beyond(after, run.events)
        if run.closed and after == run.events:
            return None
        presence.enter()
        newest = run.events
        try:
            reader = await self._event_log.read(name, after)
        except BaseException as error:
            presence.leave()
            if isinstance(error, LogNotFound):
                raise not_found() from error
            raise
        return Subscription(run_id, reader, on_close=presence.leave, newest=newest)

    def get(self, run_id: str, *, owner: str | None) -> Run:
        """Return a run that this process has. Raises `RunNotFound`, also for somebody else's run."""
        execution = self._executions.get(name_for(owner, run_id))
        if execution is None:
            raise not_found()
        return execution.run

    async def state(self, run_id: str, *, owner: str | None) -> RunState:
        """Return how a run stands, wherever it is. Raises `RunNotFound`, `RunUnreachable`,
        `LogUnavailable`."""
        name = name_for(owner, run_id)
        execution = self._executions.get(name)
        return await self._remote.state(name) if execution is None else execution.describe()

    async def live(self, run_id: str, *, owner: str | None) -> bool:
        """Return whether a run goes on, here or elsewhere.

        Waits for a start that is going on here. Raises `RunNotFound`, `LogUnavailable`.
        """
        name = name_for(owner, run_id)
        while name in self._starting:
            await asyncio.wait([self._starting[name]])
        execution = self._executions.get(name)
        return await self._remote.live(name) if execution is None else not execution.run.closed

    def here(self, run_id: str, *, owner: str | None) -> bool:
        """Return whether a run goes on, or is being started, in this process."""
        name = name_of(owner, run_id)
        execution = self._executions.get(name)
        return name in self._starting or (execution is not None and not execution.run.closed)

    async def stop(self, run_id: str, *, owner: str | None) -> Receipt:
        """Stop a run, wherever it is, and return what that did; for a run that has ended, what is
        true of it.

        Returns when the run has its terminal event and the producer's connection is closed, or, after
        a finished answer, back in the pool. Repeating it returns the first stop's receipt. A
        cancelled `stop` has stopped the run all the same. Raises `RunNotFound`; but the stop of an
        unknown run is kept for a minute, and a start under that id is refused. Raises
        `LogUnavailable` when the run is not here and the other processes cannot be asked.
        """
        name = name_for(owner, run_id)
        receipt = await self._stop_here(name)
        return receipt or await self._remote.stop(name)

    async def forget(self, run_id: str, *, owner: str | None) -> None:
        """Stop a run, wherever it is, and forget it: nobody finds it any more.

        Raises `RunNotFound`, `LogUnavailable`, and `RunUnreachable` when its process does not answer: if
        that is gone, the run can be forgotten as soon as that is known.
        """
        name = name_for(owner, run_id)
        if not await self._forget_here(name):
            await self._remote.forget(name)

    def drain(self) -> None:
        """Take no new runs; readers of other processes' runs are told to go on there. Twice is
        fine."""
        self._draining = True
        self._remote.redirect()

    async def idle(self) -> None:
        """Wait until no run goes on."""
        while waiting := self._unfinished():
            await asyncio.wait(waiting)

    def interrupt(self) -> None:
        """Take no new runs and end those that are running as interrupted. Twice is fine."""
        self.drain()
        self._interrupted = True
        for execution in list(self._going):
            execution.interrupt()

    async def close(self) -> None:
        """End every run, wait until their connections are closed and their answers stored, and hand
        over what other processes are to read."""
        self.interrupt()
        while waiting := self._unfinished():
            # More than once: a cancellation may get lost where a producer takes no notice of it.
            await asyncio.wait(waiting, timeout=_AGAIN)
            self.interrupt()
        self._retention.close()
        async with AsyncExitStack() as last:
            last.push_async_callback(self._event_log.close)
            last.push_async_callback(self._close_peers)
            last.push_async_callback(self._remote.close)

    async def _close_peers(self) -> None:
        # At once: where Redis is frozen, that costs the time of one.
        await asyncio.gather(self._peers.close(), self._quotas.close())

    def _unfinished(self) -> list[asyncio.Future[None]]:
        """Return what has to end before the process may."""
        going = [execution.done for execution in self._going]
        return [*self._starting.values(), *going, *self._chores]

    async def _start_or_join(self, name: str, spec: RunSpec) -> Subscription | None:
        """Start a run, or join another process's; None when it has to be tried again."""
        if self._draining:
            raise Draining("the service is shutting down: try again in some seconds")
        self._admission.enter()
        started = self._starting[name] = asyncio.get_running_loop().create_future()
        try:
            return await self._start(name, spec)
        except LogExists:
            pass
        finally:
            if name not in self._executions:
                self._admission.leave()
            del self._starting[name]
            self._stopping.discard(name)
            self._early.pop(name, None)
            started.set_result(None)
        return await self._remote.join(name, spec.fingerprint)

    async def _start(self, name: str, spec: RunSpec) -> Subscription:
        """Make the run and set it going. What fails or is cancelled on the way leaves nothing behind."""
        owner, run_id = split(name)
        try:
            writer = await self._event_log.create(name, spec.fingerprint)
        except LogForbidden:
            raise StoppedEarly(
                "a stop for this run came before its start, so it is not started"
            ) from None
        except asyncio.CancelledError:
            self._spawn(self._event_log.drop(name))
            raise
        reader: LogReader | None = None
        plan: Plan | None = None
        try:
            await self._enter(owner, name)
            reader = await self._event_log.read(name)
            plan = await spec.prepare(run_id)
            execution = self._execute(name, spec, plan, writer)
        except BaseException:
            if plan is not None:
                self._spawn(plan.producer.close())
            if reader is not None:
                reader.close()
            self._spawn(self._event_log.drop(name))
            if owner is not None:
                self._quotas.leave(owner, name)
            raise
        return Subscription(run_id, reader, on_close=execution.presence.leave)

    def _execute(self, name: str, spec: RunSpec, plan: Plan, writer: LogWriter) -> Execution:
        """Begin to make a run, for its first reader. Raises `LogUnavailable`."""
        if writer.lost:
            raise LogUnavailable("the process stood still for too long: try again")
        run = Run(
            name,
            spec,
            plan,
            writer,
            bounds=self._limits.bounds,
            on_first_token=self._observers.first_token,
        )
        execution = Execution(run, spec.on_disconnect, self._context)
        execution.presence.enter()
        for process, readers in self._early.get(name, {}).items():
            execution.presence.report(process, readers)
        execution.start()
        self._executions[name] = execution
        self._going.add(execution)
        if name in self._stopping:
            execution.stop()
        elif self._interrupted:
            execution.interrupt()
        return execution

    async def _enter(self, owner: str | None, name: str) -> None:
        each = self._limits.each
        if owner is not None and not await self._quotas.enter(owner, name, each):
            raise TooManyRuns(
                f"this key has {each} runs at once, as many as a key may have: stop one, or try again",
                parameters=["Limits.each"],
            )

    async def _stop_here(self, name: str) -> Receipt | None:
        """Stop a run of this process; None when it has no such run."""
        since = time.monotonic()
        if name in self._starting:
            self._stopping.add(name)
            await asyncio.wait([self._starting[name]])
        execution = self._executions.get(name)
        return None if execution is None else await execution.receipt(since)

    async def _forget_here(self, name: str) -> bool:
        """Stop a run of this process and forget it, so that no later one has it; False when there is no
        such run. Raises `LogUnavailable`."""
        if await self._stop_here(name) is None:
            return False
        execution = self._executions.get(name)
        if execution is None or not self._retention.release(execution.run):
            return True
        if not await asyncio.shield(self._forget(execution.run)):
            raise LogUnavailable("the run is forgotten, but its log cannot be removed now")
        return True

    async def _respond(self, process: str, question: str, data: bytes) -> bytes:
        """Do what another process asks for; b"" when this one has no such run."""
        if question == READERS:
            name, readers = msgspec.json.decode(data, type=tuple[str, int])
            if (execution := self._executions.get(name)) is not None:
                execution.presence.report(process, readers)
            elif name in self._starting:
                self._early[name][process] = readers
            return b""
        name = data.decode()
        if question == remote.STOP:
            receipt = await self._stop_here(name)
            return b"" if receipt is None else view.encode(receipt)
        if question == remote.FORGET:
            return remote.FORGOTTEN if await self._forget_here(name) else b""
        execution = self._executions.get(name)
        return b"" if execution is None else view.encode(execution.describe())

    def _gone(self, process: str) -> None:
        """Another process is gone, and its readers with it."""
        for readers in self._early.values():
            readers.pop(process, None)
        for execution in list(self._executions.values()):
            execution.presence.lose(process)

    def _lost(self, name: str) -> None:
        """Another process has taken a run of ours over: end it here, and store nothing of it."""
        execution = self._executions.get(name)
        if execution is not None:
            execution.interrupt()

    async def _orphaned(self, orphan: Orphan) -> None:
        """Finish a run of a process that is gone."""
        owner, run_id = parts_of(orphan.name)
        first = self._limits.bounds.events + 1
        await recovery.finish(orphan, run_id, first=first, observers=self._observers)
        if owner is not None:
            self._quotas.leave(owner, orphan.name)

    def _done(self, execution: Execution) -> None:
        """Give up the place of a run that is done, and keep it for those who come later."""
        run = execution.run
        self._going.discard(execution)
        self._admission.leave()
        if run.owner is not None:
            self._quotas.leave(run.owner, run.name)
        self._retention.keep(run)

    def _forget(self, run: Run) -> asyncio.Task[bool]:
        """Forget a run; the result is whether that will last."""
        del self._executions[run.name]
        return self._spawn(self._event_log.drop(run.name))

    def _spawn(self, chore: Coroutine[None, None, Some]) -> asyncio.Task[Some]:
        """Do something in a task of our own, which nobody cancels and `close` waits for."""
        task = asyncio.get_running_loop().create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chore_done)
        return task

    def _chore_done(self, task: asyncio.Task[Any]) -> None:
        self._chores.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a chore failed by a defect", exc_info=error)
