"""The loop of a tool with thoughts that nobody but the provider can read: they go out, and come back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.testing.chunks import THOUGHT
from stream_serve.testing.scenarios.tools import SEALED, SIGNATURE
from support.client import ask, text
from support.telling import TELLING

if TYPE_CHECKING:
    import aiohttp

    from stream_serve.testing import ScriptedUpstream
    from support.service import Service

Json = dict[str, Any]

MODEL = "tool-call-sealed"
DETAILS = [
    {"type": "reasoning.text", "text": THOUGHT, "index": 0, "signature": SIGNATURE},
    {"type": "reasoning.encrypted", "data": SEALED, "id": "call_0", "index": 0},
]
QUESTION = {"role": "user", "content": "Weather?"}


async def answered(client: aiohttp.ClientSession, url: str, *, stream: bool, body: Json) -> Json:
    """Ask, and return the message of the answer as a caller puts it together."""
    async with client.post(
        f"{url}/v1/chat/completions", json={**body, "model": MODEL, "stream": stream}
    ) as response:
        assert response.status == 200, await response.text()
        if not stream:
            return (await response.json())["choices"][0]["message"]
        lines = (await response.text()).split("\n\n")
    deltas = [
        choice["delta"]
        for line in lines
        if line.startswith("data: {")
        for choice in json.loads(line[6:])["choices"]
    ]
    return {
        "role": "assistant",
        "content": "".join(one.get("content") or "" for one in deltas) or None,
        "reasoning_content": "".join(one.get("reasoning_content", "") for one in deltas),
        "reasoning_details": [one for each in deltas for one in each.get("reasoning_details", [])],
        "tool_calls": _joined([one for each in deltas for one in each.get("tool_calls", [])]),
    }


def _joined(pieces: list[Json]) -> list[Json]:
    calls: dict[int, Json] = {}
    for piece in pieces:
        call = calls.setdefault(piece["index"], {**piece, "function": {**piece["function"]}})
        if "id" not in piece:
            call["function"]["arguments"] += piece["function"]["arguments"]
    return [{name: call[name] for name in ("id", "type", "function")} for call in calls.values()]


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_sealed_thoughts_reach_the_caller_and_go_back_unchanged_with_the_tools_result(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, *, stream: bool
) -> None:
    first = await answered(client, service.url, stream=stream, body={"messages": [QUESTION]})
    assert first["reasoning_details"] == DETAILS
    assert first["reasoning_content"] == THOUGHT
    assert [one["id"] for one in first["tool_calls"]] == ["call_0"]
    result = {"role": "tool", "tool_call_id": "call_0", "content": "18 °C"}
    body = {"messages": [QUESTION, first, result]}
    second = await answered(client, service.url, stream=stream, body=body)
    assert second["content"] == "The tool says: 18 °C"
    assert upstream.requests[-1].body["messages"] == body["messages"]


@pytest.mark.parametrize("dialect", TELLING)
async def test_in_every_dialect_sealed_thoughts_do_no_harm(
    service: Service, client: aiohttp.ClientSession, dialect: str
) -> None:
    async with ask(client, service.url, model=MODEL) as stream:
        events = await stream.rest()
        assert text(events, "reasoning") == THOUGHT
        url = f"{service.url}/ai/runs/{stream.run_id}/events?dialect={dialect}"
    async with client.get(url) as response:
        assert response.status == 200
        told = TELLING[dialect](await response.read())
    silent = dialect == "completions"
    assert (told.thought, told.ends, len(told.calls)) == ("" if silent else THOUGHT, 1, not silent)
