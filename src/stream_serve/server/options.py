"""The uvicorn options of every serving process, and the address of its listener."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

from stream_serve.server.protocol import HttpProtocol
from stream_serve.server.tuning import raise_descriptor_limit

if TYPE_CHECKING:
    import socket

    from stream_serve.settings import Settings


_KEEP_ALIVE: Final = 75
"""Seconds for which a connection without a request is kept: longer than proxies keep theirs to us, mostly
60. They would else send a request on one that is just being closed."""


class Options(TypedDict):
    """The keyword arguments for `uvicorn.Config`."""

    host: str
    port: int
    log_config: None
    access_log: bool
    server_header: bool
    proxy_headers: bool
    workers: int
    limit_concurrency: int
    h11_max_incomplete_event_size: int
    timeout_keep_alive: int
    http: type[HttpProtocol]


def uvicorn_options(settings: Settings) -> Options:
    """Return the options for `uvicorn.Config`.

    Raises the process's limit of file descriptors, on which the limit of connections depends. uvicorn
    responds with 503 to requests on connections above that limit.
    """
    return {
        "host": settings.host,
        "port": settings.port,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # nothing here depends on the address of a client
        "workers": 1,  # otherwise uvicorn reads WEB_CONCURRENCY
        "limit_concurrency": raise_descriptor_limit(),
        "h11_max_incomplete_event_size": settings.max_head_bytes,  # `HttpProtocol` reads it, too
        "timeout_keep_alive": _KEEP_ALIVE,
        "http": HttpProtocol,
    }


def listener_url(listener: socket.socket) -> str:
    """Return the URL of a bound TCP socket; an IPv6 address is in brackets (RFC 3986, 3.2.2)."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
