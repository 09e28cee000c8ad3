"""Tool calls in each form that engines send, at each door, and back to the provider with results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.testing.scenarios.tool_forms import AFTER, BEFORE, FORMS
from stream_serve.testing.scenarios.tools import CITIES, NAMES
from support.ag_ui import Client
from support.client import ask, text
from support.service import Service
from support.telling import TELLING, objects
from support.ui_messages import message_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    import aiohttp

    from stream_serve.testing import ScriptedUpstream

    Door = Callable[["Caller"], Awaitable["Seen"]]

Json = dict[str, Any]
Seen = tuple[str, list[tuple[str, object]]]

QUESTION = {"role": "user", "content": "Weather, and the time?"}
WANTED = [(NAMES[at], {"city": CITIES[at], "unit": "celsius"}) for at in range(2)]
RESULTS = ["sunny", "noon"]


@pytest.fixture
async def service(upstream: ScriptedUpstream, tmp_path: Path) -> AsyncIterator[Service]:
    database = f"sqlite:///{tmp_path / 'kept.db'}"
    async with Service(upstream_url=upstream.url, database_url=database) as running:
        yield running


class Caller:
    """A client of one door: asks, and goes on with a result for each call that it was told of."""

    def __init__(self, client: aiohttp.ClientSession, url: str, model: str) -> None:
        self.client = client
        self.url = url
        self.model = model

    async def post(self, path: str, body: Json) -> bytes:
        async with self.client.post(self.url + path, json=body) as response:
            assert response.status == 200, await response.text()
            return await response.read()


def called(calls: list[tuple[str, str]]) -> list[tuple[str, object]]:
    return [(name, json.loads(arguments)) for name, arguments in calls]


async def native(caller: Caller) -> Seen:
    asked: Json = {"message": QUESTION["content"], "conversationId": "new", "model": caller.model}
    async with ask(caller.client, caller.url, **asked) as stream:
        events = await stream.rest()
    begun = [one for one in events if one["type"] == "tool_call"]
    pieces = [one for one in events if one["type"] == "tool_arguments"]
    calls = [
        (one["name"], "".join(p["content"] for p in pieces if p["index"] == one["index"]))
        for one in begun
    ]
    results = [
        {"toolCallId": one["callId"], "content": result}
        for one, result in zip(begun, RESULTS, strict=False)
    ]
    body: Json = {"conversationId": events[0]["conversationId"], "toolResults": results}
    async with ask(caller.client, caller.url, **body, model=caller.model) as stream:
        assert text(await stream.rest()) == AFTER
    return text(events), called(calls)


async def chat(caller: Caller, *, stream: bool) -> Seen:
    path, body = "/v1/chat/completions", {"model": caller.model, "stream": stream}
    data = await caller.post(path, {**body, "messages": [QUESTION]})
    message = joined(data) if stream else json.loads(data)["choices"][0]["message"]
    calls = message["tool_calls"]
    assert all(one["type"] == "function" for one in calls)
    results = [
        {"role": "tool", "tool_call_id": one["id"], "content": result}
        for one, result in zip(calls, RESULTS, strict=False)
    ]
    data = await caller.post(path, {**body, "messages": [QUESTION, message, *results]})
    assert AFTER.encode() in data
    functions = [one["function"] for one in calls]
    return message["content"] or "", called([(one["name"], one["arguments"]) for one in functions])


def joined(data: bytes) -> Json:
    """Return the message of a streamed completion, as clients put it together."""
    content, calls = "", dict[int, Json]()
    deltas = [choice["delta"] for chunk in objects(data) for choice in chunk["choices"]]
    for delta in deltas:
        content += delta.get("content") or ""
        for piece in delta.get("tool_calls", ()):
            if piece["index"] in calls:
                function = calls[piece["index"]]["function"]
                function["arguments"] += piece["function"]["arguments"]
            else:
                calls[piece["index"]] = piece
    return {"role": "assistant", "content": content or None, "tool_calls": [*calls.values()]}


async def chat_streamed(caller: Caller) -> Seen:
    return await chat(caller, stream=True)


async def chat_whole(caller: Caller) -> Seen:
    return await chat(caller, stream=False)


async def responses(caller: Caller, *, stream: bool) -> Seen:
    path, body = "/v1/responses", {"model": caller.model, "stream": stream}
    data = await caller.post(path, {**body, "input": QUESTION["content"]})
    if stream:
        told = TELLING["responses"](data)
        answer = objects(data)[-1]["response"]
    else:
        told, answer = None, json.loads(data)
    items = [one for one in answer["output"] if one["type"] == "function_call"]
    calls = [(one["name"], one["arguments"]) for one in items]
    said = "".join(
        part["text"]
        for one in answer["output"]
        if one["type"] == "message"
        for part in one["content"]
    )
    if told is not None:
        assert (told.text, [*told.calls.values()]) == (said, [[*one] for one in calls])
    results = [
        {"type": "function_call_output", "call_id": one["call_id"], "output": result}
        for one, result in zip(items, RESULTS, strict=False)
    ]
    more = {"previous_response_id": answer["id"], "input": results}
    assert AFTER.encode() in await caller.post(path, {**body, **more})
    return said, called(calls)


async def responses_streamed(caller: Caller) -> Seen:
    return await responses(caller, stream=True)


async def responses_whole(caller: Caller) -> Seen:
    return await responses(caller, stream=False)


async def ai_sdk(caller: Caller) -> Seen:
    parts: list[Json] = [{"type": "text", "text": QUESTION["content"]}]
    asked = {"id": "u", "role": "user", "parts": parts}
    body: Json = {"id": "chat", "trigger": "submit-message", "model": caller.model}
    told = message_of(await caller.post("/api/chat", {**body, "messages": [asked]}))
    parts = [part for part in told.parts if "toolCallId" in part]
    calls = [
        (part.get("toolName") or part["type"].removeprefix("tool-"), part["said"]) for part in parts
    ]
    for part, result in zip(parts, RESULTS, strict=False):
        assert part["state"] == "input-available"
        assert part["input"] == json.loads(part.pop("said"))
        part |= {"state": "output-available", "output": result}
    more = {"messages": [asked, told.sendable], "messageId": told.id}
    again = message_of(await caller.post("/api/chat", {**body, **more}))
    assert again.text() == AFTER
    return told.text(), called(calls)


async def ag_ui(caller: Caller) -> Seen:
    props: Json = {"forwardedProps": {"model": caller.model}, "threadId": "t", "tools": []}
    client = Client([{"id": "q", **QUESTION}])
    client.feed(await caller.post("/ag-ui", {**props, "runId": "1", "messages": client.messages}))
    messages = [one for one in client.messages if one["role"] == "assistant"]
    said = "".join(one.get("content") or "" for one in messages)
    calls = [one for message in messages for one in message.get("toolCalls", ())]
    assert client.pending == [one["id"] for one in calls]
    results = [
        {"id": f"r{at}", "role": "tool", "toolCallId": one["id"], "content": RESULTS[at]}
        for at, one in enumerate(calls)
    ]
    sent = [*client.messages, *results]
    assert AFTER.encode() in await caller.post("/ag-ui", {**props, "runId": "2", "messages": sent})
    functions = [one["function"] for one in calls]
    return said, called([(one["name"], one["arguments"]) for one in functions])


DOORS: dict[str, Door] = {
    "native": native,
    "chat, streamed": chat_streamed,
    "chat, whole": chat_whole,
    "responses, streamed": responses_streamed,
    "responses, whole": responses_whole,
    "ai-sdk": ai_sdk,
    "ag-ui": ag_ui,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("door", DOORS)
async def test_at_every_door_calls_in_any_form_are_the_same_and_go_back_with_their_results(
    service: Service,
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    door: str,
    form: str,
) -> None:
    said, calls = await DOORS[door](Caller(client, service.url, f"tool-form?form={form}"))
    wanted = WANTED[:1] if form == "legacy" else WANTED
    assert calls == wanted
    assert said == (BEFORE + AFTER if form == "texts" else "")
    history = upstream.requests[-1].body["messages"]
    asked = [one for one in history if one["role"] == "assistant"]
    told = [one for one in history if one["role"] == "tool"]
    sent = [one for message in asked for one in message.get("tool_calls", ())]
    functions = [one["function"] for one in sent]
    assert called([(one["name"], one["arguments"]) for one in functions]) == wanted
    assert [one["tool_call_id"] for one in told] == [one["id"] for one in sent]
    assert len({one["id"] for one in sent}) == len(wanted)
    assert [one["content"] for one in told] == RESULTS[: len(wanted)]
    assert "".join(one.get("content") or "" for one in asked) == said
