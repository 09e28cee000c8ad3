"""The bytes of a request (RFC 9112, 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_PATH: Final = "/%:@!$&'()*+,;=~"
_QUERY: Final = _PATH + "?"


def request_head(
    url: str, headers: Mapping[str, str], method: str = "POST", *, absolute: bool = False
) -> bytes:
    """Return the head of a request for a URL, which `with_body` or `without_body` completes.

    The target is the URL's path and query, percent-encoded (origin form: RFC 9112, 3.2.1; "/" for an
    empty path), for a proxy after scheme and host (`absolute` form: 3.2.2). Every request names its host
    (RFC 9112, 3.2; RFC 9110, 7.2).
    """
    parts = urlsplit(url)
    host = authority(ascii_host(parts.hostname or ""), parts.port)
    target = quote(parts.path, safe=_PATH) or "/"
    if parts.query:
        target += f"?{quote(parts.query, safe=_QUERY)}"
    if absolute:
        target = f"{parts.scheme}://{host}{target}"
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode()


def with_body(head: bytes, body: bytes) -> bytes:
    """Return a whole request: `request_head`'s head, and a body with its length (RFC 9112, 6.2)."""
    return b"%b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


def without_body(head: bytes) -> bytes:
    """Return a whole request without a body: `request_head`'s head, and the line that ends it."""
    return head + b"\r\n\r\n"


def authority(host: str, port: int | None) -> str:
    """Return a host and port as one text; IPv6 addresses get brackets (RFC 3986, 3.2.2)."""
    host = f"[{host}]" if ":" in host else host
    return host if port is None else f"{host}:{port}"


def ascii_host(host: str) -> str:
    """Return the host as DNS and the Host header have it: other scripts are encoded (RFC 3490).

    Raises `UnicodeError` for what cannot be a host's name, as one with an empty part, or a part of more
    than 63 characters.
    """
    return host.encode("idna").decode()
