"""Tools in conversations: their calls are kept, their results continue, and the provider gets both."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from stream_serve.testing import ANSWER
from support.client import Json, ask
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp

    from stream_serve.testing import ScriptedUpstream

ARGUMENTS: Final = '{"city": "杭州", "unit": "celsius"}'
RESULTS: Final[list[dict[str, Any]]] = [
    {"toolCallId": "call_t2", "content": "noon"},
    {"toolCallId": "call_w1", "content": [{"type": "text", "text": "sunny"}]},
]
CALLED: Final[dict[str, Any]] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": one, "type": "function", "function": {"name": name, "arguments": ARGUMENTS}}
        for one, name in (("call_w1", "get_weather"), ("call_t2", "get_time"))
    ],
}
TOLD: Final[list[dict[str, Any]]] = [
    {"role": "tool", "tool_call_id": "call_w1", "content": RESULTS[1]["content"]},
    {"role": "tool", "tool_call_id": "call_t2", "content": "noon"},
]


@pytest.fixture
async def service(upstream: ScriptedUpstream, tmp_path: Path) -> AsyncIterator[Service]:
    database = f"sqlite:///{tmp_path / 'kept.db'}"
    async with Service(upstream_url=upstream.url, database_url=database) as running:
        yield running


async def say(client: aiohttp.ClientSession, service: Service, **body: Any) -> list[Json]:
    async with ask(client, service.url, **body) as stream:
        return await stream.rest()


async def calling(client: aiohttp.ClientSession, service: Service) -> Json:
    """Ask for an answer that calls two tools; return the start of its run."""
    events = await say(client, service, message="weather?", conversationId="new", model="tools")
    assert events[-1]["finishReason"] == "tool_calls"
    assert events[-1]["saved"] is True
    return events[0]


async def get(client: aiohttp.ClientSession, service: Service, path: str) -> Any:
    async with client.get(f"{service.url}/ai/conversations/{path}") as response:
        assert response.status == 200
        return json.loads(await response.read())


async def test_tool_results_continue_a_conversation_and_the_provider_gets_the_calls_with_them(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    start = await calling(client, service)
    conversation = start["conversationId"]
    events = await say(client, service, toolResults=RESULTS, conversationId=conversation)
    assert events[-1]["finishReason"] == "stop"
    question = {"role": "user", "content": "weather?"}
    sent = upstream.requests[-1].body["messages"]
    assert sent[-4:] == [question, CALLED, *TOLD], "in the order of the calls"
    await say(client, service, message="thanks", conversationId=conversation)
    after = [{"role": "assistant", "content": ANSWER}, {"role": "user", "content": "thanks"}]
    assert upstream.requests[-1].body["messages"][-6:] == [question, CALLED, *TOLD, *after]


async def test_results_and_a_question_may_come_together(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    start = await calling(client, service)
    await say(client, service, message="bye", conversationId=start["conversationId"])
    together = {"toolResults": RESULTS, "message": "and tomorrow?", "parentId": start["messageId"]}
    await say(client, service, conversationId=start["conversationId"], **together)
    asked = {"role": "user", "content": "and tomorrow?"}
    assert upstream.requests[-1].body["messages"][-4:] == [CALLED, *TOLD, asked]


async def test_calls_without_results_are_not_sent(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    start = await calling(client, service)
    await say(client, service, message="never mind", conversationId=start["conversationId"])
    (asked,) = (one for one in upstream.requests[-1].body["messages"] if one["role"] != "system")
    assert asked == {"role": "user", "content": "weather?\n\nnever mind"}


async def test_calls_and_results_are_shown_and_exported(
    service: Service, client: aiohttp.ClientSession
) -> None:
    conversation = (await calling(client, service))["conversationId"]
    await say(client, service, toolResults=RESULTS, conversationId=conversation)
    shown = await get(client, service, conversation)
    assert await get(client, service, f"{conversation}/export") == shown
    roles = [one["role"] for one in shown["messages"]]
    assert roles == ["user", "assistant", "tool", "tool", "assistant"]
    _, answer, first, second, _ = shown["messages"]
    assert answer["content"] == ""
    assert answer["toolCalls"] == [
        {"id": "call_w1", "name": "get_weather", "arguments": ARGUMENTS},
        {"id": "call_t2", "name": "get_time", "arguments": ARGUMENTS},
    ]
    assert (first["toolCallId"], first["content"]) == ("call_w1", RESULTS[1]["content"])
    assert (second["toolCallId"], second["content"]) == ("call_t2", "noon")
    assert second["parentId"] == first["id"]
    path = f"{service.url}/ai/conversations/{conversation}/export?format=markdown"
    async with client.get(path) as response:
        markdown = await response.text()
    assert f"- calls get_weather (call_w1): ` {ARGUMENTS} `" in markdown
    assert "## tool (call_t2)\n\nnoon" in markdown
    for words in ("杭州", "noon", "get_time"):
        async with client.get(f"{service.url}/ai/conversations?q={words}") as response:
            assert len(json.loads(await response.read())["conversations"]) == 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"toolResults": RESULTS[:1]}, "results are missing: those that wait are call_w1"),
        ({"toolResults": [*RESULTS, RESULTS[0]]}, "has a result already"),
        ({"toolResults": [{"toolCallId": "x", "content": "y"}]}, "has no such call"),
        ({"toolResults": [{"toolCallId": "call_w1"}]}, "toolResults[0].content"),
        ({"toolResults": RESULTS, "conversationId": "new"}, "need a conversationId"),
        ({"toolResults": RESULTS, "conversationId": None}, "need a conversationId"),
        ({"toolResults": RESULTS, "parentId": None}, "need a conversationId with an answer"),
        ({"toolResults": RESULTS, "regenerate": "x"}, "regenerate answers once more"),
        (
            {"toolResults": RESULTS, "messages": [{"role": "user", "content": "x"}]},
            "with messages, give them as messages",
        ),
        (
            {
                "toolResults": [
                    {
                        "toolCallId": "call_w1",
                        "content": [{"type": "image_url", "image_url": {"url": "http://a.b"}}],
                    }
                ]
            },
            "toolResults[0].content: may not name an address",
        ),
    ],
)
async def test_results_that_fit_no_call_are_refused_in_words_and_nothing_is_stored(
    service: Service,
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    more: dict[str, Any],
    words: str,
) -> None:
    start = await calling(client, service)
    asked = len(upstream.requests)
    body: dict[str, Any] = {"conversationId": start["conversationId"], **more}
    async with client.post(f"{service.url}/ai/chat/stream-sse", json=body) as response:
        assert response.status == 422
        assert words in json.dumps(json.loads(await response.read()), ensure_ascii=False)
    assert len((await get(client, service, start["conversationId"]))["messages"]) == 2
    assert len(upstream.requests) == asked


async def test_calls_that_a_stop_has_cut_take_no_results_and_are_not_sent(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    body = {"message": "weather?", "conversationId": "new", "model": "tools?interval=30"}
    async with ask(client, service.url, **body, onDisconnect="continue") as stream:
        start = await stream.until("start")
        await stream.until("tool_arguments")
        async with client.post(f"{service.url}/ai/runs/{start['runId']}/stop") as response:
            assert response.status == 200
        await stream.rest()
    conversation = start["conversationId"]
    shown = await get(client, service, conversation)
    (cut,) = shown["messages"][1]["toolCalls"]
    assert (cut["id"], cut["arguments"]) == ("call_w1", '{"ci')
    assert shown["messages"][1]["status"] == "stopped"
    refused = {"toolResults": RESULTS[1:], "conversationId": conversation}
    async with client.post(f"{service.url}/ai/chat/stream-sse", json=refused) as response:
        assert response.status == 422
        assert "called no tool with whole arguments" in await response.text()
    await say(client, service, message="again", conversationId=conversation)
    assert "tool_calls" not in json.dumps(upstream.requests[-1].body["messages"])
