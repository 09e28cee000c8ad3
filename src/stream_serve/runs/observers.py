"""Observers: who is told that a run began, had its first token, and ended; never of a token.

The log line of a run is one of them (`log_line`), and so is whatever else looks at runs without being a
part of them: what stores answers, counts, or traces.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from stream_serve.events.transcript import Transcript
    from stream_serve.events.types import Error
    from stream_serve.runs.run import Run

    _Call = tuple["Observer", Callable[..., Awaitable[bool] | None]]

_log: Final = structlog.stdlib.get_logger("stream_serve.runs")


class Observer:
    """Told of every run of this process. Its methods do nothing here, and must not wait."""

    def began(self, run: Run) -> None:
        """Called when the run has its `start` event."""

    def first_token(self, run: Run) -> None:
        """Called when the first delta has come."""

    def settled(self, run: Run) -> Awaitable[bool] | None:
        """Called when the run's end is decided, before its readers are told.

        Whoever stores the answer returns what tells, within a bounded time, whether it is stored: the
        terminal event says so. Others return None, and so do all for a run that is `lost`: another
        process stores its answer.
        """

    def done(self, run: Run) -> None:
        """Called when the run has its terminal event, and the producer's connection is closed."""

    def recovered(
        self, run_id: str, transcript: Transcript, error: Error
    ) -> Awaitable[bool] | None:
        """Called for a run of a process that is gone, before it gets its terminal event `error`.

        Returns as `settled` does. May be called again for the same run.
        """


class Observers:
    """Several observers. One that fails is logged, and neither the run nor the others notice."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._began = _told(observers, "began")
        self._first_token = _told(observers, "first_token")
        self._settled = _told(observers, "settled")
        self._done = _told(observers, "done")
        self._recovered = _told(observers, "recovered")

    def began(self, run: Run) -> None:
        """Tell all that a run has begun."""
        _tell(self._began, run)

    def first_token(self, run: Run) -> None:
        """Tell all that the first delta has come."""
        _tell(self._first_token, run)

    def settled(self, run: Run) -> Awaitable[bool] | None:
        """Tell all that the end is decided; return what tells whether all that was to be stored is."""
        return _all(_tell(self._settled, run))

    def done(self, run: Run) -> None:
        """Tell all that a run is done."""
        _tell(self._done, run)

    def recovered(
        self, run_id: str, transcript: Transcript, error: Error
    ) -> Awaitable[bool] | None:
        """Tell all of a run of a process that is gone; return as `settled`."""
        return _all(_tell(self._recovered, run_id, transcript, error))


def _told(observers: Sequence[Observer], name: str) -> list[_Call]:
    """Return the methods of this name of those who do something in it, each with its observer."""
    calls = [(one, getattr(one, name)) for one in observers]
    nothing = getattr(Observer, name)
    return [(one, call) for one, call in calls if getattr(call, "__func__", None) is not nothing]


def _tell(calls: Sequence[_Call], *said: object) -> list[Awaitable[bool]]:
    """Call each, and return what they want to be waited for."""
    savings: list[Awaitable[bool]] = []
    for observer, call in calls:
        try:
            saving = call(*said)
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - the boundary between a run and who looks at it
            _log.exception("an observer of runs failed", observer=type(observer).__name__)
        else:
            if saving is not None:
                savings.append(saving)
    return savings


def _all(savings: Sequence[Awaitable[bool]]) -> Awaitable[bool] | None:
    """Return what waits for all, if there are any; one that fails has stored nothing."""
    if not savings:
        return None

    async def wait() -> bool:
        results = await asyncio.gather(*savings, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                _log.error("an answer was not stored, by a defect", exc_info=result)
        return all(result is True for result in results)

    return wait()
