"""The words with which servers end an answer."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_serve.producers.openai.endings import Ending, clean, read
from support.properties import steady

STEADY = steady(1)
DOCUMENTED = ("stop", "length", "tool_calls", "content_filter")


@pytest.mark.parametrize("word", DOCUMENTED)
def test_a_documented_word_is_itself_and_nothing_is_kept_beside_it(word: str) -> None:
    assert read(word) == Ending(word)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", "stop"),
        ("eos", "stop"),
        ("eos_token", "stop"),
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("COMPLETE", "stop"),
        ("FINISH_REASON_STOP", "stop"),
        ("stopped", "stop"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("max-tokens", "length"),
        ("REASON_MAX_CONTEXT", "length"),
        ("model_context_window_exceeded", "length"),
        ("ERROR_LIMIT", "length"),
        ("function_call", "tool_calls"),
        ("tool_use", "tool_calls"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("sensitive", "content_filter"),
        ("refusal", "content_filter"),
        ("ERROR_TOXIC", "content_filter"),
    ],
)
def test_a_known_word_is_read_as_the_documented_one_and_kept(word: str, reason: str) -> None:
    assert read(word) == Ending(reason, word)


@pytest.mark.parametrize(
    "word",
    [
        *(
            "abort",
            "aborted",
            "ABORT",
            "error",
            "ERROR",
            "internal_error",
            "network_error",
            "failed",
        ),
        *("insufficient_system_resource", "cancelled", "USER_CANCEL", "timeout", "TIME_LIMIT"),
        *(
            "MALFORMED_FUNCTION_CALL",
            "UNEXPECTED_TOOL_CALL",
            "repetition_truncation",
            "interrupted",
        ),
        *("OTHER", "unknown", "overloaded", "oom", "incomplete"),
    ],
)
def test_a_word_that_means_a_failure_is_no_reason(word: str) -> None:
    assert read(word) == Ending(None, word)


@pytest.mark.parametrize("word", ["stand_by", "结束", "pause_turn", "room", "7"])
def test_a_word_that_nobody_knows_is_an_end_and_kept(word: str) -> None:
    assert read(word) == Ending("stop", word)


@pytest.mark.parametrize(
    "word",
    [
        *("", " ", "null", "NULL", "none", "\x1b", "\n\t", "-", "…", "undefined", "nil", "false"),
        *("FINISH_REASON_UNSPECIFIED", "in_progress", "IN PROGRESS", "not_finished", "unfinished"),
        *("generating", "continue", "still_running", "partial", "pending"),
    ],
)
def test_a_word_that_says_nothing_is_no_end(word: str) -> None:
    assert read(word) is None


def test_what_is_kept_can_be_shown_anywhere() -> None:
    assert read("\x1b]0;owned\x07go\u202e\u2028 on\ud83d") == Ending("stop", "go on\ufffd")
    assert read("x" * 1_000_000) == Ending("stop", "x" * 100)
    assert read("st\x00op") == Ending("stop"), "cleaned it is the documented word"


@STEADY
@given(st.text())
@example("\ud800")
def test_any_word_is_read_within_its_bounds(word: str) -> None:
    ending = read(word)
    if ending is None:
        return
    assert ending.reason in {*DOCUMENTED, None}
    assert ending.word != ending.reason
    if ending.word is not None:
        assert 0 < len(ending.word) <= 100
        assert clean(ending.word) == ending.word
        ending.word.encode()
