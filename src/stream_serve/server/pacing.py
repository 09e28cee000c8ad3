"""Coalescing: a busy process polls its sockets less often, and reads several tokens at each poll.

How it works: waking up for a token costs more than relaying it. So while tokens come fast, the event
loop sleeps after each poll until the next one is due, as network cards do with their interrupts
(adaptive interrupt coalescing). The interval between two polls is the time in which eight pieces come,
and at most `max_interval`. If not even three pieces would come in that time, the loop does not sleep
at all. The rate is measured once every 64 pieces, so that a piece costs one addition.

The sleep blocks the whole process, for at most `max_interval`. A request takes many turns of the event
loop and would be delayed in each, so that for 5 ms after one arrives the loop does not sleep (`hurry`).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECES_PER_MEASUREMENT: Final = 64
_TARGET_BATCH: Final = 8
_MIN_BATCH: Final = 3
_HURRY: Final = 0.005
_MIN_ELAPSED: Final = 1e-9


class Coalescer:
    """Paces the event loop in which `count` is called.

    `max_interval` is in seconds; with 0 the loop never sleeps. `clock` and `sleep` are replaced in
    tests.
    """

    __slots__ = (
        "_clock",
        "_interval",
        "_last_poll",
        "_max_interval",
        "_measured_at",
        "_no_sleep_before",
        "_pieces",
        "_sleep",
        "_sleep_planned",
    )

    def __init__(
        self,
        max_interval: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._max_interval = max_interval
        self._clock = clock
        self._sleep = sleep
        self._interval = 0.0
        self._pieces = 0
        self._sleep_planned = False
        self._measured_at = self._last_poll = self._no_sleep_before = clock()

    @property
    def interval(self) -> float:
        """Seconds between two polls at the rate measured last; 0 when the loop does not sleep."""
        return self._interval

    def count(self) -> None:
        """Record one piece that has just come from a provider, and plan the sleep after this poll."""
        self._pieces += 1
        if self._pieces == _PIECES_PER_MEASUREMENT:
            self._measure()
        if self._interval and not self._sleep_planned:
            self._sleep_planned = True
            # Runs after the callbacks of this poll, which relay what it read.
            asyncio.get_running_loop().call_soon(self._sleep_until_next_poll)

    def hurry(self) -> None:
        """Suspend sleeping for 5 ms, because a request has arrived."""
        self._no_sleep_before = self._clock() + _HURRY

    def _measure(self) -> None:
        now = self._clock()
        rate = self._pieces / max(now - self._measured_at, _MIN_ELAPSED)
        self._measured_at, self._pieces = now, 0
        interval = min(self._max_interval, _TARGET_BATCH / rate)
        self._interval = interval if interval * rate >= _MIN_BATCH else 0.0

    def _sleep_until_next_poll(self) -> None:
        self._sleep_planned = False
        now = self._clock()
        pause = self._last_poll + self._interval - now
        if pause > 0 and now >= self._no_sleep_before:
            self._sleep(pause)
            now += pause
        self._last_poll = now
