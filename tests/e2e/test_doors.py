"""Every door: who closes it stops the provider, a stop is told in its words, and no cut is a success."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from support.client import show, stop
from support.service import Service
from support.telling import TELLING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

    from stream_serve.testing import Record, ScriptedUpstream

Json = dict[str, Any]

pytestmark = pytest.mark.both_loops

TURN = [{"role": "user", "content": "hi"}]
DOORS: dict[str, tuple[str, str, Json]] = {
    "chat": ("/v1/chat/completions", "chat-completions", {"messages": TURN, "stream": True}),
    "completions": ("/v1/completions", "completions", {"prompt": "hi", "stream": True}),
    "responses": ("/v1/responses", "responses", {"input": "hi", "stream": True, "store": False}),
    "ai-sdk": (
        "/api/chat",
        "ai-sdk",
        {
            "id": "chat/1",
            "messages": [{"id": "1", "role": "user", "parts": [{"type": "text", "text": "hi"}]}],
            "trigger": "submit-message",
        },
    ),
    "ag-ui": (
        "/ag-ui",
        "ag-ui",
        {"threadId": "t", "runId": "r", "messages": [{"id": "1", **TURN[0]}], "tools": []},
    ),
}
WHOLE = {
    "chat": ("/v1/chat/completions", {"messages": TURN}),
    "completions": ("/v1/completions", {"prompt": "hi"}),
    "responses": ("/v1/responses", {"input": "hi", "store": False}),
}
PHASES = {
    "while the provider is silent": "silent",
    "after the provider's headers": "silent-after-headers",
    "in the middle of the answer": "hang-mid",
    "in the middle of a flow": "forever?interval=0.001",
}
CUTS = ("close-mid", "reset-mid", "done-without-finish", "error-mid", "half-event", "tool-call-cut")


def asked(door: str, model: str) -> Json:
    body = DOORS[door][2]
    if door == "ag-ui":
        return {**body, "forwardedProps": {"model": model}}
    return {**body, "model": model}


def gone(record: Record) -> bool:
    return record.closed_by == "peer"


@asynccontextmanager
async def opened(
    client: aiohttp.ClientSession, service: Service, door: str, model: str
) -> AsyncGenerator[aiohttp.ClientResponse]:
    url = service.url + DOORS[door][0]
    async with client.post(url, json=asked(door, model)) as response:
        assert response.status == 200, await response.text()
        yield response


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("door", DOORS)
async def test_a_client_that_closes_a_door_closes_the_providers_connection(
    service: Service,
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    door: str,
    phase: str,
) -> None:
    async with opened(client, service, door, PHASES[phase]) as response:
        run_id = response.headers["X-Run-Id"]
        await upstream.wait_for()
        response.close()
        await upstream.wait_for(gone)
    await upstream.until(lambda: upstream.open_connections == 0)
    state = await show(client, service.url, run_id)
    assert (state["state"], state["upstreamClosed"]) == ("stopped", True)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("door", WHOLE)
async def test_a_client_that_does_not_wait_for_a_whole_answer_closes_it_too(
    service: Service,
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    door: str,
    phase: str,
) -> None:
    path, body = WHOLE[door]
    asking = asyncio.create_task(
        client.post(service.url + path, json={**body, "model": PHASES[phase]})
    )
    await upstream.wait_for()
    asking.cancel()
    await upstream.wait_for(gone)
    await upstream.until(lambda: upstream.open_connections == 0)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("door", DOORS)
async def test_a_stop_from_elsewhere_has_a_true_receipt_and_one_end(
    service: Service,
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    door: str,
    phase: str,
) -> None:
    async with opened(client, service, door, PHASES[phase]) as response:
        await upstream.wait_for()
        receipt = await stop(client, service.url, response.headers["X-Run-Id"])
        await upstream.wait_for(gone)
        body = await response.read()
    assert (receipt["outcome"], receipt["upstreamClosed"]) == ("stopped", True)
    assert TELLING[DOORS[door][1]](body).ends == 1


SAID_STOPPED = {
    "chat": b'"native_finish_reason":"stopped"',
    "completions": b'"native_finish_reason":"stopped"',
    "responses": b'"status":"cancelled"',
    "ai-sdk": b'"type":"abort"',
    "ag-ui": b'"type":"cancelled"',
}


@pytest.mark.parametrize("door", DOORS)
async def test_each_door_says_in_its_words_that_a_run_was_stopped(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, door: str
) -> None:
    async with opened(client, service, door, "hang-mid") as response:
        await upstream.wait_for()
        await stop(client, service.url, response.headers["X-Run-Id"])
        body = await response.read()
    assert SAID_STOPPED[door] in body


SAID_FAILED = {
    "chat": b'{"error":{"message":',
    "completions": b'{"error":{"message":',
    "responses": b'"type":"response.failed"',
    "ai-sdk": b'"type":"error"',
    "ag-ui": b'"type":"RUN_ERROR"',
}


@pytest.mark.parametrize("fault", CUTS)
@pytest.mark.parametrize("door", DOORS)
async def test_no_cut_or_failure_is_a_success_at_any_door(
    service: Service,
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    door: str,
    fault: str,
) -> None:
    async with opened(client, service, door, fault) as response:
        body = await response.read()
    assert SAID_FAILED[door] in body
    assert TELLING[DOORS[door][1]](body).ends == 1


@pytest.mark.parametrize("fault", CUTS)
@pytest.mark.parametrize("door", WHOLE)
async def test_a_whole_answer_that_was_cut_is_an_error(
    service: Service,
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    door: str,
    fault: str,
) -> None:
    path, body = WHOLE[door]
    async with client.post(service.url + path, json={**body, "model": fault}) as response:
        answer = await response.json()
    assert response.status >= 400
    assert answer["error"]["message"]
    assert response.headers["x-should-retry"] in {"true", "false"}
    assert response.headers["X-Run-Id"]


@pytest.mark.parametrize("door", DOORS)
async def test_the_same_key_twice_is_one_run_in_every_door(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, door: str
) -> None:
    path, dialect, _ = DOORS[door]
    headers = {"Idempotency-Key": "a-key-of-the-callers-own"}
    if door == "ag-ui":
        headers = {}  # its own runId is the key
    bodies: list[bytes] = []
    for _ in range(2):
        url = service.url + path
        async with client.post(url, json=asked(door, "answer"), headers=headers) as response:
            assert response.status == 200
            bodies.append(await response.read())
    assert TELLING[dialect](bodies[0]).text == TELLING[dialect](bodies[1]).text != ""
    assert len(upstream.requests) == 1


KEPT: dict[str, tuple[str, Json]] = {
    "responses": ("input", {"instructions": "x" * 5000}),
    "ag-ui": ("messages", {"messages": [{"id": "1", "role": "user", "content": "x" * 5000}]}),
}


@pytest.mark.parametrize("door", KEPT)
async def test_what_a_run_keeps_of_its_question_counts_among_its_own_bytes(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, door: str
) -> None:
    field, more = KEPT[door]
    body = {**asked(door, "answer"), **more}
    async with Service(upstream_url=upstream.url, max_run_bytes=16_000) as service:
        async with client.post(service.url + DOORS[door][0], json=body) as response:
            assert response.status >= 400
            text = await response.text()
        assert field in text
        assert "STREAM_SERVE_MAX_RUN_BYTES" in text
        async with opened(client, service, door, "answer") as response:
            assert TELLING[DOORS[door][1]](await response.read()).ends == 1
    assert len(upstream.requests) == 1
