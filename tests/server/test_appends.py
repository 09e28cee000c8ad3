"""Appends without a task: whatever is asked, the answer is that of the application."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, closing
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_serve.app import create_app
from stream_serve.settings import Settings
from stream_serve.streams.decisions import Appended
from stream_serve.streams.errors import StreamsUnavailable
from stream_serve.web import hot
from stream_serve.web.hot import Hot
from stream_serve.web.streams import appends
from support.appends import (
    APPEND,
    CLOSED,
    MADE,
    READS,
    Client,
    Held,
    Request,
    asked,
    exchanged,
    pipelined,
    watched,
)
from support.properties import steady
from support.service import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


KEY: Final = "the-first-key"
MOST: Final = 300

NAMES: Final = st.sampled_from(
    [
        *(
            "text",
            "text",
            "text",
            "json",
            "json",
            "none",
            "t%65xt",
            "te xt",
            "text?a=b",
            "text?key=1",
        ),
        *(
            "none/stop",
            "none/control",
            "runs/none",
            "a/../b",
            "",
            "a//b",
            "%00",
            "text/",
            "é",
            "text#a",
        ),
    ]
)
HEADERS: Final = st.lists(
    st.sampled_from(
        [
            *("Content-Type: text/plain", "Content-Type: application/json; a=b", "content-type: x"),
            *("Stream-Closed: true", "Stream-Closed: 1", "Stream-Seq: a", "Stream-Seq: b"),
            *("Producer-Id: p", "Producer-Epoch: 0", "Producer-Epoch: 1", "Producer-Epoch: x"),
            *("Producer-Seq: 0", "Producer-Seq: 1", "Producer-Seq: 3", "Stream-Lease: 9000"),
            *("Stream-Lease: 0", "Stream-Stop-Acknowledged: true", "Content-Encoding: gzip"),
            *("Origin: http://evil.example", "Origin: http://localhost:1", "Connection: close"),
            *("Authorization: Bearer wrong", "Host: evil.example", "Expect: 100-continue"),
            *("X-Long: " + "x" * 100, "Accept: */*", "Connection: keep-alive", "Upgrade: h2c"),
        ]
    ),
    max_size=4,
)
PRODUCER: Final = st.tuples(st.integers(0, 1), st.integers(0, 3)).map(
    lambda said: ["Producer-Id: p", f"Producer-Epoch: {said[0]}", f"Producer-Seq: {said[1]}"]
)
BODIES: Final = st.sampled_from(
    [
        b"",
        b"x",
        b"hello",
        b'{"a": 1}',
        b"[1, 2]",
        b"[]",
        b"{",
        b"\xff",
        b"." * MOST,
        b"." * (MOST + 1),
    ]
)


def plainly(kind: str) -> st.SearchStrategy[list[str]]:
    """Headers of an append that may well be taken."""
    return (st.just(list[str]()) | PRODUCER).map(lambda more: [f"Content-Type: {kind}", *more])


APPENDS: Final = st.builds(
    Request,
    st.just("POST"),
    st.sampled_from(["text", "json"]),
    plainly("text/plain") | plainly("application/json"),
    BODIES,
    st.just("whole"),
)
ANY: Final = st.builds(
    Request,
    st.sampled_from(["POST"] * 8 + ["GET", "PUT", "DELETE", "PATCH"]),
    NAMES,
    HEADERS | plainly("text/plain") | plainly("application/json"),
    BODIES,
    st.sampled_from(["whole", "whole", "split", "late body", "chunked", "unsaid"]),
)
REQUESTS: Final = st.lists(APPENDS | ANY, min_size=1, max_size=8)


SETTINGS: Final = {
    "open": {},
    "keys": {"api_keys": KEY},
    "pages": {"cors_origins": "*", "allow_anonymous": True},
}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each request that was parsed and offered was taken."""
    return watched(monkeypatch, "submit")


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_an_append_has_the_same_response_in_both_ways(
    kind: str, settings: str, tmp_path: Path, taken: list[bool], again: list[bool]
) -> None:
    async with AsyncExitStack() as stack:
        urls: list[str] = []
        for direct in (True, False):
            place = "memory" if kind == "memory" else str(tmp_path / f"{direct}.db")
            more = {"streams_url": place, "max_append_bytes": MOST, **SETTINGS[settings]}
            service = await stack.enter_async_context(Service(direct=direct, **more))
            urls.append(service.url)
        await asyncio.to_thread(compare, urls, KEY if settings == "keys" else "")
    assert taken.count(True) > 20
    assert taken.count(False) > 20
    assert True in again


def compare(urls: Sequence[str], key: str) -> None:
    numbers = count()
    clients = [Client(url) for url in urls]

    @steady(1)
    @given(REQUESTS, st.lists(APPENDS, max_size=8))
    @example([APPEND, APPEND], [])
    def same(requests: list[Request], together: list[Request]) -> None:
        prefix = f"{next(numbers)}-"
        answers = [
            [
                *exchanged(one, [*MADE, *requests], prefix, key),
                *pipelined(one, together, prefix, key),
                *exchanged(one, READS, prefix, key),
            ]
            for one in clients
        ]
        assert answers[0] == answers[1]

    try:
        same()
    finally:
        for one in clients:
            one.close()


async def test_an_append_that_fails_is_not_done_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    for error, status in ((StreamsUnavailable("away"), b" 503 "), (ValueError("secret"), b" 500 ")):
        answer = asyncio.create_task(asyncio.to_thread(asked, service.url, [APPEND]))
        (await held.asked.get()).set_exception(error)
        (said,) = await answer
        assert status in said.splitlines()[0]
        assert b"application/problem+json" in said
        assert b"secret" not in said
        assert held.asked.empty()


async def test_what_follows_an_append_waits_for_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    requests = [APPEND, Request("PATCH", "text", [], b"", "unsaid"), APPEND]
    answers = asyncio.create_task(asyncio.to_thread(asked, service.url, requests, pipelined))
    first = await held.asked.get()
    assert held.asked.empty()
    first.set_result(Appended(new=True, tail=5, closed=False, stop=False))
    last = await held.asked.get()
    last.set_result(Appended(new=True, tail=10, closed=True, stop=False))
    said = await answers
    assert [one.split()[1] for one in said] == [b"204", b"405", b"204"]
    assert b"stream-next-offset: 0000000000000010" in said[2]


async def test_what_follows_an_append_in_the_same_data_is_not_taken_for_silence(
    service: Service,
) -> None:
    live = b"GET /v1/stream/text?offset=now&live=sse HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with closing(Client(service.url)) as client:
        await asyncio.to_thread(client.send, APPEND.written("", "") + live)
        assert (await asyncio.to_thread(client.answer)).startswith(b"HTTP/1.1 204")
        (connection,) = service.connections
        await until(lambda: connection.cycle is not None and connection.cycle.response_started)
        assert connection.timeout_keep_alive_task is None


async def test_a_client_that_leaves_harms_nobody(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    client = Client(service.url)
    await asyncio.to_thread(client.send, APPEND.written("", ""))
    done = await held.asked.get()
    await asyncio.to_thread(client.close)
    await until(lambda: not service.connections)
    done.set_result(Appended(new=True, tail=5, closed=False, stop=False))
    monkeypatch.undo()
    (said,) = await asyncio.to_thread(asked, service.url, [APPEND])
    assert said.startswith(b"HTTP/1.1 204")


async def test_a_connection_ends_with_the_append_that_waits(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    answer = asyncio.create_task(asyncio.to_thread(asked, service.url, [APPEND]))
    done = await held.asked.get()
    (connection,) = service.connections
    connection.shutdown()
    done.set_result(Appended(new=True, tail=5, closed=False, stop=False))
    (said,) = await answer
    assert said.startswith(b"HTTP/1.1 204")
    assert CLOSED in said


async def test_an_append_counts_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch)
    most = len(APPEND.body)
    async with Service(
        streams_url="memory", max_append_bytes=most, max_append_bytes_per_key=most
    ) as service:
        first = asyncio.create_task(asyncio.to_thread(asked, service.url, [APPEND]))
        done = await held.asked.get()
        (refused,) = await asyncio.to_thread(asked, service.url, [APPEND])
        assert refused.startswith(b"HTTP/1.1 429")
        assert held.asked.empty()
        done.set_result(Appended(new=True, tail=5, closed=False, stop=False))
        assert (await first)[0].startswith(b"HTTP/1.1 204")
        again = asyncio.create_task(asyncio.to_thread(asked, service.url, [APPEND]))
        (await held.asked.get()).set_result(Appended(new=True, tail=10, closed=False, stop=False))
        assert (await again)[0].startswith(b"HTTP/1.1 204")


async def test_each_key_has_its_own_streams(
    monkeypatch: pytest.MonkeyPatch, taken: list[bool]
) -> None:
    monkeypatch.setattr(appends, "_MAX_CALLERS", 1)
    keys = ["one", "two", "one", "none", "two"]
    async with Service(streams_url="memory", api_keys="one,two") as service:
        with closing(Client(service.url)) as client:
            await asyncio.to_thread(exchanged, client, MADE, "", "one")
            taken.clear()
            said = [await asyncio.to_thread(exchanged, client, [APPEND], "", one) for one in keys]
    assert [one[0].split()[1] for one in said] == [b"204", b"404", b"204", b"401", b"404"]
    assert taken == [True, True, True, False, True]


async def test_an_append_whose_body_never_begins_is_refused_like_any_request() -> None:
    endless = (
        b"POST /v1/stream/text HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;"
    )
    said: list[bytes] = []
    for direct in (True, False):
        async with Service(streams_url="memory", direct=direct) as service:
            with closing(Client(service.url)) as client:
                await asyncio.to_thread(client.send, endless + b"a" * 80_000)
                said.append(await asyncio.to_thread(client.answer))
    assert said[0].startswith(b"HTTP/1.1 431")
    assert said[0] == said[1]


async def test_where_requests_are_traced_appends_are_requests_like_any_other() -> None:
    app = create_app(Settings.load(port=0, streams_url="memory"))
    async with app.router.lifespan_context(app) as state:
        assert isinstance((state or {})[hot.STATE], Hot)
    assert vars(app)["_native_telemetry"].enabled() is False  # FastAPI's own, by no public way
    setattr(app, "_native_telemetry", SimpleNamespace(enabled=lambda: True))  # noqa: B010
    async with app.router.lifespan_context(app) as state:
        assert (state or {})[hot.STATE] is None
