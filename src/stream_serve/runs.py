"""All runs of the process: start, attach, stop. It owns the tasks that generate; no response does.

How it works: `start` makes a run with its event log and a task, the pump, that moves what the
provider brings into the log. A response only reads the log. Whatever ends the pump (the answer is
complete, the provider fails, a limit, a stop, the shutdown), its last act is to close the provider's
connection, and `_pumped`, called by the loop when it is over, sees to it that the run has its terminal
event, also when the pump was cancelled before its first step. So a stop is: cancel the pump, wait for
the end, look at the sockets.
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

from stream_serve.deadline import Deadline
from stream_serve.errors import (
    Draining,
    InternalError,
    RunFailure,
    RunInterrupted,
    RunNotFound,
    RunTimeout,
    UpstreamIncomplete,
    UpstreamTimeout,
)
from stream_serve.lifecycle import State
from stream_serve.run import Receipt, Run

if TYPE_CHECKING:
    from stream_serve.streams.base import LogReader, StreamLog
    from stream_serve.upstream.base import ChatRequest, Finish, Upstream

_log = structlog.stdlib.get_logger("stream_serve.runs")


class Limits(Struct, frozen=True, kw_only=True):
    """What a run may take: seconds, and bytes of events."""

    first_token: float
    idle: float
    run: float
    retention: float
    bytes: int


class Attachment:
    """One reader's hold on a run; `close` lets go of it."""

    __slots__ = ("_runs", "reader", "run")

    def __init__(self, runs: Runs, run: Run, reader: LogReader) -> None:
        self._runs: Runs | None = runs
        self.run = run
        self.reader = reader

    def close(self) -> None:
        """Let go: when nobody is left who reads, the run is stopped. Twice is fine."""
        runs, self._runs = self._runs, None
        if runs is not None:
            self.reader.close()
            runs.detach(self.run)


class Runs:
    """The runs of this process, by id."""

    def __init__(self, upstream: Upstream, log: StreamLog, limits: Limits) -> None:
        self._upstream = upstream
        self._stream_log = log
        self._limits = limits
        self._runs: dict[str, Run] = {}
        self._pumps: set[asyncio.Task[None]] = set()
        self._forgetting: dict[str, asyncio.TimerHandle] = {}
        self._drops: set[asyncio.Task[None]] = set()
        self._draining = False

    @property
    def model(self) -> str:
        """The model that answers when the request names none."""
        return self._upstream.model

    @property
    def running(self) -> int:
        """How many runs have not ended, or still hold a connection."""
        return len(self._pumps)

    async def start(self, request: ChatRequest, *, owner: str | None) -> Attachment:
        """Start a run and attach its first reader.

        Raises `Draining` at shutdown. A cancellation leaves no run behind.
        """
        if self._draining:
            raise Draining("the service is shutting down: try again in some seconds")
        run_id = secrets.token_urlsafe(16)
        writer = await self._stream_log.create(run_id)
        try:
            reader = await self._stream_log.read(run_id)
        except BaseException:
            self._drop(run_id)
            raise
        run = Run(
            run_id,
            owner=owner,
            request=request,
            call=self._upstream.call(request),
            writer=writer,
            max_bytes=self._limits.bytes,
        )
        self._runs[run_id] = run
        run.start()
        run.readers += 1
        run.task = asyncio.create_task(self._pump(run), name=f"run {run_id}")
        self._pumps.add(run.task)
        run.task.add_done_callback(partial(self._pumped, run))
        return Attachment(self, run, reader)

    def get(self, run_id: str, *, owner: str | None) -> Run:
        """Give a run of this owner. Raises `RunNotFound`, also for somebody else's run."""
        run = self._runs.get(run_id)
        if run is None or run.owner != owner:
            raise RunNotFound(
                "there is no run with this id, or it was forgotten some time after its end"
            )
        return run

    async def stop(self, run_id: str, *, owner: str | None) -> Receipt:
        """Stop a run and say what that did; for a run that has ended, what is true of it.

        Comes back when the run has its terminal event and the provider's connection is closed, or,
        after a finished answer, back in the pool.
        Repeating it gives the first stop's receipt. A cancelled `stop` has stopped the run all the
        same. Raises `RunNotFound`.
        """
        began = time.monotonic()
        run = self.get(run_id, owner=owner)
        self._cancel(run)
        await run.over.wait()
        if run.receipt is None:
            run.receipt = self._receipt(run, began)
        return run.receipt

    def detach(self, run: Run) -> None:
        """Take note that a reader has gone; when it was the last one, the run is stopped."""
        run.readers -= 1
        if run.readers == 0:
            self._cancel(run)

    def interrupt(self) -> None:
        """Take no new runs and end those that are running as interrupted. Twice is fine."""
        self._draining = True
        for task in self._pumps:
            task.cancel()

    async def close(self) -> None:
        """End every run, wait until their connections are closed, and close the provider's pool."""
        self.interrupt()
        while self._pumps:
            await asyncio.wait(self._pumps)
        for timer in self._forgetting.values():
            timer.cancel()
        self._forgetting.clear()
        if self._drops:
            await asyncio.wait(self._drops)
        await self._upstream.close()

    def _cancel(self, run: Run) -> None:
        """Cancel the pump once, as a stop."""
        if run.task is not None and not run.stop_requested and not run.state.terminal:
            run.stop_requested = True
            run.task.cancel()

    async def _pump(self, run: Run) -> None:
        """Move what the provider brings into the log, until it ends, fails or is cancelled."""
        run.wait()
        try:
            finish = await self._relay(run)
            if finish is None:
                raise UpstreamIncomplete("the answer ended, and nothing said how")
            run.complete(finish)
        except RunFailure as failure:
            run.fail(failure)
        finally:
            await run.call.close()

    async def _relay(self, run: Run) -> Finish | None:
        limits = self._limits
        try:
            async with asyncio.timeout(limits.run), aclosing(run.call.batches()) as batches:
                try:
                    async with Deadline(limits.first_token) as deadline:
                        async for deltas in batches:
                            run.append(deltas)
                            deadline.move(limits.idle)
                except TimeoutError:
                    raise _silence(run, limits) from None
        except TimeoutError:
            raise RunTimeout(
                f"the answer was cut after {limits.run:g} s (STREAM_SERVE_RUN_TIMEOUT)"
            ) from None
        return run.call.finish

    def _pumped(self, run: Run, task: asyncio.Task[None]) -> None:
        """Give the run its terminal event where the pump could not, log it, and forget it later."""
        self._pumps.discard(task)
        if not run.state.terminal:
            if not task.cancelled() and (error := task.exception()) is not None:
                _log.error("run failed by a defect", run_id=run.id, exc_info=error)
                run.fail(InternalError("the service failed; its log says why"))
            elif run.stop_requested:
                run.stop()
            else:
                run.fail(RunInterrupted("the service was shut down before the answer was complete"))
        elif not task.cancelled() and (error := task.exception()) is not None:
            _log.error("closing a call failed", run_id=run.id, exc_info=error)
        run.task = None
        run.over.set()
        _write_line(run)
        loop = asyncio.get_running_loop()
        self._forgetting[run.id] = loop.call_later(self._limits.retention, self._forget, run.id)

    def _forget(self, run_id: str) -> None:
        del self._forgetting[run_id], self._runs[run_id]
        self._drop(run_id)

    def _drop(self, run_id: str) -> None:
        drop = asyncio.get_running_loop().create_task(self._stream_log.drop(run_id))
        self._drops.add(drop)
        drop.add_done_callback(self._drops.discard)

    @staticmethod
    def _receipt(run: Run, began: float) -> Receipt:
        if run.usage is None:
            raise AssertionError("a run that has ended has its usage")
        return Receipt(
            run_id=run.id,
            outcome="stopped" if run.state is State.STOPPED else "already_finished",
            upstream_closed=run.call.socket_closed,
            latency_ms=round((time.monotonic() - began) * 1000, 3),
            finish_reason=run.finish_reason,
            usage=run.usage,
        )


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
    _log.info(
        "run",
        run_id=run.id,
        model=run.call.model,
        state=run.state.value,
        finish_reason=run.finish_reason,
        code=run.error.code if run.error is not None else None,
        provider_request_id=run.error.request_id if run.error is not None else None,
        first_token_ms=_ms(run.first_token_seconds),
        duration_ms=_ms(run.seconds),
        events=run.events,
        prompt_tokens=run.usage.prompt_tokens if run.usage is not None else None,
        completion_tokens=run.usage.completion_tokens if run.usage is not None else None,
        usage_source=run.usage.source if run.usage is not None else None,
        upstream_closed=run.call.socket_closed,
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
