"""Access to the routes: a policy for each endpoint, and the middleware that enforces it.

How it works: the decorator `guarded` attaches a `Policy` to an endpoint. `Access` decides. It finds the
route of a request with the routes' own `matches`, as the router does afterwards, so that both see the
same path, also below a root path or in a `Mount`. It decides from the head of the request, before any
body is read. It rejects a path without a route, and a route without a policy. It stores the request's
owner and the CORS headers in the request's state. `Guard` is the plain ASGI middleware that does what it
says, and never wraps `receive` or `send`.

- Without API keys, the Host header must name this service; otherwise 421. That protects from DNS
  rebinding, where a page of another site reaches this address under its own name.
- With API keys, an endpoint whose policy requires one needs `Authorization: Bearer` (RFC 6750, 2.1);
  otherwise 401.
- Inside of an application that identifies its callers, it says whose the request is (`OWNER`); a request
  of nobody gets 401.
- Pages of other origins may call the endpoints that the policy and `STREAM_SERVE_CORS_ORIGINS` allow;
  otherwise 403. The CORS headers follow the WHATWG Fetch standard, section "CORS protocol".
- A key in the URL is rejected with 400, because URLs are logged.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeVar, cast
from urllib.parse import parse_qsl, unquote_to_bytes

import structlog
from msgspec import Struct, structs
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from stream_serve.errors import BadRequest, ForeignHost, ForeignOrigin, RequestError, Unauthorized
from stream_serve.runs import names
from stream_serve.settings import Settings, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import HTTPConnection
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    Fields = Mapping[str, str]

_KEY_NAMES: Final = frozenset(
    {"key", "api_key", "apikey", "api-key", "access_token", "token", "authorization"}
)
_PREFLIGHT: Final = {"Access-Control-Max-Age": "600"}
_SDK: Final = re.compile(r"x-stainless-[a-z-]{1,40}")
"""Headers that OpenAI's clients in a page send of themselves; nothing here reads them."""

_MAX_ASKED: Final = 40
_WEB: Final = frozenset({"http", "https"})
_ORIGIN: Final = re.compile(r"https?://(?P<host>\[[0-9a-f:]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?")
_ANY: Final = "*"
OWNER: Final = "stream_serve.owner"
"""Where an application that knows its callers says in a request's scope whose request it is."""

_POLICY: Final = "__policy__"
_log = structlog.stdlib.get_logger("stream_serve.web")

Endpoint = TypeVar("Endpoint")


class Origins(Enum):
    """The origins whose pages may call an endpoint.

    - `UNCHECKED`: the endpoint is public, and its responses have no CORS headers.
    - `OWN`: the service's own pages, and the origins in `STREAM_SERVE_CORS_ORIGINS`.
    - `ASKING`: like `OWN`. With API keys and without that setting also every origin, because the key
      protects the endpoint; without API keys also pages that this machine serves on any port, such as a
      front end under development.
    """

    UNCHECKED = "unchecked"
    OWN = "own"
    ASKING = "asking"


class Shared(Struct, frozen=True):
    """What a page of another origin may use: methods, headers that it sends, and those that it reads."""

    methods: str = "GET, POST, PATCH, DELETE"
    sent: tuple[str, ...] = ("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID")
    read: str = "X-Run-Id, X-Heartbeat-Interval, X-Ignored-Fields, Retry-After, X-Request-Id"

    @property
    def exposed(self) -> dict[str, str]:
        """The header that lets it read them."""
        return {"Access-Control-Expose-Headers": self.read}


class Policy(Struct, frozen=True):
    """The rules for the callers of an endpoint: whether they need an API key, and their origins.

    A key is needed only if keys are set at all. `shared` is what pages of those origins may use.
    `direct`: see `guarded`.
    """

    key: bool
    origins: Origins
    shared: Shared = Shared()
    direct: bool = False


PAGE: Final = Policy(key=False, origins=Origins.UNCHECKED)
INFO: Final = Policy(key=False, origins=Origins.OWN)
API: Final = Policy(key=True, origins=Origins.OWN)
ASK: Final = Policy(key=True, origins=Origins.ASKING)
STREAM: Final = Policy(
    key=True,
    origins=Origins.OWN,
    shared=Shared(
        methods="GET, HEAD, PUT, POST, DELETE",
        sent=(
            *("Authorization", "Content-Type", "If-None-Match"),
            *("Stream-TTL", "Stream-Expires-At", "Stream-Closed", "Stream-Seq", "Stream-Lease"),
            *("Stream-Forked-From", "Stream-Fork-Offset", "Stream-Fork-Sub-Offset"),
            *("Producer-Id", "Producer-Epoch", "Producer-Seq", "Stream-Stop-Acknowledged"),
        ),
        read=(
            "Location, ETag, Retry-After, Stream-Next-Offset, Stream-Cursor, Stream-Up-To-Date, "
            "Stream-Closed, Stream-TTL, Stream-Expires-At, Stream-SSE-Data-Encoding, Stream-Lost, "
            "Stream-Stop-Requested, Producer-Epoch, Producer-Seq, Producer-Expected-Seq, "
            "Producer-Received-Seq"
        ),
    ),
)


def guarded(policy: Policy, *, direct: bool = False) -> Callable[[Endpoint], Endpoint]:
    """Return a decorator that attaches `policy` to an endpoint (a function or a mounted application).

    `direct`: the endpoint is an ASGI application, and responds to all errors that it knows. The guard
    calls it itself, which saves what the framework does for each request.
    """
    attached = structs.replace(policy, direct=direct)

    def attach(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _POLICY, attached)
        return endpoint

    return attach


def policy_of(route: BaseRoute) -> Policy | None:
    """Return the policy of a route or of the application mounted there; None if it has none."""
    return policy_at(getattr(route, "endpoint", None) or getattr(route, "app", None))


def policy_at(endpoint: object) -> Policy | None:
    """Return the policy of an endpoint; None if it has none."""
    found = getattr(endpoint, _POLICY, None)
    return found if isinstance(found, Policy) else None


def owner_of(connection: HTTPConnection) -> str | None:
    """Return the owner of a request: a digest of its API key, or whom the surrounding application says.

    None if nobody had to be known.
    """
    owner: str | None = connection.scope["state"]["owner"]
    return owner


def fields_of(scope: Scope) -> Fields:
    """Return the headers of a request by their names; the first one of each name counts."""
    state = scope.setdefault("state", {})
    found: Fields | None = state.get("fields")
    if found is None:
        given: list[tuple[bytes, bytes]] = scope["headers"]
        found = {one.decode("latin-1"): said.decode("latin-1") for one, said in reversed(given)}
        state["fields"] = found
    return found


def cors_headers(scope: Scope) -> dict[str, str]:
    """Return the CORS headers for the response to this request."""
    return cast("dict[str, str]", scope.get("state", {}).get("cors", {}))


def check_origin_trusted(connection: HTTPConnection) -> None:
    """Check that the request comes from a trusted origin, for options that only those may use.

    Trusted are the service's own pages, the origins in `STREAM_SERVE_CORS_ORIGINS`, and requests without
    an Origin header. Raises `ForeignOrigin`.
    """
    if connection.state.foreign:
        raise ForeignOrigin(
            "pages of this origin may ask, but neither use conversations nor leave a run behind "
            "(onDisconnect: continue): add the origin to STREAM_SERVE_CORS_ORIGINS"
        )


class Access:
    """The rules for the callers of all routes.

    `routes` is the application's own list of routes, to which more may be added later. `identified`:
    the surrounding application says whose a request is, and no key is asked for.
    """

    def __init__(
        self, settings: Settings, routes: Sequence[BaseRoute], *, identified: bool = False
    ) -> None:
        self._routes = routes
        self._identified = identified
        keys = [] if identified else [key.get_secret_value() for key in settings.api_keys]
        self._keys = [key.encode() for key in keys]
        self._digests = [_digest(key.encode()) for key in keys]
        self._origins = settings.cors_origins or ()
        self._hosts = {"localhost", "127.0.0.1", "[::1]", _bracketed(settings.host)}
        self._hosts |= {host.lower() for host in settings.allowed_hosts}
        self._any_address = not is_loopback(settings.host)
        self._anonymous = not (keys or identified)

    def check(self, scope: Scope, policy: Policy | None = None) -> ASGIApp | None:
        """Return what responds to a request that may pass: an endpoint, or None for the application.

        A preflight gets its response. `policy` is that of the request's route, where it is known. Raises
        `RequestError`, `HTTPException`; the state has the CORS headers all the same.
        """
        # Its own: a server may give the same state to all requests of a connection.
        state: dict[str, object] = {**scope.get("state", {})}
        state |= {"owner": None, "cors": {}, "foreign": False, "fields": None}
        scope["state"] = state
        headers = fields_of(scope)
        self._check_host(headers)
        self._check_url(scope)
        preflight = _is_preflight(scope, headers)
        endpoint: ASGIApp | None = None
        if policy is None:
            method = headers["access-control-request-method"] if preflight else None
            policy, endpoint = self._route(scope, method)
        if policy.origins is not Origins.UNCHECKED:
            state["cors"] = self._check_origin(policy, scope, headers)
            if preflight:
                allowed = _preflight(scope, headers, policy.shared)
                return Response(status_code=204, headers=allowed)
        if policy.key and self._identified:
            state["owner"] = _check_identity(scope)
        elif policy.key and self._digests:
            state["owner"] = self._check_key(headers)
        return endpoint

    def _route(self, scope: Scope, method: str | None) -> tuple[Policy, ASGIApp | None]:
        """Return the policy of the route for this request, or for the `method` that a preflight names.

        With it comes the endpoint, if it is to be called directly; its parameters are in the scope then.
        Raises `HTTPException`: 404 for a path without a route, 403 for a route without a policy.
        """
        asked = scope if method is None else {**scope, "method": method}
        partial: BaseRoute | None = None
        for route in self._routes:
            match, found = route.matches(asked)
            if match is Match.FULL:
                break
            if match is Match.PARTIAL and partial is None:
                partial = route
        else:
            if partial is None:
                raise HTTPException(404)
            route, found = partial, None
        policy = policy_of(route)
        if policy is None:
            _log.error(
                "a route has no policy, so it is refused", route=getattr(route, "path", None)
            )
            raise HTTPException(403)
        if found is None or not policy.direct:
            return policy, None
        scope.update(found)
        return policy, cast("ASGIApp", found["endpoint"])

    def _check_host(self, headers: Fields) -> None:
        if not self._anonymous or _ANY in self._hosts:
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

    def _check_origin(self, policy: Policy, scope: Scope, headers: Fields) -> dict[str, str]:
        """Return the CORS headers for the request's origin, and record in its state if it is foreign.

        Raises `ForeignOrigin`.
        """
        asking = policy.origins is Origins.ASKING
        exposed = policy.shared.exposed
        open_to_all = _ANY in self._origins or (
            asking and bool(self._digests) and not self._origins
        )
        origin = headers.get("origin")
        if origin is None:
            # The article sends this header always; without an Origin it does no harm.
            plain = open_to_all or (asking and not self._identified)
            return {"Access-Control-Allow-Origin": _ANY, **exposed} if plain else {}
        if [name for name, _ in scope["headers"]].count(b"origin") > 1:
            raise ForeignOrigin("a request has one Origin header (RFC 6454, 7.3)")
        known = _is_own(origin, headers.get("host", "")) or origin in self._origins
        local = self._anonymous and _is_local(origin)
        scope["state"]["foreign"] = not (known or local)
        if open_to_all:
            return {"Access-Control-Allow-Origin": _ANY, **exposed}
        if known or (asking and local):
            return {"Access-Control-Allow-Origin": origin, "Vary": "Origin", **exposed}
        raise ForeignOrigin(
            "pages of this origin may not call this endpoint: add the origin to "
            "STREAM_SERVE_CORS_ORIGINS"
        )

    def _check_key(self, headers: Fields) -> str:
        """Return the owner that belongs to the API key of the request. Raises `Unauthorized`.

        All keys are compared in constant time.
        """
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
                "'Authorization: Bearer <key>'"
            )
        return given.hex()


class Guard:
    """The middleware that passes a request on to `app`, or responds with `refuse(scope, error)`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        refuse: Callable[[Scope, RequestError | HTTPException], Response],
    ) -> None:
        self._app = app
        self._access = access
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or reject it; WebSockets are closed with 1008 (RFC 6455, 7.4.1)."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._target(scope)(scope, receive, send)

    def _target(self, scope: Scope) -> ASGIApp:
        """Return what responds: the rejection, or whatever the request may pass to."""
        try:
            return self._access.check(scope) or self._app
        except (RequestError, HTTPException) as error:
            response = self._refuse(scope, error)
            response.headers.update(cors_headers(scope))
            return response


def owner_of_key(key: str) -> str:
    """Return the owner that an API key stands for."""
    return _digest(key.encode("latin-1", "replace")).hex()


def _check_identity(scope: Scope) -> str:
    """Return whom the surrounding application says.

    Raises `HTTPException` if it says nobody, and `TypeError` for what can be no owner: that is a defect
    of the application.
    """
    owner = scope.get(OWNER)
    if owner is None or owner == "":
        raise HTTPException(401, "it is not known whose request this is: log in, and try again")
    if not isinstance(owner, str) or not names.is_owner(owner):
        raise TypeError(f"owner: {names.OWNER_RULE}, such as str(user.id); it was {owner!r:.100}")
    return owner


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _is_preflight(scope: Scope, headers: Fields) -> bool:
    return scope["method"] == "OPTIONS" and "access-control-request-method" in headers


def _preflight(scope: Scope, headers: Fields, shared: Shared) -> dict[str, str]:
    """Return the headers of the response to a preflight, which allows what the request may have."""
    asked = headers.get("access-control-request-headers", "").lower().replace(" ", "").split(",")
    sdk = [name for name in asked[:_MAX_ASKED] if _SDK.fullmatch(name)]
    return {
        **cors_headers(scope),
        **_PREFLIGHT,
        "Access-Control-Allow-Methods": shared.methods,
        "Access-Control-Allow-Headers": ", ".join((*shared.sent, *sdk)),
    }


def _is_own(origin: str, host: str) -> bool:
    """Return whether an origin is this service, under the name in the Host header."""
    scheme, _, name = origin.lower().partition("://")
    return scheme in _WEB and name == host.lower() != ""


def _is_local(origin: str) -> bool:
    """Return whether an origin is on this machine, on any port."""
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        return False
    host = found["host"].strip("[]")
    return is_loopback(host) or host.endswith(".localhost")


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
