"""The way from a socket to a server: TLS with a proxy, a tunnel through it, and TLS with the server.

How it works: the socket gets a transport without TLS, and every layer is put on the one before it, so
that there is always one transport that closes the socket at once, whatever is above it. A request for an
http:// URL goes to the proxy in absolute form (RFC 9112, 3.2.2). For an https:// URL the proxy is asked
for a tunnel with CONNECT (RFC 9110, 9.3.6), and TLS with the server begins inside it: the proxy sees no
key and no text.
"""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from stream_serve.producers.http1.base import ProtocolError, ProxyError
from stream_serve.producers.http1.head import HeadReader
from stream_serve.producers.http1.request import authority
from stream_serve.producers.http1.tls import distrust

if TYPE_CHECKING:
    import socket

    from stream_serve.producers.http1.head import Head
    from stream_serve.producers.http1.proxies import Proxy

_UNAUTHORIZED: Final = {HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, HTTPStatus.UNAUTHORIZED}
_CLOSING_TURNS: Final = 10


class Route(Struct, frozen=True, kw_only=True):
    """What a connection to `host` and `port` goes through, once its socket is connected.

    `tls` is that with the server; None for http. `proxy_tls` is for a proxy that is reached by TLS.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    proxy: Proxy | None = None
    proxy_tls: ssl.SSLContext | None = None

    async def open(self, sock: socket.socket, protocol: asyncio.Protocol) -> None:
        """Lead from a connected socket to the server, and tell `protocol` that the connection is made.

        Raises `OSError`, of which `ProxyError` and `ssl.SSLError` are kinds. Cancelled or failed, it
        closes the socket.
        """
        plain = self.tls is None and self.proxy_tls is None
        dialogue = _Dialogue()
        lowest: asyncio.Transport | None = None
        try:
            lowest, _ = await asyncio.get_running_loop().create_connection(
                lambda: protocol if plain else dialogue, sock=sock
            )
            if not plain:
                protocol.connection_made(await self._build(lowest, dialogue, protocol))
        except BaseException:
            await _close(lowest, sock)
            raise

    async def _build(
        self, transport: asyncio.Transport, dialogue: _Dialogue, protocol: asyncio.Protocol
    ) -> asyncio.Transport:
        """Put the layers on a transport; return the uppermost, which belongs to `protocol`."""
        proxy, tls = self.proxy, self.tls
        if proxy is not None and self.proxy_tls is not None:
            above = protocol if tls is None else dialogue
            transport = await _secure_proxy(transport, above, self.proxy_tls, proxy.host)
        if tls is None:
            return transport
        if proxy is not None:
            transport.write(_connect_request(proxy, authority(self.host, self.port)))
            _check_tunnel(*await dialogue.answer)
        return await _secure(transport, protocol, tls, self.host)


class _Dialogue(asyncio.Protocol):
    """The side of a connection that asks a proxy for a tunnel; `answer` is what it answers."""

    def __init__(self) -> None:
        self.answer: Final[asyncio.Future[tuple[Head, bytes]]] = (
            asyncio.get_running_loop().create_future()
        )
        self._reader: Final = HeadReader()

    def data_received(self, data: bytes) -> None:
        """Read the head of the answer."""
        if self.answer.done():
            return
        try:
            found = self._reader.feed(data)
        except ProtocolError:
            self._fail(ProxyError("it does not answer with HTTP", retryable=False))
            return
        if found is not None:
            self.answer.set_result(found)

    def connection_lost(self, exc: Exception | None) -> None:
        """Record that there will be no answer."""
        if isinstance(exc, ssl.SSLError):
            self._fail(_of_tls(exc))
        else:
            why = "it closed the connection" if exc is None else "it cut the connection"
            self._fail(ProxyError(why, retryable=True))

    def _fail(self, error: ProxyError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # nobody may be waiting


def _connect_request(proxy: Proxy, target: str) -> bytes:
    """Return what asks for a tunnel."""
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join([*lines, "", ""]).encode()


def _check_tunnel(head: Head, rest: bytes) -> None:
    """Raise `ProxyError` for an answer that makes no tunnel."""
    if head.status in _UNAUTHORIZED:
        raise ProxyError.unauthorized()
    if not 200 <= head.status < 300:
        known = head.status in HTTPStatus.__members__.values()
        phrase = f"{head.status} {HTTPStatus(head.status).phrase}" if known else str(head.status)
        later = head.status >= 500 or head.status == HTTPStatus.TOO_MANY_REQUESTS
        raise ProxyError(f"it answered {phrase}", retryable=later)
    if rest:
        raise ProxyError("it sends what no server has sent", retryable=False)


async def _secure(
    transport: asyncio.Transport, protocol: asyncio.Protocol, tls: ssl.SSLContext, host: str
) -> asyncio.Transport:
    """Put TLS with a host on a transport. Raises `OSError`, of which `ssl.SSLError` is a kind."""
    try:
        secured = await asyncio.get_running_loop().start_tls(
            transport, protocol, tls, server_hostname=host
        )
    except TypeError as error:
        # So CPython before 3.11.8 and 3.12.2 fails where TLS inside of TLS does (gh-113214).
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
    if secured is None:  # so typeshed has it: the connection was lost in between
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    return secured


async def _secure_proxy(
    transport: asyncio.Transport, protocol: asyncio.Protocol, tls: ssl.SSLContext, host: str
) -> asyncio.Transport:
    """Put TLS with a proxy on a transport. Raises `ProxyError`."""
    try:
        return await _secure(transport, protocol, tls, host)
    except ssl.SSLError as error:
        raise _of_tls(error) from error
    except OSError as error:
        raise ProxyError("it cut the connection", retryable=True) from error


def _of_tls(error: ssl.SSLError) -> ProxyError:
    """Return the error for a proxy with which there is no TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = (
            f"its TLS certificate is not trusted ({distrust(error)}); a company's own authority "
            "has to be named as a file"
        )
    else:
        reason = (error.reason or "no reason was given").replace("_", " ").lower()
        why = (
            f"the TLS handshake with it was not accepted ({reason}); the URL of a proxy that is "
            "reached without TLS begins with http://"
        )
    return ProxyError(why, retryable=False)


async def _close(transport: asyncio.Transport | None, sock: socket.socket) -> None:
    """Close a socket at once, and let the loop do its part; a cancellation ends only the waiting."""
    if transport is not None:
        transport.abort()
    sock.close()  # a loop that still holds it closes it in one of its next turns
    for _ in range(_CLOSING_TURNS):
        if sock.fileno() == -1:
            return
        await asyncio.sleep(0)
