"""`LogFile`: the file of the logs, and what is written to it in batches.

How it works: all that is to be written waits for the next batch, which is one transaction in the file's
own thread. Batches are an interval apart; one for which somebody waits comes at once. A batch that fails
is tried again with the next, but for what somebody waited for: whoever that was is told. After each one a
piece of what is free in the file goes back to the disk; nothing is written to a file that was removed or
replaced.

The thread is an executor's, and not that of `streams.sqlite`: there each commit is decided in the thread
against what other processes have written, here nothing is. Nobody else can use the file.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import structlog

from stream_serve.errors import LogUnavailable
from stream_serve.files.sqlite import BEGIN, check_same, connect, identity, shrink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import TypeAlias

    Statement: TypeAlias = tuple[str, tuple[Any, ...]]
    """SQL and its values."""

Some = TypeVar("Some")

_VERSION: Final = 1
_SCHEMA: Final = (
    "CREATE TABLE logs (id INTEGER PRIMARY KEY, name TEXT NOT NULL, fingerprint BLOB NOT NULL, "
    "summary BLOB NOT NULL, last INTEGER NOT NULL, size INTEGER NOT NULL, ended REAL)",
    # `first` is the number of the first of the frames, which are joined; `ended` is the time of day.
    "CREATE TABLE frames (log INTEGER, first INTEGER, data BLOB NOT NULL, lengths BLOB NOT NULL, "
    "PRIMARY KEY (log, first)) WITHOUT ROWID",
    "CREATE TABLE forbidden (name TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID",
)
_AGAIN: Final = 1.0
"""Seconds between a batch that failed and the next one."""
_PATIENCE: Final = 5.0
"""Seconds for which somebody waits for the file."""
_CLOSING: Final = 5.0
_log: Final = structlog.stdlib.get_logger("stream_serve.eventlog")


class Source(Protocol):
    """What has something to write from time to time, and says so with `LogFile.mark`."""

    def unwritten(self) -> list[Statement]:
        """Return what writes all that is new. The source is not marked any more."""
        ...

    def written(self) -> None:
        """Record that this is written."""
        ...

    def mark(self) -> None:
        """Mark the source, unless it is."""
        ...


class LogFile:
    """The file `path`; batches are written to it every `interval` seconds."""

    def __init__(self, path: Path, *, interval: float) -> None:
        self.path = path
        self.up = True
        """False from a batch that failed until one that does not."""
        self._interval = interval
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="runs")
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._marked: list[Source] = []
        self._entries: list[tuple[Sequence[Statement], asyncio.Future[None] | None]] = []
        self._wanted = asyncio.Event()
        self._hurry = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the file for this process alone, and begin to write. Raises `OSError`, `sqlite3.Error`."""
        opening = partial(connect, self.path, _SCHEMA, version=_VERSION, alone=True)
        db = await asyncio.get_running_loop().run_in_executor(self._thread, opening)
        self._db = db
        self._identity = identity(self.path)
        self._wanted.set()  # there may be something to give back
        self._task = asyncio.create_task(self._run(db), name="runs.db")

    async def close(self) -> None:
        """Write what waits, within some seconds, and close the file."""
        if self._task is None:
            self._thread.shutdown(wait=False)
            return
        self._closing = True
        self._wanted.set()
        self._hurry.set()
        await asyncio.wait({self._task}, timeout=_CLOSING)
        self._task.cancel()
        with suppress(LogUnavailable):
            await self.ask(sqlite3.Connection.close)
        self._db = None
        self._thread.shutdown(wait=False)

    async def ask(self, call: Callable[[sqlite3.Connection], Some]) -> Some:
        """Return what a call returns within some seconds. Raises `LogUnavailable`."""
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self.work(call)
        except (sqlite3.Error, TimeoutError) as error:
            raise _unavailable(error) from None

    async def work(self, call: Callable[[sqlite3.Connection], Some]) -> Some:
        """Return what a call returns, however long it takes. Raises `LogUnavailable`, `sqlite3.Error`."""
        if self._db is None:
            raise LogUnavailable("the file of the runs is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, self._db)

    def mark(self, source: Source) -> None:
        """Ask a source with the next batch."""
        self._marked.append(source)
        self._wanted.set()

    def put(self, *statements: Statement) -> None:
        """Write something with the next batch."""
        self._entries.append((statements, None))
        self._wanted.set()

    async def write(self, *statements: Statement) -> None:
        """Write something now, with all that waits, and wait until it is written.

        Raises `LogUnavailable`; then, and if it is cancelled, it may still be written.
        """
        if self._db is None or self._closing:
            raise LogUnavailable("the file of the runs is closed")
        done = asyncio.get_running_loop().create_future()
        self._entries.append((statements, done))
        self._wanted.set()
        self._hurry.set()
        try:
            async with asyncio.timeout(_PATIENCE):
                await done
        except TimeoutError as error:
            raise _unavailable(error) from None

    async def _run(self, db: sqlite3.Connection) -> None:
        while not self._closing or self._marked or self._entries:
            await self._wanted.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._hurry.wait()
            self._wanted.clear()
            self._hurry.clear()
            if not await self._flush(db):
                if self._closing:
                    return
                self._wanted.set()
                await asyncio.sleep(_AGAIN)

    async def _flush(self, db: sqlite3.Connection) -> bool:
        """Write all that waits in one batch; return whether it is written."""
        entries, self._entries = self._entries, []
        marked, self._marked = self._marked, []
        batch = [statement for some, _ in entries for statement in some]
        for source in marked:
            batch += source.unwritten()
        try:
            more = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._commit, db, batch
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again, and told
            if self.up:
                _log.error("the file of the runs cannot be written", error=str(error))
            self.up = False
            self._give_back(entries, marked, _unavailable(error))
            return False
        self.up = True
        if more:
            self._wanted.set()
        for source in marked:
            source.written()
        for _, done in entries:
            if done is not None and not done.done():
                done.set_result(None)
        return True

    def _commit(self, db: sqlite3.Connection, batch: Sequence[Statement]) -> bool:
        """Write a batch, in the thread; return whether there is more to give back to the disk."""
        check_same(self.path, self._identity)
        _write(db, batch)
        with suppress(sqlite3.Error):  # the batch is written
            return shrink(db)
        return False

    def _give_back(
        self,
        entries: list[tuple[Sequence[Statement], asyncio.Future[None] | None]],
        marked: list[Source],
        error: LogUnavailable,
    ) -> None:
        """Tell whoever waits that a batch was not written; keep the rest of it for the next one."""
        self._entries[:0] = [entry for entry in entries if entry[1] is None]
        for source in marked:
            source.mark()
        for _, done in entries:
            if done is not None and not done.done():
                done.set_exception(error)


def _write(db: sqlite3.Connection, batch: Sequence[Statement]) -> None:
    """Make all changes in one transaction; without any, try nothing."""
    if not batch:
        return
    try:
        db.execute(BEGIN)
        for sql, values in batch:
            db.execute(sql, values)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _unavailable(error: BaseException) -> LogUnavailable:
    return LogUnavailable(
        "the file of the runs is slow or cannot be used: try again in some seconds",
        for_operator=str(error),
        parameters=["SQLiteEventLog.path"],
    )
