"""SQLite files of our own, in WAL mode.

What is committed survives the end of the process in whatever way: the operating system has it
(`synchronous=NORMAL`). If the machine loses its power, the last moments may be missing; the file stays
whole.

What is deleted leaves free pages, which are used again; `shrink` gives those that are too many back.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BEGIN: Final = "BEGIN IMMEDIATE"

_PATIENCE: Final = 5.0
"""Seconds for which a transaction waits for that of another process."""

_WAL_BYTES: Final = 67_108_864
"""A log that was longer once is cut to so much: no large write takes its place on the disk for ever."""

_SPARE: Final = 4_096
"""Free pages, of 4 KiB, that a file keeps to use them again."""

_PIECE: Final = 256
"""Pages that are given back at once: some milliseconds."""


def connect(
    path: Path,
    schema: Sequence[str],
    *,
    version: int,
    alone: bool = False,
    shared: bool = False,
) -> sqlite3.Connection:
    """Open a file; one that is not there is made with `schema`, for its owner alone.

    With `alone` no other process can use it until the connection is closed. With `shared` any thread may
    use the connection, one at a time. Raises `OSError`, and `sqlite3.Error` also for a file of another
    version and for one that another process uses alone.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(
        path,
        timeout=_PATIENCE,
        isolation_level=None,
        cached_statements=64,
        check_same_thread=not shared,
    )
    try:
        if alone:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a file that is new
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        db.execute("PRAGMA synchronous = NORMAL")
        _prepare(db, schema, version)
    except BaseException:
        db.close()
        raise
    return db


def shrink(db: sqlite3.Connection) -> bool:
    """Give a piece of what is free back to the disk; return whether there is more. No transaction is
    open."""
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    if free <= _SPARE:
        return False
    db.execute(f"PRAGMA incremental_vacuum({min(_PIECE, free - _SPARE)})").fetchall()
    (left,) = db.execute("PRAGMA freelist_count").fetchone()
    return _SPARE < left < free  # a file that was made without it stays as it is


def identity(path: Path) -> tuple[int, int] | None:
    """Return which file is at a path; None for none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def check_same(path: Path, known: tuple[int, int] | None) -> None:
    """Raise `OSError` if the file was removed or replaced: what is written to it would be lost."""
    if identity(path) != known:
        raise FileNotFoundError(errno.ENOENT, _GONE)


_GONE: Final = "it was removed or replaced: put it back, or start anew"


def wait_for_others(db: sqlite3.Connection, *, wait: bool) -> None:
    """Let transactions wait for those of other processes, as a new connection does, or fail at once."""
    db.execute(f"PRAGMA busy_timeout = {_PATIENCE * 1000 * wait:.0f}")


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
