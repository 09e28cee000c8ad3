"""The frames of one log in memory, and the readers that follow them."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final

from stream_serve.errors import LogLost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_BATCH_BYTES: Final = 65_536


class Frames:
    """A list of frames that grows, with the readers that wait for more.

    Numbers are places in the list, from 1, but for one jump: behind the first `_jump_at` frames
    `_jump` numbers are left out.
    """

    __slots__ = ("_jump", "_jump_at", "_waiting", "finished", "list", "lost")

    def __init__(self) -> None:
        self.list: list[bytes] = []
        self.finished = False
        self.lost = False
        self._jump_at = sys.maxsize
        self._jump = 0
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def last(self) -> int:
        """The number of the newest frame; after a `skip`, of the newest number given up."""
        return len(self.list) + self._jump

    def append(self, frames: Sequence[bytes]) -> None:
        """Add frames and wake the readers."""
        if self.finished:
            raise RuntimeError("a finished log takes no more frames")
        self.list += frames
        self.wake()

    def skip(self, to: int) -> None:
        """Leave out the numbers up to `to`."""
        if to > self.last and not self._jump:
            self._jump_at = len(self.list)
            self._jump = to - self.last

    def finish(self) -> None:
        """Mark the end and wake the readers."""
        self.finished = True
        self.wake()

    def lose(self) -> None:
        """Mark that what would follow is gone, and wake the readers."""
        self.lost = True
        self.wake()

    def place(self, after: int) -> int:
        """Give the index of the first frame with a number above `after`."""
        if after <= self._jump_at:
            return after
        return max(self._jump_at, after - self._jump)

    def number(self, place: int) -> int:
        """Give the number of the frame at an index."""
        return place + 1 if place < self._jump_at else place + 1 + self._jump

    def stretch(self, place: int) -> int:
        """Give the index where the frames that follow this one without a jump end."""
        end = len(self.list)
        return min(end, self._jump_at) if place < self._jump_at else end

    def wake(self) -> None:
        """Wake the readers that wait."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def wait(self) -> asyncio.Future[None]:
        """Give a future that is done when something has changed."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        return waiter

    def forget(self, waiter: asyncio.Future[None]) -> None:
        """Wake this one no more."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)


class FramesReader:
    """A cursor on frames in memory. `on_close` is called once, when it lets go of them."""

    __slots__ = ("_after", "_closed", "_cursor", "_frames", "_nudged", "_on_close", "_waiter")

    def __init__(
        self, frames: Frames, after: int, on_close: Callable[[], None] | None = None
    ) -> None:
        self._frames = frames
        self._after: int | None = after
        self._cursor = 0
        self._closed = False
        self._nudged = False
        self._on_close = on_close
        self._waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes | None:
        """Give what is there after the cursor, or wait for it."""
        frames = self._frames
        while not self._closed:
            if self._after is not None:
                # Where a cursor ahead of the log lies is known when the frames are there.
                self._cursor = frames.place(self._after)
            if self._cursor < len(frames.list):
                self._nudged = False
                return self._take()
            if frames.finished:
                return None
            if frames.lost:
                raise LogLost("the log's next frames are gone")
            if self._nudged:
                self._nudged = False
                return b""
            waiter = self._waiter = frames.wait()
            try:
                await waiter
            finally:
                self._waiter = None
                if waiter.cancelled():
                    frames.forget(waiter)
        return None

    def nudge(self) -> None:
        """Make a waiting read return `b""`."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            self._frames.forget(waiter)
            self._nudged = True
            waiter.set_result(None)

    def close(self) -> None:
        """Let go of the log."""
        self._closed = True
        self.nudge()
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    def _take(self) -> bytes:
        frames = self._frames.list
        self._after = None
        end = self._cursor + 1
        size = len(frames[self._cursor])
        while end < len(frames) and size < _BATCH_BYTES:
            size += len(frames[end])
            end += 1
        batch = frames[self._cursor : end]
        self._cursor = end
        return batch[0] if len(batch) == 1 else b"".join(batch)
