"""A connection to a SQLite file that goes to its thread once for each statement.

How it works: every connection of `aiosqlite` has a thread of its own. A statement of SQLAlchemy's goes
there four times: for a cursor, the statement, its rows, and to close the cursor. That takes longer than
the statement itself. Here all four are done in one go, and a rollback of nothing is not even one.

A statement whose caller is cancelled is interrupted: it would go on in its thread otherwise, and nobody
could use the connection until it ended.

There is no public way to do something in that thread. So this uses two protected names of `aiosqlite`,
`Connection._execute` and `Connection._thread`, and `pyproject.toml` allows only the versions in which
`tests/conversations/sql/test_driver.py` has found them.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiosqlite import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


class Rows:
    """A cursor, as SQLAlchemy uses that of `aiosqlite`; it has all rows as soon as it has executed."""

    def __init__(self, connection: FileConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Rows:
        """Return the cursor: nothing has to be opened."""
        return self

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Rows:
        """Execute a statement. Raises `sqlite3.Error`; cancelled, it interrupts the statement."""
        await self._connection.work(self._execute, statement, parameters)
        return self

    async def executemany(self, statement: str, parameters: Sequence[Sequence[Any]]) -> Rows:
        """Execute a statement for each of several parameters, as `execute` does for one."""
        await self._connection.work(self._execute_many, statement, parameters)
        return self

    async def fetchall(self) -> list[Any]:
        """Return the rows."""
        return self._rows

    async def close(self) -> None:
        """Let go of the rows."""
        self._rows = []

    def _execute(self, statement: str, parameters: Sequence[Any]) -> None:
        self._keep(self._connection.sqlite.execute(statement, parameters))

    def _execute_many(self, statement: str, parameters: Sequence[Sequence[Any]]) -> None:
        self._keep(self._connection.sqlite.executemany(statement, parameters))

    def _keep(self, cursor: sqlite3.Cursor) -> None:
        try:
            self.description, self.lastrowid = cursor.description, cursor.lastrowid
            self._rows = cursor.fetchall() if cursor.description else []
            self.rowcount = cursor.rowcount  # known only after the rows of a RETURNING are read
        finally:
            cursor.close()


class FileConnection(Connection):
    """A connection to the file at `path`. `patience` is how many seconds SQLite waits for a lock."""

    sqlite: sqlite3.Connection
    """The connection itself, for what is done in its thread."""

    def __init__(self, path: Path, *, patience: float) -> None:
        def connect() -> sqlite3.Connection:
            self.sqlite = sqlite3.connect(path, timeout=patience, check_same_thread=False)
            return self.sqlite

        super().__init__(connect, iter_chunk_size=64)
        self._thread.daemon = True

    def cursor(self) -> Any:
        """Return a cursor, without going to the thread."""
        return Rows(self)

    async def work(self, what: Callable[..., None], *given: object) -> None:
        """Do something in the thread; cancelled, interrupt what SQLite does there."""
        try:
            await self._execute(what, *given)  # pyright: ignore[reportUnknownMemberType]
        except asyncio.CancelledError:
            with suppress(sqlite3.Error):  # it is closed
                self.sqlite.interrupt()
            raise

    async def rollback(self) -> None:
        """Roll back, if there is anything that could be."""
        if self.in_transaction:
            await super().rollback()


def opener(path: Path, *, patience: float) -> Callable[..., FileConnection]:
    """Return what opens a connection; it takes what SQLAlchemy would give to `aiosqlite`."""

    def open_file(*_: object, **__: object) -> FileConnection:
        return FileConnection(path, patience=patience)

    return open_file
