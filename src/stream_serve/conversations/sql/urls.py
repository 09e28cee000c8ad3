"""The address of the database as users write it: a file's path, or a URL."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from stream_serve.errors import SettingsError

SQLITE: Final = "sqlite+aiosqlite"
POSTGRESQL: Final = "postgresql+asyncpg"

DRIVERS: Final = {
    "sqlite": SQLITE,
    SQLITE: SQLITE,
    "postgres": POSTGRESQL,
    "postgresql": POSTGRESQL,
    POSTGRESQL: POSTGRESQL,
}

PARAMETERS: Final = {"host": "host", "port": "port", "ssl": "ssl", "sslmode": "ssl"}
"""The supported parameters of a PostgreSQL URL, and asyncpg's names for them."""


def database_url(text: str) -> URL:
    """Return SQLAlchemy's URL for `postgres://…`, `postgresql://…`, `sqlite:///…` or a file's path.

    Raises `SettingsError`, which never repeats the text, because it may contain a password.
    """
    if "\x00" in text or not text.strip():
        raise _wrong("the database's address is empty, or has a NUL in it")
    if "://" not in text:
        return _file(text)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise _wrong(
            "the database's URL cannot be understood; write postgresql://user:password@host/name, "
            "with %40 for an @ in the password"
        ) from None
    driver = DRIVERS.get(url.drivername)
    if driver is None:
        raise _wrong(
            "the database's URL must begin with postgresql:// or sqlite:///, or be a file's path"
        )
    return _file(url.database or "", url.query) if driver == SQLITE else _server(url)


def _file(path: str, query: object = None) -> URL:
    if query:
        raise _wrong("the URL of a SQLite file takes no parameters")
    if not path or path.startswith(("file:", ":memory:")):
        raise _wrong(
            "conversations are kept in a file: name it, as in sqlite:////var/lib/stream-serve/chat.db"
        )
    return URL.create(SQLITE, database=str(Path(path).expanduser()))


def _server(url: URL) -> URL:
    unknown = sorted(set(url.query) - set(PARAMETERS))
    if unknown:
        raise _wrong(
            f"the database's URL has parameters that are not known here; known are "
            f"{', '.join(PARAMETERS)}"
        )
    query = {PARAMETERS[name]: value for name, value in url.query.items()}
    return url.set(drivername=POSTGRESQL, query=query)


def _wrong(text: str) -> SettingsError:
    return SettingsError(text, parameters=["SQLHistory.url"])
