"""`POST /ag-ui`: a run in AG-UI 1.0, over real sockets, from its start to every one of its ends."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.testing import ANSWER, THOUGHT, blackhole
from support.ag_ui import HISTORY, Client, Reading, body, run
from support.client import show, stop
from support.process import serving
from support.service import Service

if TYPE_CHECKING:
    import aiohttp

    from stream_serve.testing import Record, ScriptedUpstream

Json = dict[str, Any]

PHASES = {
    "while the provider is silent": ("silent", "RUN_STARTED"),
    "after the provider's headers": ("silent-after-headers", "RUN_STARTED"),
    "in the middle of the answer": ("hang-mid", "TEXT_MESSAGE_CONTENT"),
    "while only comments come": ("comments-forever", "RUN_STARTED"),
    "in the middle of a flow": ("forever?interval=0.001", "TEXT_MESSAGE_CONTENT"),
    "after the last token": ("hang-end?tokens=3", "TEXT_MESSAGE_CONTENT"),
}


async def refusal(
    session: aiohttp.ClientSession, url: str, sent: Json, **headers: str
) -> tuple[int, str]:
    """Return the status and the words of a refusal."""
    async with session.post(f"{url}/ag-ui", json=sent, headers=headers) as response:
        assert response.headers["Content-Type"].startswith("text/plain")
        return response.status, await response.text()


def gone(record: Record) -> bool:
    return record.closed_by == "peer"


def kinds(client: Client) -> list[str]:
    return [one["type"] for one in client.events]


# A run


async def test_a_run_is_the_answer_with_the_callers_own_ids(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with run(
        client, service.url, run="运行 1", model="thinking", parentRunId="r0"
    ) as reading:
        found = await reading.rest()
    assert found.events[0] == {
        "type": "RUN_STARTED",
        "threadId": "t/1",
        "runId": "运行 1",
        "protocolVersion": "1.0",
        "parentRunId": "r0",
    }
    assert "MESSAGES_SNAPSHOT" not in kinds(found)
    *history, thoughts, answer = found.messages
    assert history == HISTORY
    assert (thoughts["role"], thoughts["content"]) == ("reasoning", THOUGHT)
    assert (answer["role"], answer["content"]) == ("assistant", ANSWER)
    assert found.last["outcome"] == {"type": "success"}
    assert found.last["usage"][0]["reasoningTokens"] == 798
    (record,) = upstream.requests
    assert [one["role"] for one in record.body["messages"]] == ["system", "assistant", "user"]


async def test_tools_go_to_the_provider_and_their_calls_come_back(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    tools = [{"name": "get_weather", "description": "d", "parameters": {"type": "object"}}]
    async with run(client, service.url, model="tools", tools=tools) as reading:
        found = await reading.rest()
    assert upstream.requests[0].body["tools"][0]["function"]["name"] == "get_weather"
    assert [arguments for _, arguments in found.called] == [{"city": "杭州", "unit": "celsius"}] * 2
    assert found.last["result"] == {"finishReason": "tool_calls"}
    assert found.pending is not None
    results = [
        {"id": f"t-{name}", "role": "tool", "toolCallId": name, "content": "21"}
        for name in found.pending
    ]
    messages = [*found.messages, *results]
    async with run(client, service.url, run="run-2", messages=messages) as reading:
        await reading.rest()
    told = upstream.requests[1].body["messages"]
    assert [one["role"] for one in told[-3:]] == ["assistant", "tool", "tool"]
    assert [one["id"] for one in told[-3]["tool_calls"]] == found.pending


@pytest.mark.parametrize(
    ("sent", "status", "word"),
    [
        ({"messages": HISTORY}, 422, "threadId"),
        (body(messages=[]), 422, "messages"),
        (
            body(messages=[{"id": "u", "role": "user", "content": [{"type": "video"}]}]),
            422,
            "messages[0].content[0].type",
        ),
        (body(onDisconnect="maybe"), 422, "onDisconnect"),
    ],
)
async def test_what_is_wrong_with_a_body_is_said_in_plain_words(
    service: Service, client: aiohttp.ClientSession, sent: Json, status: int, word: str
) -> None:
    found, words = await refusal(client, service.url, sent)
    assert found == status
    assert word in words
    assert "{" not in words


async def test_a_wrong_key_is_said_in_plain_words(
    keyed_service: Service, client: aiohttp.ClientSession
) -> None:
    status, words = await refusal(client, keyed_service.url, body(), Authorization="Bearer x")
    assert status == 401
    assert "key" in words


@pytest.mark.parametrize("calls", [5, [{"x": 1}], "text"])
@pytest.mark.parametrize("role", ["activity", "reasoning", "user"])
async def test_what_is_no_answer_may_have_any_fields(
    service: Service, client: aiohttp.ClientSession, role: str, calls: object
) -> None:
    odd = {"id": "odd", "role": role, "content": "x", "toolCalls": calls}
    async with run(client, service.url, messages=[*HISTORY, odd]) as reading:
        assert (await reading.rest()).last["outcome"] == {"type": "success"}
    async with run(client, service.url, messages=[]) as again:
        assert (await again.rest()).last["outcome"] == {"type": "success"}


# Its ends


async def test_a_failure_in_the_middle_is_told_and_the_stream_ends_cleanly(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with run(client, service.url, model="error-mid") as reading:
        found = await reading.rest()
    assert found.last["type"] == "RUN_ERROR"
    assert found.last["code"].startswith("upstream")
    assert found.messages[-1]["content"] == ANSWER[:12]


@pytest.mark.parametrize("phase", PHASES)
async def test_a_client_that_aborts_closes_the_providers_connection(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, phase: str
) -> None:
    model, kind = PHASES[phase]
    async with run(client, service.url, model=model) as reading:
        await reading.until(kind)
        await upstream.wait_for()
        reading.drop()
        await upstream.wait_for(gone)
    await upstream.until(lambda: upstream.open_connections == 0)
    assert (await show(client, service.url, reading.run_id))["state"] == "stopped"


@pytest.mark.parametrize("phase", PHASES)
async def test_a_stop_from_elsewhere_is_told_as_cancelled(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, phase: str
) -> None:
    model, kind = PHASES[phase]
    async with run(client, service.url, model=model) as reading:
        await reading.until(kind)
        await upstream.wait_for()
        receipt = await stop(client, service.url, reading.run_id)
        await upstream.wait_for(gone)
        found = await reading.rest()
    assert (receipt["outcome"], receipt["upstreamClosed"]) == ("stopped", True)
    assert found.last["type"] == "RUN_FINISHED"
    assert found.last["outcome"] == {"type": "cancelled"}
    assert found.last["metadata"]["finishReason"] == "stopped"


async def test_a_stop_while_the_provider_is_being_connected_is_told(
    client: aiohttp.ClientSession,
) -> None:
    with blackhole() as port:
        async with (
            Service(upstream_url=f"http://127.0.0.1:{port}/v1") as service,
            run(client, service.url) as reading,
        ):
            await reading.until("RUN_STARTED")
            await stop(client, service.url, reading.run_id)
            assert (await reading.rest()).last["outcome"] == {"type": "cancelled"}


async def test_the_end_of_the_process_is_told_to_every_reader(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    settings = {
        "STREAM_SERVE_UPSTREAM_URL": upstream.url,
        "STREAM_SERVE_MODEL": "answer",
        "STREAM_SERVE_GRACE_TIMEOUT": "4",
    }
    async with serving(**settings) as server:
        async with (
            run(client, server.url, run="short", model="answer?interval=0.01") as short,
            run(client, server.url, run="long", model="hang-mid") as long,
            run(client, server.url, Client(HISTORY), run="long") as other,
        ):
            for reading in (short, long, other):
                await reading.until("TEXT_MESSAGE_CONTENT")
            server.process.send_signal(signal.SIGTERM)
            await server.line("draining")
            sent = body(run="new")
            assert (await refusal(client, server.url, sent))[0] == 503
            async with run(client, server.url, run="long") as late:
                ends = [await one.rest() for one in (short, long, other, late)]
        assert await server.finish() == 0
    assert ends[0].last["outcome"] == {"type": "success"}
    assert ends[0].messages[-1]["content"] == ANSWER
    for found in ends[1:]:
        assert found.last["type"] == "RUN_ERROR"
        assert found.last["code"] == "run_interrupted"
        assert found.last["metadata"]["retryable"] is True
    assert "Traceback" not in server.raw


# The same run again


async def test_the_same_ids_join_the_run_whatever_the_messages_are(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with run(client, service.url, model="hang-mid") as first:
        await first.until("TEXT_MESSAGE_CONTENT")
        broken = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"ci'}}
        partial = [*first.client.messages, {"id": "x", "role": "assistant", "toolCalls": [broken]}]
        again = Client(first.client.messages)
        async with run(client, service.url, again, messages=partial, model="other") as second:
            await second.until("TEXT_MESSAGE_CONTENT")
            assert second.run_id == first.run_id
            await stop(client, service.url, first.run_id)
            ends = [await reading.rest() for reading in (first, second)]
    assert ends[0].messages == ends[1].messages
    assert kinds(ends[1])[:2] == ["RUN_STARTED", "MESSAGES_SNAPSHOT"]
    assert len(upstream.requests) == 1


async def test_two_requests_at_the_same_time_are_one_run(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async def whole() -> Client:
        async with run(client, service.url, model="answer?interval=0.005") as reading:
            return await reading.rest()

    found = await asyncio.gather(*(whole() for _ in range(8)))
    assert len(upstream.requests) == 1
    assert all(one.messages == found[0].messages for one in found)


async def test_another_owner_with_the_same_ids_has_another_run(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    keys = ["sk-caller-0123456789", "sk-caller-9876543210"]
    async with Service(upstream_url=upstream.url, api_keys=",".join(keys)) as service:
        async with run(client, service.url, key=keys[0], model="hang-mid") as first:
            await first.until("TEXT_MESSAGE_CONTENT")
            async with run(client, service.url, key=keys[1]) as second:
                assert "MESSAGES_SNAPSHOT" not in kinds(await second.rest())
            assert first.run_id != second.run_id
            sent = {**body(), "runId": "run-1"}
            headers = {"Authorization": f"Bearer {keys[1]}", "Last-Event-ID": "1"}
            path = f"{service.url}/ai/runs/{first.run_id}/events?dialect=ag-ui"
            async with client.get(path, headers=headers) as response:
                assert response.status == 404
            async with client.post(f"{service.url}/ag-ui", json=sent, headers=headers) as response:
                assert response.status == 200
                assert response.headers["X-Run-Id"] == second.run_id
        assert len(upstream.requests) == 2


async def test_a_cut_connection_leaves_the_run_if_its_caller_wants_that(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    slow = "answer?interval=0.005"
    async with run(client, service.url, model=slow, onDisconnect="continue") as reading:
        await reading.until("TEXT_MESSAGE_CONTENT")
        reading.drop()
    same, cursor = reading.client, reading.client.cursor
    async with run(client, service.url, same, cursor=cursor) as tail:
        found = await tail.rest()
    assert kinds(found).count("RUN_STARTED") == 1
    assert found.messages[-1]["content"] == ANSWER
    again = Client(HISTORY)
    again.messages = [*HISTORY, {**found.messages[-1], "content": ANSWER[:9]}]
    async with run(client, service.url, again, messages=again.messages) as reload:
        assert (await reload.rest()).messages == found.messages
    assert len(upstream.requests) == 1


async def test_a_setting_lets_all_runs_of_the_door_go_on(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with Service(upstream_url=upstream.url, continue_doors="ag-ui") as service:
        async with run(client, service.url, model="answer?interval=0.005") as reading:
            await reading.until("TEXT_MESSAGE_CONTENT")
            reading.drop()
        async with run(client, service.url) as other:
            assert (await other.rest()).last["outcome"] == {"type": "success"}
        async with run(client, service.url, run="b", model="hang-mid", onDisconnect="stop") as own:
            await own.until("TEXT_MESSAGE_CONTENT")
            own.drop()
            await upstream.wait_for(gone)


async def test_a_client_that_has_all_of_an_ended_run_gets_an_empty_stream(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with run(client, service.url) as reading:
        found = await reading.rest()
    async with run(client, service.url, Client(), cursor=found.cursor) as tail:
        assert (await tail.rest()).events == []
    for query in (f"?after={found.cursor}", "?after=3", ""):
        async with run(client, service.url, Client(), query=query) as again:
            joined = await again.rest()
        assert joined.messages == found.messages
        assert joined.last == found.last


async def test_a_request_to_go_on_never_starts_a_run(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    status, words = await refusal(client, service.url, body(), **{"Last-Event-ID": "3"})
    assert status == 404
    assert "no run with this id" in words
    async with run(client, service.url, run="run-2") as reading:
        found = await reading.rest()
    async with Service(upstream_url=upstream.url) as other:  # does not know that run
        sent = body("run-2", messages=found.messages)
        assert (await refusal(client, other.url, sent))[0] == 404
    assert len(upstream.requests) == 1


async def test_a_run_is_read_in_the_dialect_by_its_id(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with run(client, service.url, model="thinking") as reading:
        expected = await reading.rest()
    path = f"{service.url}/ai/runs/{reading.run_id}/events?dialect=ag-ui"
    for query in ("", "&after=1", "&after=20", f"&after={expected.cursor}"):
        async with client.get(path + query) as response:
            found = await Reading(response, Client(HISTORY)).rest()
        assert found.messages == expected.messages
        assert found.last == expected.last
    async with client.get(path, headers={"Last-Event-ID": str(expected.cursor)}) as response:
        assert (response.status, await response.read()) == (200, b"")


async def test_a_run_of_another_door_is_read_in_the_dialect_and_the_other_way_round(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with client.post(
        f"{service.url}/ai/chat/stream-sse", json={"message": "hi", "model": "thinking"}
    ) as response:
        run_id = response.headers["X-Run-Id"]
        await response.read()
    events = f"{service.url}/ai/runs/{run_id}/events"
    async with client.get(f"{events}?dialect=ag-ui") as response:
        found = await Reading(response, Client()).rest()
    assert [one["content"] for one in found.messages] == [THOUGHT, ANSWER]
    assert found.events[0]["runId"] == run_id
    async with run(client, service.url) as reading:
        await reading.rest()
    native = f"{service.url}/ai/runs/{reading.run_id}/events"
    async with client.get(native) as response:
        lines = (await response.text()).splitlines()
    said = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert "".join(one["content"] for one in said if one["type"] == "chunk") == ANSWER
