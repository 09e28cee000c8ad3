"""Bodies of every door with a value of a wrong type in each of their fields: never a defect."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import aiohttp

    from support.service import Service

MODEL = "answer?tokens=1"
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TEXT = {"type": "text", "text": "hi"}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "messages": [
            {"role": "user", "content": [TEXT]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c", "content": "r"},
        ],
        "model": MODEL,
        "n": 1,
        "best_of": 1,
        "stream": False,
        "stream_options": {"include_usage": True},
        "on_disconnect": "stop",
        "max_tokens": 5,
        "num_return_sequences": 1,
    },
    "/v1/completions": {"model": MODEL, "prompt": ["hi"], "echo": False, "suffix": "", "n": 1},
    "/v1/responses": {
        "model": MODEL,
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "r"},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}]},
        ],
        "instructions": "be short",
        "metadata": {"a": "b"},
        "text": {"format": {"type": "text"}},
        "reasoning": {"effort": "low"},
        "tools": [{"type": "function", "name": "f", "parameters": {}}],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "f"}],
        },
        "include": [],
        "on_disconnect": "stop",
        "thinking_budget": 1,
    },
    "/api/chat": {
        "id": "c",
        "messages": [
            {"id": "1", "role": "user", "parts": [TEXT]},
            {
                "id": "2",
                "role": "assistant",
                "parts": [
                    {"type": "step-start"},
                    {
                        "type": "tool-f",
                        "toolCallId": "c",
                        "state": "output-available",
                        "input": {},
                        "output": {},
                    },
                ],
            },
            {"id": "3", "role": "user", "parts": [TEXT]},
        ],
        "trigger": "submit-message",
        "model": MODEL,
        "tools": {"f": {"description": "d", "parameters": {}}},
        "onDisconnect": "stop",
        "maxOutputTokens": 5,
    },
    "/ag-ui": {
        "threadId": "t",
        "runId": "r",
        "messages": [
            {"id": "1", "role": "user", "content": [TEXT]},
            {"id": "2", "role": "assistant", "toolCalls": [CALL]},
            {"id": "3", "role": "tool", "toolCallId": "c", "content": "r"},
            {
                "id": "4",
                "role": "user",
                "content": [
                    {
                        "type": "image",
                        "source": {"type": "data", "value": "AA", "mimeType": "image/png"},
                    }
                ],
            },
        ],
        "tools": [{"name": "f", "description": "d", "parameters": {}}],
        "context": [{"description": "d", "value": "v"}],
        "forwardedProps": {"model": MODEL, "onDisconnect": "stop", "extraBody": {"x": 1}},
    },
}


def paths(
    value: dict[str, Any] | list[Any], before: tuple[Any, ...] = ()
) -> Iterator[tuple[Any, ...]]:
    """Yield the place of each value in a body."""
    found = value if isinstance(value, dict) else dict(enumerate(value))
    for name, one in found.items():
        yield (*before, name)
        if isinstance(one, dict | list):
            yield from paths(cast("list[Any]", one), (*before, name))


def replaced(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Return a body with another value at a place."""
    found: Any = copy.deepcopy(body)
    at = found
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    return found


@pytest.mark.parametrize("wrong", [[], {}, [{"type": []}]], ids=["list", "object", "nested"])
@pytest.mark.parametrize("door", BODIES)
async def test_a_value_of_a_wrong_type_is_no_defect_of_the_service(
    service: Service, client: aiohttp.ClientSession, door: str, wrong: Any
) -> None:
    defects: list[tuple[Any, ...]] = []
    for number, path in enumerate(paths(BODIES[door])):
        own = {"/ag-ui": {"runId": f"r{number}"}, "/api/chat": {"id": f"c{number}"}}
        body = replaced({**BODIES[door], **own.get(door, {})}, path, wrong)
        async with client.post(service.url + door, json=body) as response:
            await response.read()
            if response.status >= 500:
                defects.append(path)
    assert not defects


@pytest.mark.parametrize(
    ("door", "fields"),
    [
        ("/v1/chat/completions", {"on_disconnect": "finish"}),
        ("/v1/responses", {"on_disconnect": "finish"}),
        ("/api/chat", {"onDisconnect": "finish"}),
        ("/ag-ui", {"forwardedProps": {"onDisconnect": "finish"}}),
    ],
)
async def test_a_run_that_nobody_reads_stops_or_continues_and_callers_have_no_third_word(
    service: Service, client: aiohttp.ClientSession, door: str, fields: dict[str, Any]
) -> None:
    async with client.post(service.url + door, json={**BODIES[door], **fields}) as response:
        assert response.status in {400, 422}
        assert "should be stop or continue" in await response.text()


@pytest.mark.parametrize("depth", [190, 500, 900, 950, 960, 965, 970, 100_000])
@pytest.mark.parametrize("door", BODIES)
async def test_a_body_that_is_nested_too_deep_is_refused_and_breaks_nothing(
    service: Service, client: aiohttp.ClientSession, door: str, depth: int
) -> None:
    nested = "[" * depth + "]" * depth
    first = next(name for name in ("messages", "input", "prompt") if name in BODIES[door])
    ag_ui = {"id": "9", "role": "activity", "content": "NESTED"}
    body: dict[str, Any] = {**BODIES[door], "x": "NESTED"}
    if door == "/ag-ui":
        body[first] = [ag_ui, *body[first]]
    if door == "/v1/responses":
        body["tools"] = [{"type": "function", "name": "f", "parameters": {"a": "NESTED"}}]
    raw = json.dumps(body).replace('"NESTED"', nested)
    headers = {"Content-Type": "application/json"}
    async with client.post(service.url + door, data=raw, headers=headers) as response:
        said = await response.text()
        assert response.status == (200 if depth < 200 else 400), said
