"""The estimate of tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.events.types import Usage
from stream_serve.events.usage import count, estimate
from support.properties import steady

STEADY = steady(1)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        (" ", 1),
        ("a" * 400, 100),
        ("中" * 100, 70),
        ("ひらがなカタカナ中文" * 10, 70),
        ("한국말" * 100, 210),
        ("\U00020000" * 100, 70),
        ("，。！？" * 25, 70),
        ("中a" * 100, 95),
        ("é" * 400, 100),
    ],
)
def test_a_cjk_character_is_about_0_7_tokens_and_four_others_are_one(
    text: str, tokens: int
) -> None:
    assert count(text) == tokens


@STEADY
@given(st.text(), st.text())
def test_more_text_is_never_fewer_tokens_and_only_no_text_is_none(one: str, more: str) -> None:
    assert count(one + more) >= count(one)
    assert (count(one) == 0) == (one == "")
    assert count(one) <= len(one)


@STEADY
@given(st.integers(0, 10**9), st.text(), st.text())
def test_an_estimate_adds_up_and_says_that_it_is_one(
    prompt_tokens: int, answer: str, thought: str
) -> None:
    usage = estimate(prompt_tokens=prompt_tokens, answer=answer, reasoning=thought)
    assert usage.source == "estimated"
    assert usage.prompt_tokens == prompt_tokens
    assert usage.completion_tokens == count(answer) + count(thought)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_an_estimate_names_the_tokens_of_thinking_where_there_was_any() -> None:
    assert estimate(prompt_tokens=10, answer="b" * 80, reasoning="c" * 120) == Usage(
        prompt_tokens=10,
        completion_tokens=50,
        total_tokens=60,
        source="estimated",
        reasoning_tokens=30,
    )
    assert estimate(prompt_tokens=1, answer="b", reasoning="").reasoning_tokens is None


def test_a_run_that_was_stopped_before_any_text_used_only_its_prompt() -> None:
    usage = estimate(prompt_tokens=10, answer="", reasoning="")
    assert (usage.completion_tokens, usage.total_tokens) == (0, 10)
