"""`Presence`: who reads a run, and what follows when nobody does."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_RETURN_SECONDS: Final = 5.0


class Presence:
    """The readers of one run: those of this process, and those of each other one.

    When nobody reads any more, `abandoned` is called: at once, or when nobody has come back within
    `patience` seconds, which may be infinite. After `settle` it is never called.
    """

    __slots__ = ("_abandoned", "_here", "_patience", "_remote", "_settled", "_timer")

    def __init__(self, abandoned: Callable[[], None], *, patience: float | None) -> None:
        self._abandoned = abandoned
        self._patience = patience
        self._here = 0
        self._remote: dict[str, int] = {}
        self._settled = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def readers(self) -> int:
        """How many readers there are, in all processes."""
        return self._here + sum(self._remote.values())

    def enter(self) -> None:
        """Count a reader of this process."""
        self._here += 1
        self._cancel_timer()

    def leave(self) -> None:
        """Count a reader of this process no more."""
        self._here -= 1
        self._check()

    def report(self, process: str, readers: int) -> None:
        """Record how many readers another process has."""
        if readers:
            self._remote[process] = readers
            self._cancel_timer()
        elif self._remote.pop(process, 0):
            self._check()

    def lose(self, process: str) -> None:
        """Record that another process is gone: its readers have some seconds to come back."""
        if self._remote.pop(process, 0):
            asyncio.get_running_loop().call_later(_RETURN_SECONDS, self._check)

    def settle(self) -> None:
        """Record that the run's end is decided: nothing follows from who reads it."""
        self._settled = True
        self._cancel_timer()

    def _check(self) -> None:
        if self.readers or self._settled:
            return
        if self._patience is None:
            self._abandoned()
        elif self._timer is None and self._patience < math.inf:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._patience, self._abandoned)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
