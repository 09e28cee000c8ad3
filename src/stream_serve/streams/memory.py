"""`MemoryStreamLog`: the event log of a single process, in its memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from stream_serve.errors import LogExists, LogNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

_BATCH_BYTES: Final = 65_536


class _Log:
    """The frames of one log, and the readers that wait for more."""

    __slots__ = ("finished", "frames", "waiting")

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.finished = False
        self.waiting: list[asyncio.Future[None]] = []

    def wake(self) -> None:
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class MemoryLogWriter:
    """The writer of a log in memory."""

    __slots__ = ("_log",)

    def __init__(self, log: _Log) -> None:
        self._log = log

    @property
    def last(self) -> int:
        """The number of the newest frame."""
        return len(self._log.frames)

    def append(self, frames: Sequence[bytes]) -> None:
        """Add frames and wake the readers."""
        if self._log.finished:
            raise RuntimeError("a finished log takes no more frames")
        self._log.frames += frames
        self._log.wake()

    def finish(self) -> None:
        """Mark the end and wake the readers."""
        self._log.finished = True
        self._log.wake()


class MemoryLogReader:
    """A cursor on a log in memory."""

    __slots__ = ("_closed", "_cursor", "_log", "_nudged", "_waiter")

    def __init__(self, log: _Log, after: int) -> None:
        self._log = log
        self._cursor = after
        self._closed = False
        self._nudged = False
        self._waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes | None:
        """Give what is there after the cursor, or wait for it."""
        log = self._log
        while self._cursor >= len(log.frames) and not (log.finished or self._closed):
            if self._nudged:
                self._nudged = False
                return b""
            waiter = self._waiter = asyncio.get_running_loop().create_future()
            log.waiting.append(waiter)
            try:
                await waiter
            finally:
                self._waiter = None
                if waiter.cancelled() and waiter in log.waiting:
                    log.waiting.remove(waiter)
        if self._closed or self._cursor >= len(log.frames):
            return None
        self._nudged = False
        return self._take()

    def nudge(self) -> None:
        """Make a waiting read return `b""`."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            self._log.waiting.remove(waiter)
            self._nudged = True
            waiter.set_result(None)

    def close(self) -> None:
        """Let go of the log."""
        self._closed = True
        self.nudge()

    def _take(self) -> bytes:
        frames = self._log.frames
        end = self._cursor + 1
        size = len(frames[self._cursor])
        while end < len(frames) and size < _BATCH_BYTES:
            size += len(frames[end])
            end += 1
        batch = frames[self._cursor : end]
        self._cursor = end
        return batch[0] if len(batch) == 1 else b"".join(batch)


class MemoryStreamLog:
    """Logs in the memory of this process; they end with it."""

    def __init__(self) -> None:
        self._logs: dict[str, _Log] = {}

    async def create(self, name: str) -> MemoryLogWriter:
        """Make an empty log."""
        if name in self._logs:
            raise LogExists(name)
        log = self._logs[name] = _Log()
        return MemoryLogWriter(log)

    async def read(self, name: str, after: int = 0) -> MemoryLogReader:
        """Give a reader that begins after a frame's number."""
        try:
            return MemoryLogReader(self._logs[name], after)
        except KeyError:
            raise LogNotFound(name) from None

    async def drop(self, name: str) -> None:
        """Forget a log."""
        self._logs.pop(name, None)
