"""Chat completion chunks: what each of them says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.events.types import Chunk, Reasoning, Usage
from stream_serve.producers.openai.chunks import Reading
from stream_serve.producers.openai.wire import DONE
from support.chunks import choice, read, said
from support.deltas import content_of
from support.properties import steady

if TYPE_CHECKING:
    from stream_serve.events.types import Delta


@pytest.mark.parametrize(
    ("delta", "deltas"),
    [
        ({"content": "hi"}, [Chunk("hi")]),
        ({"role": "assistant", "content": "hi"}, [Chunk("hi")]),
        ({"role": "assistant", "content": ""}, []),
        ({"role": "assistant"}, []),
        ({"content": None}, []),
        ({}, []),
        (None, []),
        ({"content": None, "reasoning_content": "hm"}, [Reasoning("hm")]),
        ({"content": "", "reasoning_content": "hm"}, [Reasoning("hm")]),
        ({"content": "", "reasoning": "hm"}, [Reasoning("hm")]),
        ({"reasoning_content": "hm", "reasoning": "hm"}, [Reasoning("hm")]),
        ({"reasoning_content": "", "reasoning": "hm"}, [Reasoning("hm")]),
        ({"reasoning_content": "hm", "content": "hi"}, [Reasoning("hm"), Chunk("hi")]),
        ({"content": None, "refusal": "I cannot"}, [Chunk("I cannot")]),
        ({"content": "hi", "tool_calls": [{"index": 0, "id": ""}]}, [Chunk("hi")]),
        ({"content": None, "tool_calls": None, "audio": None}, []),
        ({"content": "a\0b\r\n\ndata: x"}, [Chunk("a\0b\r\n\ndata: x")]),
    ],
)
def test_each_delta_brings_its_text_and_its_thoughts(delta: object, deltas: list[Delta]) -> None:
    assert said(choice(delta)) == deltas


def test_text_in_the_chunk_with_the_finish_reason_is_not_lost() -> None:
    reading, deltas = read(choice({"content": "the end"}, "stop"))
    assert deltas == [Chunk("the end")]
    assert reading.finish_reason == "stop"


def test_a_finish_reason_without_any_delta_counts() -> None:
    assert read({"choices": [{"finish_reason": "length"}]})[0].finish_reason == "length"


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_finish_reason_that_says_nothing_does_not_end_the_answer(nothing: object) -> None:
    assert read(choice({"content": "a"}, nothing))[0].finish_reason is None
    assert read(choice({}, "stop"), choice({}, nothing))[0].finish_reason == "stop"


@pytest.mark.parametrize("choices", [None, []])
def test_a_chunk_without_choices_brings_no_text_and_starts_nothing(choices: object) -> None:
    reading, deltas = read({"id": "x", "choices": choices}, {"id": "x"})
    assert deltas == []
    assert not reading.started


def test_only_the_first_of_several_answers_is_read() -> None:
    both = {
        "choices": [
            {"index": 1, "delta": {"content": "b"}},
            {"index": 0, "delta": {"content": "a"}},
        ]
    }
    reading, deltas = read(
        both, {"choices": [{"index": 1, "delta": None, "finish_reason": "length"}]}
    )
    assert deltas == [Chunk("a")]
    assert reading.finish_reason is None


def test_a_choice_that_comes_alone_is_ours_whatever_its_index() -> None:
    chunks: list[object] = [
        {"choices": [{"index": n, "delta": {"content": str(n)}}]} for n in range(4)
    ]
    chunks.append({"choices": [{"index": "4", "finish_reason": "length"}]})
    reading, deltas = read(*chunks)
    assert deltas == [Chunk("0"), Chunk("1"), Chunk("2"), Chunk("3")]
    assert reading.finish_reason == "length"


def test_of_several_choices_without_an_index_0_the_first_is_read() -> None:
    both: dict[str, object] = {
        "choices": [{"index": n, "delta": {"content": str(n)}} for n in (3, 4)]
    }
    assert said(both, {"choices": [{"index": 5, "delta": {"content": "5"}}]}) == [
        Chunk("3"),
        Chunk("5"),
    ]


@pytest.mark.parametrize("index", [0, "0", None])
def test_several_choices_with_our_index_are_all_read(index: object) -> None:
    one = {"index": index, "delta": {"content": "a"}}
    assert said({"choices": [one, one]}) == [Chunk("a"), Chunk("a")]


def test_more_of_the_answer_takes_an_end_back_until_the_next() -> None:
    reading, _ = read(choice({"content": "a"}, "stop"))
    assert (reading.settled, reading.doubtful, reading.endings) == (True, False, 1)
    reading, _ = read(choice({}, "stop"), choice({}, "stop"), {"usage": None}, choice({}))
    assert (reading.settled, reading.doubtful, reading.endings) == (True, False, 2)
    reading, _ = read(choice({"content": "a"}, "stop"), choice({"content": "b"}, "stop"))
    assert (reading.settled, reading.doubtful, reading.endings) == (True, True, 2)
    reading, _ = read(choice({}, "stop"), choice({"content": "a"}))
    assert (reading.settled, reading.doubtful, reading.endings) == (False, True, 1)
    assert reading.finish_reason == "stop"


@pytest.mark.parametrize("word", ["length", "content_filter", "tool_calls"])
def test_a_stop_directly_after_another_word_does_not_hide_it(word: str) -> None:
    for more in ({}, {"content": ""}):
        reading, _ = read(choice({"content": "a"}, word), choice(more, "stop"))
        assert (reading.finish_reason, reading.endings) == (word, 2)
    reading, _ = read(choice({"content": "a"}, word), choice({"content": "b"}, "stop"))
    assert reading.finish_reason == "stop"
    reading, _ = read(choice({"content": "a"}, "stop"), choice({}, word))
    assert reading.finish_reason == word


def test_a_word_for_a_failure_is_never_taken_back() -> None:
    for words in (("abort", "stop"), ("stop", "abort"), ("abort", "error")):
        reading, _ = read(*(choice({}, word) for word in words))
        assert reading.broken in {"abort", "error"}
        assert reading.error is None


def test_text_beside_an_error_is_not_lost() -> None:
    for place in ("error", "base_resp"):
        error = {"status_code": 7, "message": "no"}
        reading, deltas = read({**choice({"content": "last"}, "stop"), place: error})
        assert deltas == [Chunk("last")]
        assert reading.error is not None
    odd = {"delta": {"content": "last"}, "finish_reason": "error", "error": {"message": "no"}}
    reading, deltas = read({"choices": [odd]})
    assert deltas == [Chunk("last")]
    assert reading.error is not None
    assert reading.error.error == {"message": "no"}


def test_a_harmless_base_resp_in_every_chunk_takes_nothing_with_it() -> None:
    fine = {"base_resp": {"status_code": 0, "status_msg": ""}}
    reading, deltas = read({**choice({"content": "hi"}, "stop"), **fine}, {"choices": None, **fine})
    assert deltas == [Chunk("hi")]
    assert reading.error is None


STEPS: dict[str, Any] = {
    "text": choice({"content": "x"}),
    "last text": choice({"content": "x"}, "stop"),
    "thought": choice({"reasoning_content": "x"}),
    "counted text": {"choices": [{"index": 3, "delta": {"content": "x"}}]},
    "stop": choice({}, "stop"),
    "length": choice({}, "MAX_TOKENS"),
    "unknown": choice({}, "stand_by\x1b"),
    "null": choice({}, "null"),
    "usage": {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}},
    "ping": {"type": "ping"},
    "abort": choice({}, "abort"),
    "error": {"error": {"message": "no"}},
    "error with text": {**choice({"content": "x"}, "stop"), "error": "no"},
    "object": {"object": "error", "message": "no"},
    "detail": {"detail": [{"msg": "no"}]},
    "code": {"code": "c", "message": "no"},
    "base_resp": {"base_resp": {"status_code": 7}},
}
FAILURES = {"abort", "error", "error with text", "object", "detail", "code", "base_resp"}


@steady(3)
@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=10))
def test_in_any_order_all_text_comes_once_and_no_failure_is_forgotten(steps: list[str]) -> None:
    reading, deltas = read(*(STEPS[step] for step in steps))
    brought = [step for step in steps if "text" in step or step == "thought"]
    assert [content_of(delta) for delta in deltas] == ["x"] * len(brought)
    failed = reading.error is not None or reading.broken is not None
    assert failed is bool(FAILURES & set(steps))
    assert reading.finish_reason in {None, "stop", "length"}
    ends = {"last text", "error with text", "stop", "length", "unknown"}
    assert (reading.finish_reason is not None) is bool(ends & set(steps))
    assert reading.word in {None, "MAX_TOKENS", "stand_by"}


def test_an_answer_has_started_with_its_first_choice_even_without_text() -> None:
    assert read(choice({"role": "assistant", "content": ""}))[0].started
    assert not Reading().started


@pytest.mark.parametrize("usage_place", [[], None])
def test_the_usage_comes_in_a_chunk_of_its_own(usage_place: object) -> None:
    usage = {
        "prompt_tokens": 7,
        "completion_tokens": 844,
        "total_tokens": 851,
        "completion_tokens_details": {"reasoning_tokens": 798, "text_tokens": 844},
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    reading, deltas = read({"choices": usage_place, "usage": usage})
    assert deltas == []
    assert reading.usage == Usage(7, 844, 851, "provider", 798, 0)


@pytest.mark.parametrize("details", [None, {}, {"reasoning_tokens": None}])
def test_the_usage_may_say_nothing_of_thinking(details: object) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "completion_tokens_details": details}
    reading, _ = read({"choices": [], "usage": usage})
    assert reading.usage == Usage(1, 2, 3, "provider")


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": 1}, {"completion_tokens": 1}])
def test_usage_without_both_numbers_is_none(usage: dict[str, int]) -> None:
    reading, _ = read({"choices": [], "usage": usage})
    assert reading.usage is None


def test_a_missing_total_is_the_sum() -> None:
    reading, _ = read({"usage": {"prompt_tokens": 3, "completion_tokens": 4}})
    assert reading.usage is not None
    assert reading.usage.total_tokens == 7


def test_the_newest_usage_counts_and_null_does_not_take_it_back() -> None:
    reading, deltas = read(
        {**choice({"content": "a"}), "usage": {"prompt_tokens": 1, "completion_tokens": 1}},
        {**choice({"content": "b"}), "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
        {**choice({"content": "c"}), "usage": None},
    )
    assert deltas == [Chunk("a"), Chunk("b"), Chunk("c")]
    assert reading.usage is not None
    assert reading.usage.completion_tokens == 2


def test_done_is_the_end() -> None:
    reading, deltas = read(choice({"content": "a"}), DONE)
    assert reading.done
    assert deltas == [Chunk("a")]
    assert not read(choice({"content": "[DONE]"}))[0].done


@pytest.mark.parametrize(
    "error",
    [
        {
            "message": "Output data may contain inappropriate content",
            "code": "DataInspectionFailed",
        },
        {"message": "m", "type": "server_error", "param": None, "code": None},
        {"code": 500},
        "overloaded",
        ["odd"],
        500,
    ],
)
def test_an_error_in_the_stream_is_kept_with_the_text_so_far(error: object) -> None:
    reading, deltas = read(choice({"content": "so far"}), {"error": error, "request_id": "r1"})
    assert deltas == [Chunk("so far")]
    assert reading.error is not None
    assert reading.error.error == error
    assert reading.error.request_id == "r1"
    assert not reading.done


@pytest.mark.parametrize("data", [b"[DONE]", b"[DONE] ", b"  [DONE]", b"\t[DONE]", b"\n[DONE]"])
def test_done_ends_the_stream(data: bytes) -> None:
    reading = Reading()
    reading.add(data, [])
    assert reading.done
