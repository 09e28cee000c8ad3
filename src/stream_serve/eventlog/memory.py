"""`MemoryEventLog`: the event log of a single process, in its memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from stream_serve.errors import LogExists, LogForbidden, LogNotFound
from stream_serve.eventlog.base import LogInfo
from stream_serve.eventlog.frames import Frames, FramesReader

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from stream_serve.eventlog.base import Orphan

_MOST_FORBIDDEN: Final = 10_000


class MemoryLogWriter:
    """The writer of a log in memory."""

    __slots__ = ("_frames", "append", "fingerprint", "summary")

    def __init__(self, frames: Frames, fingerprint: bytes) -> None:
        self._frames = frames
        self.append = frames.append
        self.fingerprint = fingerprint
        self.summary: Callable[[], bytes] = bytes

    @property
    def frames(self) -> Frames:
        """The frames that were written."""
        return self._frames

    @property
    def lost(self) -> bool:
        """False: there is no other process."""
        return False

    @property
    def last(self) -> int:
        """The number of the newest frame."""
        return self._frames.last

    def finish(self, frames: Sequence[bytes] = ()) -> None:
        """Add the last frames, and mark the end."""
        self._frames.finish(frames)

    def skip(self, to: int) -> None:
        """Give up the numbers up to `to`."""
        self._frames.skip(to)

    def summarize(self, summary: Callable[[], bytes]) -> None:
        """Keep a summary beside the log: hardly anybody looks."""
        self.summary = summary


class MemoryEventLog:
    """Logs in the memory of this process; they end with it."""

    def __init__(self) -> None:
        self._logs: dict[str, MemoryLogWriter] = {}
        self._forbidden: OrderedDict[str, float] = OrderedDict()

    @property
    def ready(self) -> bool:
        """True: memory is never away."""
        return True

    async def open(
        self, *, lost: Callable[[str], None], orphaned: Callable[[Orphan], Awaitable[None]]
    ) -> None:
        """Do nothing: no other process shares these logs."""
        del lost, orphaned

    async def close(self) -> None:
        """Do nothing."""

    async def create(self, name: str, fingerprint: bytes = b"") -> MemoryLogWriter:
        """Make an empty log."""
        if name in self._logs:
            raise LogExists(name)
        if self._forbidden.get(name, 0.0) > time.monotonic():
            raise LogForbidden(name)
        log = self._logs[name] = MemoryLogWriter(Frames(), fingerprint)
        return log

    async def forbid(self, name: str, seconds: float) -> bool:
        """Forbid a name for some seconds. The newest 10,000 names are kept."""
        if name in self._logs:
            return False
        self._forbidden.pop(name, None)
        self._forbidden[name] = time.monotonic() + seconds
        if len(self._forbidden) > _MOST_FORBIDDEN:
            self._forbidden.popitem(last=False)
        return True

    async def look(self, name: str) -> LogInfo:
        """Return what is known of a log."""
        log = self._get(name)
        return LogInfo(
            fingerprint=log.fingerprint,
            last=log.last,
            finished=log.frames.finished,
            summary=log.summary(),
            process=None,
        )

    async def read(self, name: str, after: int = 0) -> FramesReader:
        """Return a reader that begins after a frame's number."""
        return FramesReader(self._get(name).frames, after)

    async def erase(self, name: str) -> bool:
        """Return False: a log here is of this process."""
        del name
        return False

    async def drop(self, name: str) -> bool:
        """Forget a log."""
        self._logs.pop(name, None)
        return True

    def _get(self, name: str) -> MemoryLogWriter:
        try:
            return self._logs[name]
        except KeyError:
            raise LogNotFound(name) from None
