"""SQLite files by their simple addresses, and their schema, without importing SQLAlchemy or Alembic."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from stream_serve.errors import HistoryUnavailable

_PLAIN: Final = re.compile(r"(?:sqlite:///)?(?!file:)(/?[\w~][\w ~./-]*)")

TABLES: Final = frozenset({"conversations", "messages", "owner_totals", "message_grams"})
"""The tables of a file with the newest schema; the last is there with FTS5."""

_VERSIONS: Final = Path(__file__).parent / "migrations" / "versions"


def plain_file(text: str) -> Path | None:
    """Return the path in a simple address, such as `data/chat.db` or `sqlite:///data/chat.db`.

    None for every other address, which `urls.database_url` parses or rejects.
    """
    found = _PLAIN.fullmatch(text)
    return None if found is None else Path(found[1]).expanduser()


def check_file(path: Path) -> str:
    """Return what is true of a SQLite file, without opening it.

    Raises `HistoryUnavailable` for one that the service could not write.
    """
    place = path if path.exists() else next(one for one in path.absolute().parents if one.exists())
    if not os.access(place, os.W_OK):
        raise HistoryUnavailable(
            "the database's file cannot be written: look at its owner and its permissions",
            for_operator=str(place),
        )
    return f"the file {path}" + ("" if path.exists() else ", which is made at its first use")


def newest_version() -> str:
    """Return the version of the newest schema: the number of the last migration."""
    return max(path.name for path in _VERSIONS.glob("v*.py"))[1:].partition("_")[0]


def is_current(path: Path) -> bool:
    """Return whether a file is there that can be used, and has the newest schema.

    False where that is not certain: opening it will say why.
    """
    if not (path.is_file() and os.access(path, os.W_OK)):
        return False
    place = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(place, uri=True, timeout=0)) as connection:
            versions = connection.execute("SELECT version_num FROM stream_serve_schema").fetchall()
            there = connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).fetchall()
            connection.execute("SELECT rowid FROM message_grams LIMIT 1")  # fails without FTS5
    except sqlite3.Error:
        return False
    return versions == [(newest_version(),)] and {(name,) for name in TABLES} <= set(there)
