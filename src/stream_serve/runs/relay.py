"""Moving what a producer brings into a run's log, within the limits of time and size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from stream_serve.errors import RunTimeout, UpstreamTimeout
from stream_serve.producers.base import Patience
from stream_serve.runs.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_serve.events.types import Delta
    from stream_serve.producers.base import Finish
    from stream_serve.runs.run import Run

_ENDLESS: Final = Patience(first_token=math.inf, idle=math.inf)


async def relay(run: Run, seconds: float, on_piece: Callable[[], None]) -> Finish:
    """Relay the whole answer and return how it finished. `seconds` is the limit for all of it.

    The producer may be silent for as long as its patience says. `on_piece` is called for each piece.
    Raises `RunFailure`, and whatever else the producer raises. Cancelled, it has written what had come;
    the producer is for the caller to close.
    """
    patience = run.producer.patience or _ENDLESS
    deadline = Deadline(patience.first_token, limit=seconds, least=patience.idle)
    try:
        async with deadline:
            intake = Intake(run, patience, deadline, on_piece)
            finish = await run.producer.produce(intake.receive)
        if not deadline.expired:  # else the producer took no notice that it was cancelled
            return finish
    except TimeoutError:
        if not deadline.expired:
            raise
    if deadline.limited:
        raise RunTimeout(f"the answer was cut after {seconds:g} s", parameters=["Limits.run"])
    raise _silence(run, patience)


class Intake:
    """Receives what comes for a run: one small object, since every token touches what it needs."""

    __slots__ = ("_deadline", "_first_token", "_idle", "_on_piece", "_run")

    def __init__(
        self,
        run: Run,
        patience: Patience,
        deadline: Deadline,
        on_piece: Callable[[], None],
    ) -> None:
        self._run = run
        self._first_token = patience.first_token
        self._idle = patience.idle
        self._deadline = deadline
        self._on_piece = on_piece

    def receive(self, deltas: Sequence[Delta]) -> None:
        """Write deltas, and wait for the next ones anew; none at all are a sign of life.

        Raises `UpstreamTooLarge`.
        """
        if not deltas:
            waits = self._run.first_token_seconds is None
            self._deadline.reschedule(self._first_token if waits else self._idle)
            return
        self._run.append(deltas)
        self._deadline.reschedule(self._idle)
        self._on_piece()


def _silence(run: Run, patience: Patience) -> UpstreamTimeout:
    if run.first_token_seconds is None:
        return UpstreamTimeout(
            f"no token came within {patience.first_token:g} s",
            parameters=[patience.called[0]],
        )
    return UpstreamTimeout(
        f"no more tokens came within {patience.idle:g} s",
        parameters=[patience.called[1]],
    )
