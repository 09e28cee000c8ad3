"""All runs of the process: start, attach, stop. It owns the tasks that generate; no response does.

How it works: `start` makes a run with its event log and a task, the pump, that moves what the
provider brings into the log. A response only reads the log. Whatever ends the pump (the answer is
complete, the provider fails, a limit, a stop, the shutdown), its last act is to close the provider's
connection, and `_pumped`, called by the loop when it is over, sees to it that the run is settled,
also when the pump was cancelled before its first step. A settled run gets its terminal event at once,
or, in a conversation, when its answer is stored or could not be. So a stop is: cancel the pump, wait
until the run is over, look at the sockets.

A run is known by its owner and its id. While one is being started under an id, a second start under
the same id waits and joins it, and a stop is remembered.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct

from stream_serve.admission import Admission, EarlyStops
from stream_serve.deadline import Deadline
from stream_serve.errors import (
    CursorBeyondLog,
    Draining,
    InternalError,
    LogError,
    RunConflict,
    RunFailure,
    RunInterrupted,
    RunNotFound,
    RunTimeout,
    StoppedEarly,
    UpstreamIncomplete,
    UpstreamTimeout,
)
from stream_serve.lifecycle import State
from stream_serve.run import Bounds, OnDisconnect, Order, Receipt, Run

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from stream_serve.recorder import Recorder
    from stream_serve.streams.base import LogReader, StreamLog
    from stream_serve.upstream.base import Finish, Upstream

_log = structlog.stdlib.get_logger("stream_serve.runs")

Key = tuple[str | None, str]


class Limits(Struct, frozen=True, kw_only=True):
    """What runs may take: seconds, numbers of runs, and the size of a run's log.

    `detached` is how long a run goes on that nobody reads, `early_stop` how long a stop waits for
    its start, `kept` and `kept_bytes` how many runs are known after their end, and how large their
    logs may be together: the oldest are forgotten first.
    """

    first_token: float
    idle: float
    run: float
    retention: float
    detached: float
    bounds: Bounds
    total: int
    each: int
    kept: int
    kept_bytes: int
    early_stop: float = 60.0


class Attachment:
    """One reader's hold on a run; `close` lets go of it."""

    __slots__ = ("_runs", "reader", "run")

    def __init__(self, runs: Runs, run: Run, reader: LogReader) -> None:
        self._runs: Runs | None = runs
        self.run = run
        self.reader = reader

    def close(self) -> None:
        """Let go; what becomes of a run that nobody reads is for its order to say. Twice is fine."""
        runs, self._runs = self._runs, None
        if runs is not None:
            self.reader.close()
            runs.detach(self.run)


class Runs:
    """The runs of this process. `recorder` stores the answers of those in conversations."""

    def __init__(
        self, upstream: Upstream, log: StreamLog, limits: Limits, recorder: Recorder | None = None
    ) -> None:
        self._upstream = upstream
        self._stream_log = log
        self._limits = limits
        self._recorder = recorder
        self._admission = Admission(total=limits.total, each=limits.each)
        self._early_stops = EarlyStops(limits.early_stop)
        self._runs: dict[Key, Run] = {}
        self._starting: dict[Key, asyncio.Future[None]] = {}
        self._pumps: set[asyncio.Task[None]] = set()
        self._forgetting: dict[Key, asyncio.TimerHandle] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self._kept_bytes = 0
        self._draining = False

    def model_for(self, asked: str | None) -> str:
        """Give the model that answers when `asked` is asked for, or none."""
        return self._upstream.model_for(asked)

    @property
    def running(self) -> int:
        """How many runs have been admitted and are not over."""
        return self._admission.count

    async def start(self, order: Order, *, owner: str | None) -> Attachment:
        """Start a run, or join the one that the same order started, and attach a reader to it.

        Raises `Draining`, `RunConflict`, `StoppedEarly`, `TooManyRuns`, `Full`, and what
        `order.prepare` raises; a start that is refused or cancelled leaves nothing behind.
        """
        run_id = order.run_id or secrets.token_urlsafe(16)
        key = (owner, run_id)
        while key in self._starting:
            await asyncio.wait([self._starting[key]])
        if (known := self._runs.get(key)) is not None:
            if known.fingerprint != order.fingerprint:
                raise RunConflict(
                    "a run with this id was started by another request: take a new id"
                )
            return await self.attach(run_id, owner=owner)
        self._check_early_stop(key)
        if self._draining:
            raise Draining(
                "the service is shutting down: try again in some seconds",
                headers=(("Retry-After", "5"),),
            )
        self._admission.enter(owner)
        started = self._starting[key] = asyncio.get_running_loop().create_future()
        try:
            return await self._start(key, order)
        except BaseException:
            if key not in self._runs:
                self._admission.leave(owner)
            raise
        finally:
            del self._starting[key]
            started.set_result(None)

    async def attach(self, run_id: str, *, owner: str | None, after: int = 0) -> Attachment:
        """Attach a reader that begins after event number `after`.

        Raises `RunNotFound`, and `CursorBeyondLog` when the run has no such event.
        """
        run = self.get(run_id, owner=owner)
        if after > run.events:
            raise CursorBeyondLog(
                f"the cursor says {after}, but this run has {run.events} events: read it from the "
                "beginning"
            )
        self._hold(run)
        try:
            reader = await self._stream_log.read(_name(run.owner, run.id), after)
        except BaseException as error:
            self.detach(run)
            if isinstance(error, LogError):
                raise _not_found() from error
            raise
        return Attachment(self, run, reader)

    def get(self, run_id: str, *, owner: str | None) -> Run:
        """Give a run of this owner. Raises `RunNotFound`, also for somebody else's run."""
        run = self._runs.get((owner, run_id))
        if run is None:
            raise _not_found()
        return run

    async def stop(self, run_id: str, *, owner: str | None) -> Receipt:
        """Stop a run and say what that did; for a run that has ended, what is true of it.

        Comes back when the run has its terminal event and the provider's connection is closed, or,
        after a finished answer, back in the pool. Repeating it gives the first stop's receipt. A
        cancelled `stop` has stopped the run all the same. Raises `RunNotFound`; but the stop of an
        unknown run is kept for a minute, and a start under that id is refused.
        """
        began = time.monotonic()
        key = (owner, run_id)
        if key not in self._runs:
            self._early_stops.add(key)
            if key in self._starting:
                await asyncio.wait([self._starting[key]])
        run = self.get(run_id, owner=owner)
        self._cancel(run)
        await run.over.wait()
        if run.receipt is None:
            run.receipt = self._receipt(run, began)
        return run.receipt

    def detach(self, run: Run) -> None:
        """Take note that a reader has gone; what follows the last one is for the order to say."""
        run.readers -= 1
        if run.readers or run.state.terminal:
            return
        if run.on_disconnect is OnDisconnect.STOP:
            self._cancel(run)
        else:
            loop = asyncio.get_running_loop()
            run.detached = loop.call_later(self._limits.detached, self._cancel, run)

    def interrupt(self) -> None:
        """Take no new runs and end those that are running as interrupted. Twice is fine."""
        self._draining = True
        for task in self._pumps:
            task.cancel()

    async def close(self) -> None:
        """End every run, wait until their connections are closed and their answers stored, and
        close the provider's pool."""
        self.interrupt()
        while self._starting or self._pumps or self._chores:
            await asyncio.wait([*self._starting.values(), *self._pumps, *self._chores])
            self.interrupt()
        for timer in self._forgetting.values():
            timer.cancel()
        self._forgetting.clear()
        await self._upstream.close()

    async def _start(self, key: Key, order: Order) -> Attachment:
        """Make the run and set it going; the id is reserved by now."""
        owner, run_id = key
        task = await order.prepare(run_id)
        name = _name(owner, run_id)
        writer = await self._stream_log.create(name)
        try:
            reader = await self._stream_log.read(name)
        except BaseException:
            self._do(self._stream_log.drop(name))
            raise
        call = self._upstream.call(task.request)
        run = Run(run_id, owner=owner, order=order, task=task, call=call, writer=writer)
        self._runs[key] = run
        run.start()
        self._hold(run)
        if self._recorder is not None and run.turn is not None:
            self._recorder.begin(run, run.turn)
        run.pump = asyncio.create_task(self._pump(run), name=f"run {run_id}")
        self._pumps.add(run.pump)
        run.pump.add_done_callback(partial(self._pumped, run))
        if key in self._early_stops:
            self._cancel(run)
        elif self._draining:
            run.pump.cancel()
        return Attachment(self, run, reader)

    def _check_early_stop(self, key: Key) -> None:
        if key in self._early_stops:
            raise StoppedEarly("a stop for this run came before its start, so it is not started")

    @staticmethod
    def _hold(run: Run) -> None:
        run.readers += 1
        if run.detached is not None:
            run.detached.cancel()
            run.detached = None

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
            finish = await self._relay(run)
            if finish is None:
                raise UpstreamIncomplete("the answer ended, and nothing said how")
            if run.complete(finish):
                self._settled(run)
        except RunFailure as failure:
            if run.fail(failure):
                self._settled(run)
        finally:
            await run.call.close()

    async def _relay(self, run: Run) -> Finish | None:
        limits = self._limits
        try:
            async with asyncio.timeout(limits.run), aclosing(run.call.batches()) as batches:
                try:
                    async with Deadline(limits.first_token) as deadline:
                        async for deltas in batches:
                            run.append(deltas, limits.bounds)
                            deadline.move(limits.idle)
                except TimeoutError:
                    raise _silence(run, limits) from None
        except TimeoutError:
            raise RunTimeout(
                f"the answer was cut after {limits.run:g} s (STREAM_SERVE_RUN_TIMEOUT)"
            ) from None
        return run.call.finish

    def _pumped(self, run: Run, task: asyncio.Task[None]) -> None:
        """Settle the run where the pump could not; it is over unless it still has to be stored."""
        self._pumps.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            settled = run.fail(InternalError("the service failed; its log says why"))
        elif run.stop_requested:
            settled = run.stop()
        else:
            settled = run.fail(
                RunInterrupted("the service was shut down before the answer was complete")
            )
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
        if self._recorder is None or run.turn is None:
            run.close(saved=None)
        else:
            self._do(self._save(run, self._recorder))

    async def _save(self, run: Run, recorder: Recorder) -> None:
        saved = False
        try:
            if run.turn is not None:
                saved = await recorder.finish(run, run.turn)
        finally:
            run.close(saved=saved)
            self._check_over(run)

    def _check_over(self, run: Run) -> None:
        """When both the pump and the log are done: log the run, and forget it later."""
        if run.pump is not None or not run.closed:
            return
        self._admission.leave(run.owner)
        run.over.set()
        key = (run.owner, run.id)
        loop = asyncio.get_running_loop()
        self._forgetting[key] = loop.call_later(self._limits.retention, self._forget, key)
        self._kept_bytes += run.size
        while len(self._forgetting) > 1 and (
            len(self._forgetting) > self._limits.kept or self._kept_bytes > self._limits.kept_bytes
        ):
            oldest = next(iter(self._forgetting))
            self._forgetting[oldest].cancel()
            self._forget(oldest)
        _write_line(run)

    def _forget(self, key: Key) -> None:
        del self._forgetting[key]
        self._kept_bytes -= self._runs.pop(key).size
        self._do(self._stream_log.drop(_name(*key)))

    def _do(self, chore: Coroutine[None, None, None]) -> None:
        """Do something in a task of our own, which nobody cancels and `close` waits for."""
        task = asyncio.get_running_loop().create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._chores.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a chore failed by a defect", exc_info=error)

    @staticmethod
    def _receipt(run: Run, began: float) -> Receipt:
        return Receipt(
            run_id=run.id,
            outcome="stopped" if run.state is State.STOPPED else "already_finished",
            upstream_closed=run.call.socket_closed,
            latency_ms=round((time.monotonic() - began) * 1000, 3),
            finish_reason=run.finish_reason,
            usage=run.usage,
        )


def _name(owner: str | None, run_id: str) -> str:
    """Name a run's log: two owners may choose the same id."""
    return run_id if owner is None else f"{owner}/{run_id}"


def _not_found() -> RunNotFound:
    return RunNotFound("there is no run with this id, or it was forgotten some time after its end")


def _silence(run: Run, limits: Limits) -> UpstreamTimeout:
    if run.first_token_seconds is None:
        return UpstreamTimeout(
            f"no token came within {limits.first_token:g} s (STREAM_SERVE_FIRST_TOKEN_TIMEOUT)"
        )
    return UpstreamTimeout(
        f"no more tokens came within {limits.idle:g} s (STREAM_SERVE_IDLE_TIMEOUT)"
    )


def _write_line(run: Run) -> None:
    """Write the run's one line in the log: numbers and names, never its text."""
    failure, usage = run.failure, run.usage
    _log.info(
        "run",
        run_id=run.id,
        model=run.model,
        state=run.state.value,
        finish_reason=run.finish_reason,
        code=failure.code if failure is not None else None,
        provider_request_id=failure.request_id if failure is not None else None,
        first_token_ms=_ms(run.first_token_seconds),
        duration_ms=_ms(run.seconds),
        events=run.events,
        prompt_tokens=usage.prompt_tokens if usage is not None else None,
        completion_tokens=usage.completion_tokens if usage is not None else None,
        usage_source=usage.source if usage is not None else None,
        upstream_closed=run.call.socket_closed,
        conversation_id=run.turn.conversation_id if run.turn is not None else None,
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
