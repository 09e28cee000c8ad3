"""`Retention`: for how long runs are known after their end, and how many.

How it works: each run is kept for the same time, so the oldest is always the next to be forgotten. One
timer is set for it, and none for the others.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
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
        # In order: to find the first key of a `dict` that has lost many takes a step for each of them.
        self._kept: OrderedDict[Run, float] = OrderedDict()
        """The runs, by the time until which they are kept; the oldest first."""
        self._timer: asyncio.TimerHandle | None = None
        self._bytes = 0

    def keep(self, run: Run) -> None:
        """Keep a run for some time, if it is ours, and if the limits allow it."""
        loop = asyncio.get_running_loop()
        self._kept[run] = until = loop.time() + self._limits.retention
        self._bytes += run.size
        if run.lost:
            loop.call_soon(self._drop, run)
        while len(self._kept) > 1 and (
            len(self._kept) > self._limits.kept or self._bytes > self._limits.kept_bytes
        ):
            self._drop(next(iter(self._kept)))
        if self._timer is None:
            self._timer = loop.call_at(until, self._drop_old)

    def release(self, run: Run) -> bool:
        """Keep a run no more, which somebody else forgets; return False for one that is not kept."""
        if self._kept.pop(run, None) is None:
            return False
        self._bytes -= run.size
        return True

    def close(self) -> None:
        """Keep what is kept without an end: the process ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._kept.clear()

    def _drop(self, run: Run) -> None:
        if self.release(run):
            self._forget(run)

    def _drop_old(self) -> None:
        """Forget the runs whose time is over, and come back for the next one."""
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._kept:
            run, until = next(iter(self._kept.items()))
            if until > now:
                self._timer = loop.call_at(until, self._drop_old)
                return
            self._drop(run)
