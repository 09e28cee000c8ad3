"""`Retention`: for how long runs are known after their end, and how many."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.runs.run import Run
    from stream_serve.runs.spec import Limits


class Retention:
    """Keeps the runs that are done; the oldest are forgotten first when there are too many.

    `forget` is called once with each run whose time is over.
    """

    def __init__(self, limits: Limits, forget: Callable[[Run], object]) -> None:
        self._limits = limits
        self._forget = forget
        self._kept: dict[Run, asyncio.TimerHandle] = {}
        self._bytes = 0

    def keep(self, run: Run) -> None:
        """Keep a run for some time, if it is ours, and if the limits allow it."""
        loop = asyncio.get_running_loop()
        seconds = 0.0 if run.lost else self._limits.retention
        self._kept[run] = loop.call_later(seconds, self._drop, run)
        self._bytes += run.size
        while len(self._kept) > 1 and (
            len(self._kept) > self._limits.kept or self._bytes > self._limits.kept_bytes
        ):
            self._drop(next(iter(self._kept)))

    def release(self, run: Run) -> bool:
        """Keep a run no more, which somebody else forgets; return False for one that is not kept."""
        timer = self._kept.pop(run, None)
        if timer is None:
            return False
        timer.cancel()
        self._bytes -= run.size
        return True

    def close(self) -> None:
        """Keep what is kept without an end: the process ends."""
        for timer in self._kept.values():
            timer.cancel()
        self._kept.clear()

    def _drop(self, run: Run) -> None:
        self.release(run)
        self._forget(run)
