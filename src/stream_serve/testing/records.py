"""What the scripted upstream saw: its connections, its requests, and who ended each of them.

How it works: every connection and every request has one record, which changes in place while the
socket lives. Whatever changes a record calls `Ledger.touch`, and who waits for a condition looks
again. Times are epoch seconds. Everything runs in one event loop; nothing here is locked.
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
    """How far the answer to a request had got."""

    RECEIVED = "received"
    HEADERS = "headers"
    STREAMING = "streaming"
    DONE = "done"


class Side(StrEnum):
    """Who ended something: the program that called, or the script that answers it."""

    PEER = "peer"
    SCRIPT = "script"


class ConnectionRecord(msgspec.Struct, rename="camel", kw_only=True, eq=False):
    """One TCP connection, also one that never carried a request."""

    id: int
    remote_port: int
    opened_at: float
    requests: int = 0
    closed_by: Side | None = None
    closed_at: float | None = None


class Record(msgspec.Struct, rename="camel", kw_only=True, eq=False):
    """One request: what was asked, how far the answer got, who ended it and when.

    `closed_by` is `None` while the request is open, `"peer"` when the other side closed before the
    script was over, `"script"` when the script ended or cut the answer itself.
    `connection_closed_at` tells when its connection went, which may be long after `closed_at`.
    `body` is the decoded JSON; `raw_body` is there only for a body that is not JSON.
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
    scenario: str | None = None
    model: str | None = None
    body: Any = None
    raw_body: str | None = None
    phase: Phase = Phase.RECEIVED
    events_sent: int = 0
    bytes_sent: int = 0
    closed_by: Side | None = None
    closed_at: float | None = None
    connection_closed_by: Side | None = None
    connection_closed_at: float | None = None

    def close(self, side: Side, at: float | None = None) -> None:
        """Note who ended the request; only the first note counts."""
        if self.closed_by is None:
            self.closed_by = side
            self.closed_at = time.time() if at is None else at


class Ledger:
    """All records of one upstream, and the conditions that wait for them."""

    def __init__(self) -> None:
        self.requests: list[Record] = []
        self.connections: list[ConnectionRecord] = []
        self.attempts: Counter[str] = Counter()
        self._last_request = 0
        self._last_connection = 0
        self._open: dict[int, ConnectionRecord] = {}
        self._records: dict[int, list[Record]] = {}
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    def connect(self, remote_port: int) -> ConnectionRecord:
        """Enter a connection that was accepted just now."""
        self._last_connection += 1
        connection = ConnectionRecord(
            id=self._last_connection, remote_port=remote_port, opened_at=time.time()
        )
        self._show(connection)
        self.touch()
        return connection

    def disconnect(self, connection: ConnectionRecord, side: Side) -> None:
        """Note that a connection ended; what was still open on it ended with it."""
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
        """Take out a connection that only looks at the ledger, so that it does not count."""
        if connection.requests == 0 and self._open.pop(connection.id, None) is not None:
            with contextlib.suppress(ValueError):
                self.connections.remove(connection)

    def receive(
        self, connection: ConnectionRecord, *, method: str, path: str, headers: dict[str, str]
    ) -> Record:
        """Enter a request whose headers have arrived; credentials are left out."""
        if connection.closed_at is None and connection.id not in self._open:
            self._show(connection)
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
        )
        self._records.setdefault(connection.id, []).append(record)
        self.requests.append(record)
        del self.requests[:-_KEPT]
        self.touch()
        return record

    def clear(self) -> int:
        """Forget finished requests, closed connections and the attempts counted; say how many."""
        kept = [record for record in self.requests if record.closed_by is None]
        cleared = len(self.requests) - len(kept)
        self.requests[:] = kept
        self.connections[:] = [one for one in self.connections if one.closed_at is None]
        self.attempts.clear()
        self.touch()
        return cleared

    def touch(self) -> None:
        """Say that a record changed: conditions that wait are looked at again."""
        for future, condition in list(self._waiting.items()):
            if future.done():
                continue
            try:
                if condition():
                    future.set_result(None)
            except Exception as error:  # noqa: BLE001 - the mistake belongs to who waits
                future.set_exception(error)

    async def until(self, condition: Callable[[], bool], timeout: float) -> None:
        """Wait until a condition on the records holds.

        Raises `TimeoutError` after `timeout` seconds and whatever the condition raises. Cancelling
        it is harmless.
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

    def _show(self, connection: ConnectionRecord) -> None:
        self._open[connection.id] = connection
        self.connections.append(connection)
        del self.connections[:-_KEPT]


def credential(headers: dict[str, str]) -> str:
    """The bearer credential of a request, or an empty string."""
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
