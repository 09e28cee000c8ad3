"""The scenarios of tool calls."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from testing.client import Client

pytestmark = pytest.mark.both_loops

RESULT = {"role": "tool", "tool_call_id": "call_0", "content": "21 °C, sunny"}


async def test_a_call_comes_in_fragments_of_the_size_that_is_asked_for(client: Client) -> None:
    chunks = (await client.ask("tool-call?size=3")).chunks
    first, *later = [
        one["choices"][0]["delta"]["tool_calls"][0]
        for one in chunks
        if "tool_calls" in one["choices"][0]["delta"]
    ]
    assert (first["id"], first["function"]) == ("call_0", {"name": "get_weather", "arguments": ""})
    pieces: list[str] = [one["function"]["arguments"] for one in later]
    assert all(len(piece) <= 3 for piece in pieces)
    assert json.loads("".join(pieces)) == {"city": "杭州", "unit": "celsius"}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("content", ["21 °C, sunny", [{"type": "text", "text": "21 °C, sunny"}]])
async def test_after_a_result_of_a_tool_the_answer_is_a_text_with_it(
    client: Client, stream: bool, content: Any
) -> None:
    answer = await client.ask("tool-call", stream=stream, messages=[{**RESULT, "content": content}])
    text = answer.text if stream else answer.json["choices"][0]["message"]["content"]
    assert "21 °C, sunny" in text


async def test_without_a_stream_the_calls_are_whole(client: Client) -> None:
    answer = (await client.ask("tool-call?calls=2", stream=False)).json
    message = answer["choices"][0]["message"]
    assert [one["function"]["name"] for one in message["tool_calls"]] == ["get_weather", "get_time"]
