"""`Execution`: what makes a run, from its first step to its end. It owns the task; no response does.

How it works: the task produces, settles the run by what came of that, and closes the producer. A task
that was cancelled (by a stop, an interruption, or since the run was lost), or that failed by a defect,
has settled nothing: then `_produced`, which the loop calls when the task is over, does, also when
the task never had its first step. So a run is settled exactly once, by `_settle`. It is closed at
once, or, where an observer stores the answer, as soon as that is stored or could not be. So a stop is:
cancel the task, wait until the run is done, look at the connections.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Final

import structlog

from stream_serve.errors import InternalError, RunFailure, RunInterrupted
from stream_serve.events.types import Error
from stream_serve.producers.base import Finish
from stream_serve.runs import view
from stream_serve.runs.presence import Presence
from stream_serve.runs.relay import relay
from stream_serve.runs.spec import OnDisconnect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from stream_serve.runs.observers import Observers
    from stream_serve.runs.run import Run
    from stream_serve.runs.spec import Limits
    from stream_serve.runs.view import Receipt, RunState

_AGAIN: Final = 1.0
_DEFECT: Final = InternalError("the service failed; its log says why")
_log: Final = structlog.stdlib.get_logger("stream_serve.runs")


class Context:
    """What every execution of a process is given.

    `on_piece` is called for each piece that a producer brings, `explain` says a failure in the words
    of who serves, `spawn` does something in a task that nobody cancels, `done` is told of each
    execution that is done.
    """

    __slots__ = ("done", "explain", "limits", "observers", "on_piece", "spawn")

    def __init__(
        self,
        limits: Limits,
        observers: Observers,
        *,
        on_piece: Callable[[], None],
        explain: Callable[[RunFailure], str],
        spawn: Callable[[Coroutine[None, None, None]], object],
        done: Callable[[Execution], None],
    ) -> None:
        self.limits = limits
        self.observers = observers
        self.on_piece = on_piece
        self.explain = explain
        self.spawn = spawn
        self.done = done


class Execution:
    """Makes one run. `presence` knows its readers; the last one that leaves may stop it."""

    __slots__ = (
        "_begun",
        "_context",
        "_interrupted",
        "_receipt",
        "_saving",
        "_stopped",
        "_task",
        "done",
        "presence",
        "run",
    )

    def __init__(self, run: Run, on_disconnect: OnDisconnect, context: Context) -> None:
        patience: float | None = None
        if on_disconnect is not OnDisconnect.STOP:
            continues = on_disconnect is OnDisconnect.CONTINUE
            patience = context.limits.detached if continues else math.inf
        self.run = run
        self.presence = Presence(self.stop, patience=patience)
        self._context = context
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Has its result when the run is done."""
        self._receipt: Receipt | None = None
        self._stopped = False
        self._interrupted = False
        self._saving = False
        self._begun = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Write `start` and begin to produce, in a task."""
        run = self.run
        run.start()
        self._context.observers.began(run)
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._produce(), name=f"run {run.id}")
        self._task.add_done_callback(self._produced)

    def stop(self) -> None:
        """Stop the run, unless it is settled. Twice is fine."""
        if self._task is not None and not self._stopped and not self.run.state.terminal:
            self._stopped = self._task.cancel()  # False where it has just failed

    def interrupt(self) -> None:
        """End the run, since the process ends or has lost it. Twice is fine."""
        if self._task is not None:
            self._interrupted = True
            self._task.cancel()

    def describe(self) -> RunState:
        """Return how the run stands now."""
        return self.run.describe(self.presence.readers)

    def _summary(self) -> bytes:
        """Return the state of the run for the summary beside its log, which counts no readers."""
        return view.encode(self.run.describe(0))

    async def receipt(self, since: float) -> Receipt:
        """Stop the run, wait until it is done, and return what that did; the first receipt stays.

        `since` is when the stop arrived, by the monotonic clock.

        A cancellation ends only the waiting.
        """
        self.stop()
        while not (await asyncio.wait([self.done], timeout=_AGAIN))[0]:
            # A cancellation may get lost where a producer takes no notice of it.
            if self._task is not None:
                self._task.cancel()
        if self._receipt is None:
            latency = round((time.monotonic() - since) * 1000, 3)
            self._receipt = self.describe().receipt(latency)
        return self._receipt

    async def _produce(self) -> None:
        """Produce, settle, and close the producer."""
        run, context = self.run, self._context
        structlog.contextvars.bind_contextvars(run_id=run.id)  # the context is the task's own
        self._begun = True
        run.wait()
        outcome: Finish | RunFailure | None = None
        try:
            try:
                outcome = await relay(run, context.limits.run, context.on_piece)
                if not isinstance(outcome, Finish):  # pyright: ignore[reportUnnecessaryIsInstance]
                    raise TypeError(f"produce() returned {type(outcome).__name__}, not a Finish")
                if self._interrupted or run.lost:
                    return
            except RunFailure as failure:
                outcome = failure
            if not self._stopped:  # else the producer says in its own way that it was cancelled
                self._settle(outcome)
        finally:
            outcome = None  # a failure refers to this frame: they would keep each other
            await run.producer.close()

    def _produced(self, task: asyncio.Task[None]) -> None:
        """Settle what was cut short; the run is done, unless it still has to be stored."""
        self._task = None
        defect = None if task.cancelled() else task.exception()
        if defect is not None:
            _log.error("a run failed by a defect", run_id=self.run.id, exc_info=defect)
        try:
            if not self.run.state.terminal:
                self._settle(self._cut_short(defect))
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - a run has to get its end
            _log.exception("the end of a run could not be settled", run_id=self.run.id)
        if not self.run.closed and not self._saving:
            self.run.break_off(Error.of(_DEFECT, str(_DEFECT)))
        if not self._begun:
            self._context.spawn(self._close_producer())
        self._check_done()

    async def _close_producer(self) -> None:
        await self.run.producer.close()

    def _cut_short(self, defect: BaseException | None) -> RunFailure | None:
        """Say how a run ended whose task was cancelled, or failed; None: it was stopped."""
        if self.run.lost:
            return RunInterrupted("the process stood still for so long that the run was given up")
        if self._stopped:
            return None
        if defect is not None:
            return _DEFECT
        if self._interrupted:
            return RunInterrupted("the service was shut down before the answer was complete")
        _log.error("a producer was cancelled by itself", run_id=self.run.id)
        return _DEFECT

    def _settle(self, outcome: Finish | RunFailure | None) -> None:
        """Decide how the run ends, tell the observers, and close it; None: it was stopped."""
        run, context = self.run, self._context
        if outcome is None:
            run.stop()
        elif isinstance(outcome, RunFailure):
            if outcome.for_operator:
                _log.warning(
                    "a run fails", run_id=run.id, error=str(outcome), server=outcome.for_operator
                )
            run.fail(Error.of(outcome, self._explain(outcome)))
        else:
            run.complete(outcome)
        self.presence.settle()
        saving = context.observers.settled(run)
        if saving is None:
            self._close(saved=None)
        else:
            self._saving = True
            context.spawn(self._close_when_saved(saving))

    def _explain(self, failure: RunFailure) -> str:
        """Say a failure in the words of who serves; in its own when that fails."""
        try:
            return self._context.explain(failure)
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - a run has to get its end
            _log.exception("a failure could not be explained", run_id=self.run.id)
            return str(failure)

    async def _close_when_saved(self, saving: Awaitable[bool]) -> None:
        saved = False
        try:
            saved = await saving
        finally:
            self._saving = False
            self._close(saved=saved)
            self._check_done()

    def _close(self, *, saved: bool | None) -> None:
        """Write the terminal event; an error in its place where that fails."""
        try:
            self.run.close(saved=saved)
        except Exception:  # noqa: BLE001 - a run has to get its end
            _log.exception("the end of a run could not be written", run_id=self.run.id)
            self.run.break_off(Error.of(_DEFECT, str(_DEFECT)))

    def _check_done(self) -> None:
        """When both the task and the log are over: leave a summary, and tell who waits."""
        if self._task is not None or not self.run.closed or self.done.done():
            return
        try:
            self.run.summarize(self._summary)
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - whoever waits has to be told
            _log.exception("a run could not be summarized", run_id=self.run.id)
        self.done.set_result(None)
        self._context.done(self)
        self._context.observers.done(self.run)
