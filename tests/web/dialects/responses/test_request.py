"""The body of a response as a question: each field under the provider's name, or ours, or ignored."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.errors import InvalidFields
from stream_serve.web.dialects.responses import ids, request
from support.properties import steady

Json = dict[str, Any]

RUN = "run_0123456789-ab"
TOOL: Json = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}
SCHEMA: Json = {"name": "n", "schema": {}, "strict": True}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}}
SENT = [{"type": "function", "function": FUNCTION}]
OTHER: Json = {"type": "function", "name": "g", "strict": True}


def read(**fields: Any) -> request.Asked:
    return request.read({"input": "hi", **fields}, RUN)


def options(**fields: Any) -> Json:
    return read(**fields).options


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"temperature": 0.5, "top_p": 1}, {"temperature": 0.5, "top_p": 1}),
        ({"presence_penalty": 1}, {"presence_penalty": 1}),
        ({"frequency_penalty": 0.5}, {"frequency_penalty": 0.5}),
        ({"max_output_tokens": 16}, {"max_tokens": 16}),
        ({"text": {"verbosity": "low"}}, {"verbosity": "low"}),
        ({"text": {"format": {"type": "text"}}}, {}),
        (
            {"text": {"format": {"type": "json_object"}}},
            {"response_format": {"type": "json_object"}},
        ),
        (
            {"text": {"format": {"type": "json_schema", **SCHEMA}}},
            {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
        ),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
        ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"include": ["message.output_text.logprobs", "x"]}, {"logprobs": True}),
        ({"include": ["reasoning.encrypted_content"]}, {}),
        ({"service_tier": "auto", "user": "u"}, {"service_tier": "auto", "user": "u"}),
        ({"safety_identifier": "s"}, {"safety_identifier": "s"}),
        ({"prompt_cache_key": "k"}, {"prompt_cache_key": "k"}),
        ({"metadata": {"a": "b"}, "store": False, "background": True, "stream": True}, {}),
        ({"stream_options": {"include_obfuscation": False}, "truncation": "auto"}, {}),
        ({"max_tool_calls": 3, "context_management": [], "prompt_cache_retention": "24h"}, {}),
        ({"client_metadata": {"x": 1}, "n": 2, "stop": "x", "seed": 1, "logit_bias": {}}, {}),
        (
            {
                "temperature": None,
                "tools": None,
                "text": None,
                "metadata": None,
                "conversation": None,
            },
            {},
        ),
        ({"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}, {}),
        (
            {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
            {"tools": SENT, "tool_choice": "required", "parallel_tool_calls": False},
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "name": "f"}},
            {"tools": SENT, "tool_choice": {"type": "function", "function": {"name": "f"}}},
        ),
        (
            {
                "tools": [TOOL, OTHER],
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "function", "name": "g"}],
                },
            },
            {
                "tools": [{"type": "function", "function": {"name": "g", "strict": True}}],
                "tool_choice": "auto",
            },
        ),
    ],
)
def test_each_field_goes_to_the_provider_under_its_name_or_not_at_all(
    fields: Json, found: Json
) -> None:
    assert options(**fields) == found


def test_tools_that_only_openai_has_are_skipped_and_not_repeated() -> None:
    asked = read(tools=[{"type": "web_search"}, TOOL, {"type": "namespace", "name": "x"}])
    assert asked.options["tools"] == [{"type": "function", "function": FUNCTION}]
    assert asked.echo["tools"] == [{**TOOL, "strict": None}]
    alone = read(tools=[{"type": "web_search"}], tool_choice="auto", parallel_tool_calls=True)
    assert alone.options == {}
    assert "tools" not in alone.echo


@pytest.mark.parametrize(
    "choice",
    [
        "required",
        "any",
        {"type": "web_search"},
        {"type": "function", "name": "f"},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]},
    ],
)
def test_a_choice_of_a_tool_that_is_skipped_is_refused(choice: object) -> None:
    with pytest.raises(InvalidFields) as raised:
        read(tools=[{"type": "web_search"}], tool_choice=choice)
    assert raised.value.fields[0][0] == "tool_choice"


@pytest.mark.parametrize("name", ["conversation", "prompt", "moderation"])
def test_what_would_change_the_question_is_refused(name: str) -> None:
    with pytest.raises(InvalidFields) as raised:
        read(**{name: "x"})
    assert (raised.value.code, raised.value.fields[0][0]) == ("unsupported_parameter", name)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": True}, "top_p"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": 1.5}, "max_output_tokens"),
        ({"instructions": [1]}, "instructions"),
        ({"model": 1}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"background": 1}, "background"),
        ({"store": "no"}, "store"),
        ({"text": "json"}, "text"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {"a" * 65: ""}}, "metadata"),
        ({"metadata": {"a": "b" * 513}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"parallel_tool_calls": "x"}, "parallel_tool_calls"),
        ({"previous_response_id": 1}, "previous_response_id"),
    ],
)
def test_a_field_of_another_type_is_refused_by_its_name(fields: Json, name: str) -> None:
    with pytest.raises(InvalidFields) as raised:
        read(**fields)
    assert raised.value.fields[0][0] == name


@pytest.mark.parametrize("body", [{}, {"input": []}, {"input": None}])
def test_a_body_without_input_is_refused_unless_it_goes_on_from_a_response(body: Json) -> None:
    with pytest.raises(InvalidFields) as raised:
        request.read(body, RUN)
    assert raised.value.code == "missing_required_parameter"
    assert request.read({**body, "previous_response_id": "resp_x"}, RUN).input == []


def test_instructions_are_the_system_prompt_and_nobody_elses_comes_in_their_place() -> None:
    question = read(instructions="be short", model="m").question([])
    assert (question.system_prompt, question.bare, question.model) == ("be short", True, "m")
    assert read().question([]).system_prompt is None


def test_what_is_not_known_is_ignored_and_named() -> None:
    assert read(client_metadata={}, seed=1, x=2).ignored == ["seed", "x"]


def test_the_object_repeats_what_was_asked() -> None:
    fields: Json = {
        "instructions": "i",
        "metadata": {"a": "b"},
        "temperature": 0.5,
        "max_output_tokens": 20,
        "text": {"verbosity": "low"},
        "reasoning": {"effort": "low"},
        "tool_choice": "none",
    }
    assert read(**fields).echo == {
        **fields,
        "text": {"verbosity": "low", "format": {"type": "text"}},
        "reasoning": {"effort": "low", "summary": None},
    }


NAMES = st.sampled_from(
    (
        *(
            "type",
            "role",
            "content",
            "text",
            "name",
            "id",
            "call_id",
            "output",
            "arguments",
            "mode",
        ),
        *("tools", "tool_choice", "input", "format", "metadata", "include", "reasoning", "summary"),
    )
)
WORDS = st.sampled_from(
    (
        *("message", "user", "assistant", "input_text", "output_text", "function", "allowed_tools"),
        *(
            "function_call",
            "function_call_output",
            "reasoning",
            "item_reference",
            "input_image",
            "",
        ),
        *("json_schema", "required", "f", "refusal", "input_audio", "additional_tools"),
    )
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-1, 2), st.floats(0, 1), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=5)),
    max_leaves=20,
)


def items_of(kind: str, role: str | None, content: object) -> Json:
    return {"type": kind, "content": content} | ({} if role is None else {"role": role})


ITEMS = st.lists(st.builds(items_of, WORDS, st.none() | WORDS, VALUES))


@steady(5)
@given(st.dictionaries(NAMES, VALUES), st.one_of(VALUES, ITEMS), VALUES)
def test_whatever_a_body_has_it_is_read_or_refused(body: Json, items: Any, choice: Any) -> None:
    fields = {**body, "input": items, "tools": [TOOL], "tool_choice": choice}
    with suppress(InvalidFields):
        asked = request.read(fields, RUN)
        asked.question(asked.input)


@steady(1)
@given(st.text(max_size=40) | st.from_regex(r"(resp|msg|rs|fc)_[A-Za-z0-9_-]{14,20}(_i?[0-9])?"))
def test_no_id_but_those_of_responses_and_their_output_names_a_run(text: str) -> None:
    for kind in ("msg", "rs", "fc"):
        assert ids.run_of_item(ids.output_id(kind, RUN, 3)) == RUN
    assert ids.run_of(ids.response_id(RUN)) == RUN
    assert ids.run_of_item(ids.input_id("msg", RUN, 3)) is None
    if (run_id := ids.run_of(text)) is not None:
        assert ids.response_id(run_id) == text
    ids.run_of_item(text)
