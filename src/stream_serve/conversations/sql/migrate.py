"""Bring the schema up to date, and refuse one that cannot be used.

How it works: alembic notes the version in a table. A database without that table and without ours is
new; one with our tables alone, or with the note alone, was left half-migrated; a version that this
code does not know was made by a newer one. All steps and the note are one transaction on both
databases, and whoever comes second waits for the first: on SQLite for the file's write lock, on
PostgreSQL for an advisory lock.
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
from stream_serve.errors import HistorySchemaError

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

MIGRATIONS: Final = Path(__file__).parent / "migrations"

ADVISORY_LOCK: Final = 0x73747265616D0001
"""The number of the lock that PostgreSQL gives to one migration at a time."""

_alembic = threading.Lock()
"""Alembic keeps what it works on in globals: one migration at a time in the process."""


class Standing(Enum):
    """How a database's schema stands to this code's."""

    NEW = "new"
    CURRENT = "current"
    OLDER = "older"


async def migrate(url: str, *, timeout: float = 60.0) -> str:
    """Bring a database's schema up to date; give the version that it has now.

    Raises `HistorySchemaError` for a schema that is newer or half-migrated, `HistoryUnavailable`
    when that took longer than `timeout` seconds or the database is away, `SettingsError`.
    """
    database = Database(url, timeout=timeout)
    try:
        await database.prepare()
        await upgrade(database)
    finally:
        await database.close()
    return _head()


async def upgrade(database: Database) -> None:
    """Bring the schema of an open database up to date. Raises as `migrate` does."""
    if database.path is not None and await database.run(_standing, write=False) is Standing.CURRENT:
        return

    async def work(connection: AsyncConnection) -> None:
        if database.path is None:
            await connection.execute(select(func.pg_advisory_xact_lock(ADVISORY_LOCK)))
        if await _standing(connection) is not Standing.CURRENT:
            await _run(connection)

    await database.run(work, write=True)


async def require(database: Database) -> None:
    """See that the schema is this code's. Raises `HistorySchemaError`, which says what to do."""
    standing = await database.run(_standing, write=False)
    if standing is not Standing.CURRENT:
        state = "has no tables yet" if standing is Standing.NEW else "has an older schema"
        raise HistorySchemaError(f"the database {state}: run `stream-serve migrate`")


async def _run(connection: AsyncConnection) -> None:
    while not _alembic.acquire(blocking=False):  # noqa: ASYNC110 - it is other loops' lock, too
        await asyncio.sleep(0.01)
    try:
        await connection.run_sync(_steps)
    finally:
        _alembic.release()


def _steps(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def _standing(connection: AsyncConnection) -> Standing:
    return await connection.run_sync(_compare)


def _compare(connection: Connection) -> Standing:
    """Find how the schema stands. Raises `HistorySchemaError` where nothing can be done by itself."""
    there = set(inspect(connection).get_table_names())
    ours = set(metadata.tables)
    versions: list[str] = []
    if VERSION_TABLE in there:
        noted = select(column("version_num", Text)).select_from(table(VERSION_TABLE))
        versions = list(connection.scalars(noted))
    if not versions and not ours & there:
        return Standing.NEW
    scripts = ScriptDirectory.from_config(_config())
    known = {script.revision for script in scripts.walk_revisions()}
    if set(versions) - known:
        raise HistorySchemaError(
            "the database's schema was made by a newer stream-serve: run that version, "
            "or restore a backup from before its migration"
        )
    if len(versions) != 1 or not ours <= there:
        raise HistorySchemaError(
            "the database is half-migrated: it has some of stream-serve's tables "
            f"({', '.join(sorted(there & (ours | {VERSION_TABLE})))}) and not all, or no record of "
            "their version; restore a backup, or move these tables away"
        )
    return Standing.CURRENT if versions == scripts.get_heads() else Standing.OLDER


def _head() -> str:
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
