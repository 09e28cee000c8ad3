"""The body of a request, for each kind of server."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from stream_serve.producers.base import Patience
from stream_serve.producers.openai.endpoint import Endpoint, Traits
from stream_serve.producers.openai.provider import OpenAIProvider
from stream_serve.producers.openai.request import arrange, build, merge, unsupported
from stream_serve.producers.provider import ChatRequest
from support.properties import steady

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_serve.testing import ScriptedUpstream

Json = dict[str, Any]

QUESTION: Json = {"role": "user", "content": "hi"}
PROMPT: Json = {"role": "system", "content": "be short"}
TRAITS = (
    Traits(),
    Traits(stream_options=False),
    Traits(continuous_usage=True),
    Traits(system_role="developer", max_tokens="max_completion_tokens", thinking=None),
    Traits(system_role="user", thinking="chat_template_kwargs"),
)


def endpoint(extra_body: Json | None = None, **traits: Any) -> Endpoint:
    return Endpoint("http://x", "", "m", traits=Traits(**traits), extra_body=extra_body or {})


def asked(*messages: Json, extra: Json | None = None, **options: object) -> ChatRequest:
    return ChatRequest("m", list(messages) or [QUESTION], options, extra or {})


def test_a_plain_question_is_all_that_goes_out() -> None:
    assert build(asked(PROMPT, QUESTION), endpoint()) == {
        "model": "m",
        "messages": [PROMPT, QUESTION],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_server_that_refuses_stream_options_gets_none() -> None:
    assert "stream_options" not in build(asked(), endpoint(stream_options=False))


def test_a_server_that_can_count_as_it_goes_is_asked_to() -> None:
    body = build(asked(), endpoint(continuous_usage=True))
    assert body["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    body = build(asked(), endpoint(continuous_usage="timings_per_token", stream_options=False))
    assert body["timings_per_token"] is True
    assert "stream_options" not in body


def test_the_limit_on_tokens_has_the_name_that_the_server_knows() -> None:
    assert build(asked(max_tokens=5), endpoint())["max_tokens"] == 5
    body = build(asked(max_tokens=5), endpoint(max_tokens="max_completion_tokens"))
    assert body["max_completion_tokens"] == 5
    assert "max_tokens" not in body


@pytest.mark.parametrize("on", [True, False])
def test_thinking_goes_where_the_server_looks_for_it_or_is_refused_in_words(on: bool) -> None:
    request = asked(enable_thinking=on)
    own, template, none = (
        endpoint(thinking=form) for form in ("enable_thinking", "chat_template_kwargs", None)
    )
    assert build(request, own)["enable_thinking"] is on
    body = build(request, template)
    assert body["chat_template_kwargs"] == {"enable_thinking": on}
    assert "enable_thinking" not in body
    body = build(request, none)
    assert not {"enable_thinking", "chat_template_kwargs"} & body.keys()
    assert unsupported(request, own.traits) == unsupported(request, template.traits) == {}
    assert "cannot be told" in unsupported(request, none.traits)["enable_thinking"]


def test_the_thinking_budget_goes_only_to_a_server_that_takes_one() -> None:
    request = asked(thinking_budget=5)
    assert build(request, endpoint())["thinking_budget"] == 5
    assert unsupported(request, Traits()) == {}
    for form in ("chat_template_kwargs", None):
        other = endpoint(thinking=form)
        assert "thinking_budget" not in str(build(request, other))
        assert set(unsupported(request, other.traits)) == {"thinking_budget"}


def test_the_callers_fields_lie_over_the_operators_and_options_over_both() -> None:
    theirs = {"top_k": 1, "min_p": 0.1, "chat_template_kwargs": {"a": 1, "enable_thinking": False}}
    request = asked(extra={"top_k": 2, "chat_template_kwargs": {"b": 2}}, enable_thinking=True)
    body = build(request, endpoint(theirs, thinking="chat_template_kwargs"))
    assert (body["top_k"], body["min_p"]) == (2, 0.1)
    assert body["chat_template_kwargs"] == {"a": 1, "b": 2, "enable_thinking": True}
    assert theirs["chat_template_kwargs"] == {"a": 1, "enable_thinking": False}, "unchanged"


# The system prompt


@pytest.mark.parametrize("role", ["system", "developer"])
def test_every_system_prompt_has_the_role_that_the_server_knows(role: str) -> None:
    again: Json = {"role": "developer", "content": "now longer"}
    messages = [PROMPT, QUESTION, again, QUESTION]
    assert [one["role"] for one in arrange(messages, role)] == [role, "user", role, "user"]


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ("su", [("user", "0\n\n1")]),
        ("ssu", [("user", "0\n\n1\n\n2")]),
        ("sau", [("assistant", "1"), ("user", "0\n\n2")]),
        ("suasu", [("user", "0\n\n1"), ("assistant", "2"), ("user", "3\n\n4")]),
        ("us", [("user", "0\n\n1")]),
        ("uas", [("user", "0"), ("assistant", "1"), ("user", "2")]),
        ("s", [("user", "0")]),
        ("u", [("user", "0")]),
        ("", []),
    ],
)
def test_without_a_system_role_the_prompt_is_part_of_the_question(
    roles: str, expected: list[tuple[str, str]]
) -> None:
    arranged = arrange(conversation(roles), "user")
    assert [(one["role"], one["content"]) for one in arranged] == expected


def test_the_prompt_before_a_question_of_parts_is_a_part_of_it() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    question: Json = {"role": "user", "content": [picture]}
    (merged,) = arrange([PROMPT, question], "user")
    assert merged["content"] == [{"type": "text", "text": "be short"}, picture]


@steady(1)
@given(st.text("sdua", max_size=8))
def test_no_word_of_a_message_is_lost_doubled_or_out_of_order_within_its_role(roles: str) -> None:
    messages = conversation(roles)
    for role in ("system", "developer", "user"):
        arranged = arrange(messages, role)
        said = [word for one in arranged for word in str(one["content"]).split("\n\n")]
        assert sorted(said) == [str(number) for number in range(len(roles))]
        if role == "user":
            assert {one["role"] for one in arranged} <= {"user", "assistant"}
            if not any(a == b for a, b in pairwise(roles.replace("s", "").replace("d", ""))):
                kinds = [one["role"] for one in arranged]
                assert all(a != b for a, b in pairwise(kinds)), "roles alternate as they did"


def conversation(roles: str) -> list[Json]:
    """Return a message for each letter, which says its number."""
    names = {"s": "system", "d": "developer", "u": "user", "a": "assistant"}
    return [{"role": names[one], "content": str(number)} for number, one in enumerate(roles)]


# Whatever is asked

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=5,
)
NAMES = ["model", "messages", "stream", "stream_options", "max_tokens", "top_k", "a"]
OBJECTS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.integers(1, 9),
        "temperature": st.floats(0, 2),
        "enable_thinking": st.booleans(),
        "thinking_budget": st.integers(1, 9),
    },
)


@steady(1)
@given(OBJECTS, OBJECTS, OPTIONS, st.sampled_from(TRAITS))
def test_model_messages_and_the_stream_are_never_replaced(
    theirs: Json, extra: Json, options: Json, traits: Traits
) -> None:
    server = Endpoint("http://x", "", "m", traits=traits, extra_body=theirs)
    body = build(ChatRequest("right", [QUESTION], options, extra), server)
    assert (body["model"], body["messages"], body["stream"]) == ("right", [QUESTION], True)
    if traits.stream_options:
        assert body["stream_options"] == {
            "include_usage": True,
            **({"continuous_usage_stats": True} if traits.continuous_usage else {}),
        }
    if "max_tokens" in options:
        assert body[traits.max_tokens] == options["max_tokens"]
    if "temperature" in options:
        assert body["temperature"] == options["temperature"]


@steady(1)
@given(OBJECTS, OBJECTS)
def test_merged_objects_have_all_names_and_the_values_of_the_one_above(
    below: Json, above: Json
) -> None:
    def check(merged: Mapping[str, Any], low: Mapping[str, Any], high: Mapping[str, Any]) -> None:
        assert merged.keys() == low.keys() | high.keys()
        for name, value in merged.items():
            if name not in high:
                assert value == low[name]
            elif isinstance(low.get(name), dict) and isinstance(high[name], dict):
                check(value, low[name], high[name])
            else:
                assert value == high[name]

    check(merge(below, above), below, above)


@pytest.mark.parametrize("traits", TRAITS)
async def test_what_was_built_is_what_the_server_receives(
    upstream: ScriptedUpstream, traits: Traits
) -> None:
    server = Endpoint(upstream.url, "", "answer", traits=traits, extra_body={"top_k": 5})
    request = structs.replace(
        asked(PROMPT, QUESTION, max_tokens=9, enable_thinking=True), model="answer"
    )
    provider = OpenAIProvider(
        server, patience=Patience(60, 60), connect_timeout=5, max_event_bytes=100_000
    )
    assert provider.unsupported(request) == unsupported(request, traits)
    producer = provider.ask(request)
    await producer.produce(lambda _: None)
    await producer.close()
    await provider.close()
    assert upstream.requests[0].body == build(request, server)


CALL: Json = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
}
TOOL_TURN: list[Json] = [
    {"role": "user", "content": "weather?", "name": "ada"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
]


@pytest.mark.parametrize("traits", TRAITS)
def test_tools_and_the_messages_of_their_calls_go_out_unchanged(traits: Traits) -> None:
    tools: Json = {
        "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {}}}],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
        "parallel_tool_calls": False,
    }
    body = build(asked(*TOOL_TURN, **tools), endpoint(**structs.asdict(traits)))
    assert {name: body[name] for name in tools} == tools
    assert body["messages"] == TOOL_TURN
    prompted = arrange([PROMPT, *TOOL_TURN], traits.system_role)
    assert prompted[-2:] == TOOL_TURN[-2:]
    assert prompted[-3]["name"] == "ada"


def test_tools_their_calls_and_their_results_count_as_text_of_the_question() -> None:
    tool: Json = {"type": "function", "function": {"name": "get_weather", "description": "très"}}
    text = asked(*TOOL_TURN, tools=[tool]).text
    for part in ("weather?", "get_weather", "Paris", "sunny", "très"):
        assert part in text
    odd: list[Json] = [
        {"role": "assistant", "content": None, "tool_calls": one} for one in (None, "x", [7])
    ]
    assert asked(*odd, tools="x").text.strip() == ""
