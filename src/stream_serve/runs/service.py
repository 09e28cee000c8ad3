"""All runs of the process: start, attach, stop. It owns the tasks that generate; no response does.

How it works: `start` makes a run with its event log and a task, the pump, that moves what the
provider brings into the log. A response only reads the log. Whatever ends the pump (the answer is
complete, the provider fails, a limit, a stop, the shutdown), its last act is to close the provider's
connection, and `_pumped`, called by the loop when it is over, sees to it that the run is settled,
also when the pump was cancelled before its first step. A settled run gets its terminal event at once,
or, in a conversation, when its answer is stored or could not be. So a stop is: cancel the pump, wait
until the run is over, look at the sockets.

A run is known by its name: its owner and its id. While one is being started under a name, a second
start under the same name waits and joins it, and a stop is remembered. The event log sees to it that
of all processes only one starts it; what another process has is done by `Elsewhere`, and `_answer`
does here what the others ask for.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from stream_serve.errors import (
    Draining,
    InternalError,
    LogExists,
    LogForbidden,
    LogNotFound,
    LogUnavailable,
    RunFailure,
    RunInterrupted,
    StoppedEarly,
    TooManyRuns,
)
from stream_serve.quotas.admission import RETRY, Admission
from stream_serve.runs import recovery as takeover
from stream_serve.runs import remote as elsewhere
from stream_serve.runs import view as report
from stream_serve.runs.relay import relay
from stream_serve.runs.remote import Elsewhere, beyond, check_same, name_for, not_found
from stream_serve.runs.run import OnDisconnect, Order, Run, name_of, parts_of
from stream_serve.runs.subscription import Attachment
from stream_serve.server.pacing import Coalescer

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from stream_serve.cluster.base import Peers
    from stream_serve.conversations.recorder import Recorder
    from stream_serve.eventlog.base import LogWriter, Orphan, StreamLog
    from stream_serve.producers.base import Upstream
    from stream_serve.runs.run import Limits
    from stream_serve.runs.view import Receipt, RunState

_RETURN_SECONDS: Final = 5.0
_log = structlog.stdlib.get_logger("stream_serve.runs")


class Runs:
    """The runs of this process. `recorder` stores the answers of those in conversations."""

    def __init__(
        self,
        upstream: Upstream,
        log: StreamLog,
        peers: Peers,
        limits: Limits,
        recorder: Recorder | None = None,
    ) -> None:
        self._upstream = upstream
        self._stream_log = log
        self._peers = peers
        self._limits = limits
        self._recorder = recorder
        self._elsewhere = Elsewhere(log, peers, early_stop=limits.early_stop)
        self._admission = Admission(limits.total)
        self.coalescer = Coalescer(limits.coalesce)
        """Paces the loop while tokens come fast."""
        self._runs: dict[str, Run] = {}
        self._starting: dict[str, asyncio.Future[None]] = {}
        self._stopping: set[str] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._forgetting: dict[str, asyncio.TimerHandle] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self._kept_bytes = 0
        self._draining = False
        self._interrupted = False

    async def open(self) -> None:
        """Begin to work with the other processes. Before that, and without it, runs are local."""
        await self._peers.open(self._answer, gone=self._gone)
        await self._stream_log.open(lost=self._lost, orphaned=self._orphaned)

    def model_for(self, asked: str | None) -> str:
        """Give the model that answers when `asked` is asked for, or none."""
        return self._upstream.model_for(asked)

    @property
    def running(self) -> int:
        """How many runs of this process have been admitted and are not over."""
        return self._admission.count

    @property
    def draining(self) -> bool:
        """True when the process is about to end."""
        return self._draining

    @property
    def ready(self) -> bool:
        """True when a run can be started: not draining, and the event log is there."""
        return not self._draining and self._stream_log.ready

    async def start(self, order: Order, *, owner: str | None) -> Attachment:
        """Start a run, or join the one that the same order started, and attach a reader to it.

        Raises `Draining`, `RunConflict`, `StoppedEarly`, `TooManyRuns`, `Full`, `LogUnavailable`,
        `ValueError` for an owner that `name_of` does not take, and what `order.prepare` raises; a
        start that is refused or cancelled leaves nothing behind.
        """
        run_id = order.run_id or secrets.token_urlsafe(16)
        name = name_of(owner, run_id)
        while True:
            while name in self._starting:
                await asyncio.wait([self._starting[name]])
            if (known := self._runs.get(name)) is not None:
                check_same(known.fingerprint, order.fingerprint)
                attachment = await self.attach(run_id, owner=owner)
            else:
                attachment = await self._start_or_join(name, order)
            if attachment is not None:
                return attachment

    async def attach(self, run_id: str, *, owner: str | None, after: int = 0) -> Attachment | None:
        """Attach a reader that begins after event number `after`.

        None when the run is over and has no event after that one. Raises `RunNotFound`,
        `LogUnavailable`, and `CursorBeyondLog` when the run has no such event.
        """
        name = name_for(owner, run_id)
        run = self._runs.get(name)
        if run is None:
            return await self._elsewhere.attach(name, after)
        if after > run.events:
            raise beyond(after, run.events)
        if run.closed and after == run.events:
            return None
        self._hold(run)
        try:
            reader = await self._stream_log.read(name, after)
        except BaseException as error:
            self.detach(run)
            if isinstance(error, LogNotFound):
                raise not_found() from error
            raise
        return Attachment(run_id, reader, run=run, on_close=partial(self.detach, run))

    def get(self, run_id: str, *, owner: str | None) -> Run:
        """Give a run that this process has. Raises `RunNotFound`, also for somebody else's run."""
        run = self._runs.get(name_for(owner, run_id))
        if run is None:
            raise not_found()
        return run

    async def state(self, run_id: str, *, owner: str | None) -> RunState:
        """Say how a run stands, wherever it is. Raises `RunNotFound`, `RunUnreachable`,
        `LogUnavailable`."""
        name = name_for(owner, run_id)
        run = self._runs.get(name)
        return await self._elsewhere.state(name) if run is None else run.describe()

    async def stop(self, run_id: str, *, owner: str | None) -> Receipt:
        """Stop a run, wherever it is, and say what that did; for a run that has ended, what is true
        of it.

        Comes back when the run has its terminal event and the provider's connection is closed, or,
        after a finished answer, back in the pool. Repeating it gives the first stop's receipt. A
        cancelled `stop` has stopped the run all the same. Raises `RunNotFound`; but the stop of an
        unknown run is kept for a minute, and a start under that id is refused. Nothing is kept for an
        id that no run can have. Raises
        `LogUnavailable` when the run is not here and the other processes cannot be asked.
        """
        name = name_for(owner, run_id)
        receipt = await self._stop_here(name)
        return receipt or await self._elsewhere.stop(name)

    def detach(self, run: Run) -> None:
        """Take note that a reader has gone; what follows the last one is for the order to say."""
        run.readers -= 1
        self._check_watched(run)

    def drain(self) -> None:
        """Take no new runs; readers of other processes' runs are told to go on there. Twice is
        fine."""
        self._draining = True
        self._elsewhere.move()

    async def idle(self) -> None:
        """Wait until no run goes on."""
        while self._starting or self._pumps or self._chores:
            await asyncio.wait([*self._starting.values(), *self._pumps, *self._chores])

    def interrupt(self) -> None:
        """Take no new runs and end those that are running as interrupted. Twice is fine."""
        self.drain()
        self._interrupted = True
        for task in self._pumps:
            task.cancel()

    async def close(self) -> None:
        """End every run, wait until their connections are closed and their answers stored, hand over
        what other processes are to read, and close the provider's pool."""
        self.interrupt()
        while self._starting or self._pumps or self._chores:
            await asyncio.wait([*self._starting.values(), *self._pumps, *self._chores])
            self.interrupt()
        for timer in self._forgetting.values():
            timer.cancel()
        self._forgetting.clear()
        await self._elsewhere.close()
        await self._peers.close()
        await self._stream_log.close()
        await self._upstream.close()

    async def _start_or_join(self, name: str, order: Order) -> Attachment | None:
        """Start a run, or join another process's; None when it has to be tried again."""
        if self._draining:
            raise Draining(
                "the service is shutting down: try again in some seconds",
                headers=(("Retry-After", "5"),),
            )
        self._admission.enter()
        started = self._starting[name] = asyncio.get_running_loop().create_future()
        try:
            return await self._start(name, order)
        except LogExists:
            pass
        finally:
            if name not in self._runs:
                self._admission.leave()
            del self._starting[name]
            self._stopping.discard(name)
            started.set_result(None)
        return await self._elsewhere.join(name, order.fingerprint)

    async def _start(self, name: str, order: Order) -> Attachment:
        """Make the run and set it going."""
        owner, run_id = parts_of(name)
        try:
            writer = await self._stream_log.create(name, order.fingerprint)
        except LogForbidden:
            raise StoppedEarly(
                "a stop for this run came before its start, so it is not started"
            ) from None
        except asyncio.CancelledError:
            self._do(self._stream_log.drop(name))
            raise
        try:
            await self._enter(owner, name)
            task = await order.prepare(run_id)
            reader = await self._stream_log.read(name)
            _check_kept(writer)
        except BaseException:
            self._do(self._stream_log.drop(name))
            if owner is not None:
                self._peers.leave(owner, name)
            raise
        call = self._upstream.call(task.request)
        run = Run(name, order=order, task=task, call=call, writer=writer)
        self._runs[name] = run
        run.start()
        self._hold(run)
        if self._recorder is not None and run.turn is not None:
            self._recorder.begin(run, run.turn)
        run.pump = asyncio.create_task(self._pump(run), name=f"run {run_id}")
        self._pumps.add(run.pump)
        run.pump.add_done_callback(partial(self._pumped, run))
        if name in self._stopping:
            self._cancel(run)
        elif self._interrupted:
            run.pump.cancel()
        return Attachment(run_id, reader, run=run, on_close=partial(self.detach, run))

    async def _enter(self, owner: str | None, name: str) -> None:
        each = self._limits.each
        if owner is not None and not await self._peers.enter(owner, name, each):
            raise TooManyRuns(
                f"this key has {each} runs at once, as many as a key may have "
                "(STREAM_SERVE_MAX_RUNS_PER_KEY): stop one, or try again",
                headers=RETRY,
            )

    async def _stop_here(self, name: str) -> Receipt | None:
        """Stop a run of this process; None when it has no such run."""
        began = time.monotonic()
        if name in self._starting:
            self._stopping.add(name)
            await asyncio.wait([self._starting[name]])
        run = self._runs.get(name)
        if run is None:
            return None
        self._cancel(run)
        await asyncio.wait([run.over])
        if run.receipt is None:
            latency = round((time.monotonic() - began) * 1000, 3)
            run.receipt = run.describe().receipt(latency)
        return run.receipt

    async def _answer(self, process: str, question: str, data: bytes) -> bytes:
        """Do what another process asks for; b"" when this one has no such run."""
        if question == elsewhere.READERS:
            name, count = msgspec.json.decode(data, type=tuple[str, int])
            run = self._runs.get(name)
            if run is not None:
                self._read_elsewhere(run, process, count)
            return b""
        name = data.decode()
        if question == elsewhere.STOP:
            receipt = await self._stop_here(name)
            return b"" if receipt is None else report.encode(receipt)
        run = self._runs.get(name)
        return b"" if run is None else report.encode(run.describe())

    def _read_elsewhere(self, run: Run, process: str, count: int) -> None:
        """Take note of how many readers a run has in another process."""
        if count:
            run.others[process] = count
            self._leave_alone(run)
        elif run.others.pop(process, 0):
            self._check_watched(run)

    def _gone(self, process: str) -> None:
        """Another process is gone; its readers have some seconds to come back by way of another."""
        loop = asyncio.get_running_loop()
        for run in list(self._runs.values()):
            if run.others.pop(process, 0):
                loop.call_later(_RETURN_SECONDS, self._check_watched, run)

    def _lost(self, name: str) -> None:
        """Another process has taken a run of ours over: end it here, and store nothing of it."""
        run = self._runs.get(name)
        if run is not None and run.pump is not None:
            run.pump.cancel()

    async def _orphaned(self, orphan: Orphan) -> None:
        """Finish a run of a process that is gone."""
        owner, run_id = parts_of(orphan.name)
        first = self._limits.bounds.events + 1
        await takeover.finish(orphan, run_id, first=first, recorder=self._recorder)
        if owner is not None:
            self._peers.leave(owner, orphan.name)

    def _hold(self, run: Run) -> None:
        run.readers += 1
        self._leave_alone(run)

    @staticmethod
    def _leave_alone(run: Run) -> None:
        if run.detached is not None:
            run.detached.cancel()
            run.detached = None

    def _check_watched(self, run: Run) -> None:
        """Do what the order says about a run that nobody reads any more."""
        if run.watchers or run.state.terminal:
            return
        if run.on_disconnect is OnDisconnect.STOP:
            self._cancel(run)
        elif run.detached is None:
            loop = asyncio.get_running_loop()
            run.detached = loop.call_later(self._limits.detached, self._cancel, run)

    @staticmethod
    def _cancel(run: Run) -> None:
        """Cancel the pump once, as a stop."""
        if run.pump is not None and not run.stop_requested and not run.state.terminal:
            run.stop_requested = True
            run.pump.cancel()

    async def _pump(self, run: Run) -> None:
        """Move what the provider brings into the log, until it ends, fails or is cancelled."""
        run.wait()
        try:
            if run.complete(await relay(run, self._limits, self.coalescer)):
                self._settled(run)
        except RunFailure as failure:
            if run.fail(failure):
                self._settled(run)
        finally:
            await run.call.close()

    def _pumped(self, run: Run, task: asyncio.Task[None]) -> None:
        """Settle the run where the pump could not; it is over unless it still has to be stored."""
        self._pumps.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            settled = run.fail(InternalError("the service failed; its log says why"))
        elif run.stop_requested and not run.lost:
            settled = run.stop()
        else:
            settled = run.fail(_interruption(run))
        if settled:
            self._settled(run)
        run.pump = None
        self._check_over(run)
        if error is not None:
            _log.error("a run failed by a defect", run_id=run.id, exc_info=error)

    def _settled(self, run: Run) -> None:
        """Write the terminal event of a run that has just been settled, or store its answer first."""
        if run.detached is not None:
            run.detached.cancel()
        if run.lost and self._recorder is not None:
            self._recorder.abandon(run)
        if run.lost or self._recorder is None or run.turn is None:
            self._close_log(run, saved=None)
        else:
            self._do(self._save(run, self._recorder))

    async def _save(self, run: Run, recorder: Recorder) -> None:
        saved = False
        try:
            if run.turn is not None:
                saved = await recorder.finish(run, run.turn)
        finally:
            self._close_log(run, saved=saved)
            self._check_over(run)

    def _close_log(self, run: Run, *, saved: bool | None) -> None:
        run.close(saved=saved, first=self._limits.bounds.events + 1)

    def _check_over(self, run: Run) -> None:
        """When both the pump and the log are done: log the run, and forget it later."""
        if run.pump is not None or not run.closed:
            return
        self._admission.leave()
        if run.owner is not None and not run.lost:
            self._peers.leave(run.owner, run.name)
        run.note(report.encode(run.describe()))
        run.over.set_result(None)
        self._keep(run)
        _log.info("run", **run.line())

    def _keep(self, run: Run) -> None:
        """Know the run for some time, if it is ours, and if the limits allow it."""
        loop = asyncio.get_running_loop()
        seconds = 0.0 if run.lost else self._limits.retention
        self._forgetting[run.name] = loop.call_later(seconds, self._forget, run.name)
        self._kept_bytes += run.size
        while len(self._forgetting) > 1 and (
            len(self._forgetting) > self._limits.kept or self._kept_bytes > self._limits.kept_bytes
        ):
            oldest = next(iter(self._forgetting))
            self._forgetting[oldest].cancel()
            self._forget(oldest)

    def _forget(self, name: str) -> None:
        del self._forgetting[name]
        self._kept_bytes -= self._runs.pop(name).size
        self._do(self._stream_log.drop(name))

    def _do(self, chore: Coroutine[None, None, None]) -> None:
        """Do something in a task of our own, which nobody cancels and `close` waits for."""
        task = asyncio.get_running_loop().create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._chores.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a chore failed by a defect", exc_info=error)


def _check_kept(writer: LogWriter) -> None:
    if writer.lost:
        raise LogUnavailable("the process stood still for too long: try again")


def _interruption(run: Run) -> RunInterrupted:
    if run.lost:
        return RunInterrupted("the process stood still for so long that the run was given up")
    return RunInterrupted("the service was shut down before the answer was complete")
