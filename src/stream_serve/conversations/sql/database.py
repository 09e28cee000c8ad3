"""A database connection with transactions that are bounded in time and atomic, and raise our errors.

How it works: every transaction runs in a task of its own, and the caller waits for it for at most
`timeout` seconds. After that the task is cancelled, its connection is discarded, and the caller gets
`HistoryUnavailable`. When the caller is cancelled, the task is not, because cancelling the driver might
lose a connection or leave a thread behind. The task runs on to its commit, sees that its caller is gone,
and rolls back. A cancelled caller that writes waits for that, so that it never leaves a change in
progress.

SQLite allows one writer at a time. Writers of one process queue for a lock in their order. A file that
another process has locked is tried again from the loop: SQLite itself would wait in a thread that nobody
can cancel, and the process could not end. A file that was deleted or replaced is refused: SQLite would go
on with the old one, which nobody finds again. PostgreSQL's connections are tested before
use, so that a restarted server gets new ones. Statements have no names there and none is kept: between
us and the server may be a pooler (PgBouncer) that gives each transaction another connection.

Times come from the database if several processes share it (PostgreSQL), otherwise from this process.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakSet

import structlog
from sqlalchemy import ColumnElement, Double, bindparam, cast, event, extract, func, literal
from sqlalchemy.exc import (
    DataError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from stream_serve.conversations.sql.driver import opener
from stream_serve.conversations.sql.schema import Words
from stream_serve.conversations.sql.urls import SQLITE, read_address
from stream_serve.errors import HistoryError, HistoryUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from sqlalchemy import Connection

T = TypeVar("T")

_log = structlog.stdlib.get_logger("stream_serve.conversations")

CONNECTIONS: Final = 8
"""The number of transactions at a time; further ones wait."""

RETRY: Final = 0.02
"""Seconds that SQLite waits for a lock, and between two attempts."""

LET_GO: Final = 10 * RETRY
"""Seconds that the end waits at most for SQLite's thread."""

INTERRUPTING: Final = 0.5
"""Seconds that a transaction of SQLite has to end after it was interrupted."""

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
        self._abandoned: WeakSet[asyncio.Task[Any]] = WeakSet()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._writing = asyncio.Lock()
        self._drivers: WeakSet[Any] = WeakSet()
        server = {
            "timeout": min(timeout, address.connect_timeout or timeout),
            "statement_cache_size": 0,
            "prepared_statement_cache_size": 0,
            "prepared_statement_name_func": _unnamed,
            **({"ssl": True} if address.system_certificates else {}),
        }
        self._engine = create_async_engine(
            at,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=timeout,
            pool_pre_ping=self.path is None,
            hide_parameters=True,
            **(
                {"async_creator": opener(self.path, patience=RETRY)}
                if self.path
                else {"connect_args": server}
            ),
        )
        event.listen(self._engine.sync_engine, "connect", self._connected)
        event.listen(self._engine.sync_engine, "begin", self._begun)

    async def run(
        self,
        work: Callable[[AsyncConnection], Awaitable[T]],
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
        task = asyncio.create_task(self._transact(work, write=write))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        if bounded:
            timer = asyncio.get_running_loop().call_later(self._timeout, _cancel, task)
            task.add_done_callback(lambda _: timer.cancel())
        try:
            await asyncio.wait({task}, timeout=self._timeout if bounded else None)
        except asyncio.CancelledError:
            self._abandoned.add(task)
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
                await self._engine.dispose()
        except TimeoutError:
            await self._interrupt()
            await self._give_up()
            if self.path is not None and not self._tasks:
                await self._engine.dispose()
        finally:
            if self.path is None:
                for driver in list(self._drivers):
                    driver.terminate()

    async def _give_up(self) -> None:
        """Cancel all transactions; those of SQLite end as soon as its thread lets go of the lock.

        A loop that ended before, or a second cancellation, would leave aiosqlite waiting for its thread
        after that has gone, and so the process for ever.
        """
        tasks = list(self._tasks)
        for task in tasks:
            _cancel(task)
        if tasks and self.path is not None:
            await asyncio.wait(tasks, timeout=LET_GO)

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

    async def _transact(self, work: Callable[[AsyncConnection], Awaitable[T]], *, write: bool) -> T:
        """Run a transaction, again from its beginning while another process has locked the file."""
        while True:
            try:
                return await self._attempt(work, write=write)
            except (SQLAlchemyError, sqlite3.Error, OSError) as error:
                if not _busy(error) or asyncio.current_task() in self._abandoned:
                    raise _mapped(error) from None
            await asyncio.sleep(RETRY)

    async def _attempt(self, work: Callable[[AsyncConnection], Awaitable[T]], *, write: bool) -> T:
        if self.path is not None and self._file not in (None, _identity(self.path)):
            raise HistoryUnavailable(GONE)
        async with self._connection(write=write) as connection:
            result = await work(connection)
            if asyncio.current_task() in self._abandoned:
                await connection.rollback()
            else:
                await connection.commit()
            return result

    @asynccontextmanager
    async def _connection(self, *, write: bool) -> AsyncGenerator[AsyncConnection]:
        if self.path is None:
            async with self._engine.connect() as connection:
                yield connection
        elif write:
            async with self._writing, self._engine.connect() as connection:
                yield await connection.execution_options(write=True)
        else:
            async with self._engine.connect() as connection:
                yield connection

    async def _interrupt(self) -> None:
        """Interrupt what SQLite does in its threads: cancelled, the end of the process waits for it."""
        if self.path is None:
            return
        for driver in list(self._drivers):
            with suppress(ValueError, sqlite3.Error):  # it is closed
                await driver.interrupt()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=INTERRUPTING)

    def _connected(self, dbapi_connection: Any, _record: object) -> None:
        self._drivers.add(dbapi_connection.driver_connection)
        if self.path is None:
            return
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.close()

    def _begun(self, connection: Connection) -> None:
        """Lock SQLite for writing at the beginning: a reader that writes later may get SQLITE_BUSY."""
        if self.path is not None:
            write = connection.get_execution_options().get("write", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved here, because a cancelled caller never does


def _cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task, once."""
    if not task.cancelling():
        task.cancel()


def _unnamed() -> str:
    """Return the name of a prepared statement: the one that the next statement replaces."""
    return ""


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
