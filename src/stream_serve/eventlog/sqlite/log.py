"""`SQLiteEventLog`: the event log of a single process, in its memory and in a file that outlives it.

How it works: the logs of this process are in its memory, where its readers read them; their frames go to
the file in batches, a flush interval apart. So a reader may have been told what a crash keeps from the
file: then the log that is left is shorter, and its end has a number past all that may be missing. That
a log exists is in the file before `create` returns.

What an earlier process left is read from the file: its unfinished logs, as orphans, when this process
begins; the others when somebody asks for them. They are dropped after the retention, and the oldest of
them earlier when there are too many together with ours.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

import structlog
from msgspec import Struct

from stream_serve.errors import (
    LogExists,
    LogForbidden,
    LogNotFound,
    LogUnavailable,
    SettingsError,
    StreamServeError,
)
from stream_serve.eventlog.base import LogInfo
from stream_serve.eventlog.frames import Frames, FramesReader, lengths_of, split
from stream_serve.eventlog.sqlite.file import LogFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from stream_serve.eventlog.base import Orphan
    from stream_serve.eventlog.sqlite.file import Statement

_CREATE: Final = "INSERT INTO logs VALUES (?, ?, ?, x'', 0, 0, NULL)"
_ADD: Final = "INSERT OR REPLACE INTO frames VALUES (?, ?, ?, ?)"
_SAY: Final = "UPDATE logs SET summary = ?, last = ?, size = ?, ended = ? WHERE id = ?"
_FORGET: Final = ("DELETE FROM frames WHERE log = ?", "DELETE FROM logs WHERE id = ?")
_CUT: Final = "DELETE FROM frames WHERE log = ? AND first > ?"
_FORBID: Final = "INSERT OR REPLACE INTO forbidden VALUES (?, ?)"
_ALLOW: Final = "DELETE FROM forbidden WHERE name = ?"
_LOGS: Final = (
    "SELECT id, name, fingerprint, summary, last, size, ended FROM logs "
    "ORDER BY ended IS NULL, ended, id"
)
_FRAMES: Final = "SELECT first, data, lengths FROM frames WHERE log = ? ORDER BY first"
_FORBIDDEN: Final = "SELECT name, until FROM forbidden ORDER BY until"

_MOST_FORBIDDEN: Final = 10_000
_AT_ONCE: Final = 8
"""Orphans that are finished at once."""
_TEND: Final = 1.0
"""Seconds between two looks for what an earlier process left and is over."""
_EARLIER: Final = "an earlier process"
_log: Final = structlog.stdlib.get_logger("stream_serve.eventlog")


class Left(Struct, kw_only=True):
    """A log that an earlier process left. `frames` are there while somebody reads it, or has to finish
    it; `ended` is by the time of day, None for an orphan."""

    id: int
    name: str
    fingerprint: bytes
    summary: bytes
    last: int
    size: int
    ended: float | None
    frames: Frames | None = None
    readers: int = 0


class SQLiteLogWriter:
    """The writer of a log whose frames are in memory, and within a flush interval in the file, too."""

    __slots__ = (
        *("_ended", "_file", "_marked", "_said", "_writing", "_written"),
        *("dropped", "fingerprint", "frames", "id", "size", "summary"),
    )

    def __init__(self, log_id: int, fingerprint: bytes, file: LogFile) -> None:
        self.id = log_id
        self.fingerprint = fingerprint
        self.frames = Frames()
        self.summary = b""
        self.size = 0
        self.dropped = False
        self._file = file
        self._marked = False
        self._said = True
        self._ended: float | None = None
        self._writing = self._written = 0

    @property
    def last(self) -> int:
        """The number of the newest frame."""
        return self.frames.last

    @property
    def lost(self) -> bool:
        """False: no other process can use the file."""
        return False

    def append(self, frames: Sequence[bytes]) -> None:
        """Add frames and wake the readers."""
        self.frames.append(frames)
        if not self._marked:
            self._marked = True
            self._file.mark(self)

    def skip(self, to: int) -> None:
        """Give up the numbers up to `to`."""
        self.frames.skip(to)

    def finish(self, frames: Sequence[bytes] = ()) -> None:
        """Add the last frames, mark the end and wake the readers."""
        self.frames.finish(frames)
        self._ended = time.time()
        self._said = False
        self.mark()

    def summarize(self, summary: Callable[[], bytes]) -> None:
        """Keep a summary beside the log."""
        self.summary = summary()
        self._said = False
        self.mark()

    def mark(self) -> None:
        """Tell the file that there is something to write, unless it knows."""
        if not self._marked:
            self._marked = True
            self._file.mark(self)

    def unwritten(self) -> list[Statement]:
        """Return what writes all that is new; nothing for a log that was dropped."""
        self._marked = False
        if self.dropped:
            return []
        frames, start = self.frames, self._written
        statements: list[Statement] = []
        while start < len(frames.list):
            end = frames.stretch(start)
            statements.append(_added(self.id, frames.number(start), frames.list[start:end]))
            start = end
        self._writing = start
        if not self._said:
            self.size = sum(map(len, frames.list))
            statements.append((_SAY, (self.summary, self.last, self.size, self._ended, self.id)))
        return statements

    def written(self) -> None:
        """Record that this is written."""
        self._written = self._writing
        # What was said since has marked the writer again.
        self._said = not self._marked


class SQLiteOrphan:
    """A log that an earlier process did not finish."""

    def __init__(self, file: LogFile, left: Left, frames: Frames) -> None:
        self._file = file
        self._left = left
        self._frames = frames
        self.frames = list(frames.list)
        """All frames that reached the file."""

    @property
    def name(self) -> str:
        """The log's name."""
        return self._left.name

    @property
    def finished(self) -> bool:
        """True if the log is finished."""
        return self._frames.finished

    async def finish(self, frames: Sequence[bytes], *, first: int, summary: bytes) -> None:
        """Append the last frames and the end, first to the file. Raises `LogUnavailable`."""
        left, mine = self._left, self._frames
        if self.finished:
            return
        last, ended = first + len(frames) - 1, time.time()
        size = sum(map(len, (*mine.list, *frames)))
        await self._file.write(
            _added(left.id, first, frames), (_SAY, (summary, last, size, ended, left.id))
        )
        left.summary, left.last, left.size, left.ended = summary, last, size, ended
        mine.skip(first - 1)
        mine.append(frames)
        mine.finish()


class SQLiteEventLog:
    """Logs in the file `path`, which this process has for itself alone.

    Frames are written every `flush_interval`; an earlier process's logs are kept for `retention` after
    their end, both in seconds, and so many of them, with so many bytes, that ours and theirs together
    are at most `kept` and `kept_bytes`.
    """

    def __init__(
        self, path: Path, *, flush_interval: float, retention: float, kept: int, kept_bytes: int
    ) -> None:
        self._file = LogFile(path, interval=flush_interval)
        self._retention = retention
        self._kept = kept
        self._kept_bytes = kept_bytes
        self._next_id = 1
        self._logs: dict[str, SQLiteLogWriter] = {}
        self._left: dict[str, Left] = {}
        """Those that ended in the order of their ends, and then the orphans."""
        self._forbidden: dict[str, float] = {}
        """Until when, by the time of day."""
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def ready(self) -> bool:
        """False while the file cannot be written."""
        return self._file.up

    async def open(
        self, *, lost: Callable[[str], None], orphaned: Callable[[Orphan], Awaitable[None]]
    ) -> None:
        """Open the file, and have the orphans finished. `lost` is never called.

        Raises `SettingsError` when the file cannot be used, or another process uses it.
        """
        del lost
        try:
            await self._file.open()
            # As long as it takes: what was much today is as much with the next attempt.
            await self._file.work(self._recall)
        except (OSError, sqlite3.Error, LogUnavailable) as error:
            await self._file.close()
            raise _refusal(self._file.path, error) from None
        orphans = [
            SQLiteOrphan(self._file, one, one.frames)
            for one in self._left.values()
            if one.frames is not None
        ]
        chores = (self._finish(orphans, orphaned), self._tend())
        self._tasks = [asyncio.create_task(chore, name="runs.db") for chore in chores]
        for task in self._tasks:
            task.add_done_callback(_log_defect)

    async def close(self) -> None:
        """Write what is to be written, and let go of the file."""
        while tasks := [task for task in self._tasks if not task.done()]:
            # More than once, for a cancellation may get lost: `asyncio.wait_for` of 3.11 does that.
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=0.1)
        await self._file.close()

    async def create(self, name: str, fingerprint: bytes = b"") -> SQLiteLogWriter:
        """Make an empty log, in the file first. Raises `LogUnavailable`."""
        if name in self._logs or self._find(name) is not None:
            raise LogExists(name)
        if self._forbidden.get(name, 0.0) > time.time():
            raise LogForbidden(name)
        log = self._logs[name] = SQLiteLogWriter(self._next_id, fingerprint, self._file)
        self._next_id += 1
        try:
            await self._file.write((_CREATE, (log.id, name, fingerprint)))
        except LogUnavailable:
            self._file.put(*_forgetting(self._logs.pop(name).id))
            raise
        return log

    async def forbid(self, name: str, seconds: float) -> bool:
        """Forbid a name for some seconds. The newest 10,000 names are kept."""
        if name in self._logs or self._find(name) is not None:
            return False
        now = time.time()
        self._forbidden.pop(name, None)
        self._forbidden[name] = now + seconds
        for oldest in list(islice(self._forbidden, 2)):
            # Two for each new one: what is over goes faster than it comes.
            if len(self._forbidden) > _MOST_FORBIDDEN or self._forbidden[oldest] < now:
                del self._forbidden[oldest]
                self._file.put((_ALLOW, (oldest,)))
        await self._file.write((_FORBID, (name, now + seconds)))
        return True

    async def look(self, name: str) -> LogInfo:
        """Return what is known of a log."""
        log = self._logs.get(name)
        if log is None:
            left = self._get(name)
            return LogInfo(
                fingerprint=left.fingerprint,
                last=left.last,
                finished=left.ended is not None,
                summary=left.summary,
                process=_EARLIER,
            )
        return LogInfo(
            fingerprint=log.fingerprint,
            last=log.last,
            finished=log.frames.finished,
            summary=log.summary,
            process=None,
        )

    async def read(self, name: str, after: int = 0) -> FramesReader:
        """Return a reader that begins after a frame's number. Raises `LogUnavailable`."""
        log = self._logs.get(name)
        if log is not None:
            return FramesReader(log.frames, after)
        left = self._get(name)
        if left.frames is None:
            frames = await self._file.ask(partial(_frames_of, left))
            if self._left.get(name) is not left:
                raise LogNotFound(name)
            left.frames = left.frames or frames
        left.readers += 1
        return FramesReader(left.frames, after, partial(_let_go, left))

    async def erase(self, name: str) -> bool:
        """Forget a log that an earlier process left, in the file first. Raises `LogUnavailable`."""
        left = self._find(name)
        if left is None or left.ended is None:
            return False
        await self._file.write(*_forgetting(left.id))
        if self._left.get(name) is left:
            del self._left[name]
        return True

    async def drop(self, name: str) -> bool:
        """Forget a log of this process, also in the file; if that is away, as soon as it is back."""
        log = self._logs.pop(name, None)
        if log is None:
            return True
        log.dropped = True
        try:
            await self._file.write(*_forgetting(log.id))
        except BaseException as error:
            self._file.put(*_forgetting(log.id))
            if not isinstance(error, LogUnavailable):
                raise
            return False
        return True

    def _recall(self, db: sqlite3.Connection) -> None:
        """Learn what an earlier process left. In the thread of the file, before anything else."""
        now = time.time()
        for log_id, name, fingerprint, summary, last, size, ended in db.execute(_LOGS).fetchall():
            left = self._left[name] = Left(
                id=log_id,
                name=name,
                fingerprint=fingerprint,
                summary=summary,
                last=last,
                size=size,
                ended=ended,
            )
            self._next_id = max(self._next_id, log_id + 1)
            if ended is None:
                left.frames = _frames_of(left, db)
                left.last = left.frames.last
                if left.frames.lost:
                    # Its end follows what can be read.
                    left.frames.lost = False
                    db.execute(_CUT, (log_id, left.last))
                # Whoever has to finish it reads it, too.
                left.readers = 1
        db.execute("DELETE FROM forbidden WHERE until < ?", (now,))
        self._forbidden = dict(db.execute(_FORBIDDEN).fetchall())

    async def _finish(
        self, orphans: list[SQLiteOrphan], orphaned: Callable[[Orphan], Awaitable[None]]
    ) -> None:
        """Have the orphans finished, several at once; what cannot be finished now is tried again."""
        while orphans:
            for at in range(0, len(orphans), _AT_ONCE):
                some = orphans[at : at + _AT_ONCE]
                await asyncio.gather(*(self._finish_one(orphan, orphaned) for orphan in some))
            orphans = [orphan for orphan in orphans if not orphan.finished]
            if orphans:
                await asyncio.sleep(_TEND)

    async def _finish_one(
        self, orphan: SQLiteOrphan, orphaned: Callable[[Orphan], Awaitable[None]]
    ) -> None:
        try:
            await orphaned(orphan)
        except StreamServeError as error:
            _log.warning("a log is finished later", log=orphan.name, reason=str(error))
        except Exception:  # noqa: BLE001
            # A defect with one log must not keep the others from their ends.
            _log.exception("a log cannot be finished, by a defect", log=orphan.name)
        if orphan.finished:
            # It is the newest that ended now.
            left = self._left[orphan.name] = self._left.pop(orphan.name)
            _let_go(left)

    async def _tend(self) -> None:
        """Drop what an earlier process left and is over, until nothing is left."""
        while self._left:
            self._make_room()
            await asyncio.sleep(_TEND)

    def _make_room(self) -> None:
        """Drop what is older than the retention, and the oldest of what is too much beside ours."""
        ours = [log.size for log in self._logs.values() if log.frames.finished]
        ended = [one for one in self._left.values() if one.ended is not None]
        count = len(ours) + len(ended)
        size = sum(ours) + sum(one.size for one in ended)
        for one in ended:
            if self._find(one.name) is not None:
                if count <= self._kept and size <= self._kept_bytes:
                    return
                self._let_fall(one)
            count -= 1
            size -= one.size

    def _get(self, name: str) -> Left:
        """Return a log that an earlier process left. Raises `LogNotFound`."""
        left = self._find(name)
        if left is None:
            raise LogNotFound(name)
        return left

    def _find(self, name: str) -> Left | None:
        """Return a log that an earlier process left; None, and drop it, if its time is over."""
        left = self._left.get(name)
        if left is not None and _ended(left) + self._retention < time.time():
            self._let_fall(left)
            return None
        return left

    def _let_fall(self, left: Left) -> None:
        del self._left[left.name]
        self._file.put(*_forgetting(left.id))


def _forgetting(log_id: int) -> list[Statement]:
    return [(sql, (log_id,)) for sql in _FORGET]


def _added(log_id: int, first: int, frames: Sequence[bytes]) -> Statement:
    return _ADD, (log_id, first, b"".join(frames), lengths_of(frames))


def _frames_of(left: Left, db: sqlite3.Connection) -> Frames:
    """Return the frames of a log, those before the first that is damaged. In the thread of the file."""
    frames = Frames()
    for first, data, lengths in db.execute(_FRAMES, (left.id,)):
        try:
            some = split(data, lengths)
        except (ValueError, TypeError):
            _log.error(
                "a run in the file is damaged: the rest is lost", log=left.name, after=frames.last
            )
            frames.lose()
            return frames
        frames.skip(first - 1)
        frames.append(some)
    if left.ended is not None:
        frames.skip(left.last)
        frames.finish()
    return frames


def _let_go(left: Left) -> None:
    """Count a reader less; nobody needs the frames of a finished log in memory then."""
    left.readers -= 1
    if not left.readers and left.ended is not None:
        left.frames = None


def _ended(left: Left) -> float:
    return time.time() if left.ended is None else left.ended


def _refusal(path: Path, error: Exception) -> SettingsError:
    where = error.for_operator if isinstance(error, LogUnavailable) else error
    if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
        where = "another process uses it, and each needs its own file; several processes need Redis"
    return SettingsError(
        f"the file of the runs, {path}, cannot be used: {where}", parameters=["SQLiteEventLog.path"]
    )


def _log_defect(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("the logs of an earlier process cannot be kept, by a defect", exc_info=error)
