"""The provider's figures, in all their places and forms."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.events.types import Usage
from stream_serve.producers.openai.chunks import Reading
from support.properties import steady

STEADY = steady(1)
FIGURES = {"prompt_tokens": 7, "completion_tokens": 30, "total_tokens": 37}
READ = Usage(7, 30, 37, "provider")
TEXT: dict[str, Any] = {"delta": {"content": "a"}}
LAST: dict[str, Any] = {"delta": {}, "finish_reason": "stop"}


def usage_of(*chunks: dict[str, Any]) -> Usage | None:
    reading = Reading()
    for chunk in chunks:
        reading.add(json.dumps(chunk).encode(), [])
    return reading.usage


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": [], "usage": FIGURES},
        {"choices": None, "usage": FIGURES},
        {"usage": FIGURES},
        {"choices": [TEXT], "usage": FIGURES},
        {"choices": [LAST], "usage": FIGURES},
        {"choices": [{**LAST, "usage": FIGURES}]},
        {"choices": [LAST], "x_groq": {"id": "r", "usage": FIGURES}},
        {"choices": [LAST], "timings": {"prompt_n": 7, "predicted_n": 30, "predicted_ms": 1.5}},
        {"choices": [TEXT], "timings": {"prompt_n": 7, "predicted_n": 30}},
        {"choices": [LAST], "usage": FIGURES, "timings": {"prompt_n": 1, "predicted_n": 1}},
    ],
)
def test_the_figures_are_found_wherever_they_are(chunk: dict[str, Any]) -> None:
    assert usage_of({"choices": [TEXT]}, chunk, {"choices": [], "usage": None}) == READ


@pytest.mark.parametrize(
    ("figures", "cached"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 5}}, 5),
        ({"prompt_tokens_details": {"cached_tokens": 0}}, 0),
        ({"input_tokens_details": {"cached_tokens": 5}}, 5),
        ({"prompt_tokens_details": {"audio_tokens": 0}, "prompt_cache_hit_tokens": 5}, 5),
        ({"prompt_cache_hit_tokens": 5, "prompt_cache_miss_tokens": 2}, 5),
        ({"cached_tokens": 5}, 5),
        ({"prompt_tokens_details": {"cached_tokens": 8}}, None),
        ({"prompt_tokens_details": {"cached_tokens": -1}}, None),
        ({"prompt_tokens_details": {"cached_tokens": True}}, None),
        ({"prompt_tokens_details": [5]}, None),
        ({}, None),
    ],
)
def test_what_the_provider_had_read_before_is_found_and_never_made_up(
    figures: dict[str, Any], cached: int | None
) -> None:
    expected = Usage(7, 30, 37, "provider", cached_tokens=cached)
    assert usage_of({"choices": [], "usage": {**FIGURES, **figures}}) == expected


def test_what_llama_cpp_kept_of_a_prompt_counts_as_read_before() -> None:
    timings = {"prompt_n": 2, "cache_n": 5, "predicted_n": 30}
    expected = Usage(7, 30, 37, "provider", cached_tokens=5)
    assert usage_of({"choices": [LAST], "timings": timings}) == expected


@pytest.mark.parametrize(
    ("figures", "usage"),
    [
        ({"input_tokens": 7, "output_tokens": 30}, READ),
        ({"input_tokens": 7, "output_tokens": 30, "total_tokens": 37}, READ),
        ({"promptTokens": 7, "completionTokens": 30}, READ),
        ({"prompt_tokens": "7", "completion_tokens": " 30 "}, READ),
        ({"prompt_tokens": 7.0, "completion_tokens": 30.0, "total_tokens": 37.0}, READ),
        ({"prompt_tokens": 7, "total_tokens": 37}, READ),
        ({"completion_tokens": 30, "total_tokens": 37}, READ),
        ({**FIGURES, "total_tokens": 36}, READ),
        ({**FIGURES, "total_tokens": -1}, READ),
        ({**FIGURES, "total_tokens": "many"}, READ),
        ({**FIGURES, "total_tokens": 10**400}, READ),
        ({**FIGURES, "total_tokens": 40}, Usage(7, 30, 40, "provider")),
        ({**FIGURES, "completion_tokens_details": {"reasoning_tokens": 31}}, READ),
        ({**FIGURES, "completion_tokens_details": {"reasoning_tokens": -1}}, READ),
        ({**FIGURES, "completion_tokens_details": {"reasoning_tokens": True}}, READ),
        ({**FIGURES, "completion_tokens_details": {"reasoning_tokens": 1.5}}, READ),
        ({**FIGURES, "completion_tokens_details": [7]}, READ),
        ({**FIGURES, "prompt_tokens_details": "odd"}, READ),
        (
            {**FIGURES, "completion_tokens_details": {"reasoning_tokens": "9"}},
            Usage(7, 30, 37, "provider", 9),
        ),
        (
            {
                "input_tokens": 7,
                "output_tokens": 30,
                "output_tokens_details": {"reasoning_tokens": 9},
            },
            Usage(7, 30, 37, "provider", 9),
        ),
        (
            {
                "prompt_tokens": 7,
                "completion_tokens": 10,
                "total_tokens": 37,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            Usage(7, 30, 37, "provider", 20),
        ),
    ],
)
def test_figures_in_another_form_are_read(figures: dict[str, Any], usage: Usage) -> None:
    assert usage_of({"choices": [], "usage": figures}) == usage


HUGE = "9" * 5000
ODD: list[object] = [
    -1,
    1.5,
    True,
    False,
    "many",
    "",
    "-3",
    "1e3",
    "٣",
    [7],
    {},
    10**13,
    10**400,
    "9" * 5000,
]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("field", ["prompt_tokens", "completion_tokens"])
def test_a_figure_that_cannot_be_is_not_passed_on(field: str, odd: object) -> None:
    assert usage_of({"choices": [], "usage": {**FIGURES, field: odd}}) is None
    timings = {"prompt_n": 7, "predicted_n": 30}
    name = "prompt_n" if field == "prompt_tokens" else "predicted_n"
    assert usage_of({"choices": [LAST], "timings": {**timings, name: odd}}) is None


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1e400"])
def test_what_is_no_number_is_not_passed_on_and_costs_no_text(number: str) -> None:
    reading = Reading()
    deltas: list[Any] = []
    usage = f'{{"prompt_tokens": 7, "completion_tokens": {number}}}'
    data = f'{{"choices": [{{"delta": {{"content": "a"}}}}], "usage": {usage}}}'
    reading.add(data.encode(), deltas)
    assert [delta.content for delta in deltas] == ["a"]
    assert reading.usage is None


def test_figures_of_nothing_are_only_a_place_for_some() -> None:
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert usage_of({"choices": [], "usage": nothing}) is None
    assert usage_of({"choices": [], "usage": {**nothing, "prompt_tokens": 7}}) == Usage(
        7, 0, 7, "provider"
    )


NAMES = st.sampled_from(
    [*FIGURES, "completion_tokens_details", "reasoning_tokens", "prompt_n", "usage"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=6,
)


@STEADY
@given(JSON, JSON, JSON)
def test_whatever_comes_the_figures_that_are_passed_on_agree(
    usage: object, timings: object, groq: object
) -> None:
    chunk = {
        "choices": [{**LAST, "usage": groq}],
        "usage": usage,
        "timings": timings,
        "x_groq": groq,
    }
    found = usage_of(chunk)
    if found is not None:
        assert 0 <= found.completion_tokens <= 10**12
        assert 0 <= found.prompt_tokens <= 10**12
        assert found.total_tokens >= found.prompt_tokens + found.completion_tokens
        assert (found.reasoning_tokens or 0) <= found.completion_tokens


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": [], "usage": {"prompt_tokens": -1, "completion_tokens": 30}},
        {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}},
        {"choices": [], "usage": {"cost": 0.1}},
        {"choices": [], "usage": "many"},
        {"choices": [{**LAST, "usage": {"total_tokens": True}}]},
        {"choices": [LAST], "x_groq": {"usage": ["none"]}},
    ],
)
def test_figures_that_cannot_be_read_hide_none_that_came_before(odd: dict[str, Any]) -> None:
    assert usage_of({"choices": [TEXT], "usage": FIGURES}, odd) == READ


def test_timings_that_cannot_be_read_hide_none_that_came_before() -> None:
    good = {"choices": [TEXT], "timings": {"prompt_n": 7, "predicted_n": 30}}
    assert usage_of(good, {"choices": [LAST], "timings": {"predicted_ms": 1.5}}) == READ


def test_the_newest_of_several_readable_figures_counts() -> None:
    older = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
    assert usage_of({"choices": [TEXT], "usage": older}, {"choices": [], "usage": FIGURES}) == READ
