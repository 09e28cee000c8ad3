"""Records of the scripted upstream's connections and requests, and of the side that ended each.

How it works: every connection and every request has one record, which changes in place while its socket
is open. Every change of a record is followed by `Ledger.touch`, which checks the conditions that tests
wait for. Times are epoch seconds. Everything runs in one event loop and needs no lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


_KEPT: Final = 100_000  # the oldest records go first


class Phase(StrEnum):
    """How much of the response to a request has been sent."""

    RECEIVED = "received"
    HEADERS = "headers"
    STREAMING = "streaming"
    DONE = "done"


class Side(StrEnum):
    """The side that ended something: the caller, or the script that plays the provider."""

    PEER = "peer"
    SCRIPT = "script"


class ConnectionRecord(msgspec.Struct, rename="camel", kw_only=True, eq=False):
    """One TCP connection, with or without requests."""

    id: int
    remote_port: int
    opened_at: float
    requests: int = 0
    closed_by: Side | None = None
    closed_at: float | None = None


class Record(msgspec.Struct, rename="camel", kw_only=True, eq=False):
    """One request, the progress of its response, and the side and time that ended it.

    `closed_by` is `None` while the request is open, `"peer"` if the caller closed before the script was
    over, and `"script"` if the script ended or cut off the response. `connection_closed_at` is when the
    connection was closed, which may be long after `closed_at`. `body` is the decoded JSON; `raw_body` is
    set only for a body that is not JSON. An answer with `hold` ends only when it is `released`.
    """

    id: int
    connection_id: int
    method: str
    path: str
    headers: dict[str, str]
    authorized: bool
    remote_port: int
    connection_reused: bool
    received_at: float
    query: str = ""
    scenario: str | None = None
    model: str | None = None
    body: Any = None
    raw_body: str | None = None
    phase: Phase = Phase.RECEIVED
    released: bool = False
    events_sent: int = 0
    bytes_sent: int = 0
    closed_by: Side | None = None
    closed_at: float | None = None
    connection_closed_by: Side | None = None
    connection_closed_at: float | None = None

    def close(self, side: Side, at: float | None = None) -> None:
        """Record the side that ended the request; only the first call counts."""
        if self.closed_by is None:
            self.closed_by = side
            self.closed_at = time.time() if at is None else at


class Ledger:
    """All records of one upstream, and the conditions on them that tests wait for."""

    def __init__(self) -> None:
        self.requests: list[Record] = []
        self.connections: list[ConnectionRecord] = []
        self.attempts: Counter[str] = Counter()
        self._released = False
        self._last_request = 0
        self._last_connection = 0
        self._open: dict[int, ConnectionRecord] = {}
        self._records: dict[int, list[Record]] = {}
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}

    @property
    def open_connections(self) -> int:
        """The number of open connections."""
        return len(self._open)

    def connect(self, remote_port: int) -> ConnectionRecord:
        """Record a connection that has just been accepted, and return its record."""
        self._last_connection += 1
        connection = ConnectionRecord(
            id=self._last_connection, remote_port=remote_port, opened_at=time.time()
        )
        self._add(connection)
        self.touch()
        return connection

    def disconnect(self, connection: ConnectionRecord, side: Side) -> None:
        """Record the end of a connection, and of all requests that are still open on it."""
        if connection.closed_at is not None:
            return
        connection.closed_at = time.time()
        connection.closed_by = side
        self._open.pop(connection.id, None)
        for record in self._records.pop(connection.id, ()):
            record.close(side, connection.closed_at)
            record.connection_closed_by = side
            record.connection_closed_at = connection.closed_at
        self.touch()

    def hide(self, connection: ConnectionRecord) -> None:
        """Remove the record of a connection that only reads the records, so that it does not count."""
        if connection.requests == 0 and self._open.pop(connection.id, None) is not None:
            with contextlib.suppress(ValueError):
                self.connections.remove(connection)

    def receive(
        self, connection: ConnectionRecord, *, method: str, path: str, headers: dict[str, str]
    ) -> Record:
        """Record a request whose headers have arrived, without its credentials; return its record."""
        if connection.closed_at is None and connection.id not in self._open:
            self._add(connection)
        self._last_request += 1
        connection.requests += 1
        record = Record(
            id=self._last_request,
            connection_id=connection.id,
            method=method,
            path=path,
            headers=_redact(headers),
            authorized=credential(headers) != "",
            remote_port=connection.remote_port,
            connection_reused=connection.requests > 1,
            received_at=time.time(),
            released=self._released,
        )
        self._records.setdefault(connection.id, []).append(record)
        self.requests.append(record)
        del self.requests[:-_KEPT]
        self.touch()
        return record

    def release(self, record: Record | None) -> None:
        """Hold this answer no more; None: none of all, nor of those to come."""
        if record is None:
            self._released = True
        for one in self.requests if record is None else [record]:
            one.released = True
        self.touch()

    def clear(self) -> int:
        """Delete finished requests, closed connections and attempt counts; return how many requests."""
        kept = [record for record in self.requests if record.closed_by is None]
        cleared = len(self.requests) - len(kept)
        self.requests[:] = kept
        self.connections[:] = [one for one in self.connections if one.closed_at is None]
        self.attempts.clear()
        self.touch()
        return cleared

    def touch(self) -> None:
        """Check all waiting conditions again, after the change of a record."""
        for future, condition in list(self._waiting.items()):
            if future.done():
                continue
            try:
                if condition():
                    future.set_result(None)
            except Exception as error:  # noqa: BLE001 - raised by `until`
                future.set_exception(error)

    async def until(self, condition: Callable[[], bool], timeout: float | None) -> None:
        """Wait until a condition on the records is true.

        Raises `TimeoutError` after `timeout` seconds (None: never), and any exception of the condition.
        Cancelled, it stops waiting and changes nothing.
        """
        if condition():
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting[future] = condition
        try:
            async with asyncio.timeout(timeout):
                await future
        finally:
            del self._waiting[future]

    def _add(self, connection: ConnectionRecord) -> None:
        self._open[connection.id] = connection
        self.connections.append(connection)
        del self.connections[:-_KEPT]


def credential(headers: dict[str, str]) -> str:
    """Return the bearer token of a request (RFC 6750, 2.1), or an empty string."""
    for name, value in headers.items():
        if name.lower() == "authorization":
            scheme, _, rest = value.partition(" ")
            return rest.strip() if scheme.lower() == "bearer" else ""
    return ""


def _redact(headers: dict[str, str]) -> dict[str, str]:
    secret = {"api-key": "***", "x-api-key": "***", "cookie": "***", "proxy-authorization": "***"}
    kept: dict[str, str] = {}
    for name, value in headers.items():
        if name.lower() == "authorization":
            kept[name] = "Bearer ***" if value.lower().startswith("bearer ") else "***"
        else:
            kept[name] = secret.get(name.lower(), value)
    return kept
