"""Moving what the provider brings into a run's log, within the limits of time and size."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stream_serve.errors import RunTimeout, UpstreamTimeout
from stream_serve.runs.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.events.types import Delta
    from stream_serve.producers.base import Finish
    from stream_serve.runs.run import Limits, Run
    from stream_serve.server.pacing import Coalescer


async def relay(run: Run, limits: Limits, coalescer: Coalescer) -> Finish:
    """Relay the whole answer, telling the coalescer of each piece; give how it finished.

    Raises `RunFailure`. Cancelled, it has written what had come; the call is for the caller to close.
    """
    try:
        async with asyncio.timeout(limits.run):
            try:
                async with Deadline(limits.first_token) as deadline:
                    return await run.call.stream(Intake(run, limits, deadline, coalescer).take)
            except TimeoutError:
                raise _silence(run, limits) from None
    except TimeoutError:
        raise RunTimeout(
            f"the answer was cut after {limits.run:g} s (STREAM_SERVE_RUN_TIMEOUT)"
        ) from None


class Intake:
    """Takes what comes for a run: one small object, since every token touches what it needs."""

    __slots__ = ("_bounds", "_coalescer", "_deadline", "_idle", "_run")

    def __init__(self, run: Run, limits: Limits, deadline: Deadline, coalescer: Coalescer) -> None:
        self._run = run
        self._bounds = limits.bounds
        self._idle = limits.idle
        self._deadline = deadline
        self._coalescer = coalescer

    def take(self, deltas: Sequence[Delta]) -> None:
        """Write deltas, and wait for the next ones anew. Raises `UpstreamTooLarge`."""
        self._run.append(deltas, self._bounds)
        self._deadline.move(self._idle)
        self._coalescer.count()


def _silence(run: Run, limits: Limits) -> UpstreamTimeout:
    if run.first_token_seconds is None:
        return UpstreamTimeout(
            f"no token came within {limits.first_token:g} s (STREAM_SERVE_FIRST_TOKEN_TIMEOUT)"
        )
    return UpstreamTimeout(
        f"no more tokens came within {limits.idle:g} s (STREAM_SERVE_IDLE_TIMEOUT)"
    )
