"""A database connection with transactions that are bounded in time and atomic, and raise our errors.

How it works: a transaction is a function that gets a connection and waits for it as if it were not
asynchronous: on SQLite in a thread (`sqlite.py`), on PostgreSQL in a greenlet of the event loop
(`postgresql.py`). It runs in a task of its own, and the caller waits for it for at most `timeout`
seconds. After that the task is cancelled, what SQLite does is interrupted or PostgreSQL's connection
discarded, and the caller gets `HistoryUnavailable`. When the caller is cancelled, the task is not,
because cancelling the driver might lose a connection. The task runs on to its commit, sees that its
caller is gone, and rolls back. A cancelled caller that writes waits for that, so that it never leaves a
change in progress.

SQLite allows one writer at a time. Writers of one process queue for a lock in their order. A file that
another process has locked is tried again from the loop: SQLite itself would wait in a thread that nobody
can cancel. A file that was deleted or replaced is refused: SQLite would go on with the old one, which
nobody finds again.

Times come from the database if several processes share it (PostgreSQL), otherwise from this process.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import structlog
from sqlalchemy import ColumnElement, Double, bindparam, cast, extract, func, literal
from sqlalchemy.exc import (
    DataError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    SQLAlchemyError,
    StatementError,
)

from stream_serve.conversations.sql.postgresql import ServerEngine
from stream_serve.conversations.sql.schema import Words
from stream_serve.conversations.sql.sqlite import RETRY, FileEngine
from stream_serve.conversations.sql.urls import SQLITE, read_address
from stream_serve.errors import HistoryError, HistoryUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

T = TypeVar("T")

_log = structlog.stdlib.get_logger("stream_serve.conversations")

CONNECTIONS: Final = 8
"""The number of transactions at a time; further ones wait."""

INTERRUPTING: Final = 0.5
"""Seconds that SQLite's transactions have to end after `close` has cancelled them."""

GONE: Final = (
    "the database's file was deleted, moved or replaced: put it back, or restart the service to begin "
    "with the one that is there"
)

DEFECTS: Final = (IntegrityError, ProgrammingError, DataError, NotSupportedError)
"""Errors that mean a defect in one of our statements rather than an unavailable database."""


class Database:
    """A SQLite file or a PostgreSQL database. `timeout` is the limit of one transaction in seconds."""

    def __init__(self, url: str, *, timeout: float) -> None:
        address = read_address(url)
        at = address.url
        self.path = Path(at.database or "") if at.drivername == SQLITE else None
        if address.warning is not None:
            _log.warning(address.warning)
        self._file: tuple[int, int] | None = None
        self._timeout = timeout
        self._tasks: set[asyncio.Task[Any]] = set()
        self._engine = (
            ServerEngine(address, most=CONNECTIONS, timeout=timeout)
            if self.path is None
            else FileEngine(at, most=CONNECTIONS)
        )

    async def run(
        self,
        work: Callable[[Connection], T],
        *,
        write: bool,
        bounded: bool = True,
    ) -> T:
        """Run `work` in one transaction and return its result.

        One that is not `bounded` may take as long as it needs. Raises our own errors from `work`,
        `HistoryUnavailable` if it takes too long or the database cannot be reached, and `HistoryError`
        for a defect. After `HistoryUnavailable` or a cancellation either the whole change is stored or
        nothing of it.
        """
        end = time.monotonic() + self._timeout
        transaction = Transaction(work)
        task = asyncio.create_task(self._transact(transaction, write=write))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        if bounded:
            timer = asyncio.get_running_loop().call_later(self._timeout, _cancel, task)
            task.add_done_callback(lambda _: timer.cancel())
        try:
            await asyncio.wait({task}, timeout=self._timeout if bounded else None)
        except asyncio.CancelledError:
            transaction.abandoned = True
            if write:
                await asyncio.wait({task}, timeout=max(0.0, end - time.monotonic()))
            raise
        if not task.done() or task.cancelled():
            raise HistoryUnavailable(f"the database took longer than {self._timeout:g} s")
        return task.result()

    async def prepare(self) -> None:
        """Create a SQLite file and its folder, readable only for this user, with a write-ahead log.

        Does nothing for PostgreSQL. Raises `HistoryError`.
        """
        if self.path is None:
            return
        end = time.monotonic() + self._timeout
        while True:
            try:
                self._file = await asyncio.to_thread(_make_file, self.path)
            except (OSError, sqlite3.Error) as error:
                if not _busy(error) or time.monotonic() > end:
                    raise _mapped(error) from None
            else:
                return
            await asyncio.sleep(RETRY)

    async def close(self, patience: float | None = None) -> None:
        """Wait for running transactions, and close the connections.

        Waits at most `patience` seconds, and without it as long as a transaction may take. Then they
        are rolled back.
        """
        try:
            async with asyncio.timeout(self._timeout if patience is None else patience):
                while self._tasks:
                    await asyncio.wait(self._tasks)
                await self._engine.close()
        except TimeoutError:
            for task in self._tasks:
                _cancel(task)
            if isinstance(self._engine, FileEngine):
                if self._tasks:
                    await asyncio.wait(self._tasks, timeout=INTERRUPTING)
                await self._engine.close()
        finally:
            if isinstance(self._engine, ServerEngine):
                self._engine.terminate()

    def now(self) -> ColumnElement[float]:
        """Return an expression for the present time in epoch seconds, as a part of a statement.

        On PostgreSQL it is the time at which the statement arrived. So a transaction has to lock its row
        in an earlier statement, or a wait for the lock makes the time too early.
        """
        if self.path is None:
            return cast(extract("epoch", func.statement_timestamp()), Double)
        return bindparam("now", callable_=time.time, type_=Double)

    def found(self, column: ColumnElement[str], words: str) -> ColumnElement[bool]:
        """Return the condition that a column contains `words`, without any wildcards."""
        find = func.strpos if self.path is None else func.instr
        return find(column, literal(words, Words)) > 0

    async def _transact(self, transaction: Transaction[T], *, write: bool) -> T:
        """Run a transaction, again from its beginning while another process has locked the file."""
        while True:
            try:
                if self.path is not None and self._file not in (None, _identity(self.path)):
                    raise HistoryUnavailable(GONE)
                return await self._engine.run(transaction, write=write)
            except (SQLAlchemyError, sqlite3.Error, OSError) as error:
                if not _busy(error) or transaction.abandoned:
                    raise _mapped(error) from None
            await asyncio.sleep(RETRY)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved here, because a cancelled caller never does


class Transaction(Generic[T]):
    """What is done in a transaction. An `abandoned` one is rolled back: its caller has gone."""

    __slots__ = ("_work", "abandoned")

    def __init__(self, work: Callable[[Connection], T]) -> None:
        self._work = work
        self.abandoned = False

    def __call__(self, connection: Connection) -> T:
        """Do it, and commit."""
        result = self._work(connection)
        if self.abandoned:
            connection.rollback()
        else:
            connection.commit()
        return result


def _cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task, once."""
    if not task.cancelling():
        task.cancel()


def _make_file(path: Path) -> tuple[int, int] | None:
    """Make the file if it is not there, and return which one it is."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(path, timeout=RETRY)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    return _identity(path)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return which file is at a path; None for none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _busy(error: Exception) -> bool:
    """Return whether a SQLite file is locked by another process."""
    cause = error.orig if isinstance(error, StatementError) else error
    code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF == sqlite3.SQLITE_BUSY


def _mapped(error: Exception) -> HistoryError:
    """Return our error for one of the database; it contains no statement, value or password."""
    cause = error.orig if isinstance(error, StatementError) else error
    while isinstance(cause, BaseException) and isinstance(cause.__cause__, Exception):
        cause = cause.__cause__
    name = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
    what = type(cause).__name__ + (f", {name}" if name else "")
    if isinstance(error, DEFECTS) or type(error) is StatementError:
        return HistoryError(f"the database refused a statement ({what})")
    return HistoryUnavailable(f"the database cannot be used now ({what})")
