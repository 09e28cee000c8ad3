"""The contract of the event log: what every run's events are appended to and read from.

How it works: a log is an append-only list of frames (encoded events); a frame's number is its place,
1, 2, 3…, which is also the `id:` inside it. One writer appends and finishes; any number of readers
follow, each from its own cursor. A reader sees every frame after its cursor, in order, once, and then
the end. The log knows nothing about what the frames mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class LogWriter(Protocol):
    """The one writer of a log. Its methods never wait, so nothing can be lost to a cancellation."""

    @property
    def last(self) -> int:
        """The number of the newest frame, 0 while there is none."""
        ...

    def append(self, frames: Sequence[bytes]) -> None:
        """Add frames at the end and wake the readers. Nothing can be added after `finish`."""
        ...

    def finish(self) -> None:
        """Say that no frame will follow. Readers that have read everything see the end."""
        ...


class LogReader(Protocol):
    """One reader of a log, at its own place. Not for two tasks at once."""

    async def read(self) -> bytes | None:
        """Give what is there after the cursor, joined and at most about 64 KiB, and move past it.

        Waits while there is nothing. `None` is the end: the log is finished and read, or this
        reader was closed. `b""` means that it was nudged. A cancelled read has moved nothing.
        """
        ...

    def nudge(self) -> None:
        """Make a `read` that waits return `b""` now; no effect when none waits."""
        ...

    def close(self) -> None:
        """Let go of the log; a `read` that waits, and every later one, gives `None`."""
        ...


class StreamLog(Protocol):
    """A place that keeps logs by name."""

    async def create(self, name: str) -> LogWriter:
        """Make an empty log and give its writer. Raises `LogExists`."""
        ...

    async def read(self, name: str, after: int = 0) -> LogReader:
        """Give a reader whose first frame is number `after` + 1. Raises `LogNotFound`."""
        ...

    async def drop(self, name: str) -> None:
        """Forget a log; readers that are on it may read it to its end. Unknown names are fine."""
        ...
