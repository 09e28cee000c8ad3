"""The contract of an HTTP client: what the providers' code needs of it, and its errors."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

Receiver = Callable[[bytes], None]
"""Called with each piece of a body, in the call in which the loop reads it from the socket."""

OnSocket = Callable[[socket.socket], None]
"""Called with each socket that is used or tried, so that the caller can say whether it is closed."""


class Access(Struct, frozen=True, kw_only=True):
    """How a server is reached.

    - `proxy` is the URL of an HTTP proxy, which may carry a user and password; None: there is none.
    - `ca_file` (PEM) has authorities that are trusted besides those of the system, for the proxy's
      certificate as for the server's.
    - `client_cert` (PEM) is shown to a server that asks for a certificate. Its key is in the same file,
      or in `client_key`.
    """

    proxy: str | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None

    def __repr__(self) -> str:
        return f"Access(proxy={'…' if self.proxy else None}, ca_file={self.ca_file!r})"


class ProxyError(OSError):
    """The proxy is not there, or makes no tunnel; `retryable` says whether it may later."""

    def __init__(self, why: str, *, retryable: bool) -> None:
        super().__init__(why)
        self.retryable = retryable

    @classmethod
    def unauthorized(cls) -> ProxyError:
        """Return the error for status 407 (RFC 9110, 15.5.8)."""
        return cls(
            "it wants a user and password, or others than it got; they belong into its URL: "
            "http://user:password@…",
            retryable=False,
        )


class ProtocolError(Exception):
    """The head of the response is not HTTP, or the response uses a part of HTTP that we do not know."""


class IncompleteResponse(Exception):
    """The response ended too early: the connection was lost, or its body cannot be decoded.

    The word is that of RFC 9112, 8, which calls both cases an incomplete message.
    """


class StaleConnection(IncompleteResponse):
    """A connection that was kept ended before any byte of the response; a fresh one may do better.

    Servers close connections that are idle, at any time (RFC 9112, 9.3.1 and 9.5).
    """


class HTTPExchange(Protocol):
    """A request that was sent, and the response to it as it arrives."""

    @property
    def status(self) -> int:
        """The status code of the final response (RFC 9110, 15); 0 before `read_head` returns."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by their names in small letters (RFC 9110, 5.1); empty before `read_head` returns.

        Several of one name are one value, joined with commas (RFC 9110, 5.2).
        """
        ...

    async def read_head(self) -> None:
        """Wait for the status and the headers of the final response.

        Raises `ProtocolError` and `IncompleteResponse`, of which `StaleConnection` is a kind, and
        `ssl.SSLError` for a TLS alert. After a cancellation, only `close` is of use.
        """
        ...

    async def read_body(self, receive: Receiver) -> None:
        """Call `receive` with each piece of the body, to the body's end or until `discard_rest`.

        Content codings are undone (RFC 9110, 8.4). Call it once, after `read_head`. Raises
        `IncompleteResponse`, `ProtocolError` for a content coding that is not known, not true or grows
        too far, and what `receive` raises. Cancelled or failed, it does not call `receive` again.
        """
        ...

    def discard_rest(self) -> None:
        """End `read_body` without an error: the rest of the body is read, and nobody is told."""
        ...

    async def finish(self, timeout: float) -> bool:
        """Discard the rest of the body and keep the connection for another request, if it can be kept.

        Waits at most `timeout` seconds for the end of the body; a connection that cannot be kept is
        closed. Returns whether it is kept. Cancelled, it closes the connection.
        """
        ...

    async def close(self) -> None:
        """Close the connection at once, and wait until its socket is closed, for at most a second.

        A cancellation ends only the waiting. Does nothing when the exchange is finished or closed.
        """
        ...


class HTTPClient(Protocol):
    """Sends POST requests to one URL."""

    async def open(self, body: bytes, on_socket: OnSocket, *, fresh: bool = False) -> HTTPExchange:
        """Send a request with this body; return the exchange, which the caller finishes or closes.

        With `fresh` no connection is used that was kept from an earlier exchange.

        `on_socket` gets each socket that is used or tried, before it is connected. Raises `TimeoutError`
        when no connection is made in time, and `OSError`, of which the errors of name resolution
        (`socket.gaierror`), TLS (`ssl.SSLError`) and proxies (`ProxyError`) are kinds. Cancelled, it
        sends nothing and closes the socket that it was connecting.
        """
        ...

    async def close(self) -> None:
        """Close the connections that are kept for another request; exchanges under way go on."""
        ...
