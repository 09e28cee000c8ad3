"""Proxies: what a URL and the usual environment variables say of them."""

from __future__ import annotations

import base64
import ipaddress
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from stream_serve.errors import SettingsError
from stream_serve.producers.http1.request import ascii_host, authority

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PORTS: Final = {"http": 80, "https": 443}


class Proxy(Struct, frozen=True):
    """A proxy, and what it wants to see of us: the value of Proxy-Authorization, or nothing.

    `secure` says whether it is reached by TLS.
    """

    host: str
    port: int
    authorization: str = ""
    secure: bool = False

    @classmethod
    def of(cls, url: str) -> Proxy:
        """Return the proxy of a URL, which may have no scheme, and a user and password.

        Raises `SettingsError`, which repeats neither.
        """
        text = url.strip()
        text = text if _SCHEME.match(text) else f"http://{text}"
        try:
            parts = urlsplit(text)
            host, port = ascii_host(parts.hostname or ""), parts.port
        except ValueError:
            raise SettingsError("the proxy's address is not a URL") from None
        if parts.scheme not in _PORTS:
            raise SettingsError(
                f"a proxy that is reached by {parts.scheme}:// is not supported: it must be one for "
                "HTTP, such as http://proxy.example:3128"
            )
        if port == 0 or not host or not host.isprintable() or " " in host:
            raise SettingsError(
                "the proxy's address has no host, or port 0: http://proxy.example:3128"
            )
        return cls(
            host,
            port or _PORTS[parts.scheme],
            _credentials(parts.username, parts.password),
            secure=parts.scheme == "https",
        )

    @property
    def secrets(self) -> list[str]:
        """What nobody may see: the password, or the user if that is all there is, and what goes out."""
        coded = self.authorization.partition(" ")[2]
        user, _, password = base64.b64decode(coded).decode().partition(":")
        return [coded, password or user] if coded else []

    def __str__(self) -> str:
        return authority(self.host, self.port)

    def __repr__(self) -> str:
        return f"Proxy({str(self)!r})"


def proxy_for(url: str, variables: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy for a URL, as environment variables say it; None for no proxy.

    `variables` may have `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, by these names. The last
    one lists the hosts that need no proxy, and is read as curl, Go and Python's libraries read it: `*` is
    every host; `example.com`, `.example.com` and `*.example.com` are this host and all below it; an
    address may be a network (`10.0.0.0/8`); a port or a scheme restricts an entry to it.
    """
    parts = urlsplit(url)
    proxy = variables.get(f"{parts.scheme}_proxy") or variables.get("all_proxy") or ""
    if not proxy.strip():
        return None
    host = ascii_host(parts.hostname or "").rstrip(".").lower()
    port = parts.port or _PORTS.get(parts.scheme, 0)
    for entry in re.split(r"[\s,]+", variables.get("no_proxy", "")):
        if entry and _covers(entry.lower(), parts.scheme, host, port):
            return None
    return proxy.strip()


def _covers(entry: str, scheme: str, host: str, port: int) -> bool:
    """Return whether an entry of `no_proxy` is about a server."""
    if "://" in entry:
        wanted, _, entry = entry.partition("://")
        if wanted not in {scheme, "all"}:
            return False
    name, number = _split_port(entry)
    if number and int(number) != port:
        return False
    if (network := _network(name)) is not None:
        address = _network(host)
        return (
            address is not None
            and address.version == network.version
            and address.network_address in network
        )
    if name == "*":
        return True
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _split_port(entry: str) -> tuple[str, str]:
    """Return the name or address of an entry, and its port, which may be empty."""
    if entry.startswith("["):
        name, _, number = entry[1:].partition("]")
        number = number.removeprefix(":")
    elif entry.count(":") == 1:
        name, _, number = entry.partition(":")
    else:
        name, number = entry, ""
    return (name, number) if number.isdecimal() and number.isascii() else (name, "")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Return the network, or the single address, that a text is; None for a name."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _credentials(user: str | None, password: str | None) -> str:
    """Return the value of Proxy-Authorization (RFC 7617); empty for no user."""
    if user is None:
        return ""
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
