"""`SQLiteStore`: streams in a file, by SQLite in WAL mode.

How it works: one thread has the connection. All commits that wait are written in one transaction, and
what was asked meanwhile is read after it. So while one transaction is written, the next one gathers.

What is committed survives the end of the process in whatever way: the operating system has it
(`synchronous=NORMAL`). If the machine loses its power, the last moments may be missing; the file stays
whole.

Several processes may use the file: versions are checked in the transaction. `PRAGMA data_version` tells
that another one has written; then the versions of what is watched are compared.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream_serve.streams.base import Totals, excess
from stream_serve.streams.errors import StreamsFull, StreamsUnavailable
from stream_serve.streams.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from stream_serve.streams.base import Change, Quota
    from stream_serve.streams.state import Key

_VERSION: Final = 1
_LOOK: Final = 0.02
"""Seconds between two looks for what other processes have changed, while something is watched."""

_PATIENCE: Final = 5.0
"""Seconds for which a transaction waits for that of another process."""

_CLOSING: Final = 10.0
_MAX_GROUP: Final = 2_000
_BEGIN: Final = "BEGIN IMMEDIATE"
_SCHEMA: Final = (
    "CREATE TABLE streams (owner TEXT, path TEXT, version INTEGER NOT NULL, state BLOB NOT NULL, "
    "size INTEGER NOT NULL, due REAL, PRIMARY KEY (owner, path)) WITHOUT ROWID",
    "CREATE INDEX streams_due ON streams (due)",
    "CREATE TABLE data (id TEXT, start INTEGER, bytes BLOB NOT NULL, PRIMARY KEY (id, start)) "
    "WITHOUT ROWID",
    "CREATE TABLE owners (owner TEXT PRIMARY KEY, streams INTEGER NOT NULL, bytes INTEGER NOT NULL) "
    "WITHOUT ROWID",
    f"PRAGMA user_version = {_VERSION}",
)
_LOAD: Final = "SELECT state FROM streams WHERE owner = ? AND path = ?"
_CHECK: Final = "SELECT version, size FROM streams WHERE owner = ? AND path = ?"
_INSERT: Final = "INSERT INTO streams VALUES (?, ?, ?, ?, ?, ?)"
_UPDATE: Final = "UPDATE streams SET version = ?, state = ?, size = ? WHERE owner = ? AND path = ?"
_UPDATE_DUE: Final = (
    "UPDATE streams SET version = ?, state = ?, size = ?, due = ? WHERE owner = ? AND path = ?"
)
_REMOVE: Final = "DELETE FROM streams WHERE owner = ? AND path = ?"
_READ: Final = (
    "SELECT start, bytes FROM data WHERE id = ? AND start < ? AND start >= "
    "(SELECT max(start) FROM data WHERE id = ? AND start <= ?) ORDER BY start"
)
_DUE: Final = "SELECT owner, path FROM streams WHERE due <= ? ORDER BY due LIMIT ?"
_TOTALS: Final = "SELECT streams, bytes FROM owners WHERE owner = ?"
_GROW: Final = (
    "INSERT INTO owners VALUES (?, ?, ?) ON CONFLICT (owner) DO UPDATE SET "
    "streams = streams + excluded.streams, bytes = bytes + excluded.bytes"
)
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(State).decode


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
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: Callable[[Key], None] = lambda _: None
        self._watched: dict[Key, int] = {}
        self._seen = -1
        self._closed = False

    async def open(self, changed: Callable[[Key], None]) -> None:
        """Begin; the file is opened when something is asked of it."""
        self._loop = asyncio.get_running_loop()
        self._changed = changed

    async def close(self) -> None:
        """Finish what waits, for ten seconds at most."""
        self._closed = True
        thread = self._thread
        if thread is not None and thread.is_alive():
            self._jobs.put(None)
            await asyncio.to_thread(thread.join, _CLOSING)

    async def load(self, key: Key) -> State | None:
        """Return the state."""
        row = await self._call(lambda db: db.execute(_LOAD, key).fetchone())
        return None if row is None else _decode(row[0])

    def commit(self, changes: Sequence[Change], quota: Quota) -> asyncio.Future[bool]:
        """Let the thread make the changes, with all that waits."""
        job = _Job(asyncio.get_running_loop().create_future(), changes=changes, quota=quota)
        self._put(job)
        return job.done

    async def read(self, data_id: str, start: int, end: int) -> bytes:
        """Return the bytes, which may be in many rows."""
        rows = await self._call(
            lambda db: db.execute(_READ, (data_id, end, data_id, start)).fetchall()
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
        self._call(lambda db: self._begin_watching(db, key))

    def unwatch(self, key: Key) -> None:
        """Look no more."""
        self._call(lambda _: self._watched.pop(key, None))

    async def due(self, now: float, most: int) -> list[Key]:
        """Return what is due; nothing as long as there is no file."""
        if self._thread is None and not self._path.exists():
            return []
        rows = await self._call(lambda db: db.execute(_DUE, (now, most)).fetchall())
        return [(owner, path) for owner, path in rows]

    async def totals(self, owner: str) -> Totals:
        """Return what an owner has."""
        return await self._call(lambda db: _totals(db, owner))

    def _call(self, call: Callable[[sqlite3.Connection], Any]) -> asyncio.Future[Any]:
        job = _Job(asyncio.get_running_loop().create_future(), call=call)
        self._put(job)
        return job.done

    def _put(self, job: _Job) -> None:
        if self._closed:
            job.result = StreamsUnavailable("the file of the streams is closed: this process ends")
            job.tell()
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="streams", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    # What follows runs in the thread.

    def _run(self) -> None:
        """Do what waits, again and again, until the end."""
        db: sqlite3.Connection | None = None
        ended = False
        while not ended:
            jobs, ended = self._take()
            try:
                if db is None:
                    db = _connect(self._path)
                self._do(db, jobs)
            except Exception as error:  # noqa: BLE001 - whatever it is, who waits is told
                for job in jobs:
                    job.result = _unavailable(error)
            self._tell(jobs)
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def _take(self) -> tuple[list[_Job], bool]:
        """Wait for jobs, and return all that wait, and whether it is the end."""
        jobs: list[_Job] = []
        try:
            job = self._jobs.get(timeout=_LOOK if self._watched else None)
            while job is not None:
                jobs.append(job)
                if len(jobs) == _MAX_GROUP:
                    return jobs, False
                job = self._jobs.get_nowait()
        except queue.Empty:
            return jobs, False
        return jobs, True

    def _tell(self, jobs: list[_Job]) -> None:
        loop = self._loop
        if jobs and loop is not None and not loop.is_closed():
            with suppress(RuntimeError):  # it has been closed meanwhile: nobody waits
                loop.call_soon_threadsafe(_tell_all, jobs)

    def _do(self, db: sqlite3.Connection, jobs: list[_Job]) -> None:
        commits = [job for job in jobs if job.call is None]
        if commits:
            self._write(db, commits)
        for job in jobs:
            if job.call is not None:
                try:
                    job.result = job.call(db)
                except Exception as error:  # noqa: BLE001 - whatever it is, who waits is told
                    job.result = _unavailable(error)
        if self._watched:
            self._look(db)

    def _write(self, db: sqlite3.Connection, commits: list[_Job]) -> None:
        """Make all changes in one transaction; if it fails, each commit in its own."""
        try:
            db.execute(_BEGIN)
            for job in commits:
                job.result = _apply(db, job.changes, job.quota)
            db.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits is told
            if db.in_transaction:
                db.execute("ROLLBACK")
            if len(commits) > 1:
                for job in commits:
                    self._write(db, [job])
            else:
                commits[0].result = _unavailable(error)
            return
        for job in commits:
            if job.result is True:
                for one in job.changes:
                    if one.key in self._watched:
                        self._watched[one.key] = 0 if one.state is None else one.state.version

    def _begin_watching(self, db: sqlite3.Connection, key: Key) -> None:
        self._watched[key] = _version(db, key)

    def _look(self, db: sqlite3.Connection) -> None:
        """Tell of what others have changed since the last look."""
        (seen,) = db.execute("PRAGMA data_version").fetchone()
        if seen == self._seen:
            return
        self._seen = seen
        for key, version in tuple(self._watched.items()):
            newest = _version(db, key)
            if newest != version and self._loop is not None:
                self._watched[key] = newest
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._changed, key)


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file, which is made if it is not there. Raises `sqlite3.Error`, `OSError`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, cached_statements=64)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        _prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    """Make the tables where there are none. Raises `sqlite3.Error` for those of another version."""
    db.execute(_BEGIN)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    for statement in _SCHEMA if version == 0 else ():
        db.execute(statement)
    db.execute("COMMIT")
    if version not in {0, _VERSION}:
        raise sqlite3.DatabaseError(f"it is of another version of stream-serve ({version})")


def _apply(db: sqlite3.Connection, changes: Sequence[Change], quota: Quota | None) -> Any:
    """Make changes in the transaction that is open, or none; return what the commit's future gets."""
    sizes: list[int] = []
    for one in changes:
        row = db.execute(_CHECK, one.key).fetchone()
        version, size = (0, 0) if row is None else row
        if version != one.version:
            return False
        sizes.append(size)
    full = _grow(db, changes, quota)
    if full is not None:
        return full
    for one, size in zip(changes, sizes, strict=True):
        _change(db, one, size)
    return True


def _grow(
    db: sqlite3.Connection, changes: Sequence[Change], quota: Quota | None
) -> StreamsFull | None:
    """Bring the owner's totals up to date, unless they would be above the quota."""
    owner = changes[0].key[0]
    streams = sum([one.streams for one in changes])
    size = sum([one.bytes for one in changes])
    if not (streams or size):
        return None
    if quota is not None and (streams > 0 or size > 0):
        full = excess(_totals(db, owner), quota, streams=streams, size=size)
        if full is not None:
            return full
    db.execute(_GROW, (owner, streams, size))
    return None


def _change(db: sqlite3.Connection, change: Change, size: int) -> None:
    state, more = change.state, len(change.data)
    if state is None:
        db.execute(_REMOVE, change.key)
        db.execute("DELETE FROM data WHERE id = ?", (change.data_id,))
        return
    encoded = _encode(state)
    if change.version == 0:
        db.execute(_INSERT, (*change.key, state.version, encoded, more, change.due))
    elif change.due is None:
        db.execute(_UPDATE, (state.version, encoded, size + more, *change.key))
    else:
        db.execute(_UPDATE_DUE, (state.version, encoded, size + more, change.due, *change.key))
    if more:
        db.execute("INSERT INTO data VALUES (?, ?, ?)", (change.data_id, size, change.data))


def _version(db: sqlite3.Connection, key: Key) -> int:
    row = db.execute(_CHECK, key).fetchone()
    return 0 if row is None else row[0]


def _totals(db: sqlite3.Connection, owner: str) -> Totals:
    row = db.execute(_TOTALS, (owner,)).fetchone()
    return Totals() if row is None else Totals(*row)


def _tell_all(jobs: list[_Job]) -> None:
    for job in jobs:
        job.tell()


def _unavailable(error: BaseException) -> StreamsUnavailable:
    return StreamsUnavailable(
        f"the file of the streams cannot be used: {error}", parameters=["SQLiteStore.path"]
    )
