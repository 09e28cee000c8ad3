"""`Client`: requests to one URL over pooled connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from stream_serve.producers.http1.base import Access
from stream_serve.producers.http1.pool import Pool
from stream_serve.producers.http1.proxies import Proxy
from stream_serve.producers.http1.request import request_head, with_body, without_body
from stream_serve.producers.http1.tls import tls_context

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ssl import SSLContext

    from stream_serve.producers.http1.base import OnSocket
    from stream_serve.producers.http1.exchange import Exchange

_DIRECT: Final = Access()


class Client:
    """Sends requests to one URL; see `HTTPClient`. To be made inside a running event loop."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        connect_timeout: float,
        method: str = "POST",
        access: Access = _DIRECT,
    ) -> None:
        """Send `headers` with each request. A connection is made within `connect_timeout` seconds.

        The names and values of the headers are sent as they are. Raises `UnicodeError` for what cannot
        be a host's name, and `SettingsError` for a wrong `access`.
        """
        self._has_body: Final = method != "GET"  # RFC 9110, 9.3.1
        proxy = None if access.proxy is None else Proxy.of(access.proxy)
        secure = urlsplit(url).scheme == "https"
        if proxy is not None and proxy.authorization and not secure:
            headers = {**headers, "Proxy-Authorization": proxy.authorization}
        self._head: Final = request_head(
            url, headers, method, absolute=proxy is not None and not secure
        )
        self._pool: Final = Pool(
            url,
            connect_timeout=connect_timeout,
            proxy=proxy,
            tls=tls_context(access) if secure else None,
            proxy_tls=_proxy_tls(access) if proxy is not None and proxy.secure else None,
        )

    async def open(self, body: bytes, on_socket: OnSocket, *, fresh: bool = False) -> Exchange:
        """Send a request with this body; return the exchange, which the caller finishes or closes.

        A GET is sent without the body. With `fresh` no connection is used that was kept from an earlier
        exchange. `on_socket` gets each socket that is used or tried, before it is connected. Raises
        `TimeoutError` when no connection is made in time, and `OSError`, of which the errors of name
        resolution (`socket.gaierror`), TLS (`ssl.SSLError`) and proxies (`ProxyError`) are kinds.
        Cancelled, it sends nothing and closes the socket that it was connecting. Nothing is sent twice
        (RFC 9110, 9.2.2): whether to repeat a POST is the caller's to decide.
        """
        connection = await self._pool.acquire(on_socket, fresh=fresh)
        head = self._head
        return connection.send(with_body(head, body) if self._has_body else without_body(head))

    async def close(self) -> None:
        """Close the connections that are kept for another request; exchanges under way go on.

        Waits until they are closed, for at most a second; a cancellation ends only the waiting.
        """
        await self._pool.close()


def check(access: Access) -> None:
    """Read now what a client would read of `access`. Raises `SettingsError` for what it cannot use."""
    if access.proxy is not None:
        Proxy.of(access.proxy)
    if access.ca_file or access.client_cert or access.client_key:
        tls_context(access)


def _proxy_tls(access: Access) -> SSLContext:
    """Return the context for a proxy, which gets no certificate of ours: that is for the server."""
    return tls_context(Access(ca_file=access.ca_file))
