"""The contract of the event log: what every run's events are appended to and read from.

How it works: a log is an append-only list of frames (encoded events). A frame has a number, which is
also the `id:` inside it: 1, 2, 3…, but for one jump that a writer may make. One writer appends and
finishes; any number of readers follow, each from its own cursor, in any process that shares the logs.
A reader sees every frame after its cursor, in order, once, and then the end. The log knows nothing
about what the frames mean.

A name is claimed by `create`, by one process of all, and the claim is its writer's as long as that
process renews its lease. Where the lease runs out, the log becomes an `Orphan`: some other process is
asked to finish it, and from then on nothing that the old writer appends reaches the log. The old
writer's process, should it still live, is told that the log is lost.

`append`, `skip`, `finish` and `note` never wait: what is shared with other processes follows within a
flush interval. All other methods are bounded in time and raise `LogUnavailable` when what keeps the
logs is slow, away or full. A cancelled call has done nothing, or all of what it does; a `create` that
was cancelled may have made the log: `drop` it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


class LogInfo(Struct, frozen=True, kw_only=True):
    """What is known of a log. `home` is the process of its writer, None for this one.

    `last` is the number of the newest frame that every process can read; `about` was given to
    `create`, and `note` by the writer (empty until then).
    """

    about: bytes
    last: int
    finished: bool
    note: bytes
    home: str | None


class LogWriter(Protocol):
    """The one writer of a log. Its methods never wait, so nothing can be lost to a cancellation."""

    @property
    def last(self) -> int:
        """The number of the newest frame, 0 while there is none."""
        ...

    @property
    def lost(self) -> bool:
        """True when the log is another process's to finish: only this process's readers see what is
        appended now."""
        ...

    def append(self, frames: Sequence[bytes]) -> None:
        """Add frames at the end and wake the readers. Nothing can be added after `finish`."""
        ...

    def skip(self, to: int) -> None:
        """Give up the numbers up to `to`: the next frame is `to` + 1. Once for a log; no effect
        where the numbers are used already."""
        ...

    def finish(self) -> None:
        """Say that no frame will follow. Readers that have read everything see the end."""
        ...

    def note(self, note: bytes) -> None:
        """Keep a note beside the log, for `look`; after `finish`, too. The newest one counts."""
        ...


class LogReader(Protocol):
    """One reader of a log, at its own place. Not for two tasks at once."""

    @property
    def cursor(self) -> int:
        """A number that grows with every frame that was read."""
        ...

    async def read(self, write: Callable[[bytes], bool] | None = None) -> bytes | None:
        """Give what is there after the cursor, joined and at most about 64 KiB, and move past it.

        Waits while there is nothing. `None` is the end: the log is finished and read, or this
        reader was closed. `b""` means that it was nudged. A cancelled read has moved nothing.
        Raises `LogLost` when what follows is gone: what was read is not the whole.

        With `write` it may go on waiting: what comes is given to `write` in the moment in which it is
        appended, without a task being switched to. When that says False it has not taken it, and
        `read` gives it instead. What it raises is raised here.
        """
        ...

    def nudge(self) -> None:
        """Make a `read` that waits return `b""` now; no effect when none waits."""
        ...

    def close(self) -> None:
        """Let go of the log; a `read` that waits, and every later one, gives `None`."""
        ...


class Orphan(Protocol):
    """A log whose writer's process is gone. Nothing can be appended to it but by `finish`."""

    @property
    def name(self) -> str:
        """The log's name."""
        ...

    @property
    def frames(self) -> Sequence[bytes]:
        """All that was written and kept."""
        ...

    async def finish(self, frames: Sequence[bytes], *, first: int, note: bytes) -> None:
        """Append the last frames, the first of which has the number `first`, and finish the log.

        `first` may be beyond the next number. No effect when another process has finished it.
        """
        ...


class StreamLog(Protocol):
    """A place that keeps logs by name."""

    @property
    def ready(self) -> bool:
        """False when what keeps the logs is known to be away. Costs nothing."""
        ...

    async def open(
        self, *, lost: Callable[[str], None], orphaned: Callable[[Orphan], Awaitable[None]]
    ) -> None:
        """Begin to renew the lease; what keeps the logs may be away, then it is tried again.

        `lost` is called with the name of a log of ours that another process took over, once.
        `orphaned` is to finish a log of a process that is gone; if it raises `StreamServeError` it
        is called again later.
        """
        ...

    async def close(self) -> None:
        """Hand over what is not flushed yet, within a bounded time, and end. Finished logs stay
        where other processes read them."""
        ...

    async def create(self, name: str, about: bytes = b"") -> LogWriter:
        """Make an empty log and give its writer. Raises `LogExists`, `LogForbidden`."""
        ...

    async def forbid(self, name: str, seconds: float) -> bool:
        """Let nobody make a log of this name for a while; False, and no effect, when it exists."""
        ...

    async def look(self, name: str) -> LogInfo:
        """Say what is known of a log. Raises `LogNotFound`."""
        ...

    async def read(self, name: str, after: int = 0) -> LogReader:
        """Give a reader whose first frame is the first with a number above `after`.

        Raises `LogNotFound`.
        """
        ...

    async def drop(self, name: str) -> None:
        """Forget a log of this process's; readers that are on it may read it to its end.

        Names that are unknown, or another process's, are fine. Never raises `LogUnavailable`: what
        cannot be dropped now is forgotten by itself later.
        """
        ...
