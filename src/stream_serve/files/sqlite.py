"""SQLite files of our own, in WAL mode.

What is committed survives the end of the process in whatever way: the operating system has it
(`synchronous=NORMAL`). If the machine loses its power, the last moments may be missing; the file stays
whole.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BEGIN: Final = "BEGIN IMMEDIATE"

_PATIENCE: Final = 5.0
"""Seconds for which a transaction waits for that of another process."""


def connect(
    path: Path, schema: Sequence[str], *, version: int, alone: bool = False
) -> sqlite3.Connection:
    """Open a file; one that is not there is made with `schema`, for its owner alone.

    With `alone` no other process can use it until the connection is closed. Raises `OSError`, and
    `sqlite3.Error` also for a file of another version and for one that another process uses alone.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, cached_statements=64)
    try:
        if alone:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        _prepare(db, schema, version)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, schema: Sequence[str], version: int) -> None:
    """Make the tables where there are none. Raises `sqlite3.Error` for those of another version."""
    db.execute(BEGIN)
    (found,) = db.execute("PRAGMA user_version").fetchone()
    for statement in schema if found == 0 else ():
        db.execute(statement)
    if found == 0:
        db.execute(f"PRAGMA user_version = {version:d}")
    db.execute("COMMIT")
    if found not in {0, version}:
        raise sqlite3.DatabaseError(f"it is of another version of stream-serve ({found})")
