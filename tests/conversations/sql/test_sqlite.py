"""Transactions of a SQLite file: where they run, and what is left of one that is cancelled."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest
from sqlalchemy import text

from stream_serve.conversations.sql.sqlite import FileEngine
from stream_serve.conversations.sql.urls import database_url

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy import Connection

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[FileEngine]:
    """An engine for a new file."""
    made = FileEngine(database_url(str(tmp_path / "a.db")), most=2)
    yield made
    await made.close()


def driver_of(connection: Connection) -> sqlite3.Connection:
    return cast("Any", connection.connection.driver_connection)


async def test_a_transaction_runs_whole_in_one_thread_and_the_next_one_on_its_connection(
    engine: FileEngine,
) -> None:
    def work(connection: Connection) -> tuple[str, sqlite3.Connection, object]:
        value = connection.scalar(text("SELECT 1"))
        connection.commit()
        return threading.current_thread().name, driver_of(connection), value

    first, second = await engine.run(work, write=True), await engine.run(work, write=False)
    assert first[0] != threading.current_thread().name
    assert first == second
    assert first[2] == 1


async def test_what_fails_is_rolled_back_and_its_connection_goes_on(engine: FileEngine) -> None:
    def make(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE t (x)"))
        connection.commit()

    def fails(connection: Connection) -> None:
        connection.execute(text("INSERT INTO t VALUES (1)"))
        raise LookupError

    def count(connection: Connection) -> tuple[object, bool]:
        return connection.scalar(text("SELECT count(*) FROM t")), driver_of(
            connection
        ).in_transaction

    await engine.run(make, write=True)
    for _ in range(3):
        with pytest.raises(LookupError):
            await engine.run(fails, write=True)
    assert await engine.run(count, write=False) == (0, True)


async def test_a_transaction_in_which_nothing_is_done_ends_too(engine: FileEngine) -> None:
    for _ in range(2):
        await engine.run(lambda connection: connection.commit(), write=True)


async def test_a_cancelled_transaction_is_interrupted_and_its_connection_goes_on(
    engine: FileEngine,
) -> None:
    began = threading.Event()
    seen: list[sqlite3.Connection] = []

    def endless(connection: Connection) -> None:
        seen.append(driver_of(connection))
        seen[0].create_function("began", 0, began.set)
        connection.execute(text(f"SELECT began(), ({ENDLESS})"))

    def driver(connection: Connection) -> sqlite3.Connection:
        connection.scalar(text("SELECT 1"))
        return driver_of(connection)

    task = asyncio.create_task(engine.run(endless, write=True))
    await asyncio.to_thread(began.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(30):
        assert await engine.run(driver, write=True) is seen[0]


async def test_a_transaction_that_is_cancelled_between_its_statements_is_interrupted_too(
    engine: FileEngine,
) -> None:
    began, go = threading.Event(), threading.Event()

    def work(connection: Connection) -> None:
        began.set()
        go.wait()
        connection.execute(text(ENDLESS))

    task = asyncio.create_task(engine.run(work, write=True))
    await asyncio.to_thread(began.wait)
    task.cancel()
    await asyncio.sleep(0)
    go.set()
    async with asyncio.timeout(30):
        with pytest.raises(asyncio.CancelledError):
            await task
