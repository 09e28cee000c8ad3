"""A deadline that moves for the price of an assignment.

How it works: `asyncio.timeout` cancels and makes a timer at each `reschedule`, which is too much for
every token. Here a timer that would fire too early is left alone; when it fires it looks at the
deadline, and if that has moved on it sets itself again for the rest. What happens at expiry is that
of `asyncio.timeout`: the task is cancelled, and leaving the block turns that cancellation, and no
other, into `TimeoutError`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Deadline:
    """An async context manager; leaving it after expiry raises `TimeoutError`.

    `seconds` is the time until the first deadline. A cancellation from outside passes through
    unchanged, also when it comes together with the expiry.
    """

    __slots__ = ("_cancelling", "_handle", "_loop", "_task", "_timer", "_when", "expired")

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._when = self._timer = self._loop.time() + seconds
        self._task: asyncio.Task[object] | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._cancelling = 0
        self.expired = False

    def reschedule(self, seconds: float) -> None:
        """Set the deadline to `seconds` from now."""
        self._when = self._loop.time() + seconds
        if self._when < self._timer and self._handle is not None:
            self._handle.cancel()
            self._set()

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a Deadline needs a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._set()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        task, self._task = self._task, None
        if (
            self.expired
            and task is not None
            and task.uncancel() <= self._cancelling
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError from error

    def _set(self) -> None:
        self._timer = self._when
        self._handle = self._loop.call_at(self._when, self._fire)

    def _fire(self) -> None:
        if self._loop.time() < self._when:
            self._set()
            return
        self._handle = None
        self.expired = True
        if self._task is not None:
            self._task.cancel()
