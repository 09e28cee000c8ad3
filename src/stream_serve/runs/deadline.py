"""A deadline that moves for the price of an assignment.

How it works: `asyncio.timeout` cancels and makes a timer at each `reschedule`, which is too much for
every token. Here a timer that would fire too early is left alone; when it fires it looks at the
deadline, and if that has moved on it sets itself again for the rest. The same timer holds a limit that
does not move. What happens at expiry is that of `asyncio.timeout`: the task is cancelled, and leaving the
block turns that cancellation, and no other, into `TimeoutError`. A task that takes no notice is cancelled
once more when the limit comes.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Deadline:
    """An async context manager; leaving it after expiry raises `TimeoutError`.

    `seconds` is the time until the first deadline, `limit` until the last moment, wherever the deadline
    is by then. `limited` says that this has come, when it has expired. `least` is the shortest time that
    is likely to follow: the first timer waits no longer, so that no other one has to be set for that. A
    cancellation from outside passes through unchanged, also when it comes together with the expiry.
    """

    __slots__ = (
        *("_cancelling", "_fired", "_handle", "_limit", "_loop", "_task", "_timer", "_when"),
        *("expired", "limited"),
    )

    def __init__(self, seconds: float, *, limit: float = math.inf, least: float = math.inf) -> None:
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._when = now + seconds
        self._limit = now + limit
        self._timer = now + least
        self._task: asyncio.Task[object] | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._cancelling = 0
        self._fired = 0
        self.expired = False
        self.limited = False

    def reschedule(self, seconds: float) -> None:
        """Set the deadline to `seconds` from now, unless it has expired: that happens once."""
        if self.expired:
            return
        self._when = self._loop.time() + seconds
        if self._when < self._timer and self._task is not None:
            self._stop()
            self._set()

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a Deadline needs a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._set(self._timer)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()
        task, self._task = self._task, None
        if task is None or not self.expired:
            return
        for _ in range(self._fired):
            task.uncancel()
        if task.cancelling() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _set(self, latest: float = math.inf) -> None:
        self._timer = min(self._when, self._limit, latest)
        self._handle = (
            self._loop.call_at(self._timer, self._fire) if self._timer < math.inf else None
        )

    def _stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        now = self._loop.time()
        if now < self._when and now < self._limit:
            self._set()
            return
        if not self.expired:
            self.expired, self.limited = True, now >= self._limit
        self._handle = None
        if now < self._limit:
            self._when = math.inf
            self._set()
        if self._task is not None:
            self._fired += 1
            self._task.cancel()
