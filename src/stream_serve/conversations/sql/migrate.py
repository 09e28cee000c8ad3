"""Migrates the schema of the database, and rejects one that cannot be used.

How it works: alembic stores the version in a table. A database with neither that table nor ours is new.
One with only a part of them is half-migrated. An unknown version was made by a newer stream-serve. All
steps and the new version are one transaction on both databases. Of two migrations at once, the second
waits for the first: on SQLite for the file's write lock, on PostgreSQL for an advisory lock.
"""

from __future__ import annotations

import asyncio
import threading
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Text, column, func, inspect, select, table

from stream_serve.conversations.sql.database import Database
from stream_serve.conversations.sql.schema import VERSION_TABLE, metadata
from stream_serve.conversations.sql.search import index_some, lacks_table, make_table
from stream_serve.errors import HistorySchemaError

if TYPE_CHECKING:
    from sqlalchemy import Connection

MIGRATIONS: Final = Path(__file__).parent / "migrations"

FIRST: Final = {"conversations", "messages"}
"""The tables that every version has."""

ADVISORY_LOCK: Final = 0x73747265616D0001
"""The key of PostgreSQL's advisory lock, which one migration holds at a time."""

_alembic = threading.Lock()
"""Alembic keeps its state in globals, so that only one migration may run in a process."""


class SchemaState(Enum):
    """The schema of a database in comparison with this code."""

    NEW = "new"
    CURRENT = "current"
    OLDER = "older"


async def migrate(url: str, *, timeout: float = 60.0) -> str:
    """Migrate the schema of the database at `url`; return its version.

    Raises `HistorySchemaError` for a schema that is newer or half-migrated, `HistoryUnavailable` if the
    database cannot be reached within `timeout` seconds, and `SettingsError` for a wrong `url`. The
    migration takes as long as a large database needs; cancelled, it leaves either all of it or nothing.
    Messages that are not indexed yet are indexed after it, some at a time.
    """
    database = Database(url, timeout=timeout)
    try:
        await database.prepare()
        await upgrade(database)
        while await database.run(index_some, write=True):
            pass
    finally:
        await database.close()
    return _head()


async def upgrade(database: Database) -> None:
    """Migrate the schema of an open database, however long it takes. Raises as `migrate` does."""
    if database.path is not None and await database.run(_is_current, write=False):
        return

    def work(connection: Connection) -> None:
        if database.path is None:
            connection.execute(select(func.pg_advisory_xact_lock(ADVISORY_LOCK)))
        if _schema_state(connection) is not SchemaState.CURRENT:
            _steps(connection)
        if lacks_table(connection):
            make_table(connection)

    while not _alembic.acquire(blocking=False):  # noqa: ASYNC110 - a lock between threads
        await asyncio.sleep(0.01)
    try:
        await database.run(work, write=True, bounded=False)
    finally:
        _alembic.release()


async def require(database: Database) -> None:
    """Check that the schema is the current one. Raises `HistorySchemaError`, which says what to do."""
    state = await database.run(_schema_state, write=False)
    if state is not SchemaState.CURRENT:
        what = "has no tables yet" if state is SchemaState.NEW else "has an older schema"
        raise HistorySchemaError(f"the database {what}: run `stream-serve migrate`")


def _steps(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _is_current(connection: Connection) -> bool:
    """Return whether nothing is to be made, not even the index of a file from a SQLite without FTS5."""
    current = _schema_state(connection) is SchemaState.CURRENT
    return current and not lacks_table(connection)


def _schema_state(connection: Connection) -> SchemaState:
    """Return the state of the schema. Raises `HistorySchemaError` for one that cannot be migrated."""
    there = set(inspect(connection).get_table_names())
    ours = set(metadata.tables)
    versions: list[str] = []
    if VERSION_TABLE in there:
        statement = select(column("version_num", Text)).select_from(table(VERSION_TABLE))
        versions = list(connection.scalars(statement))
    if not versions and not ours & there:
        return SchemaState.NEW
    scripts = ScriptDirectory.from_config(_config())
    known = {script.revision for script in scripts.walk_revisions()}
    if set(versions) - known:
        raise HistorySchemaError(
            "the database's schema was made by a newer stream-serve: run that version, "
            "or restore a backup from before its migration"
        )
    current = versions == scripts.get_heads()
    if len(versions) != 1 or not (ours if current else FIRST) <= there:
        raise HistorySchemaError(
            "the database is half-migrated: it has some of stream-serve's tables "
            f"({', '.join(sorted(there & (ours | {VERSION_TABLE})))}) and not all, or no record of "
            "their version; restore a backup, or move these tables away"
        )
    return SchemaState.CURRENT if current else SchemaState.OLDER


def _head() -> str:
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
