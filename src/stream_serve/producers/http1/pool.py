"""The connections to one server: made on demand, and kept for some seconds for the next request.

How it works: the newest kept connection is used first, so that those which a burst left over grow old
and are closed. A new connection is made to all addresses of the host in turn (Happy Eyeballs, RFC 8305).
Its socket is handed out before it is connected, so that the caller can say of every socket whether it
is closed. With a proxy, connections go to it; the way from a socket to the server is a `Route`.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType]

from stream_serve.producers.http1.base import ProxyError
from stream_serve.producers.http1.connection import Connection, close_all
from stream_serve.producers.http1.request import ascii_host
from stream_serve.producers.http1.route import Route

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from stream_serve.producers.http1.base import OnSocket
    from stream_serve.producers.http1.proxies import Proxy

_EYEBALLS_DELAY: Final = 0.25
_ADDRESS_SECONDS: Final = 10.0
_IDLE_SECONDS: Final = 15.0
_DESCRIPTOR_ERRNOS: Final = {errno.EMFILE, errno.ENFILE}
_ALIVE: Final = {
    "TCP_KEEPIDLE": 30,
    "TCP_KEEPINTVL": 10,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 30_000,
}
"""After 30 s of silence the server's host is asked for life; 30 s without an answer end a connection."""


class Pool:
    """Connections to the server of a URL. To be made inside a running event loop."""

    def __init__(
        self,
        url: str,
        *,
        connect_timeout: float,
        proxy: Proxy | None = None,
        tls: ssl.SSLContext | None = None,
        proxy_tls: ssl.SSLContext | None = None,
    ) -> None:
        """Connect to the host and port of `url`, or to the proxy, within `connect_timeout` seconds.

        `tls` is for https, `proxy_tls` for a proxy that is reached by TLS. Raises `UnicodeError` for
        what cannot be a host's name.
        """
        parts = urlsplit(url)
        host = ascii_host(parts.hostname or "")
        port = parts.port or (80 if tls is None else 443)
        self._connect_timeout: Final = connect_timeout
        self._proxy: Final = proxy
        self._route: Final = Route(host=host, port=port, tls=tls, proxy=proxy, proxy_tls=proxy_tls)
        self._host, self._port = (host, port) if proxy is None else (proxy.host, proxy.port)
        self._numeric: Final = _numeric_address(self._host, self._port)
        self._addresses: Sequence[Any] = ()
        self._addresses_until = 0.0
        self._lookup: asyncio.Task[Sequence[Any]] | None = None
        self._idle: dict[Connection, float] = {}
        """The kept connections, by the time since which they are idle; the newest last."""
        self._sweeper: asyncio.TimerHandle | None = None

    async def acquire(self, on_socket: OnSocket, *, fresh: bool = False) -> Connection:
        """Return a connection, kept or new, for one exchange. `on_socket` gets each socket used or tried.

        With `fresh` it is new. Raises `TimeoutError`, and `OSError`, of which the errors of name
        resolution (`socket.gaierror`), TLS (`ssl.SSLError`) and proxies (`ProxyError`) are kinds.
        Cancelled, it closes the socket that it was connecting.
        """
        while self._idle and not fresh:
            connection, _ = self._idle.popitem()
            if connection.usable:
                on_socket(connection.socket)
                return connection
        async with asyncio.timeout(self._connect_timeout):
            return await self._connect(on_socket)

    def release(self, connection: Connection) -> None:
        """Keep a usable connection for the next request, for some seconds.

        HTTP connections persist by default, and may be closed while idle at any time (RFC 9112, 9.3,
        9.5).
        """
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
        if self._lookup is not None:
            self._lookup.cancel()
        idle, self._idle = list(self._idle), {}
        await close_all(idle)

    async def _connect(self, on_socket: OnSocket) -> Connection:
        sock = await self._open_socket(on_socket)
        connection = Connection(sock, self.release)
        await self._route.open(sock, connection)
        return connection

    async def _open_socket(self, on_socket: OnSocket) -> socket.socket:
        """Return a socket that is connected, to the proxy if there is one."""
        try:
            return await start_connection(
                await self._resolve(),
                happy_eyeballs_delay=_EYEBALLS_DELAY,
                interleave=1,
                socket_factory=partial(_make_socket, on_socket),
            )
        except OSError as error:
            if self._proxy is None or error.errno in _DESCRIPTOR_ERRNOS:
                raise
            raise ProxyError(f"it cannot be reached: {_reason(error)}", retryable=True) from error

    async def _resolve(self) -> Sequence[Any]:
        """Return the host's addresses, in the shape of `getaddrinfo`; they are used for some seconds.

        One lookup is under way at a time, and all who wait share it: each holds one of the loop's few
        threads until the resolver gives up, and other hosts need these threads, too. So a lookup goes on
        when nobody waits for it any more.
        """
        if self._numeric:
            return self._numeric
        if asyncio.get_running_loop().time() < self._addresses_until:
            return self._addresses
        if self._lookup is None:
            self._lookup = asyncio.create_task(self._look_up(), name="look a host up")
            self._lookup.add_done_callback(self._looked_up)
        return await asyncio.shield(self._lookup)

    async def _look_up(self) -> Sequence[Any]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        self._addresses, self._addresses_until = found, loop.time() + _ADDRESS_SECONDS
        return found

    def _looked_up(self, lookup: asyncio.Task[Sequence[Any]]) -> None:
        self._lookup = None
        if not lookup.cancelled():
            lookup.exception()  # nobody may be waiting

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


def _reason(error: OSError) -> str:
    """Return why a connection was not made; the error's own words may have an address in them."""
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    return os.strerror(error.errno) if error.errno else type(error).__name__


def _make_socket(on_socket: OnSocket, address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol = address[:3]
    sock = socket.socket(family, kind, protocol)
    on_socket(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _ALIVE.items():
        option: int | None = getattr(socket, name, None)
        if option is not None:
            with suppress(OSError):  # not every kernel knows each of them
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
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
