"""The AI SDK, by each of its providers for APIs like OpenAI's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from clients.conftest import BEATEN, BEATS
from stream_serve.testing import ANSWER, THOUGHT
from support.clients import Program, node_program, raises

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients.conftest import Door
    from stream_serve.testing import ScriptedUpstream

PROVIDERS: Final = ["compatible", "chat", "responses"]
by_each = pytest.mark.parametrize("provider", PROVIDERS)


@pytest.fixture(scope="module")
def ai() -> Iterator[Program]:
    """The AI SDK."""
    made = node_program("ai_sdk")
    yield made
    made.close()


@by_each
async def test_an_answer_in_one_piece_is_what_the_provider_said(
    ai: Program, door: Door, provider: str
) -> None:
    found = await ai.run("generate", model="answer", provider=provider, **door.words)
    assert (found["text"], found["finishReason"]) == (ANSWER, "stop")
    assert found["usage"]["totalTokens"] > found["usage"]["outputTokens"] > 0


@by_each
async def test_a_stream_has_the_thinking_the_text_and_the_usage(
    ai: Program, door: Door, provider: str
) -> None:
    found = await ai.run("stream", model="thinking", provider=provider, **door.words)
    assert (found["text"], found["finishReason"]) == (ANSWER, "stop")
    assert found["errors"] == []
    assert found["usage"]["outputTokenDetails"]["reasoningTokens"] == 798
    # `@ai-sdk/openai` does not know thinking in Chat Completions, and leaves it out.
    assert found["reasoning"] == ("" if provider == "chat" else THOUGHT)


@by_each
async def test_heartbeats_between_the_tokens_disturb_nothing(
    ai: Program, beating_door: Door, provider: str
) -> None:
    found = await ai.run("stream", model=BEATS, provider=provider, **beating_door.words)
    assert (found["text"], found["finishReason"]) == (BEATEN, "stop")


@by_each
async def test_a_failure_in_the_middle_is_an_error_part_after_the_text(
    ai: Program, door: Door, provider: str
) -> None:
    found = await ai.run("stream", model="error-mid", provider=provider, **door.words)
    assert (found["text"], found["finishReason"]) == (ANSWER[:12], "error")
    (error,) = found["errors"]
    assert "The model crashed" in error["message"]


@by_each
async def test_a_wrong_key_is_said_in_words(
    ai: Program, keyed_door: Door, upstream: ScriptedUpstream, provider: str
) -> None:
    words = {**keyed_door.words, "key": "wrong", "provider": provider}
    error = await raises(ai, "generate", model="answer", **words)
    assert error.told["status_code"] == 401
    assert "API key" in error.message
    found = await ai.run("stream", model="answer", **words)
    assert "API key" in found["errors"][0]["message"]
    assert upstream.requests == []


@by_each
async def test_a_busy_provider_is_asked_again_after_the_time_that_it_names(
    ai: Program, door: Door, provider: str
) -> None:
    words = {"provider": provider, "retries": 1, **door.words}
    found = await ai.run("generate", model="rate-limited?times=1&after=1", **words)
    assert found["text"] == ANSWER


@by_each
async def test_an_abort_stops_the_provider(
    ai: Program, door: Door, upstream: ScriptedUpstream, provider: str
) -> None:
    kinds = await ai.run("abort", model="hang-mid", provider=provider, **door.words)
    assert kinds[-1] == "abort"
    await upstream.wait_for(lambda record: record.closed_by == "peer")


@by_each
async def test_tools_are_called_and_their_results_answered(
    ai: Program, door: Door, upstream: ScriptedUpstream, provider: str
) -> None:
    found = await ai.run("tools", model="tools", turn="answer", provider=provider, **door.words)
    given = {"city": "杭州", "unit": "celsius"}
    assert found["called"] == [
        {"id": "call_w1", "input": given},
        {"id": "call_t2", "input": given},
    ]
    assert found["reasons"] == ["tool-calls", "stop"]
    assert found["answer"] == ANSWER
    roles = [message["role"] for message in upstream.requests[1].body["messages"]]
    assert roles == ["user", "assistant", "tool", "tool"]


@by_each
async def test_a_stream_ends_at_once_also_where_the_provider_holds_its_own_open(
    ai: Program, door: Door, provider: str
) -> None:
    # The AI SDK goes on at the end of the body, and not at [DONE].
    found = await ai.run("stream", model="keep-alive-after-done", provider=provider, **door.words)
    assert (found["text"], found["finishReason"]) == (ANSWER, "stop")
