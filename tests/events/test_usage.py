"""The estimate of tokens."""

from __future__ import annotations

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.events import usage
from stream_serve.events.types import Usage
from stream_serve.events.usage import WEIGHTS, count, count_of, estimate, measure
from support.fitting import errors
from support.kinds import made
from support.properties import steady
from support.vocabulary import texts

STEADY = steady(1)
ERRORS = errors(texts("check") | made(1))


@pytest.mark.parametrize("kind", ERRORS)
def test_of_no_kind_of_text_is_the_estimate_off_by_more_than_a_fifth(kind: str) -> None:
    assert abs(ERRORS[kind]) <= 0.2


def test_the_estimate_is_off_by_less_than_a_tenth_in_the_median_of_kinds() -> None:
    assert len(ERRORS) > 50
    assert median(map(abs, ERRORS.values())) <= 0.1
    assert abs(sum(ERRORS.values())) / len(ERRORS) <= 0.03, "it is neither too high nor too low"


def test_texts_that_the_weights_were_not_fitted_to_are_others() -> None:
    fitted = texts("fit")
    assert fitted.keys() == texts("check").keys()
    for kind, text in texts("check").items():
        lines = {line for line in text.splitlines() if len(line) > 60}
        assert not lines & set(fitted[kind].splitlines())
    assert not {line for line in "".join(made(1).values()).splitlines() if len(line) > 60} & set(
        "".join(made(0).values()).splitlines()
    )


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        (" ", 1),
        ("\0", 1),
        ("\ud83d", 1),
        ("7" * 400, 400),
        ("the cat sat on the mat " * 100, 600),
        ("中" * 100, 54),
    ],
)
def test_a_text_is_about_as_many_tokens_as_its_words_digits_and_characters(
    text: str, tokens: int
) -> None:
    assert count(text) == pytest.approx(tokens, rel=0.1)


@STEADY
@given(st.text(), st.text())
def test_only_no_text_is_none_and_a_character_is_a_few_tokens_at_most(one: str, more: str) -> None:
    assert (count(one) == 0) == (one == "")
    assert count(one) <= 3 * len(one) + 1
    assert count(one + more) <= count(one) + count(more) + 3 * min(len(one), len(more)) + 2


@STEADY
@given(st.text())
def test_nothing_is_counted_less_than_not_at_all_and_everything_has_a_weight(text: str) -> None:
    counts = measure(text)
    assert min(counts) >= 0
    assert len(measure(text + "\u4e2d")) == len(WEIGHTS)


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
    assert estimate(prompt_tokens=10, answer="1" * 20, reasoning="2" * 30) == Usage(
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


def test_each_piece_is_at_least_one_token() -> None:
    usage = estimate(prompt_tokens=1, answer="abcd", reasoning="a", pieces=(4, 1))
    assert (usage.completion_tokens, usage.reasoning_tokens) == (5, 1)
    assert estimate(prompt_tokens=1, answer="7" * 9, reasoning="", pieces=(4, 0)).total_tokens == 10


def test_a_text_of_a_history_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []

    def watch(text: str) -> int:
        counted.append(text)
        return count(text)

    monkeypatch.setattr(usage, "count", watch)
    monkeypatch.setattr(usage, "REMEMBERED", 3)
    monkeypatch.setattr(usage, "remembered", {})
    for _ in range(3):
        assert [count_of("a text"), count_of("另一个"), count_of("")] == [
            count("a text"),
            count("另一个"),
            0,
        ]
    assert counted == ["a text", "另一个", ""]
    for number in range(10):
        count_of(f"another {number}")
        assert len(usage.remembered) <= 3
