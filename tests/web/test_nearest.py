"""Which unknown name is a misspelt known one, and which is a name of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.web.body import names_of
from stream_serve.web.dialects.native import ChatBody
from stream_serve.web.nearest import nearest, plain
from support.properties import steady

KNOWN = names_of(ChatBody)
LONG = sorted(name for name in KNOWN if len(name) > 5)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("max_tokens", "maxTokens"),
        ("max-tokens", "maxTokens"),
        ("MaxTokens", "maxTokens"),
        ("maxToken", "maxTokens"),
        ("Message", "message"),
        ("mesage", "message"),
        ("messgae", "message"),
        ("temprature", "temperature"),
        ("tempreture", "temperature"),
        ("temperture", "temperature"),
        ("top_p", "topP"),
        ("system_prompt", "systemPrompt"),
        ("sytemPromt", "systemPrompt"),
        ("extra_body", "extraBody"),
        ("conversation_id", "conversationId"),
        ("run_id", "runId"),
        ("response_format", "responseFormat"),
        ("enable_thinkng", "enableThinking"),
        ("STOP", "stop"),
    ],
)
def test_another_spelling_and_a_slip_of_the_finger_are_near(name: str, meant: str) -> None:
    assert nearest(name, KNOWN) == meant
    assert ChatBody.meant(name) == meant


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("stop_sequences", "stop"),
        ("max_completion_tokens", "maxTokens"),
        ("max_output_tokens", "maxTokens"),
        ("num_predict", "maxTokens"),
        ("system", "systemPrompt"),
    ],
)
def test_what_other_services_call_a_field_is_near_it(name: str, meant: str) -> None:
    assert ChatBody.meant(name) == meant


@pytest.mark.parametrize(
    "name",
    [
        *("user", "metadata", "stream", "n", "id", "trigger", "messageId"),
        *("stream_options", "logprobs", "top_logprobs", "top_k", "store", "service_tier", "chatId"),
        *("sessionId", "userId", "agentId", "clientId", "language", "locale", "history", "context"),
        *("files", "images", "attachments", "options", "config", "mode", "type", "role", "content"),
        *("timestamp", "version", "provider", "min_tokens", "maxSteps", "functions", "thinking"),
        *("webSearch", "sender", "step", "top", "", "_", "你好", "x" * 10_000),
    ],
)
def test_an_ordinary_other_name_is_near_nothing(name: str) -> None:
    assert ChatBody.meant(name) is None


@steady(2)
@given(
    st.sampled_from(LONG),
    st.integers(0, 20),
    st.sampled_from(["drop", "double", "swap", "wrong"]),
)
def test_one_slip_that_leaves_five_letters_is_always_near(name: str, place: int, slip: str) -> None:
    place %= len(name)
    left, letter, right = name[:place], name[place], name[place + 1 :]
    slipped = {
        "drop": left + right,
        "double": left + letter * 2 + right,
        "swap": left + right[:1] + letter + right[1:],
        "wrong": left + "q" + right,
    }[slip]
    assert slipped in KNOWN or nearest(slipped, KNOWN) is not None


@steady(1)
@given(st.text(max_size=60))
def test_what_is_near_has_almost_as_many_letters(name: str) -> None:
    meant = nearest(name, KNOWN)
    if meant is not None:
        assert abs(len(plain(name)) - len(plain(meant))) <= 2
