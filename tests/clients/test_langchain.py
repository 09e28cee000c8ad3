"""LangChain's chat model for APIs like OpenAI's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from stream_serve.testing import ANSWER
from support.clients import Program, python_program, raises

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients.conftest import Door
    from stream_serve.testing import ScriptedUpstream

APIS: Final = ["chat completions", "responses"]
by_each = pytest.mark.parametrize("responses", [api == "responses" for api in APIS], ids=APIS)


@pytest.fixture(scope="module")
def langchain() -> Iterator[Program]:
    """LangChain."""
    made = python_program("langchain_client")
    yield made
    made.close()


@by_each
async def test_an_answer_in_one_piece_is_what_the_provider_said(
    langchain: Program, door: Door, responses: bool
) -> None:
    found = await langchain.run("invoke", model="answer", responses=responses, **door.words)
    assert found["text"] == ANSWER
    assert found["usage"]["total_tokens"] > found["usage"]["output_tokens"] > 0
    assert found["told"]["model_name"] == "answer"


@by_each
async def test_a_stream_has_the_text_piece_by_piece_and_the_usage(
    langchain: Program, door: Door, responses: bool
) -> None:
    found = await langchain.run("stream", model="answer", responses=responses, **door.words)
    assert found["text"] == ANSWER
    assert found["chunks"] > 80
    assert found["usage"]["total_tokens"] > 0


@by_each
@pytest.mark.parametrize(
    ("model", "text", "words"),
    [
        ("error-mid", ANSWER[:12], "The model crashed"),
        ("incomplete", ANSWER[:12], "finish_reason"),
        ("rate-limited", "", "rate limit"),
    ],
)
async def test_a_failure_is_raised_after_the_text(
    langchain: Program, door: Door, responses: bool, model: str, text: str, words: str
) -> None:
    found = await langchain.run("failing_stream", model=model, responses=responses, **door.words)
    assert found["text"] == text
    assert found["name"].endswith("Error")
    assert words in found["message"]


async def test_a_wrong_key_is_said_in_words(langchain: Program, keyed_door: Door) -> None:
    words = {**keyed_door.words, "key": "wrong"}
    error = await raises(langchain, "invoke", model="answer", **words)
    assert (error.name, error.told["status_code"]) == ("OpenAIAuthenticationError", 401)
    assert "API key" in error.message


@by_each
async def test_closing_a_stream_stops_the_provider(
    langchain: Program, door: Door, upstream: ScriptedUpstream, responses: bool
) -> None:
    assert await langchain.run("close", model="hang-mid", responses=responses, **door.words)
    await upstream.wait_for(lambda record: record.closed_by == "peer")


@by_each
async def test_tools_are_called_and_their_results_answered(
    langchain: Program, door: Door, upstream: ScriptedUpstream, responses: bool
) -> None:
    found = await langchain.run(
        "tools", model="tools", turn="answer", responses=responses, **door.words
    )
    assert [(call["id"], call["name"]) for call in found["calls"]] == [
        ("call_w1", "get_weather"),
        ("call_t2", "get_time"),
    ]
    assert found["calls"][0]["args"] == {"city": "杭州", "unit": "celsius"}
    assert found["answer"] == ANSWER
    roles = [message["role"] for message in upstream.requests[1].body["messages"]]
    assert roles == ["user", "assistant", "tool", "tool"]
