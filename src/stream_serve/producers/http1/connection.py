"""One connection: an asyncio protocol that passes what it reads to the exchange that it carries."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

import httptools

from stream_serve.producers.http1.base import IncompleteResponse, ProtocolError, StaleConnection
from stream_serve.producers.http1.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_CLOSE_SECONDS: Final = 1.0
_MUCH: Final = 65_536
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)


class Connection(asyncio.Protocol):
    """One connection: it carries one exchange at a time, and none while it is in the pool."""

    __slots__ = (
        "_aborted",
        "_exchange",
        "_kept",
        "_on_release",
        "_parse",
        "_transport",
        "closed",
        "socket",
    )

    def __init__(self, sock: socket.socket, on_release: Callable[[Connection], None]) -> None:
        """Carry exchanges over `sock`; `on_release` is called after each that leaves it usable."""
        self.socket: Final = sock
        self.closed: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()
        self._parse: Callable[[bytes], None] = _ignore
        self._on_release: Final = on_release
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._kept = False
        self._aborted = False

    @property
    def usable(self) -> bool:
        """True when another request can be sent."""
        transport = self._transport
        return self._exchange is None and transport is not None and not transport.is_closing()

    def send(self, request: bytes) -> Exchange:
        """Send a whole request, and return the exchange that it begins.

        Raises nothing: over a connection that is closed, the exchange fails with `IncompleteResponse`.
        """
        exchange = self._exchange = Exchange(self, kept=self._kept)
        if self._transport is None or self._transport.is_closing():
            error = StaleConnection if self._kept else IncompleteResponse
            exchange.fail("the connection was closed before the request was sent", error)
        else:
            self._transport.write(request)
        return exchange

    def release(self) -> bool:
        """End the exchange and offer the connection for another; return False when it is closed."""
        self._detach()
        if not self.usable:
            return False
        self._kept = True
        self._on_release(self)
        return True

    def abort(self) -> None:
        """Close at once, whatever is on its way; the exchange fails with `IncompleteResponse`."""
        exchange = self._exchange
        self._detach()
        if exchange is not None:
            exchange.fail("the connection was closed")
        if self._transport is not None:
            self._transport.abort()
        self._aborted = True

    async def close(self) -> None:
        """Close at once, and wait until the socket is closed, for at most a second.

        A cancellation ends only the waiting.
        """
        await close_all([self])

    def parse_with(self, parse: Callable[[bytes], None]) -> None:
        """Call `parse` itself, with no call in between, with all that comes until `release`.

        It may raise httptools' errors and `ProtocolError`, which end the exchange.
        """
        self._parse = parse

    def delay_acks(self) -> None:
        """Acknowledge two of a stream's small segments at once, from now on.

        By default Linux acknowledges each one as soon as it is read (`tcp_cleanup_rbuf`).
        """
        if _QUICKACK is not None:
            with suppress(OSError):  # the connection may be gone
                self.socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Record the transport; with TLS, something may have come before it."""
        self._transport = cast("asyncio.Transport", transport)
        if self._aborted:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse what came; what no request asked for ends the connection (RFC 9112, 9.2)."""
        exchange = self._exchange
        if exchange is None:
            self.abort()
            return
        try:
            self._parse(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, ProtocolError):
            exchange.protocol_error()
        else:
            exchange.deliver()
        if len(data) >= _MUCH:
            self._let_others_run()

    def connection_lost(self, exc: Exception | None) -> None:
        """Record that the connection is closed, and tell the exchange."""
        if not self.closed.done():
            self.closed.set_result(None)
        exchange = self._exchange
        self._detach()
        if exchange is not None:
            exchange.connection_lost(exc)

    def _let_others_run(self) -> None:
        """Read nothing more in this turn of the loop; uvloop would read 32 times, 8 MB in all."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _detach(self) -> None:
        """Carry no exchange any more: `_parse` refers to the parser, and so to the exchange."""
        self._exchange = None
        self._parse = _ignore


async def close_all(connections: Sequence[Connection]) -> None:
    """Close connections at once, and wait until their sockets are closed, for at most a second.

    A cancellation ends only the waiting.
    """
    for connection in connections:
        connection.abort()
    waiting = [one.closed for one in connections if not one.closed.done()]
    if waiting:
        await asyncio.wait(waiting, timeout=_CLOSE_SECONDS)


def _ignore(data: bytes) -> None:
    del data
