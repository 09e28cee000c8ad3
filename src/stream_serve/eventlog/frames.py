"""The frames of one log in memory, and the readers that follow them."""

from __future__ import annotations

import asyncio
import struct
import sys
from typing import TYPE_CHECKING, Final

from stream_serve.errors import LogLost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_BATCH_BYTES: Final = 65_536
_LENGTH: Final = struct.Struct("<I")


def lengths_of(frames: Sequence[bytes]) -> bytes:
    """Return the lengths of frames as little-endian uint32, to be kept beside them joined."""
    return struct.pack(f"<{len(frames)}I", *map(len, frames))


def split(data: bytes, lengths: bytes) -> list[bytes]:
    """Return the frames that were joined. Raises `ValueError` where the lengths are not theirs."""
    if len(lengths) % _LENGTH.size:
        raise ValueError("the lengths of the frames are damaged")
    frames: list[bytes] = []
    start = 0
    for (length,) in _LENGTH.iter_unpack(lengths):
        frames.append(data[start : start + length])
        start += length
    if start != len(data):
        raise ValueError("the frames do not have their lengths")
    return frames


class Frames:
    """A growing list of frames, and the readers that wait for more.

    The number of a frame is its place in the list, from 1, except for one jump: after the first
    `_jump_at` frames, `_jump` numbers are skipped.
    """

    __slots__ = ("_jump", "_jump_at", "_waiting", "finished", "list", "lost")

    def __init__(self) -> None:
        self.list: list[bytes] = []
        self.finished = False
        self.lost = False
        self._jump_at = sys.maxsize
        self._jump = 0
        self._waiting: list[FramesReader] = []

    @property
    def last(self) -> int:
        """The number of the newest frame; after a `skip`, of the newest number given up."""
        return len(self.list) + self._jump

    def append(self, frames: Sequence[bytes]) -> None:
        """Add frames and wake the readers."""
        self._add(frames)
        if self._waiting:
            self.wake()

    def skip(self, to: int) -> None:
        """Give up the numbers up to `to`."""
        if to > self.last and not self._jump:
            self._jump_at = len(self.list)
            self._jump = to - self.last

    def finish(self, frames: Sequence[bytes] = ()) -> None:
        """Add the last frames, mark the end and wake the readers."""
        if frames:
            self._add(frames)
        self.finished = True
        self.wake()

    def lose(self) -> None:
        """Mark that the next frames are lost, and wake the readers."""
        self.lost = True
        self.wake()

    def place(self, after: int) -> int:
        """Return the index of the first frame with a number above `after`."""
        if after <= self._jump_at:
            return after
        return max(self._jump_at, after - self._jump)

    def number(self, place: int) -> int:
        """Return the number of the frame at an index."""
        return place + 1 if place < self._jump_at else place + 1 + self._jump

    def stretch(self, place: int) -> int:
        """Return the index after the last frame that follows this one without a jump."""
        end = len(self.list)
        return min(end, self._jump_at) if place < self._jump_at else end

    def wake(self) -> None:
        """Serve the waiting readers, and forget those that do not go on waiting."""
        waiting = self._waiting
        if len(waiting) == 1:
            if not waiting[0].serve():
                waiting.clear()
            return
        done = {reader for reader in tuple(waiting) if not reader.serve()}
        if done:
            self._waiting = [reader for reader in self._waiting if reader not in done]

    def _add(self, frames: Sequence[bytes]) -> None:
        if self.finished:
            raise RuntimeError("a finished log takes no more frames")
        self.list += frames

    def wait(self, reader: FramesReader) -> None:
        """Serve a reader at each change."""
        self._waiting.append(reader)

    def forget(self, reader: FramesReader) -> None:
        """Do not serve a reader any more."""
        if reader in self._waiting:
            self._waiting.remove(reader)


class FramesReader:
    """A cursor on frames in memory. `on_close` is called once, when the reader is closed."""

    __slots__ = (
        "_after",
        "_closed",
        "_cursor",
        "_frames",
        "_kept",
        "_nudged",
        "_on_close",
        "_waiter",
        "_write",
    )

    def __init__(
        self, frames: Frames, after: int, on_close: Callable[[], None] | None = None
    ) -> None:
        self._frames = frames
        self._after: int | None = after
        self._cursor = 0
        self._kept: bytes | None = None
        self._closed = False
        self._nudged = False
        self._on_close = on_close
        self._waiter: asyncio.Future[None] | None = None
        self._write: Callable[[bytes], bool] | None = None

    @property
    def cursor(self) -> int:
        """The number of frames that are read or were before the beginning."""
        return self._cursor

    @property
    def over(self) -> bool:
        """Whether the log is finished and read."""
        frames = self._frames
        return frames.finished and self._cursor == len(frames.list) and not self._closed

    def there(self) -> bytes:
        """Return the frames after the cursor."""
        if self._after is not None:
            # The place of a cursor ahead of the log is known only when the log has grown past it.
            self._cursor = self._frames.place(self._after)
        return self._batch() if self._cursor < len(self._frames.list) else b""

    async def read(self, write: Callable[[bytes], bool] | None = None) -> bytes | None:
        """Return the frames after the cursor, or wait for them."""
        frames = self._frames
        while not self._closed:
            if self._kept is not None:
                kept, self._kept = self._kept, None
                return kept
            if there := self.there():
                self._nudged = False
                return there
            if frames.finished:
                return None
            if frames.lost:
                raise LogLost("the next frames of the log are lost")
            if self._nudged:
                self._nudged = False
                return b""
            waiter = self._waiter = asyncio.get_running_loop().create_future()
            self._write = write
            frames.wait(self)
            try:
                await waiter
            finally:
                self._waiter = None
                if waiter.cancelled():
                    frames.forget(self)
        return None

    def serve(self) -> bool:
        """Pass new frames to a waiting reader, and return whether it goes on waiting."""
        waiter, write, frames = self._waiter, self._write, self._frames
        if waiter is None or waiter.done():
            return False
        there, last = frames.list, frames.finished or frames.lost
        if write is not None and self._cursor < len(there) and self._after is None and not last:
            if self._cursor == len(there) - 1:
                self._cursor += 1
                data = there[-1]
            else:
                data = self._batch()
            try:
                if not write(data):
                    self._kept = data
                elif self._cursor == len(there):
                    return True
            except Exception as error:  # noqa: BLE001 - raised where `read` waits, not in the writer
                waiter.set_exception(error)
                return False
        waiter.set_result(None)
        return False

    def nudge(self) -> None:
        """Make a waiting read return `b""`."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            self._frames.forget(self)
            self._nudged = True
            waiter.set_result(None)

    def close(self) -> None:
        """Stop following the log."""
        self._closed = True
        self.nudge()
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    def _batch(self) -> bytes:
        frames = self._frames.list
        self._after = None
        end = self._cursor + 1
        if end == len(frames):
            self._cursor = end
            return frames[-1]
        size = len(frames[self._cursor])
        while end < len(frames) and size < _BATCH_BYTES:
            size += len(frames[end])
            end += 1
        batch = frames[self._cursor : end]
        self._cursor = end
        return batch[0] if len(batch) == 1 else b"".join(batch)
