"""Who may call which route: every route of the application, wherever that is served."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from fastapi import APIRouter
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from stream_serve.app import create_app
from stream_serve.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

KEY = "a-key-of-this-service"
FOREIGN = "https://evil.example"
PUBLIC = {
    *(
        "/",
        "/c/{conversation_id}",
        "/chat-page/{name}",
        "/client.js",
        "/widget.js",
        "/test-stream.html",
        "/test-stream",
        "/streams/{name:path}",
        "/stream-page",
        "/docs",
        "/docs/{name}",
        "/openapi.json",
    ),
    *("/health", "/health/live", "/health/ready", "/ai/info"),
}
"""What wants no key. Every other route does."""


class Place(NamedTuple):
    """A way to serve the application: what the host makes of it, and the request's path and root."""

    wrap: Callable[[ASGIApp], ASGIApp]
    path: str
    root: str


def itself(app: ASGIApp) -> ASGIApp:
    return app


def mounted(app: ASGIApp) -> ASGIApp:
    return Starlette(routes=[Mount("/below", app)])


STREAMS = "/v1/stream/"
"""What is kept is for the pages that the operator names."""

DOORS = ("/ai/chat/", "/v1/", "/api/chat", "/ag-ui")
"""Where a question may be asked from pages that a key lets in."""


def twice_mounted(app: ASGIApp) -> ASGIApp:
    return mounted(mounted(app))


PLACES: dict[str, Place] = {
    "alone": Place(itself, "", ""),
    # uvicorn --root-path puts the root in front of the path.
    "below a root path": Place(itself, "/below", "/below"),
    "in a mount": Place(mounted, "/below", ""),
    "in two mounts": Place(twice_mounted, "/below/below", ""),
}


def application(**settings: Any) -> FastAPI:
    return create_app(Settings.load(**settings))


def endpoints(app: FastAPI) -> list[tuple[str, str]]:
    """Return every method and path that the application has a route for."""
    found: list[tuple[str, str]] = []
    for route in app.router.routes:
        methods: set[str] = getattr(route, "methods", None) or {"GET"}
        found += [(method, getattr(route, "path", "")) for method in sorted(methods)]
    return found


def filled(path: str) -> str:
    path = re.sub(r"\{\w+(:\w+)?\}", "abcdefghijklmnop", path)
    assert "{" not in path
    return path


async def status(
    app: ASGIApp, method: str, path: str, root: str = "", **headers: str
) -> tuple[int, dict[str, str]]:
    """Ask the application as a server would; return the status and the headers of the response.

    Behind the endpoints is nothing: one that is reached responds with a problem, or fails.
    """
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    named = {"host": "localhost", **{n.replace("_", "-"): v for n, v in headers.items()}}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": root,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 3000),
        "state": {"runs": object(), "conversations": object(), "chats": object()},
    }
    with suppress(AttributeError, KeyError):  # an endpoint that was reached uses them
        await app(scope, receive, send)
    start = sent[0]
    return start["status"], {n.decode(): v.decode() for n, v in start["headers"]}


async def test_what_others_keep_in_a_state_is_not_taken_for_the_headers_of_a_request() -> None:
    inner = application(api_keys=KEY)
    state = {"runs": object(), "conversations": object(), "chats": object()}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await inner({**scope, "state": state}, receive, send)

    right = await status(app, "GET", "/v1/models", authorization=f"Bearer {KEY}")
    state["fields"] = {"authorization": f"Bearer {KEY}"}
    wrong = await status(app, "GET", "/v1/models", authorization="Bearer wrong")
    assert [code == 401 for code, _ in (right, wrong)] == [False, True]
    assert set(state) == {"runs", "conversations", "chats", "fields"}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
async def test_every_route_but_the_public_ones_wants_a_key(place: Place) -> None:
    inner = application(api_keys=KEY)
    app = place.wrap(inner)
    assert len(endpoints(inner)) > 20
    for method, path in endpoints(inner):
        url = place.path + filled(path)
        codes = [
            (await status(app, method, url, place.root, **headers))[0]
            for headers in (
                {},
                {"authorization": "Bearer wrong"},
                {"authorization": f"Basic {KEY}"},
                {"authorization": f"Bearer {KEY}"},
            )
        ]
        if path in PUBLIC:
            assert 401 not in codes, (method, path)
        else:
            assert codes[:3] == [401, 401, 401], (method, path)
            assert codes[3] != 401, (method, path)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("keys", ["", KEY])
async def test_a_page_of_another_origin_calls_no_route_but_the_one_that_a_key_protects(
    place: Place, keys: str
) -> None:
    inner = application(api_keys=keys)
    app = place.wrap(inner)
    for method, path in endpoints(inner):
        code, headers = await status(
            app,
            method,
            place.path + filled(path),
            place.root,
            origin=FOREIGN,
            authorization=f"Bearer {KEY}",
        )
        if path.startswith(DOORS) and keys and not path.startswith(STREAMS):
            assert code != 403
        elif path.startswith(("/ai/", *DOORS)):
            assert code == 403, (method, path)
        elif path not in {"/client.js", "/widget.js"}:  # scripts, without anybody's data
            assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
async def test_a_foreign_host_is_refused_on_every_route_where_no_keys_are_set(place: Place) -> None:
    inner = application()
    app = place.wrap(inner)
    for method, path in endpoints(inner):
        url = place.path + filled(path)
        code, _ = await status(app, method, url, place.root, host="evil.example")
        assert code == 421, (method, path)


async def endpoint(request: Request) -> PlainTextResponse:
    return PlainTextResponse("open")


def included() -> BaseRoute:
    router = APIRouter()
    router.add_api_route("/new", endpoint)
    app = application()
    app.include_router(router)
    return app.router.routes[-1]


@pytest.mark.parametrize(
    "route",
    [
        pytest.param(lambda: Route("/new", endpoint), id="a route"),
        pytest.param(lambda: Mount("/new", Starlette(routes=[Route("/", endpoint)])), id="a mount"),
        pytest.param(lambda: Mount("/new", StaticFiles(directory="/")), id="files"),
        pytest.param(included, id="a router"),
    ],
)
@pytest.mark.parametrize("keys", ["", KEY])
async def test_a_route_without_a_policy_is_refused(
    route: Callable[[], BaseRoute], keys: str
) -> None:
    app = application(api_keys=keys)
    app.router.routes.append(route())
    for url in ("/new", "/new/"):
        code, _ = await status(app, "GET", url, authorization=f"Bearer {KEY}")
        assert code in {403, 404}


async def test_a_websocket_is_refused() -> None:
    async def talk(websocket: Any) -> None:
        await websocket.accept()

    app = application()
    app.router.routes.append(WebSocketRoute("/talk", talk))
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "websocket",
        "path": "/talk",
        "root_path": "",
        "headers": [],
        "state": {},
    }
    await app(scope, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


CHAT = "/ai/chat/stream-sse"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost", True),
        ("http://localhost:5173", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("https://app.localhost:8443", True),
        (FOREIGN, False),
        ("null", False),
        ("http://localhost.evil.example", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://localhost@evil.example", False),
        ("file://", False),
        ("http://[", False),
        ("http://[::1", False),
        ("http://localhost/", False),
        ("http://localhost:1e3", False),
        ("http://localhost\\@evil.example", False),
        ("http://localhost?evil.example", False),
        ("http://evil.example#.localhost", False),
        ("chrome-extension://localhost", False),
        ("", False),
    ],
)
async def test_without_keys_only_pages_of_this_machine_may_ask(origin: str, allowed: bool) -> None:
    app = application()
    code, headers = await status(app, "POST", CHAT, origin=origin)
    preflight, _ = await status(
        app, "OPTIONS", CHAT, origin=origin, access_control_request_method="POST"
    )
    if allowed:
        assert (code == 403, preflight) == (False, 204)
        assert headers["access-control-allow-origin"] == origin
        assert headers["vary"] == "Origin"
    else:
        assert (code, preflight) == (403, 403)
        assert "access-control-allow-origin" not in headers


async def test_who_asks_without_an_origin_gets_the_articles_header() -> None:
    for keys in ("", KEY):
        _, headers = await status(application(api_keys=keys), "POST", CHAT)
        assert headers["access-control-allow-origin"] == "*"


async def test_a_named_origin_may_ask_and_this_machines_pages_still_may() -> None:
    app = application(cors_origins="https://app.example")
    for origin, allowed in (
        ("https://app.example", True),
        ("http://localhost:5173", True),
        (FOREIGN, False),
    ):
        code, _ = await status(app, "POST", CHAT, origin=origin)
        assert (code != 403) is allowed, origin


async def test_a_star_in_the_setting_opens_every_endpoint() -> None:
    app = application(cors_origins="*")
    for method, path in endpoints(app):
        if path.startswith("/ai/"):
            code, headers = await status(app, method, filled(path), origin=FOREIGN)
            makes = (method, path) == ("POST", "/ai/conversations")
            assert (code == 403) == makes, (method, path)
            assert headers.get("access-control-allow-origin", "*") == "*"
