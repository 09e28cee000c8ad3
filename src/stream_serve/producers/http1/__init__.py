"""An HTTP/1.1 client for one server: it POSTs, and pushes the body of the response to a receiver.

How it works: `Client` takes a connection from its `Pool` and sends a request over it, which begins an
`Exchange`. A connection is an asyncio protocol. What the loop reads from the socket goes through
httptools' parser and, in the same call, on to the receiver of the body: between the socket and the
receiver there is no task and no queue.

    client.open(body)    a connection from the pool, or a new one; the request is sent
    exchange.read_head   status and headers
    exchange.read_body   the body, piece by piece, as it arrives
    exchange.finish      the connection goes back to the pool (or `close`: it is closed at once)

The words are those of RFC 9110 and RFC 9112. A *request* and the *response* to it are an *exchange*. A
message is a *head* (the start line and the headers) and a *body*. A response is *complete* when its
framing says so, and *incomplete* when the connection is lost, or cannot be decoded, before that. To
*discard* the rest of a body is to read it and tell nobody. A connection is *acquired* for an exchange
and *released* after it.

The modules, each of which imports only those before it: `base` (what the providers' code needs of a
client, so that another client can stand in; the errors), `request`, `head`, `inflate`, `chunks`,
`exchange`, `connection`, `proxies`, `tls`, `route`, `pool`, `client`. Only the names below are for other
rooms.

Framing follows RFC 9112, with the leniency of large HTTP clients. Bodies may be compressed with gzip or
deflate (RFC 9110, 8.4), though we ask for neither. Redirects are not followed, cookies not kept. Proxies
are those for HTTP, reached with TLS or without: CONNECT for https, the absolute form for http.
"""

from __future__ import annotations

from stream_serve.producers.http1.base import (
    Access,
    HTTPClient,
    HTTPExchange,
    IncompleteResponse,
    OnSocket,
    ProtocolError,
    ProxyError,
    Receiver,
    StaleConnection,
)
from stream_serve.producers.http1.client import Client, check
from stream_serve.producers.http1.proxies import Proxy, proxy_for
from stream_serve.producers.http1.tls import distrust

__all__ = [
    "Access",
    "Client",
    "HTTPClient",
    "HTTPExchange",
    "IncompleteResponse",
    "OnSocket",
    "ProtocolError",
    "Proxy",
    "ProxyError",
    "Receiver",
    "StaleConnection",
    "check",
    "distrust",
    "proxy_for",
]
