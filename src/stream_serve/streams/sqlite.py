"""`SQLiteStore`: streams in a file, by SQLite in WAL mode.

How it works: the event loop writes commits itself. SQLite only hands them to the operating system, and
the way to a thread and back costs more than that. The first commit of a turn of the loop is written at
once; those that come after it in the same turn are one transaction, at its end.

What may have to wait is done by a thread: it opens the file, reads, and waits for the disk
(`tables.checkpoint`) and for other processes. There is one connection, and a lock: while the thread has
it, commits go to the thread, and all that wait there are one transaction. So do large ones and removals,
and all for a while after the system was slow to take one: the loop is not held up again and again.

What is committed survives the end of the process in whatever way; see `files.sqlite`.

The bytes of a stream that is removed are deleted piece by piece when nothing else waits: nobody waits for
them (see `tables`). Then what is free in the file goes back to the disk, piece by piece.

Several processes may use the file: versions are checked in the transaction. `PRAGMA data_version` tells
that another one has written; then the versions of what is watched are compared.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import structlog

from stream_serve.files.sqlite import BEGIN, check_same, connect, identity, shrink, wait_for_others
from stream_serve.streams import tables
from stream_serve.streams.errors import StreamsUnavailable, StreamUnreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from stream_serve.streams.base import Change, Quota, Totals
    from stream_serve.streams.state import Key, State

_VERSION: Final = 1
_LOOK: Final = 0.02
"""Seconds between two looks for what other processes have changed, while something is watched."""

_PAUSE: Final = 4
"""How many times as long as a look took there is none."""

_SLOW: Final = 0.1
_SLOW_FOR: Final = 1.0
"""A transaction that took so many seconds in the loop sends others to the thread, for so many seconds."""

_CLOSING: Final = 10.0
_MAX_GROUP: Final = 2_000
_REST: Final = 0.002
"""Seconds between two of these, in which others come."""

_SCHEMA: Final = (
    "CREATE TABLE streams (owner TEXT, path TEXT, version INTEGER NOT NULL, state BLOB NOT NULL, "
    "size INTEGER NOT NULL, due REAL, PRIMARY KEY (owner, path)) WITHOUT ROWID",
    "CREATE INDEX streams_due ON streams (due)",
    "CREATE TABLE data (id TEXT, start INTEGER, bytes BLOB NOT NULL, PRIMARY KEY (id, start)) "
    "WITHOUT ROWID",
    "CREATE TABLE owners (owner TEXT PRIMARY KEY, streams INTEGER NOT NULL, bytes INTEGER NOT NULL) "
    "WITHOUT ROWID",
)
_log = structlog.stdlib.get_logger("stream_serve.streams")


class _Job:
    """What the thread does: a commit if it has changes, or a call with the connection."""

    __slots__ = ("call", "changes", "done", "quota", "result")

    def __init__(
        self,
        done: asyncio.Future[Any],
        *,
        call: Callable[[sqlite3.Connection], Any] | None = None,
        changes: Sequence[Change] = (),
        quota: Quota | None = None,
    ) -> None:
        self.done = done
        self.call = call
        self.changes = changes
        self.quota = quota
        self.result: Any = None

    def tell(self) -> None:
        """Tell who waits; in the event loop."""
        if self.done.done():
            return
        if isinstance(self.result, BaseException):
            self.done.set_exception(self.result)
        else:
            self.done.set_result(self.result)


class SQLiteStore:
    """Streams in the file `path`, which is made at the first use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: Callable[[Key | None], None] = lambda _: None
        self._watched: dict[Key, int] = {}
        self._seen = -1
        self._look_at = 0.0
        self._closed = False
        self._file: tuple[int, int] | None = None
        self._purging = False
        self._db: sqlite3.Connection | None = None
        self._using = threading.Lock()
        self._waits = True
        self._in_turn = False
        self._gathered: list[_Job] = []
        self._slow_until = 0.0
        self._pages = 0

    async def open(self, changed: Callable[[Key | None], None]) -> None:
        """Begin; the file is opened when something is asked of it."""
        self._loop = asyncio.get_running_loop()
        self._changed = changed

    async def close(self) -> None:
        """Finish what waits, for ten seconds at most."""
        self._end_turn()
        self._closed = True
        thread = self._thread
        if thread is not None and thread.is_alive():
            self._jobs.put(None)
            await asyncio.to_thread(thread.join, _CLOSING)

    async def load(self, key: Key) -> State | None:
        """Return the state."""
        return await self._call(lambda db: tables.load(db, key))

    def commit(self, changes: Sequence[Change], quota: Quota) -> asyncio.Future[bool]:
        """Make the changes now, or at the end of this turn of the loop; or let the thread do it."""
        loop = asyncio.get_running_loop()
        job = _Job(loop.create_future(), changes=changes, quota=quota)
        if self._db is None or self._closed:
            self._put([job])
        elif self._in_turn:
            self._gathered.append(job)
        else:
            self._in_turn = True
            loop.call_soon(self._end_turn)
            self._commit([job])
        return job.done

    async def read(self, data_id: str, start: int, end: int) -> bytes:
        """Return the bytes, which may be in many rows."""
        rows = await self._call(
            lambda db: db.execute(tables.READ, (data_id, end, data_id, start)).fetchall()
        )
        if not rows:
            return b""
        first: int = rows[0][0]
        data = rows[0][1] if len(rows) == 1 else b"".join([row[1] for row in rows])
        return (
            data
            if start == first and len(data) == end - start
            else data[start - first : end - first]
        )

    def watch(self, key: Key) -> None:
        """Look for changes of others from now on."""
        self._call(lambda db: self._begin_watching(db, key)).add_done_callback(_heard)

    def unwatch(self, key: Key) -> None:
        """Look no more."""
        self._call(lambda _: self._watched.pop(key, None)).add_done_callback(_heard)

    async def due(self, now: float, most: int) -> list[Key]:
        """Return what is due; nothing as long as there is no file."""
        if self._thread is None and not self._path.exists():
            return []
        rows = await self._call(lambda db: db.execute(tables.DUE, (now, most)).fetchall())
        return [(owner, path) for owner, path in rows]

    async def totals(self, owner: str) -> Totals:
        """Return what an owner has."""
        return await self._call(lambda db: tables.totals(db, owner))

    def _call(self, call: Callable[[sqlite3.Connection], Any]) -> asyncio.Future[Any]:
        job = _Job(asyncio.get_running_loop().create_future(), call=call)
        self._put([job])
        return job.done

    def _end_turn(self) -> None:
        """Write what has gathered in a turn of the loop."""
        self._in_turn = False
        jobs, self._gathered = self._gathered, []
        if jobs:
            self._commit(jobs)

    def _commit(self, jobs: list[_Job]) -> None:
        """Write commits in the loop, if nothing has to be waited for; else let the thread do it."""
        began, purging = monotonic(), self._purging
        if (
            began < self._slow_until
            or sum([tables.pages(job.changes) for job in jobs]) > tables.STEP
            or not self._using.acquire(blocking=False)
        ):
            self._put(jobs)
            return
        try:
            written = self._try_to_write(jobs)
        finally:
            self._using.release()
        if not written:
            self._put(jobs)
            return
        for job in jobs:
            job.tell()
        ended = monotonic()
        if ended - began > _SLOW:
            self._slow_until = ended + _SLOW_FOR
        if self._pages >= tables.CHECKPOINT or (self._purging and not purging):
            self._call(lambda _: None).add_done_callback(
                _heard
            )  # the thread sees what there is to do

    def _try_to_write(self, jobs: list[_Job]) -> bool:
        """Write commits without waiting; return False if the thread has to do it, or to say why not."""
        if self._db is None:
            return False
        try:
            check_same(self._path, self._file)
            self._wait(self._db, wait=False)
            self._write(self._db, jobs)
        except (sqlite3.Error, OSError):
            return False  # another process writes, or the file is gone
        return True

    def _put(self, jobs: list[_Job]) -> None:
        """Let the thread do something, with whatever else it has to do."""
        if self._closed:
            for job in jobs:
                job.result = StreamsUnavailable(_CLOSED)
                job.tell()
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="streams", daemon=True)
            self._thread.start()
        self._jobs.put(jobs)

    # What follows runs in the thread; `_wait` and `_write` in the loop, too.

    def _run(self) -> None:
        """Do what waits, again and again, until the end."""
        ended = False
        while not ended:
            jobs, ended = self._take()
            with self._using:
                try:
                    if self._db is None:
                        self._db = self._open()
                    self._wait(self._db, wait=True)
                    self._do(self._db, jobs)
                except Exception as error:  # noqa: BLE001 - whatever it is, who waits is told
                    failure = _unavailable(error)
                    for job in jobs:
                        job.result = failure
                    self._close()
            # Not before the lock is free: what they write next is for the loop again.
            self._tell(jobs)
            self._checkpoint()
        with self._using:
            self._close()

    def _open(self) -> sqlite3.Connection:
        """Open the file. Raises `sqlite3.Error`, `OSError`."""
        if self._file is not None:
            check_same(self._path, self._file)
        db = connect(self._path, _SCHEMA, version=_VERSION, shared=True)
        try:
            db.execute("PRAGMA wal_autocheckpoint = 0")
            db.execute("PRAGMA secure_delete = FAST")
            db.execute(tables.LATER)
            self._file = identity(self._path)
        except BaseException:
            db.close()
            raise
        self._waits = True
        self._purging = True
        self._seen = -1  # what others have changed meanwhile
        return db

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def _wait(self, db: sqlite3.Connection, *, wait: bool) -> None:
        """Say whether to wait for other processes. Raises `sqlite3.Error`."""
        if wait is not self._waits:
            wait_for_others(db, wait=wait)
            self._waits = wait

    def _checkpoint(self) -> None:
        """Bring what was written to its place, when it is much; if it fails, later."""
        if self._pages < tables.CHECKPOINT:
            return
        with self._using, suppress(sqlite3.Error):
            self._pages = 0
            if self._db is not None:
                tables.checkpoint(self._db)

    def _take(self) -> tuple[list[_Job], bool]:
        """Wait for jobs, and return all that wait, and whether it is the end."""
        jobs: list[_Job] = []
        try:
            wait = _REST if self._purging else _LOOK if self._watched else None
            more = self._jobs.get(timeout=wait)
            while more is not None:
                jobs += more
                if len(jobs) >= _MAX_GROUP:
                    return jobs, False
                more = self._jobs.get_nowait()
        except queue.Empty:
            return jobs, False
        return jobs, True

    def _tell(self, jobs: list[_Job]) -> None:
        loop = self._loop
        if jobs and loop is not None and not loop.is_closed():
            with suppress(RuntimeError):  # it has been closed meanwhile: nobody waits
                loop.call_soon_threadsafe(_tell_all, jobs)

    def _do(self, db: sqlite3.Connection, jobs: list[_Job]) -> None:
        if jobs:
            check_same(self._path, self._file)
        commits = [job for job in jobs if job.call is None]
        if commits:
            self._write(db, commits)
        for job in jobs:
            if job.call is not None:
                try:
                    job.result = job.call(db)
                except StreamUnreadable as error:
                    job.result = error  # it is about one stream
                except Exception as error:  # noqa: BLE001 - whatever it is, who waits is told
                    job.result = _unavailable(error)
        with suppress(sqlite3.Error):  # those who are told have what they asked for
            if self._watched and monotonic() >= self._look_at:
                self._look(db)
            if self._purging and not jobs:
                self._purging = False  # if it fails, it goes on with the next removal
                self._pages += tables.STEP
                self._purging = tables.purge(db) or shrink(db)

    def _write(self, db: sqlite3.Connection, commits: list[_Job]) -> None:
        """Make all changes in one transaction; if one of them fails, each commit in its own."""
        # If this fails, nothing can be written at all: each commit alone would only wait as long again.
        db.execute(BEGIN)
        try:
            owners: dict[str, Totals] = {}
            for job in commits:
                job.result = tables.apply(db, job.changes, job.quota, owners)
            tables.finish(db, owners)
            db.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits is told
            if db.in_transaction:
                db.execute("ROLLBACK")
            if len(commits) > 1:
                for job in commits:
                    self._write_alone(db, job)
            else:
                commits[0].result = _unavailable(error)
            return
        for job in commits:
            if job.result is True:
                self._pages += tables.pages(job.changes)
                self._purging |= any(one.state is None for one in job.changes)
                for one in job.changes:
                    if one.key in self._watched:
                        self._watched[one.key] = 0 if one.state is None else one.state.version

    def _write_alone(self, db: sqlite3.Connection, job: _Job) -> None:
        try:
            self._write(db, [job])
        except sqlite3.Error as error:
            job.result = _unavailable(error)

    def _begin_watching(self, db: sqlite3.Connection, key: Key) -> None:
        self._watched[key] = tables.version_of(db, key)

    def _look(self, db: sqlite3.Connection) -> None:
        """Tell of what others have changed since the last look."""
        (seen,) = db.execute("PRAGMA data_version").fetchone()
        if seen == self._seen:
            return
        began = monotonic()
        for key, version in tuple(self._watched.items()):
            newest = tables.version_of(db, key)
            if newest != version and self._loop is not None:
                self._watched[key] = newest
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._changed, key)
        self._seen = seen
        # Where very much is watched, looks take a fifth of the thread's time, and others the rest.
        ended = monotonic()
        self._look_at = ended + _PAUSE * (ended - began)


def _tell_all(jobs: list[_Job]) -> None:
    for job in jobs:
        job.tell()


def _heard(done: asyncio.Future[Any]) -> None:
    """Take note of how something ended that nobody waits for."""
    if not done.cancelled():
        done.exception()


_CLOSED: Final = "the file of the streams is closed: this process ends"


def _unavailable(error: BaseException) -> StreamsUnavailable:
    """Return our error for one of the file; who asked for a stream does not read where the file is."""
    _log.warning("the file of the streams cannot be used", error=str(error))
    what = error.strerror if isinstance(error, OSError) else str(error)
    return StreamsUnavailable(
        f"the file of the streams cannot be used: {what}", parameters=["SQLiteStore.path"]
    )
