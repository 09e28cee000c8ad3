"""Coalescing: a busy process looks at its sockets less often, and takes several tokens at each look.

How it works: waking up for a token costs more than relaying it. So while tokens come fast, the loop
sleeps after each look until the next one is due, as network cards do with their interrupts (adaptive
interrupt coalescing). Looks are as far apart as eight pieces take to come, and never further than
`longest`; when not even three would come in that time, nobody waits at all. The rate is looked at once
in 64 pieces, so that a piece costs an addition.

The sleep holds up everything in the process, for at most `longest`. A request takes many turns of the
loop and would wait in each, so that for a moment after one nobody sleeps (`hurry`).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_SAMPLE: Final = 64
_BATCH: Final = 8
_LEAST: Final = 3
_HURRY: Final = 0.005
_INSTANT: Final = 1e-9


class Coalescer:
    """Paces the loop in which `count` is called. `longest` is in seconds; 0 lets nothing wait."""

    __slots__ = (
        "_clock",
        "_interval",
        "_longest",
        "_looked",
        "_pieces",
        "_planned",
        "_rests_from",
        "_since",
        "_sleep",
    )

    def __init__(
        self,
        longest: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._longest = longest
        self._clock = clock
        self._sleep = sleep
        self._interval = 0.0
        self._pieces = 0
        self._planned = False
        self._since = self._looked = self._rests_from = clock()

    @property
    def interval(self) -> float:
        """How far looks are apart now, in seconds; 0 when nothing waits."""
        return self._interval

    def count(self) -> None:
        """Take note of a piece that has just come from a provider."""
        self._pieces += 1
        if self._pieces == _SAMPLE:
            self._measure()
        if self._interval and not self._planned:
            self._planned = True
            # When the loop has handled what this look brought, and written what came of it.
            asyncio.get_running_loop().call_soon(self._rest)

    def hurry(self) -> None:
        """Let nothing wait for a moment: what has just been asked takes many turns of the loop."""
        self._rests_from = self._clock() + _HURRY

    def _measure(self) -> None:
        now = self._clock()
        rate = self._pieces / max(now - self._since, _INSTANT)
        self._since, self._pieces = now, 0
        interval = min(self._longest, _BATCH / rate)
        self._interval = interval if interval * rate >= _LEAST else 0.0

    def _rest(self) -> None:
        self._planned = False
        now = self._clock()
        pause = self._looked + self._interval - now
        if pause > 0 and now >= self._rests_from:
            self._sleep(pause)
            now += pause
        self._looked = now
