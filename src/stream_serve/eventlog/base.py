"""The contract of the event log: the events of every run are appended to it and read from it.

How it works: a log is an append-only list of frames (encoded events). A frame has a number, which is
also the `id:` inside it. The numbers are 1, 2, 3 and so on, except for one jump that a writer may make.
One writer appends and finishes. Any number of readers follow, each from its own cursor, in any process
that shares the logs. A reader gets every frame after its cursor once and in order, and then the end. The
log does not know what the frames mean.

`create` claims a name for one process of all. The claim lasts as long as that process renews its lease.
When the lease has run out, the log becomes an `Orphan`, and another process is asked to finish it. From
then on nothing that the old writer appends reaches the log. If the old writer's process is still alive,
it learns that it has lost the log.

`append`, `skip`, `finish` and `summarize` never wait: other processes see the change within a flush
interval. All other methods are bounded in time, and raise `LogUnavailable` when the backend is slow, away
or full. A cancelled call has done either nothing or everything. A cancelled `create` may have made the
log: call `drop`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


class LogInfo(Struct, frozen=True, kw_only=True):
    """What is known of a log.

    `fingerprint` was given to `create`. `summary` was given by the writer and is empty until then.
    `last` is the number of the newest frame that every process can read. `process` is the process that
    wrote the log, None for this one.
    """

    fingerprint: bytes
    last: int
    finished: bool
    summary: bytes
    process: str | None


class LogWriter(Protocol):
    """The one writer of a log. Its methods never wait, so nothing can be lost to a cancellation."""

    @property
    def last(self) -> int:
        """The number of the newest frame, 0 while there is none."""
        ...

    @property
    def lost(self) -> bool:
        """True if another process finishes the log. Then only readers in this process see new frames."""
        ...

    def append(self, frames: Sequence[bytes]) -> None:
        """Add frames at the end and wake the readers. Raises `RuntimeError` after `finish`."""
        ...

    def skip(self, to: int) -> None:
        """Give up the numbers up to `to`: the next frame has the number `to` + 1.

        This works once for a log, and has no effect if the numbers are used already.
        """
        ...

    def finish(self, frames: Sequence[bytes] = ()) -> None:
        """Add the last frames, and mark the end. Readers that have read every frame get the end.

        Raises `RuntimeError` for frames after the end.
        """
        ...

    def summarize(self, summary: Callable[[], bytes]) -> None:
        """Keep a summary beside the log, for `look`. The newest one counts, also after `finish`.

        It is made now, or when somebody looks.
        """
        ...


class LogReader(Protocol):
    """One reader of a log, with its own cursor. Only one task at a time may use it."""

    @property
    def cursor(self) -> int:
        """A number that grows with every frame that was read."""
        ...

    @property
    def over(self) -> bool:
        """Whether the log is finished and read: `read` would return None at once."""
        ...

    def there(self) -> bytes:
        """Return what `read` could return at once, and move the cursor; b"" where it would wait."""
        ...

    async def read(self, write: Callable[[bytes], bool] | None = None) -> bytes | None:
        """Return the frames after the cursor, joined, about 64 KiB at most, and move the cursor.

        Waits while there are none. Returns None at the end: the log is finished and read, or this
        reader was closed. Returns `b""` after a nudge. A cancelled read does not move the cursor.
        Raises `LogLost` when the next frames are lost, so that the reader has only a part of the log.

        With `write`, a read that waits may go on waiting: each new frame is passed to `write` as soon as
        it is appended, without a task switch. If `write` returns False it has not used the frames, and
        `read` returns them instead, as it does with frames that come with the end. An exception of
        `write` is raised here.
        """
        ...

    def nudge(self) -> None:
        """Make a waiting `read` return `b""` now. No effect if none waits."""
        ...

    def close(self) -> None:
        """Stop following the log. A waiting `read` and every later one return None."""
        ...


class Orphan(Protocol):
    """A log whose process is gone. Only `finish` can append to it."""

    @property
    def name(self) -> str:
        """The log's name."""
        ...

    @property
    def frames(self) -> Sequence[bytes]:
        """All frames that were kept."""
        ...

    async def finish(self, frames: Sequence[bytes], *, first: int, summary: bytes) -> None:
        """Append the last frames, keep the summary, and finish the log.

        `first` is the number of the first of these frames, and may be beyond the next number. No effect
        when another process has finished the log.
        """
        ...


class EventLog(Protocol):
    """A place that keeps logs by name."""

    @property
    def ready(self) -> bool:
        """False while the backend is known to be away. Costs nothing."""
        ...

    async def open(
        self, *, lost: Callable[[str], None], orphaned: Callable[[Orphan], Awaitable[None]]
    ) -> None:
        """Begin to renew the lease. If the backend is away, it is tried again.

        `lost` is called once with the name of a log of ours that another process finishes. `orphaned`
        must finish a log of a process that is gone. If it raises `StreamServeError`, it is called again
        later.
        """
        ...

    async def close(self) -> None:
        """Flush within a bounded time, and end. Other processes can still read the finished logs."""
        ...

    async def create(self, name: str, fingerprint: bytes = b"") -> LogWriter:
        """Make an empty log and return its writer. Raises `LogExists`, `LogForbidden`."""
        ...

    async def forbid(self, name: str, seconds: float) -> bool:
        """Let no process make a log of this name for some seconds, and return True.

        Returns False, without an effect, when such a log exists.
        """
        ...

    async def look(self, name: str) -> LogInfo:
        """Return what is known of a log. Raises `LogNotFound`."""
        ...

    async def read(self, name: str, after: int = 0) -> LogReader:
        """Return a reader that begins with the first frame whose number is above `after`.

        Raises `LogNotFound`.
        """
        ...

    async def erase(self, name: str) -> bool:
        """Forget a finished log whose process is known to be gone, and return True when that will last.

        Returns False, without an effect, for any other. Raises `LogUnavailable`.
        """
        ...

    async def drop(self, name: str) -> bool:
        """Forget a log of this process, and return True when that will last. Its readers may read on to
        its end.

        A name that is unknown or belongs to another process is fine. Never raises `LogUnavailable`: a
        log that cannot be dropped now is dropped as soon as it can be, or expires.
        """
        ...
