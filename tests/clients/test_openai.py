"""OpenAI's own clients, in Python and in Node: Chat Completions, Completions, and models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from clients.conftest import BEATEN, BEATS
from stream_serve.testing import ANSWER, THOUGHT
from support.clients import Program, node_program, python_program, raises
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients.conftest import Door
    from stream_serve.testing import ScriptedUpstream

WEATHER: Final = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Return the weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}

OPTIONS: Final[dict[str, Any]] = {
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 7,
    "stop": ["x"],
    "user": "somebody",
    "frequency_penalty": 0.1,
    "presence_penalty": 0.2,
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "top_logprobs": 2,
    "metadata": {"a": "b"},
    "store": False,
    "response_format": {"type": "json_object"},
    "service_tier": "auto",
    "reasoning_effort": "low",
    "tools": [WEATHER],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
}


@pytest.fixture(scope="module", params=["python", "node"])
def openai(request: pytest.FixtureRequest) -> Iterator[Program]:
    """OpenAI's client of one language."""
    made = python_program("openai_client") if request.param == "python" else node_program("openai")
    yield made
    made.close()


# Answers


async def test_an_answer_in_one_piece_is_what_the_provider_said(
    openai: Program, door: Door, upstream: ScriptedUpstream
) -> None:
    found = await openai.run("plain", model="answer", **door.words)
    (choice,) = found["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == ANSWER
    assert choice["finish_reason"] == "stop"
    assert found["object"] == "chat.completion"
    assert found["usage"]["total_tokens"] > found["usage"]["completion_tokens"] > 0
    assert upstream.requests[0].body["messages"] == [{"role": "user", "content": "Hello"}]


async def test_a_stream_has_the_role_then_the_text_then_one_finish_reason(
    openai: Program, door: Door
) -> None:
    chunks = await openai.run("stream", model="answer", **door.words)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(delta.get("content", "") for delta in deltas) == ANSWER
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert [one for one in reasons if one] == [reasons[-1]] == ["stop"]
    assert len({chunk["id"] for chunk in chunks}) == 1


async def test_a_stream_has_its_usage_last_where_it_was_asked_for(
    openai: Program, door: Door
) -> None:
    more = {"stream_options": {"include_usage": True}}
    chunks = await openai.run("stream", model="answer", more=more, **door.words)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] > 0
    assert [chunk for chunk in chunks[:-1] if chunk.get("usage")] == []


async def test_thinking_comes_as_reasoning_content(openai: Program, door: Door) -> None:
    chunks = await openai.run("stream", model="thinking", **door.words)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == THOUGHT
    assert "".join(delta.get("content") or "" for delta in deltas) == ANSWER


async def test_the_helper_for_streams_has_the_whole_answer(openai: Program, door: Door) -> None:
    more = {"stream_options": {"include_usage": True}}
    found = await openai.run("helper", model="answer", more=more, **door.words)
    (choice,) = found["final"]["choices"]
    assert choice["message"]["content"] == ANSWER
    assert choice["finish_reason"] == "stop"
    assert found["final"]["usage"]["total_tokens"] > 0


async def test_heartbeats_between_the_tokens_disturb_nothing(
    openai: Program, beating_door: Door
) -> None:
    chunks = await openai.run("stream", model=BEATS, **beating_door.words)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("content") or "" for delta in deltas) == BEATEN


async def test_what_a_call_may_name_reaches_the_provider_as_it_is(
    openai: Program, door: Door, upstream: ScriptedUpstream
) -> None:
    await openai.run("plain", model="answer", more=OPTIONS | {"n": 1}, **door.words)
    sent = upstream.requests[0].body
    assert {name: sent.get(name) for name in OPTIONS} == OPTIONS


async def test_the_older_completions_answer_too(openai: Program, door: Door) -> None:
    found = await openai.run("completion", model="answer", **door.words)
    assert found == {"whole": ANSWER, "streamed": ANSWER}


async def test_models_are_listed_and_shown(openai: Program, door: Door) -> None:
    found = await openai.run("models", **door.words)
    assert found["shown"] == found["listed"][0] == "answer"


async def test_a_tool_is_called_and_its_result_answered(
    openai: Program, door: Door, upstream: ScriptedUpstream
) -> None:
    found = await openai.run("tools", model="tools", turn="answer", tool=WEATHER, **door.words)
    assert found["reason"] == "tool_calls"
    assert [call["name"] for call in found["calls"]] == ["get_weather", "get_time"]
    assert {call["arguments"] for call in found["calls"]} == {'{"city": "杭州", "unit": "celsius"}'}
    assert found["answer"] == ANSWER
    _, second = upstream.requests
    question, called, *results = second.body["messages"]
    assert question["role"] == "user"
    assert [call["id"] for call in called["tool_calls"]] == ["call_w1", "call_t2"]
    assert [(one["role"], one["tool_call_id"]) for one in results] == [
        ("tool", "call_w1"),
        ("tool", "call_t2"),
    ]


# Failures


async def test_a_wrong_key_is_an_authentication_error_in_words(
    openai: Program, keyed_door: Door, upstream: ScriptedUpstream
) -> None:
    error = await raises(
        openai, "plain", model="answer", **{**keyed_door.words, "key": "wrong"}, retries=2
    )
    assert error.name == "AuthenticationError"
    assert error.told["code"] == "invalid_api_key"
    assert "API key" in error.message
    assert error.told["request_id"]
    assert upstream.requests == []


async def test_what_is_not_there_is_not_found_in_words(openai: Program, door: Door) -> None:
    for case, words in (("model", {"name": "no/such"}), ("embeddings", {})):
        error = await raises(openai, case, **words, **door.words)
        assert error.name == "NotFoundError"
        assert error.told["status_code"] == 404
        assert error.told["request_id"]
    error = await raises(openai, "model", name="no/such", **door.words)
    assert error.told["code"] == "model_not_found"
    assert "no/such" in error.message


async def test_more_than_one_answer_is_refused_in_words(openai: Program, door: Door) -> None:
    error = await raises(openai, "plain", model="answer", more={"n": 2}, retries=2, **door.words)
    assert error.name == "BadRequestError"
    assert error.told["param"] == "n"
    assert "one answer" in error.message


@pytest.mark.parametrize(
    "model", ["rate-limited?times=1&after=1", "http-503?times=2&retry-after=1"]
)
async def test_a_busy_provider_is_asked_again_after_the_time_that_it_names(
    openai: Program, door: Door, model: str
) -> None:
    found = await openai.run("plain", model=model, retries=1, **door.words)
    assert found["choices"][0]["message"]["content"] == ANSWER


@pytest.mark.parametrize(
    ("model", "name", "status"),
    [
        ("rate-limited?after=1", "RateLimitError", 429),
        ("http-503", "InternalServerError", 502),
        ("bad-request", "BadRequestError", 400),
        ("error-mid", "InternalServerError", 502),
    ],
)
async def test_a_failure_of_the_provider_is_an_error_of_its_class(
    openai: Program, door: Door, model: str, name: str, status: int
) -> None:
    error = await raises(openai, "plain", model=model, **door.words)
    assert (error.name, error.told["status_code"]) == (name, status)
    assert error.told["code"].startswith("upstream_")


@pytest.mark.parametrize(
    ("model", "name", "status"),
    [
        ("rate-limited?after=1", "RateLimitError", 429),
        ("http-503", "InternalServerError", 502),
        ("bad-request", "BadRequestError", 400),
    ],
)
async def test_a_stream_that_the_provider_refuses_at_once_is_an_error_of_its_class(
    openai: Program, door: Door, model: str, name: str, status: int
) -> None:
    error = await raises(openai, "stream", model=model, **door.words)
    assert (error.name, error.told["status_code"]) == (name, status)
    assert error.told["code"].startswith("upstream_")


async def test_a_failure_that_a_repetition_cannot_mend_is_not_repeated(
    openai: Program, door: Door, upstream: ScriptedUpstream
) -> None:
    error = await raises(openai, "plain", model="unauthorized", retries=2, **door.words)
    assert error.told["code"] == "upstream_auth"
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("model", ["error-mid", "reset-mid", "incomplete", "close-mid"])
async def test_a_failure_in_the_middle_is_raised_after_the_text(
    openai: Program, door: Door, model: str
) -> None:
    found = await openai.run("failing_stream", model=model, **door.words)
    assert found["text"] == ANSWER[:12]
    assert found["name"] == "APIError"
    assert found["code"].startswith("upstream_")
    assert found["message"]


# Leaving


@pytest.mark.parametrize("case", ["close", "cancel"])
async def test_closing_a_stream_stops_the_provider(
    openai: Program, door: Door, upstream: ScriptedUpstream, case: str
) -> None:
    assert await openai.run(case, model="hang-mid", **door.words)
    await upstream.wait_for(lambda record: record.closed_by == "peer")


async def test_giving_up_on_an_answer_in_one_piece_stops_the_provider(
    openai: Program, door: Door, upstream: ScriptedUpstream
) -> None:
    error = await raises(openai, "give_up", model="silent", **door.words)
    assert error.name in {"APITimeoutError", "APIConnectionTimeoutError"}
    await upstream.wait_for(lambda record: record.closed_by == "peer")
    await until(lambda: upstream.open_connections == 0)
