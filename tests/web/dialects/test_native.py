"""The body of a question: which fields it takes and ignores, and what they become."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from stream_serve.errors import InvalidFields
from stream_serve.web.body import ValueBudget, read_json
from stream_serve.web.dialects.native import ChatBody
from support.bodies import request

if TYPE_CHECKING:
    from stream_serve.producers.provider import ChatRequest

Json = dict[str, Any]


def body(**fields: Any) -> ChatBody:
    text = json.dumps({"message": "a", **fields})
    return ChatBody.model_validate_json(text, context=ValueBudget())


def asked(**fields: Any) -> ChatRequest:
    return body(**fields).question().request(model="m", system_prompt=None)


async def refused(**fields: Any) -> dict[str, str]:
    """Return the wrong fields of a body, each with what is said of it."""
    text = json.dumps({"message": "a", **fields})
    with pytest.raises(InvalidFields) as caught:
        await read_json(request(text), ChatBody, max_bytes=len(text))
    return dict(caught.value.fields)


# Fields


async def test_every_option_has_its_range_and_its_type() -> None:
    wrong: dict[str, list[Any]] = {
        "temperature": [-0.1, 2.1, "1"],
        "topP": [-0.1, 1.1],
        "maxTokens": [0, 1.5, True, 2**31, 10**30],
        "seed": [1.5, "1", True, 2**63, -(2**63) - 1],
        "presencePenalty": [-2.1, 2.1, "0"],
        "frequencyPenalty": [-2.1, 2.1, True],
        "responseFormat": ["json", 1, [], {}, {"type": 1}],
        "reasoningEffort": ["", "High", 1],
        "enableThinking": [1, "true"],
        "thinkingBudget": [0, -1, 2**31],
        "extraBody": ["a", 1, [], [{}]],
    }
    for name, values in wrong.items():
        for value in values:
            assert list(await refused(**{name: value})) == [name], value


def test_every_option_goes_to_the_provider_under_openais_name() -> None:
    schema = {"type": "json_schema", "json_schema": {"schema": {"enum": [None, "a"]}}}
    given: Json = {
        "temperature": 0,
        "topP": 1,
        "maxTokens": 5,
        "stop": "x",
        "seed": -(2**63),
        "presencePenalty": -2,
        "frequencyPenalty": 0.0,
        "responseFormat": schema,
        "reasoningEffort": "xhigh",
        "enableThinking": False,
        "thinkingBudget": 1,
        "enableSearch": False,
        "extraBody": {"top_k": None},
    }
    request = asked(**given)
    assert request.extra == {"top_k": None}
    assert request.options == {
        "temperature": 0,
        "top_p": 1,
        "max_tokens": 5,
        "stop": "x",
        "seed": -(2**63),
        "presence_penalty": -2,
        "frequency_penalty": 0,
        "response_format": schema,
        "reasoning_effort": "xhigh",
        "enable_thinking": False,
        "thinking_budget": 1,
        "enable_search": False,
    }
    nothing = asked(**dict.fromkeys(given))
    assert (nothing.options, nothing.extra) == ({}, {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"seed": 1}),
        ({"seed": 1}, {"seed": 2}),
        ({}, {"systemPrompt": None}),
        ({"systemPrompt": None}, {"systemPrompt": ""}),
        ({}, {"responseFormat": {"type": "text"}}),
        ({"responseFormat": {"type": "a"}}, {"responseFormat": {"type": "b"}}),
        ({}, {"presencePenalty": 1}),
        ({"presencePenalty": 1}, {"frequencyPenalty": 1}),
        ({"reasoningEffort": "low"}, {"reasoningEffort": "high"}),
        ({}, {"extraBody": {"a": 1}}),
        ({"extraBody": {"a": 1}}, {"extraBody": {"a": 2}}),
        ({"extraBody": {"a": {"b": 1}}}, {"extraBody": {"a": {"c": 1}}}),
    ],
)
def test_two_different_requests_have_two_fingerprints(one: Json, other: Json) -> None:
    assert body(**one).fingerprint() != body(**other).fingerprint()
    assert body(**one).fingerprint() == body(**one).fingerprint()


# Fields for the provider


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        *(("model", "model"), ("models", "model"), ("messages", "messages"), ("prompt", "message")),
        *(("stream", ""), ("stream_options", ""), ("n", ""), ("best_of", "")),
        *(("max_tokens", "maxTokens"), ("max_completion_tokens", "maxTokens")),
        *(("Max_Tokens", "maxTokens"), ("maxTokens", "maxTokens"), ("n_predict", "maxTokens")),
        *(("MODEL", "model"), ("Stream", ""), ("streamOptions", "")),
        *(("enable_thinking", "enableThinking"), ("thinking_budget", "thinkingBudget")),
        *(("temperature", "temperature"), ("stop", "stop"), ("seed", "seed"), ("top_p", "topP")),
        *(("response_format", "responseFormat"), ("reasoning_effort", "reasoningEffort")),
        *(("presence_penalty", "presencePenalty"), ("frequency_penalty", "frequencyPenalty")),
        ("enable_search", "enableSearch"),
    ],
)
async def test_extra_body_replaces_nothing_that_the_request_says_itself(
    name: str, remedy: str
) -> None:
    said = (await refused(extraBody={"top_k": 1, name: None}))["extraBody"]
    assert said.startswith(f"cannot have {name}")
    assert name in said
    assert remedy in said
    assert remedy or "itself" in said


@pytest.mark.parametrize(
    "extra",
    [
        {"a": "x" * 65_536},
        {f"a{number}": number for number in range(10_000)},
        {"a": [1] * 60_000},
        {"a": 2**70},
        json.loads('{"a":' * 33 + "1" + "}" * 33),
        json.loads('{"a":' + "[" * 32 + "1" + "]" * 32 + "}"),
    ],
    ids=["text", "names", "values", "digits", "objects", "lists"],
)
async def test_extra_body_is_bounded(extra: Json) -> None:
    assert list(await refused(extraBody=extra)) == ["extraBody"]
    assert list(await refused(responseFormat={"type": "a", **extra})) == ["responseFormat"]


def test_extra_body_may_be_as_large_as_it_says() -> None:
    deep = json.loads('{"a":' * 32 + "1" + "}" * 32)
    assert asked(extraBody=deep).extra == deep
    large = {"a": "x" * (65_536 - len('{"a":""}'))}
    assert asked(extraBody=large).extra == large
    assert asked(extraBody={}).extra == {}


# Unknown fields


def test_an_unknown_field_is_ignored_and_remembered_by_name() -> None:
    known = body(temperature=1)
    other = body(temperature=1, user="anna", metadata={"a": [1]}, stream=False, n=3)
    assert known.ignored == ()
    assert other.ignored == ("user", "metadata", "stream", "n")
    assert other.fingerprint() == known.fingerprint()
    assert other.question().request(model="m", system_prompt=None) == asked(temperature=1)


async def test_a_near_miss_is_refused_and_says_what_was_meant() -> None:
    wrong = await refused(max_tokens=5, temprature=1, user="anna", Message="b")
    assert set(wrong) == {"max_tokens", "temprature", "Message"}
    assert "did you mean maxTokens?" in wrong["max_tokens"]
    assert "did you mean temperature?" in wrong["temprature"]
    assert "did you mean message?" in wrong["Message"]


async def test_a_near_miss_of_a_field_that_is_given_too_is_refused_as_well() -> None:
    assert list(await refused(maxTokens=1, max_tokens=5)) == ["max_tokens"]


async def test_an_unknown_field_of_a_message_is_refused() -> None:
    message: Json = {"role": "user", "content": "a", "weight": 1}
    wrong = await refused(messages=[message])
    assert wrong == {"messages[0].weight": "there is no such field"}


# Tools

CALL: Json = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


@pytest.mark.parametrize("spelt", [("tool_calls", "tool_call_id"), ("toolCalls", "toolCallId")])
def test_tool_calls_and_their_results_go_to_the_provider_in_its_words(
    spelt: tuple[str, str],
) -> None:
    calls, call_id = spelt
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", calls: [CALL]},
        {"role": "tool", call_id: "c1", "content": "sunny"},
    ]
    tools = [{"type": "function", "function": {"name": "weather"}}]
    sent = asked(message=None, messages=messages, tools=tools, toolChoice="auto")
    assert sent.messages == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
    ]
    assert sent.options == {"tools": tools, "tool_choice": "auto"}


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"role": "user", "content": None}, "messages[0].content"),
        ({"role": "assistant", "content": None}, "messages[0]"),
        ({"role": "tool", "content": "x"}, "messages[0]"),
        ({"role": "user", "content": "x", "toolCallId": "c1"}, "messages[0]"),
        ({"role": "user", "content": "x", "toolCalls": [CALL]}, "messages[0]"),
        ({"role": "assistant", "toolCalls": [{"id": "c1"}]}, "messages[0].toolCalls"),
        ({"role": "assistant", "toolCalls": "c1"}, "messages[0].toolCalls"),
    ],
)
async def test_a_message_that_no_provider_would_take_is_refused(message: Json, field: str) -> None:
    assert list(await refused(messages=[message])) == [field]


async def test_only_some_unknown_fields_are_ignored() -> None:
    some = {f"x{number}": number for number in range(50)}
    assert len(body(**some).ignored) == 50
    wrong = await refused(**some, y=1)
    assert len(wrong) == 10
    assert "at most 50" in wrong["x0"]


def test_a_body_with_an_ignored_field_is_checked_like_any_other() -> None:
    with pytest.raises(ValidationError) as caught:
        body(user="anna", temperature=5)
    assert [error["loc"] for error in caught.value.errors()] == [("temperature",)]


def test_the_schema_says_that_other_fields_may_be_there() -> None:
    schema = ChatBody.model_json_schema(by_alias=True)
    assert schema["additionalProperties"] is True
    for name in ("extraBody", "seed", "responseFormat", "presencePenalty", "frequencyPenalty"):
        assert "description" in json.dumps(schema["properties"][name])
