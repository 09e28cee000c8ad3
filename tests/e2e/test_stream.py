"""The article's endpoint, over real sockets."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp

from stream_serve.testing import ANSWER, THOUGHT, ScriptedUpstream
from support.client import ask, show, text
from support.service import UPSTREAM_KEY, Service
from support.waiting import PATIENCE


async def test_an_answer_is_start_then_chunks_then_end(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with ask(client, service.url) as stream:
        events = await stream.rest()
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    created_at = events[0].pop("createdAt")
    assert events[0] == {"id": 1, "type": "start", "runId": stream.run_id, "model": "answer"}
    assert abs(time.time() - created_at) < 60
    assert {event["type"] for event in events[1:-1]} == {"chunk"}
    assert text(events) == ANSWER
    assert events[-1]["type"] == "end"
    assert events[-1]["finishReason"] == "stop"
    assert events[-1]["usage"]["source"] == "provider"


async def test_under_somebody_elses_server_the_stream_and_the_stop_are_the_same(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with Service(upstream_url=upstream.url, plain=True) as service:
        async with ask(client, service.url) as stream:
            events = await stream.rest()
        assert [event["id"] for event in events] == list(range(1, len(events) + 1))
        assert text(events) == ANSWER
        assert events[-1]["type"] == "end"
        async with ask(client, service.url, model="forever") as stream:
            while (event := await stream.next()) is not None and event["type"] != "chunk":
                pass
        await upstream.until(lambda: upstream.requests[-1].closed_by == "peer")


async def test_the_headers_are_those_of_an_event_stream_that_no_proxy_may_hold_back(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with ask(client, service.url) as stream:
        headers = stream.response.headers
        assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert headers["Cache-Control"] == "no-cache, no-transform"
        assert headers["X-Accel-Buffering"] == "no"
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert "X-Run-Id" in headers["Access-Control-Expose-Headers"]
        assert "Content-Length" not in headers
        assert len(stream.run_id) == 22


async def test_a_client_of_http_1_0_gets_the_stream_as_it_is_to_the_end_of_the_connection(
    service: Service,
) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({"message": "hi"}).encode()
    lines = [
        *("POST /ai/chat/stream-sse HTTP/1.0", "Host: localhost", "Expect: 100-continue"),
        *("Content-Type: application/json", f"Content-Length: {len(body)}"),
    ]
    writer.write("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body)
    async with asyncio.timeout(PATIENCE):
        response = await reader.read()
    writer.close()
    head, _, stream = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding" not in head.lower()
    frames = stream.decode().removesuffix("\n\n").split("\n\n")
    events = [json.loads(frame.partition("\ndata: ")[2]) for frame in frames]
    assert [event["type"] for event in (events[0], events[-1])] == ["start", "end"]
    assert text(events) == ANSWER


async def test_start_goes_out_before_the_provider_has_answered(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with ask(client, service.url, model="silent") as stream:
        assert (await stream.next() or {})["type"] == "start"
        assert (await show(client, service.url, stream.run_id))["state"] in {"starting", "waiting"}
        assert (await upstream.wait_for()).phase == "received"


async def test_the_client_of_the_article_works_unchanged(
    service: Service, client: aiohttp.ClientSession
) -> None:
    shown, ended = "", False
    body = {"message": "你好", "systemPrompt": "你是一个专业的编程助手"}
    async with client.post(f"{service.url}/ai/chat/stream-sse", json=body) as response:
        async for chunk in response.content.iter_any():
            for line in chunk.decode().split("\n"):
                if line.startswith("data: ") and len(line) > 6:
                    data = json.loads(line[6:])
                    if data["type"] == "chunk":
                        shown += data["content"]
                    ended |= data["type"] == "end"
    assert (shown, ended) == (ANSWER, True)


async def test_what_goes_to_the_provider_is_what_was_asked_and_nothing_else(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with ask(client, service.url, message="hi", systemPrompt="") as stream:
        await stream.rest()
    record = upstream.requests[0]
    assert record.body == {
        "model": "answer",
        "messages": [
            {"role": "system", "content": "你是一个专业的编程助手"},
            {"role": "user", "content": "hi"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert record.authorized
    assert UPSTREAM_KEY not in json.dumps(record.headers)


async def test_every_optional_field_reaches_the_provider_under_its_own_name(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "again"},
    ]
    async with ask(
        client,
        service.url,
        messages=messages,
        systemPrompt="be short",
        model="thinking",
        temperature=0.5,
        topP=0.9,
        maxTokens=100,
        stop=["\n\n"],
        enableThinking=True,
        thinkingBudget=50,
        enableSearch=False,
    ) as stream:
        await stream.rest()
    assert upstream.requests[0].body == {
        "model": "thinking",
        "messages": [{"role": "system", "content": "be short"}, *messages],
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 100,
        "stop": ["\n\n"],
        "enable_thinking": True,
        "thinking_budget": 50,
        "enable_search": False,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_a_whole_conversation_is_sent_without_a_system_prompt_of_ours(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    messages = [{"role": "user", "content": "hi"}]
    async with ask(client, service.url, messages=messages) as stream:
        await stream.rest()
    assert upstream.requests[0].body["messages"] == messages


async def test_a_thinking_models_thoughts_come_as_reasoning_apart_from_the_answer(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with ask(client, service.url, model="thinking", enableThinking=True) as stream:
        events = await stream.rest()
    kinds = [event["type"] for event in events]
    assert kinds == sorted(kinds, key=["start", "reasoning", "chunk", "end"].index)
    assert text(events, "reasoning") == THOUGHT
    assert text(events) == ANSWER
    usage = events[-1]["usage"]
    assert usage["reasoningTokens"] > 0
    assert usage["totalTokens"] == usage["promptTokens"] + usage["completionTokens"]


async def test_usage_that_the_provider_did_not_give_is_estimated_and_says_so(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with ask(client, service.url, model="usage-missing") as stream:
        usage = (await stream.rest())[-1]["usage"]
    assert usage["source"] == "estimated"
    assert usage["completionTokens"] > 0
    assert usage["promptTokens"] > 0


async def test_every_finish_reason_is_passed_on(
    service: Service, client: aiohttp.ClientSession
) -> None:
    for model, reason in (
        ("answer?finish=length", "length"),
        ("answer?finish=content_filter", "content_filter"),
        ("tools", "tool_calls"),
    ):
        async with ask(client, service.url, model=model) as stream:
            assert (await stream.rest())[-1]["finishReason"] == reason


async def test_a_silent_stream_gets_heartbeats(upstream: ScriptedUpstream) -> None:
    async with (
        Service(upstream_url=upstream.url, heartbeat_interval=0.05) as service,
        aiohttp.ClientSession() as client,
        ask(client, service.url, model="hang-mid") as stream,
    ):
        await stream.until("chunk")
        raw = b""
        while raw.count(b": heartbeat\n\n") < 3:
            raw += await stream.response.content.readany()
        assert (await show(client, service.url, stream.run_id))["state"] == "streaming"


async def test_the_state_of_a_run_is_shown_and_forgotten_after_a_while(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    async with Service(upstream_url=upstream.url, run_retention=0.2) as service:
        async with ask(client, service.url) as stream:
            events = await stream.rest()
            state = await show(client, service.url, stream.run_id)
        assert state["state"] == "completed"
        assert state["events"] == len(events)
        assert state["finishReason"] == "stop"
        assert state["firstTokenMs"] <= state["durationMs"]
        status = 200
        while status == 200:
            async with client.get(f"{service.url}/ai/runs/{stream.run_id}") as response:
                status = response.status
        assert status == 404


async def test_the_demo_model_answers_in_the_language_of_the_question_and_says_what_it_is(
    client: aiohttp.ClientSession,
) -> None:
    async with Service() as service:
        async with client.get(f"{service.url}/ai/info") as response:
            assert (await response.json())["demo"] is True
        async with ask(client, service.url, message="你好", enableThinking=True) as stream:
            thought = ""
            while "演示模型" not in thought:
                thought += (await stream.until("reasoning"))["content"]
        async with ask(client, service.url, message="Hello", model="qwen-max") as stream:
            events = await stream.rest()
    assert events[0]["model"] == "demo", "it does not pass for another model"
    assert "demo model" in text(events)
    assert "DASHSCOPE_API_KEY" in text(events)
    assert "```python" in text(events)
    assert events[-1]["usage"]["source"] == "estimated"
