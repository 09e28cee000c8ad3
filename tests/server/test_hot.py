"""The hot doors: whatever is asked there, the response is that of the application."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import socket
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import aiohttp
import httptools
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from starlette.middleware import Middleware

from stream_serve.app import create_app
from stream_serve.producers.openai.chunks import Reading
from stream_serve.producers.openai.thinking import ThinkSplitter
from stream_serve.producers.provider import ChatRequest
from stream_serve.server.cycle import HotCycle
from stream_serve.settings import Settings
from stream_serve.web import hot
from stream_serve.web.hot import Hot, HotDoor
from stream_serve.web.stream import WRITE, EventStream
from support.client import ask, show, stop
from support.properties import steady
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Message, Receive, Scope, Send

    from stream_serve.testing import ScriptedUpstream

KEY: Final = "the-first-key"
PATIENCE: Final = 20.0
MOST: Final = 2_000
LONG: Final = 700_000
NATIVE: Final = "/ai/chat/stream-sse"
COMPLETIONS: Final = "/v1/chat/completions"
CHUNKED: Final = b"transfer-encoding: chunked"

# What no two responses have in common: when they were given, and ids.
ITS_OWN: Final = re.compile(
    rb'(date: |-id: |chatcmpl-|"(?:runId|requestId|request_id)":"|"created(?:At)?":|"endedAt":)[\w :,-]+'
)

FIELDS: Final = st.dictionaries(
    st.sampled_from(
        [
            *("message", "messages", "model", "stream", "stream_options", "temperature", "runId"),
            *("onDisconnect", "conversationId", "maxTokens", "max_tokens", "n", "unknown", "tools"),
        ]
    ),
    st.sampled_from(
        [
            *(
                "hi",
                "",
                None,
                True,
                0.5,
                7,
                [],
                {},
                "answer?size=40",
                "http-500",
                "http-429",
                "new",
            ),
            *([{"role": "user", "content": "hi"}], {"include_usage": True}, "\ud83d"),
        ]
    ),
    max_size=4,
)
ASKED: Final = st.sampled_from(
    [
        {"message": "hi"},
        {"message": "hi", "model": "answer?size=40"},
        {"message": "hi", "model": "http-401"},
        {"messages": [{"role": "user", "content": "hi"}], "stream": True},
        {"messages": [{"role": "user", "content": "hi"}]},
        {"messages": [{"role": "user", "content": "hi"}], "model": "http-500", "stream": True},
    ]
)
BODIES: Final = (
    st.tuples(ASKED, FIELDS).map(lambda both: json.dumps({**both[0], **both[1]}).encode())
    | ASKED.map(lambda asked: json.dumps(asked).encode())
    | st.sampled_from([b"", b"{", b"[]", b"\xff", b"null", b'{"message": "a"}' + b" " * MOST])
)
HEADERS: Final = st.lists(
    st.sampled_from(
        [
            *("Origin: http://evil.example", "Origin: http://localhost:1", "Host: evil.example"),
            *("Authorization: Bearer wrong", "Content-Encoding: gzip", "Accept: */*"),
            *("Idempotency-Key: short", "Expect: 100-continue", "X-Long: " + "x" * 100),
        ]
    ),
    max_size=2,
)
PATHS: Final = st.sampled_from(
    [
        *(NATIVE, NATIVE, COMPLETIONS, COMPLETIONS, "/ai/chat/stream%2Dsse", f"{NATIVE}?key=1"),
        *(f"{NATIVE}/", f"{COMPLETIONS}?a=b", "/ai/chat", "/v1/chat/completionsx"),
    ]
)
METHODS: Final = st.sampled_from(["POST"] * 8 + ["GET", "PUT", "OPTIONS", "HEAD"])
TYPES: Final = st.sampled_from(
    ["application/json"] * 5 + ["text/plain", "application/problem+json"]
)


def written(method: str, path: str, headers: list[str], kind: str, body: bytes, key: str) -> bytes:
    """Return the bytes of a request, after whose response the connection is closed."""
    more = [f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close"]
    if not any(one.startswith("Host") for one in headers):
        more.append("Host: localhost")
    if key and not any(one.startswith("Auth") for one in headers):
        more.append(f"Authorization: Bearer {key}")
    lines = [f"{method} {path} HTTP/1.1", *more, *headers]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


def answer(url: str, data: bytes) -> tuple[bytes, bytes]:
    """Send a request; return the head and the body of its response, without what is its own."""
    parts = urlsplit(url)
    said = b""
    with socket.create_connection((parts.hostname or "", parts.port or 0), PATIENCE) as connection:
        connection.sendall(data)
        while more := connection.recv(65_536):
            said += more
    if said.startswith(b"HTTP/1.1 100"):
        said = said.partition(b"\r\n\r\n")[2]
    head, _, body = said.partition(b"\r\n\r\n")
    if CHUNKED in head:
        body = b"".join(pieces(body))
    return ITS_OWN.sub(rb"\1", head), ITS_OWN.sub(rb"\1", body)


def pieces(body: bytes) -> list[bytes]:
    """Return the chunks of a body, which has its end."""
    found: list[bytes] = []
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            assert body == b"\r\n"
            return found
        found.append(body[:length])
        body = body[length + 2 :]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the requests that went past the application."""
    seen: list[str] = []
    respond = HotDoor.__call__

    async def watched(self: HotDoor, scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["path"])
        await respond(self, scope, receive, send)

    monkeypatch.setattr(HotDoor, "__call__", watched)
    return seen


SETTINGS: Final = {
    "open": {},
    "keys": {"api_keys": KEY},
    "pages": {"cors_origins": "*", "allow_anonymous": True},
}


@pytest.mark.parametrize("settings", SETTINGS)
async def test_a_request_has_the_same_response_in_both_ways(
    settings: str, upstream: ScriptedUpstream, taken: list[str]
) -> None:
    async with AsyncExitStack() as stack:
        urls: list[str] = []
        for direct in (True, False):
            more = {"max_body_bytes": MOST, "coalesce_interval": 0, **SETTINGS[settings]}
            service = Service(direct=direct, upstream_url=upstream.url, **more)
            await stack.enter_async_context(service)
            urls.append(service.url)
        await asyncio.to_thread(compare, urls, KEY if settings == "keys" else "")
    assert {NATIVE, COMPLETIONS} == set(taken)


def compare(urls: list[str], key: str) -> None:
    @steady(1)
    @given(METHODS, PATHS, HEADERS, TYPES, BODIES)
    def same(method: str, path: str, headers: list[str], kind: str, body: bytes) -> None:
        data = written(method, path, headers, kind, body, key)
        hot_way, usual = (answer(url, data) for url in urls)
        event(hot_way[0][9:12].decode())
        assert hot_way == usual

    same()


async def test_where_requests_are_seen_by_others_nothing_goes_past_the_application() -> None:
    app = create_app(Settings.load(port=0))
    async with app.router.lifespan_context(app) as state:
        assert isinstance((state or {})[hot.STATE], Hot)
    app.user_middleware.append(Middleware(SimpleNamespace))  # pyright: ignore[reportArgumentType]
    async with app.router.lifespan_context(app) as state:
        assert (state or {})[hot.STATE] is None


def test_a_header_with_a_line_end_is_not_sent() -> None:
    cycle = object.__new__(HotCycle)
    cycle.default_headers = []
    cycle.keep_alive = True
    with pytest.raises(RuntimeError, match="line end"):
        cycle.start(200, [(b"x-name", b"a\r\nset-cookie: b")])


async def test_a_head_waits_for_a_first_piece_which_may_be_empty_and_nothing_goes_before_it(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[bool, bool]] = []
    stream = EventStream.stream

    async def watch(response: EventStream, scope: Scope, receive: Receive, send: Send) -> None:
        async def look(message: Message) -> None:
            open_writer = scope["extensions"][WRITE]
            before = message["type"] == "http.response.body" and open_writer() is not None
            await send(message)
            opened.append((before, open_writer() is not None))

        await stream(response, scope, receive, look)

    monkeypatch.setattr(EventStream, "stream", watch)
    loop = asyncio.get_running_loop()
    async with Service(upstream_url=upstream.url, heartbeat_interval=3600) as service:
        asked = {"messages": [{"role": "user", "content": "x"}], "model": "silent", "stream": True}
        data = written("POST", COMPLETIONS, [], "application/json", json.dumps(asked).encode(), "")
        parts = urlsplit(service.url)
        with socket.create_connection((parts.hostname or "", parts.port or 0)) as connection:
            connection.setblocking(False)
            await loop.sock_sendall(connection, data)
            said = b""
            while b"\r\n\r\n" not in said:
                said += await loop.sock_recv(connection, 1_000)
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert opened[:2] == [(False, False), (False, True)]


async def test_a_defect_is_told_in_the_same_way_and_logged(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("stream_serve.web.asking.terms.check", fail)
    said: list[tuple[bytes, bytes]] = []
    for direct in (True, False):
        async with Service(direct=direct, upstream_url=upstream.url) as service:
            data = written("POST", NATIVE, [], "application/json", b'{"message": "hi"}', "")
            said.append(await asyncio.to_thread(answer, service.url, data))
    assert said[0][0].startswith(b"HTTP/1.1 500")
    assert said[0] == said[1]
    assert [record.exc_info is not None for record in caplog.records].count(True) == len(said)


@pytest.mark.parametrize(("path", "first"), [(NATIVE, b'"start"'), (COMPLETIONS, b"")])
async def test_a_client_that_goes_after_a_long_question_stops_its_run(
    path: str, first: bytes, upstream: ScriptedUpstream
) -> None:
    loop = asyncio.get_running_loop()
    async with Service(upstream_url=upstream.url) as service:
        parts = urlsplit(service.url)
        asked = [{"role": "user", "content": "x" * LONG}]
        body = json.dumps({"messages": asked, "model": "silent"}).encode()
        whole = written("POST", path, [], "application/json", body, "")
        with socket.create_connection((parts.hostname or "", parts.port or 0)) as connection:
            connection.setblocking(False)
            await loop.sock_sendall(connection, whole)
            await upstream.until(lambda: len(upstream.requests) == 1)
            said = b""
            while first not in said:
                said += await loop.sock_recv(connection, 1_000)
        await upstream.wait_for(lambda record: record.closed_by == "peer")


@pytest.mark.parametrize("path", [NATIVE, COMPLETIONS])
async def test_while_a_stream_goes_on_what_was_asked_is_not_kept(
    path: str, upstream: ScriptedUpstream
) -> None:
    loop = asyncio.get_running_loop()
    before = _of_requests()  # kept, so that nothing new gets one of their ids
    known = {id(one) for one in before}
    async with Service(upstream_url=upstream.url) as service:
        parts = urlsplit(service.url)
        asked = [{"role": "user", "content": "hi"}]
        body = json.dumps({"messages": asked, "model": "hang-mid", "stream": True}).encode()
        whole = written("POST", path, [], "application/json", body, "")
        with socket.create_connection((parts.hostname or "", parts.port or 0)) as connection:
            connection.setblocking(False)
            await loop.sock_sendall(connection, whole)
            said = b""
            while said.count(b"content") < 2:
                said += await loop.sock_recv(connection, 1_000)
            kept = [one for one in _of_requests() if id(one) not in known]
            assert [type(one).__name__ for one in kept] == []
        await upstream.wait_for(lambda record: record.closed_by == "peer")


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Collect no garbage meanwhile: what refers to itself stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("model", ["answer?tokens=3", "hang-mid", "http-500"])
async def test_of_a_run_that_is_over_nothing_that_was_read_is_kept(
    model: str, upstream: ScriptedUpstream
) -> None:
    async with Service(upstream_url=upstream.url) as service, aiohttp.ClientSession() as client:
        async with ask(client, service.url, model=model) as stream:
            if model == "hang-mid":
                await stream.next()
                await stop(client, service.url, stream.run_id)
            await stream.rest()
            state = await show(client, service.url, stream.run_id)
        assert state["upstreamClosed"] is (model != "answer?tokens=3")
        kept = [one for one in gc.get_objects() if isinstance(one, Reading | ThinkSplitter)]
        assert kept == []


def _of_requests() -> list[object]:
    """Return the parsers, scopes, headers and questions of requests that are in memory."""
    return [one for one in gc.get_objects() if _is_of_request(one)]


def _is_of_request(one: object) -> bool:
    if type(one) is dict:
        return "raw_path" in one or {"host", "content-type"} <= one.keys()
    return isinstance(one, httptools.HttpRequestParser | ChatRequest)
