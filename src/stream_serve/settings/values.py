"""Checks of single values, which environment variables and the file have in common.

Each returns the value in its clean form, or raises `ValueError` with words that never repeat it.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from urllib.parse import SplitResult

PLACEHOLDER_KEY: Final = "sk-your-api-key-here"
"""The article's example key, which counts as no key."""

NO_PROXY: Final = "none"
"""What stands for a proxy's address where a provider is asked directly, whatever the environment says."""

_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # RFC 9110, 5.6.2
_OWN_HEADERS: Final = frozenset(
    {
        *("connection", "content-length", "content-type", "expect", "host", "keep-alive"),
        *("accept-encoding", "te", "trailer", "transfer-encoding", "upgrade"),
    }
)
_OWN_FIELDS: Final = frozenset({"messages", "model", "n", "stream"})
_SECRETS: Final = re.compile(
    r"(^|&)[^=&]*(key|token|secret|password|auth|sig)[^=&]*=", re.IGNORECASE
)
_ORIGIN: Final = re.compile(
    r"((?P<scheme>[a-z][a-z0-9+.-]*)://(?:\[[0-9a-f:]+\]|[a-z0-9._-]+))(?P<port>(?::[0-9]{1,5})?)/?"
)
_DEFAULT_PORTS: Final = {"http:80", "https:443"}
_CHAT: Final = "/chat/completions"
_LEAST: Final = -(2**63)
_MOST: Final = 2**64 - 1
_MAX_HEADER: Final = 8_192


def base_url(text: str, *, secrets: bool = False) -> str:
    """Return the base URL of a server, without `/chat/completions`.

    It may have a query. `secrets` says whether that may have a key, which is then never shown.
    """
    wrong = "it must be an http:// or https:// address, such as http://localhost:8000/v1"
    text = text.strip()
    parts = _split(text, wrong)
    if parts.scheme not in {"http", "https"}:
        raise ValueError(wrong)
    if parts.username or parts.password:
        raise ValueError("it must not carry a credential: the key has its own setting")
    if parts.fragment:
        raise ValueError("it must not have a fragment: leave out # and what follows")
    if not secrets and _SECRETS.search(parts.query):
        raise ValueError("its query must not carry a credential: the key has its own setting")
    base, mark, rest = text.partition("?")
    return base.rstrip("/").removesuffix(_CHAT).rstrip("/") + (mark + rest if rest else "")


def proxy_url(text: str) -> str:
    """Return the URL of a proxy, which may carry a credential; `NO_PROXY` for none."""
    if text.strip() == NO_PROXY:
        return NO_PROXY
    wrong = (
        "it must be the http:// or https:// address of a proxy, such as http://proxy.example:3128, "
        f"or {NO_PROXY}"
    )
    parts = _split(text.strip(), wrong)
    if (
        parts.scheme not in {"http", "https"}
        or parts.query
        or parts.fragment
        or parts.path not in {"", "/"}
    ):
        raise ValueError(wrong)
    return text.strip()


def key(text: str) -> str:
    """Return a key; empty for the article's placeholder."""
    text = text.strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("a key has only printable ASCII characters, no spaces and no line breaks")
    return "" if text == PLACEHOLDER_KEY else text


def name(text: str) -> str:
    """Return the name of a provider, a model or a variable."""
    if text != text.strip():
        raise ValueError("it should not begin or end with a space")
    return text


def header(name: str, value: str) -> None:
    """Check an extra header (RFC 9110, 5)."""
    if _HEADER.fullmatch(name) is None:
        raise ValueError("this is not the name of a header")
    if name.lower() in _OWN_HEADERS:
        raise ValueError("this header is the service's own")
    if not value.isascii() or not value.isprintable() or len(value) > _MAX_HEADER:
        raise ValueError("a header's value has only printable ASCII characters, at most 8192")


def body_field(name: str, value: object) -> None:
    """Check an extra field of a request's body: JSON can say it, and the service does not itself."""
    if name in _OWN_FIELDS:
        raise ValueError("this field is the service's own")
    _check_json(value)


def origin(text: str) -> str:
    """Return an origin as browsers send it (RFC 6454, 6.2), or `*`."""
    if text == "*":
        return text
    found = _ORIGIN.fullmatch(text.lower())
    if found is None:
        raise ValueError("an origin is scheme://host or scheme://host:port, or * for any")
    return (
        found[1] if found["scheme"] + found["port"] in _DEFAULT_PORTS else found[1] + found["port"]
    )


def exact_origin(text: str) -> str:
    """Return one origin as browsers send it."""
    if text == "*":
        raise ValueError("name each origin here: any site could be at the place of yours")
    return origin(text)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address or host name."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that a misspelt one probably means, for a hint; None if there is none."""
    found = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.7)
    return found[0] if found else None


def _split(text: str, wrong: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        port = parts.port
        _ = (parts.hostname or "").encode("idna")  # as the resolver encodes it
    except ValueError:
        raise ValueError(wrong) from None  # its message would repeat the address
    if port == 0 or not parts.hostname or not text.isprintable() or " " in text:
        raise ValueError(wrong)
    return parts


def _check_json(value: object) -> None:
    match value:
        case dict():
            for inner in cast("dict[str, object]", value).values():
                _check_json(inner)
        case list():
            for inner in cast("list[object]", value):
                _check_json(inner)
        case float() if not math.isfinite(value):
            raise ValueError("JSON has no such number")
        case int() if not _LEAST <= value <= _MOST:
            raise ValueError("it should be a number of at most 64 bits")
        case str() | bool() | int() | float():
            pass
        case _:
            raise ValueError("JSON has no dates and times: write it as text")
