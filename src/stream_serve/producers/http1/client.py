"""An HTTP/1.1 client for one server: a POST whose response's body is pushed to who wants it.

How it works: a `Connection` is an asyncio protocol. What the loop reads from the socket goes through
httptools' parser and, in the same call, on to the receiver of the body: between the socket and the text
no task is switched to and nothing is queued. `Pool` makes connections, and keeps those whose response
has come to its end for the next request. It gives away the socket before it is connected, so that who
asked can say of every socket whether it is closed.

Framing after RFC 9112; bodies may be compressed with gzip or deflate (RFC 9110, 8.4), though we ask for
neither. Redirects are not followed, cookies not kept, proxies not used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import zlib
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote, urlsplit

import httptools
from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType]

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Receiver = Callable[[bytes], None]

_MAX_HEAD: Final = 65_536
_MAX_INFLATED: Final = 65_536
_WINDOWS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_PATH: Final = "/%:@!$&'()*+,;=~"
_EYEBALLS_DELAY: Final = 0.25
_ADDRESS_SECONDS: Final = 10.0
_IDLE_SECONDS: Final = 15.0
_CLOSE_SECONDS: Final = 1.0


class ConnectionBroken(Exception):
    """The connection was lost, or what came over it made no sense, before the response's end."""


class NotHTTP(Exception):
    """What came instead of a response's head is not HTTP, or not what we understand of it."""


class Connection(asyncio.Protocol):
    """One connection: it carries one exchange at a time, and none while it is in the pool."""

    __slots__ = ("_exchange", "_transport", "closed", "idle_since", "parse", "socket")

    def __init__(self, sock: socket.socket) -> None:
        self.socket: Final = sock
        self.closed: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self.parse: Callable[[bytes], None] = _ignore

    @property
    def usable(self) -> bool:
        """True when another request can be sent."""
        return (
            self._transport is not None
            and not self._transport.is_closing()
            and self._exchange is None
        )

    def post(self, request: bytes) -> Exchange:
        """Send a request, and give the exchange that it begins."""
        exchange = self._exchange = Exchange(self)
        if self._transport is None or self._transport.is_closing():
            exchange.lose("the connection was closed before the request was sent")
        else:
            self._transport.write(request)
        return exchange

    def release(self) -> None:
        """Take note that the exchange is over."""
        self._exchange = None
        self.parse = _ignore

    def abort(self) -> None:
        """Close at once, whatever is on the way."""
        exchange = self._exchange
        self.release()
        if exchange is not None:
            exchange.lose("the connection was closed")
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Pass on what came; what nobody has asked for ends the connection."""
        exchange = self._exchange
        if exchange is None:
            self.abort()
            return
        try:
            self.parse(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            exchange.spoil()
        if exchange.status == 0:
            exchange.check_head(len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the exchange."""
        if not self.closed.done():
            self.closed.set_result(None)
        exchange = self._exchange
        self.release()
        if exchange is not None:
            exchange.end_of_stream(exc)


class Exchange:
    """A request that was sent, and the response to it as it arrives."""

    __slots__ = (
        "_early",
        "_fields",
        "_framed",
        "_head",
        "_parser",
        "_poured",
        "_receive",
        "_reusable",
        "_size",
        "_whole",
        "connection",
        "headers",
        "status",
    )

    def __init__(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        self.connection: Final = connection
        self.status = 0
        self.headers: Mapping[str, str] = {}
        """By their names in small letters."""
        self._head: asyncio.Future[None] = loop.create_future()
        self._poured: asyncio.Future[None] = loop.create_future()
        self._whole: asyncio.Future[None] = loop.create_future()
        self._receive: Receiver | None = None
        self._early: list[bytes] = []
        self._fields: dict[str, str] | None = {}
        self._size = 0
        self._framed = False
        self._reusable = False
        # An exchange and its parser refer to each other until the response's end.
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        connection.parse = self._parser.feed_data

    async def head(self) -> None:
        """Wait for the status and the headers. Raises `NotHTTP`, `ConnectionBroken`."""
        await self._head

    async def pour(self, receive: Receiver) -> None:
        """Call `receive` with each piece of the body as it arrives, to the end or until `enough`.

        Raises `ConnectionBroken`, `NotHTTP` for an encoding that is not known, and what `receive`
        raises. Cancelled, it calls it no more.
        """
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        self._receive = receive
        if encoding not in {"", "identity"}:
            if encoding not in _WINDOWS:
                raise NotHTTP(f"the body's encoding is not known: {encoding[:40]}")
            self._receive = _Inflater(_WINDOWS[encoding], receive)
        early, self._early = self._early, []
        try:
            for piece in early:
                if self._receive is not None:
                    self._receive(piece)
            await self._poured
        finally:
            self._receive = None

    def enough(self) -> None:
        """End `pour`: the rest of the body is read, but nobody is told."""
        self._receive = None
        if not self._poured.done():
            self._poured.set_result(None)

    async def finish(self, seconds: float) -> bool:
        """Wait for the body's end; True when the connection can carry another exchange."""
        if not self._whole.done():
            await asyncio.wait([self._whole], timeout=seconds)
        return self._whole.done() and self._reusable

    def spoil(self) -> None:
        """Take note that what came cannot be read."""
        self._reusable = False
        self.lose("what came is not HTTP", NotHTTP)

    def check_head(self, length: int) -> None:
        """Take note that so many bytes more came, and the head is still not whole."""
        self._size += length
        if self._size > _MAX_HEAD:
            self.lose("the response's head is too large", NotHTTP)

    def end_of_stream(self, error: Exception | None) -> None:
        """Take note that the connection is gone, which ends a body that has no other end."""
        self._reusable = False
        if error is None and self._fields is None and not self._framed:
            self._end()
        self.lose("the connection was closed")

    def lose(self, why: str, kind: type[Exception] = ConnectionBroken) -> None:
        """Take note that what is still to come will not come; `kind` is for a missing head."""
        _fail(self._head, kind(why))
        _fail(self._poured, ConnectionBroken(why))
        self._end()

    def on_message_begin(self) -> None:
        """Take note of a second response, which nobody asked for."""
        if self._whole.done():
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those behind the body do not count."""
        if self._fields is not None:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            known = self._fields.get(key)
            self._fields[key] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        """Take the head, unless it is that of an interim response."""
        if self._fields is None or self._parser is None:
            return
        status = self._parser.get_status_code()
        if status < 200:
            self._fields = {}
            return
        self.status, self.headers, self._fields = status, self._fields, None
        self._framed = "content-length" in self.headers or "transfer-encoding" in self.headers
        _delay_acks(self.connection.socket)
        if not self._head.done():
            self._head.set_result(None)

    def on_body(self, piece: bytes) -> None:
        """Pass a piece on; before somebody wants them, pieces are kept."""
        receive = self._receive
        if receive is not None:
            try:
                receive(piece)
            except Exception as error:  # noqa: BLE001 - it belongs to who waits in `pour`
                self._receive = None
                _fail(self._poured, error)
        elif not self._poured.done():
            self._early.append(piece)

    def on_message_complete(self) -> None:
        """Take note of the end, unless it is that of an interim response."""
        if self._fields is None and self._parser is not None:
            self._reusable = self._parser.should_keep_alive()
            self._end()

    def _end(self) -> None:
        self._parser = None
        if not self._whole.done():
            self._whole.set_result(None)
        self.enough()


class _Inflater:
    """A receiver that inflates what it gets, in pieces of a bounded size, for another one."""

    def __init__(self, window: int, receive: Receiver) -> None:
        self._inflate = zlib.decompressobj(window)
        self._receive = receive

    def __call__(self, piece: bytes) -> None:
        """Take a piece. Raises `ConnectionBroken` for what is not compressed as it says."""
        full = True
        while piece or full:
            try:
                plain = self._inflate.decompress(piece, _MAX_INFLATED)
            except zlib.error as error:
                raise ConnectionBroken("the body cannot be decompressed") from error
            piece, full = self._inflate.unconsumed_tail, len(plain) == _MAX_INFLATED
            if plain:
                self._receive(plain)


class Pool:
    """Connections to the server of a URL. To be made inside a running event loop."""

    def __init__(self, url: str, *, timeout: float) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        self._host: Final = _ascii(host)
        self._port: Final = parts.port or (443 if parts.scheme == "https" else 80)
        self._timeout = timeout
        self._tls = _tls() if parts.scheme == "https" else None
        self._numeric: Final = _numeric(self._host, self._port)
        self._addresses: Sequence[Any] = ()
        self._addresses_until = 0.0
        self._idle: list[Connection] = []
        self._sweeper: asyncio.TimerHandle | None = None

    async def connect(self, made: Callable[[socket.socket], None]) -> Connection:
        """Give a connection, from the pool or new. `made` gets each socket that is used or tried.

        Raises `TimeoutError`, and `OSError`, of which those of name resolution (`socket.gaierror`)
        and TLS (`ssl.SSLError`) are kinds. Cancelled, it closes a socket in the making.
        """
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                made(connection.socket)
                return connection
        async with asyncio.timeout(self._timeout):
            return await self._open(made)

    def keep(self, connection: Connection) -> None:
        """Keep a connection for the next request, for some seconds."""
        if not connection.usable:
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(_IDLE_SECONDS, self._sweep)

    async def close(self) -> None:
        """Close the connections that are kept."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        idle, self._idle = self._idle, []
        await close(idle)

    async def _open(self, made: Callable[[socket.socket], None]) -> Connection:
        loop = asyncio.get_running_loop()
        sock = await start_connection(
            await self._resolve(),
            happy_eyeballs_delay=_EYEBALLS_DELAY,
            interleave=1,
            socket_factory=partial(_make, made),
        )
        try:
            _, connection = await loop.create_connection(
                partial(Connection, sock),
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
        """Close the connections that have waited long enough, and come back for the rest."""
        loop = asyncio.get_running_loop()
        before = loop.time() - _IDLE_SECONDS
        old = [one for one in self._idle if one.idle_since <= before or not one.usable]
        self._idle = [one for one in self._idle if one not in old]
        for connection in old:
            connection.abort()
        self._sweeper = None
        if self._idle:
            due = self._idle[0].idle_since + _IDLE_SECONDS
            self._sweeper = loop.call_at(due, self._sweep)


def request_head(url: str, headers: Mapping[str, str]) -> bytes:
    """Give the head of a POST to a URL, for `request` to complete."""
    parts = urlsplit(url)
    host = _ascii(parts.hostname or "")
    host = f"[{host}]" if ":" in host else host
    host = host if parts.port is None else f"{host}:{parts.port}"
    lines = [f"POST {quote(parts.path, safe=_PATH)} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode()


def request(head: bytes, body: bytes) -> bytes:
    """Give a whole request."""
    return b"%b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


async def close(connections: Sequence[Connection]) -> None:
    """Close connections at once, and wait until they are closed, for at most a second.

    A cancellation ends only the waiting.
    """
    for connection in connections:
        connection.abort()
    waiting = [one.closed for one in connections if not one.closed.done()]
    if waiting:
        await asyncio.wait(waiting, timeout=_CLOSE_SECONDS)


def _make(made: Callable[[socket.socket], None], address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol = address[:3]
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made(sock)
    return sock


def _delay_acks(sock: socket.socket) -> None:
    """Acknowledge two of a stream's small segments at once.

    By default Linux acknowledges each one in the moment in which it is read (`tcp_cleanup_rbuf`).
    """
    option: int | None = getattr(socket, "TCP_QUICKACK", None)
    if option is not None:
        with suppress(OSError):  # the connection may be gone
            sock.setsockopt(socket.IPPROTO_TCP, option, 0)


def _numeric(host: str, port: int) -> Sequence[Any]:
    """Give the address that a host is, in the shape of `getaddrinfo`; nothing for a name."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return ()
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    address = (host, port) if version == 4 else (host, port, 0, 0)
    return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)]


def _ascii(host: str) -> str:
    return host if host.isascii() else host.encode("idna").decode()


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _ignore(data: bytes) -> None:
    del data


def _fail(future: asyncio.Future[None], error: Exception) -> None:
    """Set an exception, of which nobody needs to take notice."""
    if not future.done():
        future.set_exception(error)
        future.exception()
