"""Transactions of a SQLite file, each of them in one go by a thread.

How it works: SQLite cannot be waited for in the event loop, and the way to a thread and back takes
longer than most statements. So a transaction goes there whole: it begins, works and commits in the
thread, and comes back with its result. A thread has a connection of its own, for as long as both live;
the one that was used last is used next, since its pages are in memory.

A transaction whose caller is cancelled is interrupted, again and again until it has ended: SQLite
interrupts only what runs at that moment. The threads are daemons: one that SQLite does not let go of must
not hold up the end of the process.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import suppress
from queue import SimpleQueue
from traceback import clear_frames
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import SQLAlchemyError

from stream_serve.errors import HistoryUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL

T = TypeVar("T")

RETRY: Final = 0.02
"""Seconds that SQLite waits for a lock, and between two attempts; also between two interruptions."""


class FileEngine:
    """Runs transactions on the file at `url`, `most` of them at a time and one that writes."""

    def __init__(self, url: URL, *, most: int) -> None:
        self._engine = create_engine(
            url,
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={"timeout": RETRY, "check_same_thread": False, "isolation_level": None},
        )
        self._places = asyncio.Semaphore(most)
        self._writing = asyncio.Lock()
        self._idle: list[Worker] = []

    async def run(self, work: Callable[[Connection], T], *, write: bool) -> T:
        """Return what `work` returns in a transaction, which it commits or rolls back.

        One that writes locks the file at its beginning: a reader that writes later may get SQLITE_BUSY.
        Raises what `work` raises, `sqlite3.Error`, and `HistoryUnavailable` where the system gives no
        more threads. Cancelled, it interrupts the transaction.
        """
        if not write:
            async with self._places:
                return await self._run(work, "BEGIN")
        async with self._writing, self._places:
            return await self._run(work, "BEGIN IMMEDIATE")

    async def close(self) -> None:
        """Close the connections that nobody uses, and end their threads; cancelled, leave the others."""
        while self._idle:
            await self._idle.pop().end()

    async def _run(self, work: Callable[[Connection], T], begin: str) -> T:
        worker = self._idle.pop() if self._idle else Worker(self._engine)
        done = worker.put(work, begin)
        done.add_done_callback(lambda _: self._idle.append(worker))
        try:
            await asyncio.wait((done,))
        except asyncio.CancelledError:
            while not done.done():
                worker.interrupt()
                await asyncio.wait((done,), timeout=RETRY)
            raise
        result, error = done.result()
        if error is not None:
            raise error
        return cast("T", result)


class Worker:
    """A thread with its connection."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._driver: sqlite3.Connection | None = None
        self._jobs: SimpleQueue[tuple[Callable[[], object], asyncio.Future[Any]]] = SimpleQueue()
        self._ended = False
        self._thread = threading.Thread(target=self._serve, name="conversations", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            raise HistoryUnavailable("the system gives no thread for the database") from None

    def put(self, work: Callable[[Connection], object], begin: str) -> asyncio.Future[Any]:
        """Let the thread run a transaction; return the future of its result and its error, or None."""
        return self._put(lambda: self._transact(work, begin))

    def interrupt(self) -> None:
        """Interrupt the statement that runs; else do nothing."""
        driver = self._driver  # the thread may let go of it meanwhile
        if driver is not None:
            with suppress(sqlite3.Error):  # it is closed
                driver.interrupt()

    async def end(self) -> None:
        """Close the connection and end the thread."""
        await self._put(self._leave)
        self._thread.join()

    def _put(self, job: Callable[[], object]) -> asyncio.Future[Any]:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._jobs.put((job, done))
        return done

    def _serve(self) -> None:
        """Do one job after the other, in the thread."""
        while not self._ended:
            job, done = self._jobs.get()
            result: object = None
            error: BaseException | None = None
            try:
                result = job()
            except BaseException as failure:  # noqa: BLE001 - it is raised again in the loop
                error = failure
            with suppress(RuntimeError):  # the loop is closed
                done.get_loop().call_soon_threadsafe(_tell, done, (result, error))
            del job, done, result, error

    def _transact(self, work: Callable[[Connection], object], begin: str) -> object:
        connection = self._connection or self._connect()
        driver = cast("sqlite3.Connection", self._driver)
        try:
            driver.execute(begin)
            return work(connection)
        except BaseException as failure:
            _let_rows_go(failure)
            raise
        finally:
            self._roll_back(connection, driver)

    def _roll_back(self, connection: Connection, driver: sqlite3.Connection) -> None:
        """Roll back what was not committed; close a connection that does not, which holds its locks.

        An interruption stays for as long as something in SQLite is open: its index for searches keeps a
        reader open until the end of a transaction.
        """
        try:
            connection.rollback()
            if driver.in_transaction:  # SQLAlchemy knows of none in which nothing was done
                driver.rollback()
        except (SQLAlchemyError, sqlite3.Error):
            self._connection = self._driver = None
            connection.invalidate()
            connection.close()

    def _connect(self) -> Connection:
        connection = self._engine.connect()
        driver = cast("sqlite3.Connection", connection.connection.driver_connection)
        try:
            driver.execute("PRAGMA foreign_keys = ON")
            driver.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.Error:  # it is no database
            connection.close()
            raise
        self._connection, self._driver = connection, driver
        return connection

    def _leave(self) -> None:
        self._ended = True
        if self._connection is not None:
            self._connection.close()


def _let_rows_go(failure: BaseException) -> None:
    """Clear the frames that an error, and what it was raised for, has passed.

    Rows that were not read there would go on seeing the file as it was, for all later work.
    """
    error: BaseException | None = failure
    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__context__


def _tell(done: asyncio.Future[Any], told: tuple[object, BaseException | None]) -> None:
    if not done.done():
        done.set_result(told)
