"""An event loop whose clock is simulated: it jumps to the next timer instead of waiting for it.

How it works: asyncio asks its selector to wait until the next timer is due. The selector here looks
whether a file is ready, and if none is, it moves the loop's clock by the time that it was to wait.
Timers fire in their order, at the second that they were set to, and no test depends on how busy the
machine is. Times that are sums of powers of two are exact.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _typeshed import FileDescriptorLike


class SimulatedLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop, on a clock that begins at 0 and stands still while anything is to be done.

    A wait that nothing can end, neither a timer nor a file that is ready, raises `Stuck`: this loop
    is for code that waits for nothing but timers and its own tasks.
    """

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Selector(self.advance))

    def time(self) -> float:
        """Return the simulated time, in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock, as if the loop had stood still for so long: timers that are due by then
        fire together in the next turn."""
        self._now += seconds


class Stuck(Exception):
    """Everything waits, and for nothing that will come."""


class _Selector(selectors.BaseSelector):
    """The selector of the system, which never waits and calls `advance` instead."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        self._advance: Final = advance
        self._files: Final = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._files.select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise Stuck("every task waits, no timer is set, and no file is ready")
        self._advance(timeout)
        return ready

    def register(
        self, fileobj: FileDescriptorLike, events: int, data: object = None
    ) -> selectors.SelectorKey:
        return self._files.register(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        return self._files.unregister(fileobj)

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        return self._files.get_map()

    def close(self) -> None:
        self._files.close()
