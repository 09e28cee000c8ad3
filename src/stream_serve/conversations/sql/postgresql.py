"""Transactions of a PostgreSQL server.

How it works: a connection that has rested is tested before its use, so that a restarted server gets new
ones; one that the server has closed is known without a test. Statements have no names and none is kept:
between us and the server may be a pooler (PgBouncer) that gives each transaction another connection.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakSet

from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import create_async_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection
    from sqlalchemy.pool import ConnectionPoolEntry

    from stream_serve.conversations.sql.urls import Address

T = TypeVar("T")

RESTED: Final = 5.0
"""Seconds without use after which a connection is tested."""

_USED: Final = "used"


class ServerEngine:
    """Runs transactions on the server at an address, `most` of them at a time."""

    def __init__(self, address: Address, *, most: int, timeout: float) -> None:
        self._engine = create_async_engine(
            address.url,
            pool_size=most,
            max_overflow=0,
            pool_timeout=timeout,
            hide_parameters=True,
            connect_args={
                "timeout": min(timeout, address.connect_timeout or timeout),
                "statement_cache_size": 0,
                "prepared_statement_cache_size": 0,
                "prepared_statement_name_func": _unnamed,
                **({"ssl": True} if address.system_certificates else {}),
            },
        )
        self._drivers: WeakSet[Any] = WeakSet()
        pool = self._engine.sync_engine.pool
        event.listen(pool, "connect", self._connected)
        event.listen(pool, "checkout", _test)
        event.listen(pool, "checkin", _used)

    async def run(self, work: Callable[[Connection], T], *, write: bool) -> T:  # noqa: ARG002 - no lock
        """Return what `work` returns in a transaction, which it commits or rolls back.

        Raises what `work` raises, and SQLAlchemy's errors. Cancelled, it discards the connection. The
        server locks rows, and not itself as a file is locked: to `write` makes no difference.
        """
        async with self._engine.connect() as connection:
            return await connection.run_sync(work)

    async def close(self) -> None:
        """Close the connections that nobody uses."""
        await self._engine.dispose()

    def terminate(self) -> None:
        """Close all connections at once, without a word to the server."""
        for driver in list(self._drivers):
            driver.terminate()

    def _connected(self, connection: Any, _entry: object) -> None:
        self._drivers.add(connection.driver_connection)


def _test(connection: Any, entry: ConnectionPoolEntry, _proxy: object) -> None:
    """Refuse a connection that the server has closed; SQLAlchemy then makes another one."""
    closed = connection.driver_connection.is_closed()
    if not closed and time.monotonic() - entry.info.get(_USED, time.monotonic()) > RESTED:
        try:
            connection.ping()
        except Exception:  # noqa: BLE001 - whatever it is, the connection cannot be used
            closed = True
    if closed:
        raise InvalidatePoolError


def _used(_connection: object, entry: ConnectionPoolEntry) -> None:
    """Record that a connection is given back now."""
    entry.info[_USED] = time.monotonic()


def _unnamed() -> str:
    """Return the name of a prepared statement: the one that the next statement replaces."""
    return ""
