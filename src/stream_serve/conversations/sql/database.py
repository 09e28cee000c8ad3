"""One database, reached in transactions that are bounded, whole, and mapped to our errors.

How it works: every transaction runs in a task of its own. Its caller waits for that task for at most
`timeout` seconds; then the task is cancelled, its connection thrown away, and the caller told. When
the caller is cancelled, that does not reach the driver, which might lose its connection or leave a
thread behind: the task goes on to its commit, finds that nobody wants it any more, and rolls back. A
caller that writes waits for that, so that what it changed is settled when it is gone.

SQLite has one writer at a time: within the process writers queue fairly for a lock, between
processes SQLite waits for four fifths of the timeout. PostgreSQL's connections are tried before they
are used, so that a restarted server is met by new ones.

The clock is the database's where several processes share one (PostgreSQL), and else the process's.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakSet

from sqlalchemy import ColumnElement, Double, cast, event, extract, func, literal
from sqlalchemy.exc import (
    DataError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from stream_serve.conversations.sql.schema import Words
from stream_serve.conversations.sql.urls import SQLITE, database_url
from stream_serve.errors import HistoryError, HistoryUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from sqlalchemy import Connection

T = TypeVar("T")

CONNECTIONS: Final = 8
"""As many transactions go on at once; the next ones wait."""

RETRY: Final = 0.02
"""Seconds between two attempts to change a SQLite file's journal."""

DEFECTS: Final = (IntegrityError, ProgrammingError, DataError, NotSupportedError)
"""What a database says when a statement of ours is wrong, and not the database away."""


class Database:
    """A SQLite file or a PostgreSQL database, by its URL."""

    def __init__(self, url: str, *, timeout: float) -> None:
        address = database_url(url)
        self.path = Path(address.database or "") if address.drivername == SQLITE else None
        self._timeout = timeout
        self._abandoned: WeakSet[asyncio.Task[Any]] = WeakSet()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._writing = asyncio.Lock()
        self._drivers: WeakSet[Any] = WeakSet()
        server = {"timeout": timeout, "server_settings": {"application_name": "stream-serve"}}
        self._engine = create_async_engine(
            address,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=timeout,
            pool_pre_ping=self.path is None,
            hide_parameters=True,
            connect_args={"timeout": timeout * 0.8} if self.path else server,
        )
        event.listen(self._engine.sync_engine, "connect", self._connected)
        event.listen(self._engine.sync_engine, "begin", self._begun)

    async def run(self, work: Callable[[AsyncConnection], Awaitable[T]], *, write: bool) -> T:
        """Do some work in one transaction, and give what it gives.

        Raises what `work` raises of our errors, `HistoryUnavailable` when it took too long or the
        database is away, and `HistoryError` for a defect. After `HistoryUnavailable` the whole
        change may be stored, or nothing of it.
        """
        end = time.monotonic() + self._timeout
        task = asyncio.create_task(self._transact(work, write=write))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        timer = asyncio.get_running_loop().call_later(self._timeout, task.cancel)
        task.add_done_callback(lambda _: timer.cancel())
        try:
            await asyncio.wait({task}, timeout=self._timeout)
        except asyncio.CancelledError:
            self._abandoned.add(task)
            if write:
                await asyncio.wait({task}, timeout=max(0.0, end - time.monotonic()))
            raise
        if not task.done() or task.cancelled():
            raise HistoryUnavailable(f"the database took longer than {self._timeout:g} s")
        return task.result()

    async def prepare(self) -> None:
        """Make a SQLite file and its folder, for nobody else to read, with a write-ahead log."""
        if self.path is None:
            return
        try:
            await asyncio.to_thread(_make_file, self.path, self._timeout)
        except (OSError, sqlite3.Error) as error:
            raise _mapped(error) from None

    async def close(self) -> None:
        """Wait for the transactions that go on, which are bounded, and close the connections."""
        try:
            async with asyncio.timeout(self._timeout):
                while self._tasks:
                    await asyncio.wait(self._tasks)
                await self._engine.dispose()
        except TimeoutError:
            pass
        finally:
            for driver in list(self._drivers):
                driver.terminate()

    def now(self) -> ColumnElement[float]:
        """Give the time as a part of a statement: epoch seconds.

        On PostgreSQL it is when the statement arrived: one that waits for a row has to lock it first.
        """
        if self.path is None:
            return cast(extract("epoch", func.statement_timestamp()), Double)
        return literal(time.time(), Double)

    def found(self, column: ColumnElement[str], words: str) -> ColumnElement[bool]:
        """Give the condition that a column has a text, every character of it an ordinary one."""
        find = func.strpos if self.path is None else func.instr
        return find(column, literal(words, Words)) > 0

    async def _transact(self, work: Callable[[AsyncConnection], Awaitable[T]], *, write: bool) -> T:
        me = asyncio.current_task()
        try:
            async with self._connection(write=write) as connection:
                result = await work(connection)
                if me in self._abandoned:
                    await connection.rollback()
                else:
                    await connection.commit()
                return result
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise _mapped(error) from None

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

    def _connected(self, dbapi_connection: Any, _record: object) -> None:
        if self.path is None:
            self._drivers.add(dbapi_connection.driver_connection)
            return
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.close()

    def _begun(self, connection: Connection) -> None:
        """Begin for writing at once: a SQLite reader that turns writer may be refused."""
        if self.path is not None:
            write = connection.get_execution_options().get("write", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # a caller that went away asks for it no more


def _make_file(path: Path, timeout: float) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    end = time.monotonic() + timeout * 0.8
    with closing(sqlite3.connect(path, timeout=RETRY)) as connection:
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(RETRY)
            else:
                return


def _mapped(error: Exception) -> HistoryError:
    """Say what went wrong without a statement, a value, or a password."""
    cause = error.orig if isinstance(error, StatementError) else error
    while isinstance(cause, BaseException) and isinstance(cause.__cause__, Exception):
        cause = cause.__cause__
    name = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
    what = type(cause).__name__ + (f", {name}" if name else "")
    if isinstance(error, DEFECTS) or type(error) is StatementError:
        return HistoryError(f"the database refused a statement ({what})")
    return HistoryUnavailable(f"the database cannot be used now ({what})")
