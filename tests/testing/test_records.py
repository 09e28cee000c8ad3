"""What the upstream notes about a request, and who can see it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import aiohttp
import pytest

from testing.client import KEY

if TYPE_CHECKING:
    from stream_serve.testing import ScriptedUpstream
    from testing.client import Client

pytestmark = pytest.mark.both_loops


async def test_a_finished_request_is_recorded_whole(client: Client) -> None:
    answer = await client.ask("answer?tokens=2")
    record = client.upstream.requests[0]
    assert (record.id, record.method, record.path) == (1, "POST", "/v1/chat/completions")
    assert (record.model, record.scenario) == ("answer?tokens=2", "answer")
    assert record.body["messages"] == [{"role": "user", "content": "say it"}]
    assert (record.phase, record.closed_by) == ("done", "script")
    assert record.events_sent == 5
    assert record.bytes_sent == len(answer.body)
    assert record.closed_at is not None
    assert record.closed_at >= record.received_at
    assert record.connection_closed_at is None


async def test_the_report_is_camel_case_json(client: Client) -> None:
    await client.ask("answer?tokens=2")
    report = await client.get("/requests")
    assert report["openConnections"] == 1
    (record,) = report["requests"]
    assert record["connectionReused"] is False
    assert record["closedBy"] == "script"
    assert record["eventsSent"] == 5
    assert set(report["connections"][0]) >= {"remotePort", "openedAt", "closedAt", "closedBy"}


async def test_a_credential_is_never_recorded(client: Client) -> None:
    headers = {"X-Api-Key": KEY, "Cookie": KEY, "X-Harmless": "kept"}
    url = f"{client.upstream.url}/models"
    async with client.session.get(url, headers=headers) as response:
        await response.read()
    record = client.upstream.requests[0]
    assert record.authorized
    assert record.headers["Authorization"] == "Bearer ***"
    assert record.headers["X-Harmless"] == "kept"
    assert "canary" not in json.dumps(await client.get("/requests"))


async def test_a_request_without_a_credential_is_not_authorized(upstream: ScriptedUpstream) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{upstream.url}/models") as response:
            await response.read()
        async with session.get(
            f"{upstream.url}/models", headers={"Authorization": "Bearer "}
        ) as response:
            await response.read()
    assert [record.authorized for record in upstream.requests] == [False, False]


async def test_a_body_that_is_no_json_is_kept_raw(client: Client) -> None:
    url = f"{client.upstream.url}/chat/completions"
    async with client.session.post(url, data=b"\xffnope") as response:
        await response.read()
    record = client.upstream.requests[0]
    assert record.body is None
    assert record.raw_body == "\ufffdnope"


async def test_a_second_request_on_a_connection_is_told_apart(client: Client) -> None:
    await client.ask("answer?tokens=1")
    await client.ask("answer?tokens=1")
    first, second = client.upstream.requests
    assert (first.connection_reused, second.connection_reused) == (False, True)
    assert first.remote_port == second.remote_port
    assert client.upstream.connections[0].requests == 2


async def test_looking_at_the_records_leaves_no_trace_in_them(client: Client) -> None:
    before = await client.get("/requests")
    assert before == {"openConnections": 0, "requests": [], "connections": []}
    await client.ask("answer?tokens=1")
    after = await client.get("/requests")
    assert len(after["requests"]) == 1
    assert after["openConnections"] == 1


async def test_clearing_forgets_what_is_finished_and_keeps_what_is_open(client: Client) -> None:
    await client.ask("answer?tokens=1")
    async with client.post("hang-mid"):
        async with client.session.delete(f"{client.upstream.origin}/requests") as response:
            assert await response.json() == {"cleared": 1}
        assert [record.scenario for record in client.upstream.requests] == ["hang-mid"]


async def test_waiting_for_a_record_times_out_in_time(upstream: ScriptedUpstream) -> None:
    with pytest.raises(TimeoutError):
        await upstream.wait_for(timeout=0.01)


async def test_a_condition_that_raises_tells_the_one_who_waits(client: Client) -> None:
    waiting = asyncio.create_task(client.upstream.until(lambda: not client.upstream.requests[0]))
    with pytest.raises(IndexError):
        await waiting

    def fail_later() -> bool:
        return bool(client.upstream.requests) and bool(1 / 0)

    waiting = asyncio.create_task(client.upstream.until(fail_later))
    await asyncio.sleep(0)
    await client.ask("answer?tokens=1")
    with pytest.raises(ZeroDivisionError):
        await waiting
