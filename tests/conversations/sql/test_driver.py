"""The connection to a SQLite file: what it needs of `aiosqlite`, and what it does in its thread."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
import threading
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from aiosqlite import Connection

from stream_serve.conversations.sql.driver import opener

if TYPE_CHECKING:
    from pathlib import Path

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"

CHANGED = (
    f"aiosqlite {version('aiosqlite')} has changed what conversations/sql/driver.py builds on: {{}}. "
    "Adapt the driver, or keep the older version in pyproject.toml"
)


def test_aiosqlite_has_the_protected_names_that_the_driver_uses() -> None:
    made = Connection(lambda: sqlite3.connect(":memory:"), iter_chunk_size=64)
    thread = getattr(made, "_thread", None)
    assert isinstance(thread, threading.Thread), CHANGED.format("no Connection._thread")
    assert not thread.is_alive(), CHANGED.format("the thread runs before it can be a daemon")
    execute = getattr(made, "_execute", None)
    assert inspect.iscoroutinefunction(execute), CHANGED.format("no Connection._execute")
    parameters = list(inspect.signature(execute).parameters)
    assert parameters[:2] == ["fn", "args"], CHANGED.format(f"_execute takes {parameters}")


async def test_a_statement_goes_to_the_thread_of_its_connection_once(tmp_path: Path) -> None:
    connection = opener(tmp_path / "a.db", patience=0.1)()
    await connection
    connection.sqlite.create_function("thread", 0, lambda: threading.current_thread().name)
    cursor = await connection.cursor().execute("SELECT thread(), 1 UNION ALL SELECT 'x', 2")
    rows = await cursor.fetchall()
    assert rows[0][0] != threading.current_thread().name, CHANGED.format(
        "_execute is not the thread's"
    )
    assert rows[1] == ("x", 2)
    assert [column[0] for column in cursor.description] == ["thread()", "1"]
    await connection.close()


async def test_a_cancelled_statement_is_interrupted_and_the_connection_goes_on(
    tmp_path: Path,
) -> None:
    connection = opener(tmp_path / "a.db", patience=0.1)()
    await connection
    began = threading.Event()
    connection.sqlite.create_function("began", 0, began.set)
    endless = asyncio.create_task(connection.cursor().execute(f"SELECT began(), ({ENDLESS})"))
    await asyncio.to_thread(began.wait)
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless
    async with asyncio.timeout(30):
        cursor = await connection.cursor().execute("SELECT 1")
    assert await cursor.fetchall() == [(1,)]
    await connection.close()
