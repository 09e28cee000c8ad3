"""Bodies of OpenAI's Chat Completions: what goes to the provider, and what is refused in words."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.errors import InvalidFields
from stream_serve.runs.spec import OnDisconnect
from stream_serve.settings import Settings
from stream_serve.web import terms
from stream_serve.web.dialects import chat_request
from stream_serve.web.fields import disconnect_of
from support.properties import steady

if TYPE_CHECKING:
    from stream_serve.web.question import Question

Json = dict[str, Any]

TURN: Json = {"role": "user", "content": "hi"}
BODY: Json = {"model": "m", "messages": [TURN]}

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
NAMES = [
    *("model", "messages", "stream", "stream_options", "n", "best_of", "max_tokens", "role"),
    *("max_completion_tokens", "on_disconnect", "thinking_budget", "enable_thinking", "tools"),
    *("temperature", "prompt", "suffix", "echo", "user", "x"),
]


def asked(fields: Json, **settings: Any) -> Question:
    """Return the question of a body, after the operator's terms."""
    question, _ = chat_request.question({**BODY, **fields}, Settings.load(**settings))
    terms.check(question, Settings.load(**settings), defaults=[])
    return question


def test_what_clients_send_goes_to_the_provider_unchanged() -> None:
    fields: Json = {
        "temperature": 0.1,
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "response_format": {"type": "json_object"},
        "metadata": {"a": "b"},
        "top_k": 20,
    }
    messages = [
        TURN,
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}], "name": "n"},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "x"}]},
    ]
    question = asked({**fields, "messages": messages})
    assert question.messages == messages
    assert question.options | question.extra == fields
    assert question.extra == {"top_k": 20}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_both_names_of_the_limit_are_one(name: str) -> None:
    assert asked({name: 5}).options == {"max_tokens": 5}
    assert asked({"max_completion_tokens": 5, "max_tokens": 9}).options == {"max_tokens": 5}


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"n": 2}, "n"),
        ({"n": [1]}, "n"),
        ({"n": True}, "n"),
        ({"best_of": 3}, "best_of"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
        ({"messages": ["hi"]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": 5.5}, "max_tokens"),
        ({"max_completion_tokens": 5, "max_tokens": True}, "max_tokens"),
        ({"enable_thinking": "yes"}, "enable_thinking"),
        ({"model": 5}, "model"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_name(fields: Json, name: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        asked(fields)
    assert [field for field, _ in caught.value.fields] == [name]


@pytest.mark.parametrize(
    ("fields", "settings", "name"),
    [
        ({"max_completion_tokens": 101}, {"max_tokens": 100}, "max_tokens"),
        ({"thinking_budget": 101}, {"max_thinking_budget": 100}, "thinking_budget"),
        ({}, {"allowed_models": "a,b"}, "model"),
        (
            {"messages": [{"role": "developer", "content": "x"}, TURN]},
            {"fixed_system_prompt": True},
            "messages[0].role",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": "http://x"}]}
                ]
            },
            {"allow_content_urls": False},
            "messages[0].content",
        ),
    ],
)
def test_the_operators_terms_hold_here_too(fields: Json, settings: Json, name: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        asked(fields, **settings)
    assert [field for field, _ in caught.value.fields] == [name]


def test_what_the_operator_does_not_allow_is_left_out_and_named() -> None:
    question, ignored = chat_request.question(
        {**BODY, "num_predict": 9}, Settings.load(max_tokens=5)
    )
    assert (question.extra, ignored) == ({}, ["num_predict"])


def test_what_becomes_of_a_run_without_readers_is_said_in_two_words() -> None:
    for value, wanted in (("stop", OnDisconnect.STOP), ("continue", OnDisconnect.CONTINUE)):
        assert disconnect_of(value, OnDisconnect.STOP, name="x") is wanted
    assert disconnect_of(None, OnDisconnect.CONTINUE, name="x") is OnDisconnect.CONTINUE
    for other in (*(one.value for one in OnDisconnect), ["stop"], 1):
        if other not in ("stop", "continue"):
            with pytest.raises(InvalidFields):
                disconnect_of(other, OnDisconnect.STOP, name="x")


@steady(1)
@given(st.dictionaries(st.sampled_from(NAMES), values, max_size=4))
def test_any_body_is_read_or_refused(fields: Json) -> None:
    body = json.loads(json.dumps({**BODY, **fields}))
    for read in (chat_request.question, chat_request.prompted):
        with suppress(InvalidFields):
            question, _ = read(body, Settings.load())
            msgspec.json.encode([question.messages, question.options, question.extra])


def test_what_a_model_thought_goes_back_to_its_provider_as_it_was_sent() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    secret = {"type": "reasoning.encrypted", "data": "AA==", "id": "r", "index": 0}
    messages = [
        {"role": "user", "content": "a"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "so",
            "reasoning_details": [secret],
            "tool_calls": [call],
        },
        {"role": "tool", "tool_call_id": "c", "content": "x"},
    ]
    asked, ignored = chat_request.question({"messages": messages}, Settings.load())
    assert asked.request(model="m", system_prompt=None).messages == messages
    assert ignored == []
