"""The gate in front of every route: host, origin, key. It looks at the head of a request only.

How it works: a plain ASGI middleware that decides on the request's headers, before any body is read,
and then gets out of the way: it never wraps `receive` or `send`. What the routes need from it is in
the request's state: whose request it is, and the CORS headers of the answer.

- Without keys, the Host header must name this service (a page of another site whose name was rebound
  to this address would otherwise talk to it as its own): 421.
- With keys, everything below `/ai/` wants `Authorization: Bearer`: 401.
- The article's endpoint answers pages of every origin; the other endpoints only pages of their own
  origin. `STREAM_SERVE_CORS_ORIGINS` replaces both: 403 for everyone else.
- A key in the URL is refused, since URLs end up in logs: 400.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response

from stream_serve.errors import (
    BadRequest,
    ForeignHost,
    ForeignOrigin,
    RequestError,
    Unauthorized,
)
from stream_serve.settings import Settings, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import HTTPConnection
    from starlette.types import ASGIApp, Receive, Scope, Send

API: Final = "/ai/"
CHAT: Final = "/ai/chat/"
PUBLIC: Final = frozenset({"/ai/info"})
_KEY_NAMES: Final = frozenset(
    {"key", "api_key", "apikey", "api-key", "access_token", "token", "authorization"}
)
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Last-Event-ID",
    "Access-Control-Max-Age": "600",
}


def owner_of(connection: HTTPConnection) -> str | None:
    """Give the owner that the gate found: a digest of the key, None where no keys are set."""
    return cast("str | None", connection.state.owner)


def cors_headers(scope: Scope) -> dict[str, str]:
    """Give the CORS headers that the answer to this request should have."""
    return cast("dict[str, str]", scope.get("state", {}).get("cors", {}))


class Gate:
    """Lets a request through to `app`, or answers it with `refuse(error)`."""

    def __init__(
        self, app: ASGIApp, *, settings: Settings, refuse: Callable[[RequestError], Response]
    ) -> None:
        self._app = app
        self._refuse = refuse
        keys = [key.get_secret_value() for key in settings.api_keys]
        self._keys = [key.encode() for key in keys]
        self._digests = [_digest(key.encode()) for key in keys]
        self._origins = settings.cors_origins
        self._hosts = {"localhost", "127.0.0.1", "[::1]", _bracketed(settings.host)}
        self._hosts |= {host.lower() for host in settings.allowed_hosts}
        self._any_address = not is_loopback(settings.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide, and pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state: dict[str, object] = scope.setdefault("state", {})
        state["owner"] = None
        state["cors"] = {}
        headers = Headers(scope=scope)
        try:
            self._check_host(headers)
            self._check_url(scope)
            if scope["path"].startswith(API):
                state["cors"] = self._check_origin(scope["path"], headers)
                if _is_preflight(scope, headers):
                    response = Response(
                        status_code=204, headers={**cors_headers(scope), **_PREFLIGHT}
                    )
                    await response(scope, receive, send)
                    return
                if self._digests and scope["path"] not in PUBLIC:
                    state["owner"] = self._check_key(headers)
        except RequestError as error:
            response = self._refuse(error)
            response.headers.update(cors_headers(scope))
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        if self._digests or "*" in self._hosts:
            return
        host = _without_port(headers.get("host", "")).lower()
        if host in self._hosts or (self._any_address and _is_address(host)):
            return
        parent = host.partition(".")[2]
        if parent and f"*.{parent}" in self._hosts:
            return
        raise ForeignHost(
            "the Host header does not name this service: use localhost, or add the name to "
            "STREAM_SERVE_ALLOWED_HOSTS"
        )

    def _check_url(self, scope: Scope) -> None:
        query: bytes = scope["query_string"]
        if not query:
            return
        names = {
            name.lower() for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        }
        plain = unquote_to_bytes(query)
        if names & _KEY_NAMES or any(key in plain for key in self._keys):
            raise BadRequest(
                "a key in the URL ends up in logs and histories: send it as the header "
                "'Authorization: Bearer', and if it was a real one, replace it"
            )

    def _check_origin(self, path: str, headers: Headers) -> dict[str, str]:
        """Give the CORS headers for the request's origin. Raises `ForeignOrigin`."""
        allowed = self._origins
        if allowed is None:
            allowed = ("*",) if path.startswith(CHAT) else ()
        exposed = {"Access-Control-Expose-Headers": "X-Run-Id, Retry-After"}
        if "*" in allowed:
            return {"Access-Control-Allow-Origin": "*", **exposed}
        origin = headers.get("origin")
        if origin is None:
            return {}
        if origin in allowed:
            return {"Access-Control-Allow-Origin": origin, "Vary": "Origin", **exposed}
        if urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != "":
            return {}
        raise ForeignOrigin(
            "pages of this origin may not call this endpoint: add the origin to "
            "STREAM_SERVE_CORS_ORIGINS"
        )

    def _check_key(self, headers: Headers) -> str:
        """Give the owner that the key stands for. Raises `Unauthorized`."""
        scheme, _, credential = headers.get("authorization", "").partition(" ")
        given = _digest(credential.strip().encode("latin-1"))
        found = False
        for digest in self._digests:
            found |= hmac.compare_digest(given, digest)
        if not found or scheme.lower() != "bearer":
            what = (
                "the API key is not one of this service's" if credential else "there is no API key"
            )
            raise Unauthorized(
                f"{what}: send one of the keys of STREAM_SERVE_API_KEYS as "
                "'Authorization: Bearer <key>'",
                headers=(("WWW-Authenticate", "Bearer"),),
            )
        return given.hex()


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _is_preflight(scope: Scope, headers: Headers) -> bool:
    return scope["method"] == "OPTIONS" and "access-control-request-method" in headers


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host.lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
