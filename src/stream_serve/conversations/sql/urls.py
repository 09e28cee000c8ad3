"""The address of the database as users write it: a file's path, or a URL.

A PostgreSQL URL may have the parameters of libpq (its documentation, "Parameter Key Words") that managed
databases put into it. asyncpg takes most of them in an address only, and not as arguments.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from msgspec import Struct
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from stream_serve.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql+asyncpg"

DRIVERS: Final = {
    SQLITE: SQLITE,
    "sqlite+aiosqlite": SQLITE,
    "postgres": POSTGRESQL,
    "postgresql": POSTGRESQL,
    POSTGRESQL: POSTGRESQL,
}

PARAMETERS: Final = {"host": "host", "port": "port", "ssl": "ssl", "sslmode": "ssl"}
"""The parameters of a PostgreSQL URL that say where the server is, and asyncpg's names for them."""

DRIVER: Final = frozenset(
    {
        *("application_name", "options", "sslcert", "sslcrl", "sslkey", "sslnegotiation"),
        *("sslrootcert", "ssl_max_protocol_version", "ssl_min_protocol_version"),
        "target_session_attrs",
    }
)
"""Those that asyncpg takes as they are, in an address of its own."""

FILES: Final = ("sslcert", "sslcrl", "sslkey", "sslrootcert")

CHOICES: Final = {
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer"),
    "ssl": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": (
        *("any", "primary", "standby", "read-write", "read-only", "prefer-standby"),
    ),
}
"""The values that a parameter may have."""

IGNORED: Final = frozenset(
    {
        *(
            "channel_binding",
            "client_encoding",
            "fallback_application_name",
            "gssencmode",
            "pgbouncer",
        ),
        *("keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval"),
        *("sslcompression", "sslsni", "tcp_user_timeout"),
    }
)
"""Those that change nothing here; managed databases put some of them into their URLs."""

REFUSED: Final = frozenset(
    {
        *("connection_limit", "dbname", "gsslib", "hostaddr", "krbsrvname", "load_balance_hosts"),
        *(
            "passfile",
            "password",
            "pool_timeout",
            "prepareThreshold",
            "prepared_statement_cache_size",
        ),
        *("replication", "require_auth", "requirepeer", "schema", "search_path", "service"),
        *("sslaccept", "sslcertmode", "sslcrldir", "sslpassword", "statement_cache_size", "user"),
    }
)
"""Those that are known elsewhere: an error may name them, where another word may be a secret."""


class Address(Struct, frozen=True):
    """Where the database is: SQLAlchemy's URL, and what the address says besides.

    `connect_timeout` is in seconds. With `system_certificates` the server needs a certificate that this
    system trusts. `warning` is what has to be said of the address.
    """

    url: URL
    connect_timeout: float | None = None
    system_certificates: bool = False
    warning: str | None = None


def database_url(text: str) -> URL:
    """Return SQLAlchemy's URL for an address. Raises `SettingsError` as `read_address` does."""
    return read_address(text).url


def read_address(text: str) -> Address:
    """Read `postgres://…`, `postgresql://…`, `sqlite:///…` or a file's path.

    Raises `SettingsError`, which never repeats a value of the text, because it may be a password.
    """
    if "\x00" in text or not text.strip():
        raise _wrong("the database's address is empty, or has a NUL in it")
    if "://" not in text:
        return Address(_file(text))
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
    if driver == SQLITE:
        return Address(_file(url.database or "", url.query))
    return _server(url)


def _file(path: str, query: object = None) -> URL:
    if query:
        raise _wrong("the URL of a SQLite file takes no parameters")
    if not path or path.startswith(("file:", ":memory:")):
        raise _wrong(
            "conversations are kept in a file: name it, as in sqlite:////var/lib/stream-serve/chat.db"
        )
    return URL.create(SQLITE, database=str(Path(path).expanduser()))


def _server(url: URL) -> Address:
    given = {
        name: value if isinstance(value, str) else value[-1] for name, value in url.query.items()
    }
    _check(given)
    driver = {name: value for name, value in given.items() if name in DRIVER}
    driver.setdefault("application_name", "stream-serve")
    query = {PARAMETERS[name]: value for name, value in given.items() if name in PARAMETERS}
    # libpq means the system's certificates, and asyncpg a file of that name.
    system = driver.get("sslrootcert") == "system"
    if system:
        del driver["sslrootcert"]
        query.pop("ssl", None)
    timeout = given.get("connect_timeout")
    return Address(
        url.set(
            drivername=POSTGRESQL, query={**query, "dsn": f"postgresql://?{urlencode(driver)}"}
        ),
        # As for libpq, 0 and less mean none, and 1 is too short.
        max(2.0, float(timeout)) if timeout is not None and int(timeout) > 0 else None,
        system,
        _unbound(given),
    )


def _check(given: Mapping[str, str]) -> None:
    """Refuse parameters that are not known, or cannot be as they are. Raises `SettingsError`."""
    known = {*PARAMETERS, *DRIVER, *IGNORED, "connect_timeout"}
    unknown = set(given) - known
    if unknown:
        named = ", ".join(sorted(unknown & REFUSED))
        raise _wrong(
            "the database's URL has parameters that are not known here"
            + (f" ({named})" if named else "")
            + f": leave them out; known are {', '.join(sorted(known))}"
        )
    for name, choices in CHOICES.items():
        if given.get(name, choices[0]) not in choices:
            raise _wrong(f"the database's URL: {name} has to be one of {', '.join(choices)}")
    for name in FILES:
        if name in given and given[name] != "system" and not os.access(given[name], os.R_OK):
            raise _wrong(f"the database's URL: the file that {name} names cannot be read")
    if not re.fullmatch(r"-?[0-9]{1,9}", given.get("connect_timeout", "0")):
        raise _wrong("the database's URL: connect_timeout has to be a number of seconds")


def _unbound(given: Mapping[str, str]) -> str | None:
    """Say so when channel binding is wanted, which asyncpg cannot do, and nothing stands for it."""
    mode = given.get("sslmode", given.get("ssl"))
    if given.get("channel_binding") != "require" or mode == "verify-full":
        return None
    return (
        "channel_binding=require in the database's URL has no effect here: sslmode=verify-full keeps "
        "others out of the connection as well"
    )


def _wrong(text: str) -> SettingsError:
    return SettingsError(text, parameters=["SQLHistory.url"])
