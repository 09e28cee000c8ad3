"""The connections to one server: made on demand, and kept for some seconds for the next request.

How it works: the newest kept connection is used first, so that those which a burst left over grow old
and are closed. A new connection is made to all addresses of the host in turn (Happy Eyeballs, RFC 8305).
Its socket is handed out before it is connected, so that the caller can say of every socket whether it
is closed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType]

from stream_serve.producers.http1.connection import Connection, close_all
from stream_serve.producers.http1.request import ascii_host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.producers.http1.base import OnSocket

_EYEBALLS_DELAY: Final = 0.25
_ADDRESS_SECONDS: Final = 10.0
_IDLE_SECONDS: Final = 15.0


class Pool:
    """Connections to the server of a URL. To be made inside a running event loop."""

    def __init__(self, url: str, *, connect_timeout: float) -> None:
        """Connect to the host and port of `url`, over TLS for https, within `connect_timeout` seconds.

        Raises `UnicodeError` for what cannot be a host's name.
        """
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        self._host: Final = ascii_host(parts.hostname or "")
        self._port: Final = parts.port or (443 if secure else 80)
        self._connect_timeout: Final = connect_timeout
        self._tls: Final = _tls_context() if secure else None
        self._numeric: Final = _numeric_address(self._host, self._port)
        self._addresses: Sequence[Any] = ()
        self._addresses_until = 0.0
        self._idle: dict[Connection, float] = {}
        """The kept connections, by the time since which they are idle; the newest last."""
        self._sweeper: asyncio.TimerHandle | None = None

    async def acquire(self, on_socket: OnSocket) -> Connection:
        """Return a connection, kept or new, for one exchange. `on_socket` gets each socket used or tried.

        Raises `TimeoutError`, and `OSError`, of which the errors of name resolution (`socket.gaierror`)
        and TLS (`ssl.SSLError`) are kinds. Cancelled, it closes the socket that it was connecting.
        """
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.usable:
                on_socket(connection.socket)
                return connection
        async with asyncio.timeout(self._connect_timeout):
            return await self._connect(on_socket)

    def release(self, connection: Connection) -> None:
        """Keep a connection for the next request, for some seconds, unless it is closed.

        HTTP connections persist by default, and may be closed while idle at any time (RFC 9112, 9.3,
        9.5).
        """
        if not connection.usable:
            return
        loop = asyncio.get_running_loop()
        self._idle[connection] = loop.time()
        if self._sweeper is None:
            self._sweeper = loop.call_later(_IDLE_SECONDS, self._sweep)

    async def close(self) -> None:
        """Close the kept connections at once, and wait until they are closed, for at most a second.

        A cancellation ends only the waiting.
        """
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        idle, self._idle = list(self._idle), {}
        await close_all(idle)

    async def _connect(self, on_socket: OnSocket) -> Connection:
        loop = asyncio.get_running_loop()
        sock = await start_connection(
            await self._resolve(),
            happy_eyeballs_delay=_EYEBALLS_DELAY,
            interleave=1,
            socket_factory=partial(_make_socket, on_socket),
        )
        try:
            _, connection = await loop.create_connection(
                partial(Connection, sock, self.release),
                sock=sock,
                ssl=self._tls,
                server_hostname=self._host if self._tls is not None else None,
            )
        except BaseException:
            # The loop closes a socket that it has taken, and only that.
            with suppress(OSError):
                sock.close()
            raise
        return connection

    async def _resolve(self) -> Sequence[Any]:
        """Return the host's addresses, in the shape of `getaddrinfo`; they are used for some seconds."""
        if self._numeric:
            return self._numeric
        loop = asyncio.get_running_loop()
        if loop.time() >= self._addresses_until:
            self._addresses = await loop.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM
            )
            self._addresses_until = loop.time() + _ADDRESS_SECONDS
        return self._addresses

    def _sweep(self) -> None:
        """Close the connections that were kept long enough, and come back for the rest."""
        loop = asyncio.get_running_loop()
        before = loop.time() - _IDLE_SECONDS
        kept, self._idle = self._idle, {}
        for connection, since in kept.items():
            if since > before and connection.usable:
                self._idle[connection] = since
            else:
                connection.abort()
        oldest = next(iter(self._idle.values()), None)
        self._sweeper = (
            None if oldest is None else loop.call_at(oldest + _IDLE_SECONDS, self._sweep)
        )


def _make_socket(on_socket: OnSocket, address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol = address[:3]
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    on_socket(sock)
    return sock


def _numeric_address(host: str, port: int) -> Sequence[Any]:
    """Return the address that a host is, in the shape of `getaddrinfo`; nothing for a name."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return ()
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    address = (host, port) if version == 4 else (host, port, 0, 0)
    return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)]


def _tls_context() -> ssl.SSLContext:
    """Return a context that checks the server's certificate and offers HTTP/1.1 only (RFC 7301)."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
