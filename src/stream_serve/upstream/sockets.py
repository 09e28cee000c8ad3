"""Knowing the sockets of a call, so that a stop can close them and say truly that they are closed.

How it works: aiohttp makes or borrows a connection deep inside `session.post`, in the task that calls
it. A context variable names the call that this task works for. `CallConnector` reports to it each
socket that is made (before it is connected) and each pooled connection that is borrowed. A socket is
closed when its descriptor is gone (`fileno() == -1`), whoever closed it: asyncio, uvloop or aiohttp.
"""

from __future__ import annotations

import asyncio
import socket
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakKeyDictionary

import aiohttp

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

_CLOSE_TIMEOUT: Final = 1.0


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


class CallSockets:
    """The sockets that one call made or borrowed."""

    def __init__(self) -> None:
        self._sockets: list[_HasFileno] = []
        self._connections: list[tuple[Connection, ResponseHandler, asyncio.Transport]] = []

    @property
    def closed(self) -> bool | None:
        """True when there was a socket and every one is closed; None when there was none."""
        if not self._sockets:
            return None
        return all(sock.fileno() == -1 for sock in self._sockets)

    def made(self, sock: socket.socket) -> None:
        """Take note of a new socket."""
        self._sockets.append(sock)

    def borrowed(self, connection: Connection) -> None:
        """Take note of a connection that is ready for use, new or from the pool."""
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None:
            return
        self._connections.append((connection, protocol, transport))
        _holders[protocol] = self
        sock: _HasFileno | None = transport.get_extra_info("socket")
        if sock is not None:
            self._sockets.append(sock)

    async def close(self, *, pool: bool) -> None:
        """Close every connection, and wait until they are closed.

        With `pool`, those stay that are back in the pool; without, they are closed there, too,
        unless another call has borrowed them meanwhile. The closing is at once (no waiting for
        unsent bytes or for the peer's TLS goodbye), the waiting lasts at most a second; a
        cancellation ends only the waiting.
        """
        waiting: list[asyncio.Future[None]] = []
        for connection, protocol, transport in self._connections:
            back = connection.protocol is None and not transport.is_closing()
            if back and (pool or _holders.get(protocol) is not self):
                continue
            transport.abort()
            if (closed := protocol.closed) is not None:
                waiting.append(closed)
        self._connections.clear()
        if waiting:
            await asyncio.wait(waiting, timeout=_CLOSE_TIMEOUT)
            for future in waiting:
                if future.done() and not future.cancelled():
                    future.exception()


_holders: WeakKeyDictionary[ResponseHandler, CallSockets] = WeakKeyDictionary()
"""Who borrowed a connection last: aiohttp puts it back by itself when the answer's end arrives."""

_current: ContextVar[CallSockets | None] = ContextVar("stream_serve_call_sockets", default=None)


def watch(sockets: CallSockets) -> None:
    """Report the sockets that the current task makes from now on to this call."""
    _current.set(sockets)


class CallConnector(aiohttp.TCPConnector):
    """aiohttp's pool, without a limit of its own, that reports each socket to the call it is for."""

    def __init__(self) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType]  # aiohttp's bare tuple
            limit=0, limit_per_host=0, socket_factory=_make
        )

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """Give a connection, new or from the pool. Cancelling it closes a socket in the making."""
        connection = await super().connect(req, traces, timeout)
        sockets = _current.get()
        if sockets is not None:
            sockets.borrowed(connection)
        return connection


def _make(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol = address[:3]
    sock = socket.socket(family, kind, protocol)
    sockets = _current.get()
    if sockets is not None:
        sockets.made(sock)
    return sock
