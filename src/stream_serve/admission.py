"""Who may start a run: the limits on runs at once, and the stops that came before their start."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from stream_serve.errors import Full, TooManyRuns

if TYPE_CHECKING:
    from collections.abc import Callable

_RETRY: Final = (("Retry-After", "2"),)
_MOST_STOPS: Final = 10_000


class Admission:
    """Counts the runs at once: `total` in the process, `each` for every owner but None."""

    def __init__(self, *, total: int, each: int) -> None:
        self._total = total
        self._each = each
        self._count = 0
        self._owners: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """How many are in."""
        return self._count

    def enter(self, owner: str | None) -> None:
        """Let one in. Raises `TooManyRuns`, `Full`."""
        if owner is not None and self._owners[owner] >= self._each:
            raise TooManyRuns(
                f"this key has {self._each} runs at once, as many as a key may have "
                "(STREAM_SERVE_MAX_RUNS_PER_KEY): stop one, or try again",
                headers=_RETRY,
            )
        if self._count >= self._total:
            raise Full(
                f"{self._total} runs are going on, as many as this process may have "
                "(STREAM_SERVE_MAX_RUNS): try again",
                headers=_RETRY,
            )
        self._count += 1
        if owner is not None:
            self._owners[owner] += 1

    def leave(self, owner: str | None) -> None:
        """Let one out."""
        self._count -= 1
        if owner is not None:
            self._owners[owner] -= 1
            if not self._owners[owner]:
                del self._owners[owner]


class EarlyStops:
    """Stops of runs that are not known (yet), each kept for `seconds`, the newest 10,000 of them."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._stops: dict[tuple[str | None, str], float] = {}

    def add(self, key: tuple[str | None, str]) -> None:
        """Keep a stop."""
        self._stops.pop(key, None)
        self._stops[key] = self._clock() + self._seconds
        self._clean()
        if len(self._stops) > _MOST_STOPS:
            del self._stops[next(iter(self._stops))]

    def __contains__(self, key: tuple[str | None, str]) -> bool:
        """Say whether there is a stop for a run."""
        until = self._stops.get(key)
        return until is not None and until > self._clock()

    def _clean(self) -> None:
        """Drop what is too old; the dictionary is in the order of time."""
        now = self._clock()
        while self._stops:
            key, until = next(iter(self._stops.items()))
            if until > now:
                return
            del self._stops[key]
