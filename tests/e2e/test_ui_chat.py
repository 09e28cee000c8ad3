"""The door for Vercel's AI SDK, over real sockets: answers, resuming and stopping by the chat's id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_serve.cluster.index import KEPT
from stream_serve.testing import ANSWER, ScriptedUpstream, blackhole, pieces
from support.client import ask, show
from support.properties import examples
from support.service import Service
from support.ui_chat import chat, encoded, resume, stop, user
from support.ui_messages import message_of, parts_of

if TYPE_CHECKING:
    from stream_serve.testing import Record

PHASES = {
    "while the provider is silent": ("silent", "start-step"),
    "after the provider's headers": ("silent-after-headers", "start-step"),
    "in the middle of the answer": ("hang-mid", "text-delta"),
    "while only comments come": ("comments-forever", "start-step"),
    "in the middle of a flow": ("forever?interval=0.001", "text-delta"),
    "after the last token": ("hang-end?tokens=3", "text-delta"),
}


def gone(record: Record) -> bool:
    return record.closed_by == "peer"


async def test_a_question_is_answered_as_a_message(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with chat(client, service.url, user("天气?"), model="answer") as stream:
        message = await stream.rest()
    assert stream.response.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert stream.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert message.text() == ANSWER
    assert message.reason == "stop"
    assert message.metadata["runId"] == stream.run_id
    assert message.metadata["usage"]["totalTokens"] > 0
    sent = upstream.requests[-1].body
    assert sent["messages"][-1] == {"role": "user", "content": "天气?"}
    assert sent["messages"][0]["role"] == "system"


async def test_each_answer_is_a_new_message(
    service: Service, client: aiohttp.ClientSession
) -> None:
    found: list[str | None] = []
    for trigger in ("submit-message", "regenerate-message"):
        async with chat(client, service.url, trigger=trigger) as stream:
            found.append((await stream.rest()).id)
    assert len(set(found)) == 2


async def test_a_thinking_model_has_its_reasoning_before_its_text(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with chat(client, service.url, model="thinking?thoughts=3&tokens=3") as stream:
        message = await stream.rest()
    assert [part["type"] for part in message.parts] == ["step-start", "reasoning", "text"]
    assert all(part.get("state", "done") == "done" for part in message.parts)


async def test_the_whole_history_goes_to_the_provider_and_the_service_keeps_none_of_it(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with chat(client, service.url, user("一")) as stream:
        first = await stream.rest()
    async with chat(client, service.url, user("一"), first.sendable, user("二", "u2")) as stream:
        await stream.rest()
    told = [(one["role"], one["content"]) for one in upstream.requests[-1].body["messages"]]
    assert told[1:] == [("user", "一"), ("assistant", ANSWER), ("user", "二")]


@pytest.mark.parametrize("phase", PHASES)
async def test_a_page_that_stops_closes_the_providers_connection(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, phase: str
) -> None:
    model, part = PHASES[phase]
    async with chat(client, service.url, model=model) as stream:
        await stream.until(part)
        await upstream.wait_for()
        stream.drop()
        await upstream.wait_for(gone)
    await upstream.until(lambda: upstream.open_connections == 0)
    assert (await show(client, service.url, stream.run_id))["state"] == "stopped"


@pytest.mark.parametrize("phase", PHASES)
async def test_a_stop_by_the_chats_id_closes_the_providers_connection_and_has_a_true_receipt(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, phase: str
) -> None:
    model, part = PHASES[phase]
    async with chat(client, service.url, model=model, onDisconnect="continue") as stream:
        await stream.until(part)
        await upstream.wait_for()
        receipt = await stop(client, service.url)
        await upstream.wait_for(gone)
        message = await stream.rest()
    assert receipt is not None
    assert (receipt["runId"], receipt["outcome"]) == (stream.run_id, "stopped")
    assert receipt["upstreamClosed"] is True
    assert (message.aborted, message.reason) == (True, "other")
    assert message.metadata["finishReason"] == "stopped"


async def test_a_stop_by_the_chats_id_ends_an_attempt_to_connect(
    client: aiohttp.ClientSession,
) -> None:
    with blackhole() as port:
        async with (
            Service(upstream_url=f"http://127.0.0.1:{port}/v1") as service,
            chat(client, service.url) as stream,
        ):
            await stream.until("start-step")
            receipt = await stop(client, service.url)
            assert receipt is not None
            assert (receipt["outcome"], receipt["upstreamClosed"]) == ("stopped", True)
            assert (await stream.rest()).aborted


async def test_a_stop_where_nothing_runs_is_no_error(
    service: Service, client: aiohttp.ClientSession
) -> None:
    assert await stop(client, service.url, "never") is None
    async with chat(client, service.url) as stream:
        await stream.rest()
    receipt = await stop(client, service.url)
    assert receipt is not None
    assert (receipt["runId"], receipt["outcome"]) == (stream.run_id, "already_finished")


async def test_a_stop_may_name_the_run_that_it_means(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with chat(client, service.url, model="hang-mid") as stream:
        await stream.until("text-delta")
        assert await stop(client, service.url, activeStreamId="another-run-0123456") is None
        assert upstream.open_connections == 1
        receipt = await stop(
            client, service.url, activeStreamId=stream.run_id, assistantMessage={"id": "x"}
        )
        assert receipt is not None
        assert receipt["outcome"] == "stopped"


async def test_questions_that_are_refused_hide_no_answer_that_goes_on(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with chat(client, service.url, model="hang-mid", onDisconnect="continue") as stream:
        await stream.until("text-delta")
        for _ in range(KEPT):
            # One under the id of the run that goes on, and one that the operator does not allow.
            for key, status in (({"Idempotency-Key": stream.run_id}, 409), ({}, 422)):
                file = {"type": "file", "mediaType": "image/png", "url": "https://x.example/a"}
                asked = user("another") if key else {**user(), "parts": [file]}
                body = {"id": "chat-1", "messages": [asked]}
                async with client.post(
                    f"{service.url}/api/chat", json=body, headers=key
                ) as refused:
                    assert refused.status == status, await refused.text()
        receipt = await stop(client, service.url)
    assert receipt is not None
    assert (receipt["runId"], receipt["outcome"]) == (stream.run_id, "stopped")


async def test_answers_that_are_over_hide_none_that_goes_on(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with chat(client, service.url, model="hang-mid") as stream:
        await stream.until("text-delta")
        for _ in range(2 * KEPT):
            async with chat(client, service.url, model="answer?tokens=1") as over:
                await over.rest()
        async with resume(client, service.url) as again:
            assert again is not None
            assert again.run_id == stream.run_id
        receipt = await stop(client, service.url)
    assert receipt is not None
    assert (receipt["runId"], receipt["outcome"]) == (stream.run_id, "stopped")


async def test_an_answer_under_way_is_resumed_from_its_start_under_the_same_id(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with Service(upstream_url=upstream.url, continue_doors="ai-sdk") as service:
        model = "answer?tokens=60&interval=0.01"
        async with chat(client, service.url, model=model) as stream:
            for _ in range(12):
                await stream.next()
            stream.drop()
        async with resume(client, service.url) as one, resume(client, service.url) as other:
            assert one is not None
            assert other is not None
            assert one.run_id == other.run_id == stream.run_id
            messages = [await one.rest(), await other.rest()]
        for message in messages:
            assert message.id == stream.message.id
            assert message.text() == "".join(pieces(ANSWER, size=4, tokens=60))
            assert message.reason == "stop"
        async with resume(client, service.url) as nothing:
            assert nothing is None


async def test_what_came_before_a_resume_comes_in_few_parts(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with chat(client, service.url, model="hang-mid?tokens=40") as stream:
        await stream.until("text-delta")
        await upstream.wait_for()
        async with client.get(f"{service.url}/ai/runs/{stream.run_id}/events") as native:
            while b"id: 41\n" not in await native.content.readline():
                pass
        async with resume(client, service.url) as again:
            assert again is not None
            await again.until("text-delta")
            assert [part["type"] for _, part in parts_of(again.text)] == [
                *("start", "start-step", "text-start", "text-delta"),
            ]
            assert again.message.text() == "".join(pieces(ANSWER, size=4, tokens=40))


async def test_where_nothing_runs_a_resume_is_silent(
    service: Service, client: aiohttp.ClientSession
) -> None:
    for known in (False, True):
        async with resume(client, service.url, "chat-1") as nothing:
            assert nothing is None
        if not known:
            async with chat(client, service.url, model="http-500") as stream:
                message = await stream.rest()
            assert message.error


async def test_another_owner_neither_resumes_nor_stops_a_chat(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    keys = "sk-caller-0123456789,sk-other-01234567890"
    one, other = keys.split(",")
    async with Service(upstream_url=upstream.url, api_keys=keys) as service:
        async with chat(client, service.url, model="hang-mid", key=one) as stream:
            await stream.until("text-delta")
            async with resume(client, service.url, key=other) as nothing:
                assert nothing is None
            assert await stop(client, service.url, key=other) is None
            async with resume(client, service.url, key=one) as again:
                assert again is not None
            assert upstream.open_connections == 1
        for method, path in (("POST", "chat"), ("GET", "chat/1/stream"), ("POST", "chat/1/stop")):
            async with client.request(method, f"{service.url}/api/{path}") as response:
                assert response.status == 401
                assert (await response.text()).startswith("there is no API key")


async def test_a_message_with_the_results_of_tools_is_gone_on_with(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    tool = {
        "type": "tool-weather",
        "toolCallId": "call-1",
        "state": "output-available",
        "input": {"city": "杭州"},
        "output": {"c": 21},
    }
    said = {"type": "text", "text": "let me look", "state": "done"}
    answered = {"id": "a1", "role": "assistant", "parts": [{"type": "step-start"}, said, tool]}
    tools = {"weather": {"description": "the weather", "parameters": {"type": "object"}}}
    model = "answer?tokens=40&interval=0.01"
    async with chat(
        client, service.url, user("天气?"), answered, messageId="a1", model=model, tools=tools
    ) as stream:
        await stream.until("text-delta")
        assert [part["type"] for _, part in parts_of(stream.text)][:2] == ["start", "start-step"]
        async with resume(client, service.url) as again:
            assert again is not None
            replayed = await again.rest()
        message = await stream.rest()
    assert message.id == replayed.id == "a1"
    kinds = ["step-start", "text", "tool-weather", "step-start", "text"]
    assert [part["type"] for part in replayed.parts] == kinds
    assert replayed.parts[2]["output"] == {"c": 21}
    assert replayed.parts[-1]["text"] == message.text()
    assert "tool-input-available" not in again.text
    sent = upstream.requests[-1].body
    assert [one["role"] for one in sent["messages"]] == ["system", "user", "assistant", "tool"]
    assert sent["messages"][-1]["content"] == '{"c":21}'
    assert sent["tools"][0]["function"]["name"] == "weather"


REFUSED: list[tuple[Any, int, str]] = [
    ({"messages": []}, 422, "messages: should be a list"),
    ({"messages": [{"role": "tool", "parts": []}]}, 422, "messages[0].role"),
    ({"messages": [user()], "onDisconnect": "wait"}, 422, "onDisconnect: should be"),
    ({"messages": [user()], "model": "not/there?x=1"}, 200, ""),
    (7, 400, "the body should be a JSON object"),
]


@pytest.mark.parametrize(("body", "status", "words"), REFUSED)
async def test_an_error_before_the_stream_is_a_few_plain_words(
    service: Service, client: aiohttp.ClientSession, body: Any, status: int, words: str
) -> None:
    async with client.post(f"{service.url}/api/chat", json=body) as response:
        assert response.status == status
        text = await response.text()
        assert text.startswith(words)
        if status != 200:
            assert response.content_type == "text/plain"


async def test_a_message_that_is_too_large_to_go_on_with_is_refused_with_the_setting(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    tool = {"type": "tool-t", "toolCallId": "c", "state": "output-available", "output": "x" * 5000}
    messages = [user(), {"id": "a1", "role": "assistant", "parts": [tool]}]
    async with (
        Service(upstream_url=upstream.url, max_run_bytes=16_000) as service,
        client.post(f"{service.url}/api/chat", json={"messages": messages}) as response,
    ):
        assert response.status == 422
        assert "STREAM_SERVE_MAX_RUN_BYTES" in await response.text()
    assert upstream.requests == []


async def test_a_failure_in_the_stream_is_told_and_ends_it(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with chat(client, service.url, model="reset-mid") as stream:
        message = await stream.rest()
    assert message.error
    assert message.data[0]["data"]["code"] == "upstream_disconnected"
    assert message.text()


async def test_every_run_can_be_read_in_this_dialect_and_this_doors_runs_in_every_other(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with ask(client, service.url) as native:
        await native.rest()
    url = f"{service.url}/ai/runs/{native.run_id}/events"
    async with client.get(f"{url}?dialect=ai-sdk") as response:
        assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
        message = message_of(await response.read())
    assert message.text() == ANSWER
    assert message.id == f"msg-{native.run_id}"
    async with client.get(f"{url}?dialect=ai-sdk&after=5") as response:
        tail = message_of(await response.read())
    assert ANSWER.endswith(tail.text())
    async with chat(client, service.url) as stream:
        await stream.rest()
    url = f"{service.url}/ai/runs/{stream.run_id}/events"
    async with client.get(f"{url}?dialect=chat-completions") as response:
        assert (await response.text()).endswith("data: [DONE]\n\n")


async def test_the_same_key_joins_the_same_answer(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    headers = {"Idempotency-Key": "key-0123456789abcdef"}
    found: list[dict[str, Any]] = []
    for _ in range(2):
        async with chat(client, service.url, headers=headers) as stream:
            found.append((await stream.rest()).sendable)
    assert found[0] == found[1]
    assert len(upstream.requests) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(0.2))
@given(chat_id=st.text(min_size=1, max_size=20) | st.sampled_from(["a/b", "a/stream", "%2F", "\n"]))
async def test_the_id_of_a_chat_may_be_any_text(service: Service, chat_id: str) -> None:
    async with (
        aiohttp.ClientSession() as client,
        chat(client, service.url, chat_id=chat_id, model="hang-mid") as stream,
    ):
        await stream.until("text-delta")
        async with resume(client, service.url, chat_id) as again:
            assert again is not None, encoded(chat_id)
            assert again.run_id == stream.run_id
        receipt = await stop(client, service.url, chat_id)
        assert receipt is not None
        assert (receipt["runId"], receipt["outcome"]) == (stream.run_id, "stopped")
