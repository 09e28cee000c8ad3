"""Transactions of a SQLite file: where they run, and what is left of one that is cancelled."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import pytest
from sqlalchemy import event, text
from sqlalchemy.pool import Pool

from stream_serve.conversations.sql.sqlite import FileEngine
from stream_serve.conversations.sql.urls import database_url
from stream_serve.errors import HistoryUnavailable
from support.waiting import cut_off

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
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


def fail(connection: Connection) -> list[Any]:
    """Fail where rows are read, which are not all read then."""
    return [row["y"] for row in connection.execute(text("SELECT x FROM t")).mappings()]


def fail_in_other_words(connection: Connection) -> list[Any]:
    try:
        return fail(connection)
    except KeyError as error:
        raise ValueError("there is no y") from error


@pytest.mark.parametrize("fails", [fail, fail_in_other_words])
async def test_what_fails_among_its_rows_holds_no_later_work_up(
    fails: Callable[[Connection], list[Any]], engine: FileEngine, tmp_path: Path
) -> None:
    def make(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE t (x)"))
        connection.execute(text("INSERT INTO t VALUES (1), (2), (3)"))
        connection.commit()

    def add(connection: Connection) -> object:
        connection.execute(text("INSERT INTO t VALUES (5)"))
        return connection.scalar(text("SELECT count(*) FROM t"))

    def count(connection: Connection) -> object:
        return connection.scalar(text("SELECT count(*) FROM t"))

    await engine.run(make, write=True)
    with pytest.raises((KeyError, ValueError)) as kept:
        await engine.run(fails, write=False)
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
        other.execute("INSERT INTO t VALUES (4)")
    assert await engine.run(count, write=False) == 4
    assert await engine.run(add, write=True) == 5
    assert kept.value.__traceback__ is not None


async def test_a_close_that_is_cancelled_leaves_the_other_connections_to_the_next_one(
    engine: FileEngine,
) -> None:
    both = threading.Barrier(2)

    def work(connection: Connection) -> threading.Thread:
        connection.scalar(text("SELECT 1"))
        both.wait()
        return threading.current_thread()

    threads = await asyncio.gather(*(engine.run(work, write=False) for _ in range(2)))
    await cut_off(engine.close())
    await engine.close()
    for thread in threads:
        await asyncio.to_thread(thread.join, 30)
        assert not thread.is_alive()


async def test_a_file_that_is_no_database_is_not_kept_open(
    engine: FileEngine, tmp_path: Path
) -> None:
    (tmp_path / "a.db").write_text("dear diary, " * 1000)
    happened: list[str] = []

    def opened(*_: object) -> None:
        happened.append("opened")

    def closed(*_: object) -> None:
        happened.append("closed")

    event.listen(Pool, "connect", opened)
    event.listen(Pool, "close", closed)
    try:
        kept = [
            (await asyncio.gather(engine.run(lambda _: 1, write=True), return_exceptions=True))[0]
            for _ in range(3)
        ]
    finally:
        event.remove(Pool, "connect", opened)
        event.remove(Pool, "close", closed)
    assert [type(one) for one in kept] == [sqlite3.DatabaseError] * 3
    assert happened == ["opened", "closed"] * 3


async def test_where_the_system_gives_no_thread_the_database_is_away_and_heals(
    engine: FileEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(HistoryUnavailable, match="no thread"):
            await engine.run(lambda _: 1, write=True)
    assert await engine.run(lambda _: 1, write=True) == 1


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


async def test_a_transaction_that_is_cancelled_after_it_was_indexed_leaves_the_file_to_others(
    engine: FileEngine, tmp_path: Path
) -> None:
    began = threading.Event()

    def make(connection: Connection) -> None:
        connection.execute(text("CREATE VIRTUAL TABLE t USING fts5(x)"))
        connection.execute(text("INSERT INTO t VALUES ('a')"))
        connection.commit()

    def work(connection: Connection) -> None:
        connection.execute(text("INSERT INTO t VALUES ('b')"))
        began.set()
        connection.execute(text(ENDLESS))

    def count(connection: Connection) -> object:
        return connection.scalar(text("SELECT count(*) FROM t"))

    await engine.run(make, write=True)
    task = asyncio.create_task(engine.run(work, write=True))
    await asyncio.to_thread(began.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None, timeout=0)) as other:
        other.execute("INSERT INTO t VALUES ('c')")
    assert await engine.run(count, write=True) == 2
