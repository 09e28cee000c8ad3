"""LlamaIndex's class for servers like OpenAI's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_serve.testing import ANSWER
from support.clients import Program, python_program, raises

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients.conftest import Door


@pytest.fixture(scope="module")
def llama_index() -> Iterator[Program]:
    """LlamaIndex."""
    made = python_program("llama_index_client", "clients-llama-index")
    yield made
    made.close()


async def test_a_chat_is_answered_whole_and_streamed(llama_index: Program, door: Door) -> None:
    whole = await llama_index.run("chat", model="answer", **door.words)
    assert whole == {"text": ANSWER, "role": "assistant"}
    streamed = await llama_index.run("stream", model="answer", **door.words)
    assert streamed["text"] == ANSWER
    assert streamed["pieces"] > 80


async def test_a_prompt_is_completed_where_nothing_says_that_the_model_is_for_chats(
    llama_index: Program, door: Door
) -> None:
    assert await llama_index.run("complete", model="answer", **door.words) == ANSWER


async def test_a_failure_in_the_middle_is_raised_after_the_text(
    llama_index: Program, door: Door
) -> None:
    found = await llama_index.run("failing_stream", model="error-mid", **door.words)
    assert found["text"] == ANSWER[:12]
    assert "The model crashed" in found["message"]


async def test_a_wrong_key_is_said_in_words(llama_index: Program, keyed_door: Door) -> None:
    error = await raises(
        llama_index, "chat", model="answer", **{**keyed_door.words, "key": "wrong"}
    )
    assert error.name == "AuthenticationError"
    assert "API key" in error.message


async def test_a_tool_is_called(llama_index: Program, door: Door) -> None:
    calls = await llama_index.run("tools", model="tools", **door.words)
    assert calls[0] == {
        "id": "call_w1",
        "name": "get_weather",
        "given": {"city": "杭州", "unit": "celsius"},
    }
