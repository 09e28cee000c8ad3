"""Words of others, fit to be shown."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.errors import UpstreamFailed
from stream_serve.events import plain
from stream_serve.events.types import Error
from support.properties import steady

STEADY = steady(1)
HARMFUL = "\x00\x07\x08\x0b\x1b\x7f\x85\x9b\x9d\u061c\u200b\u200e\u2028\u202e\u2066\ufeff\U000e0041"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("as it is: 中文, é, 🙂, <b>", "as it is: 中文, é, 🙂, <b>"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38;2;1;2;3mred\x1b[K", "red"),
        ("\x9b31mred", "red"),
        ("a\x1b]0;a title\x07b", "ab"),
        ("a\x1b]8;;https://x.example\x1b\\b", "ab"),
        ("a\x1bP1$r\x1b\\b", "ab"),
        ("\x1bc\x1b(Ba", "a"),
        ("end\x1b", "end"),
        ("a\x1b_b\x1b]c", "a_b]c"),
        ("a\r\nb\tc\u2028d\x85e", "a b c d e"),
        ("  a  b ", "a b"),
        ("\u202eabc\u2066", "abc"),
        ("a\x00b\ufeffc\u200bd", "abcd"),
        ("\ud83d", "\ufffd"),
        ("\ud83d\ude00", "😀"),
        ("\U0001f469\u200d\U0001f680", "\U0001f469\u200d\U0001f680"),
    ],
)
def test_words_are_one_line_without_what_moves_a_terminal_or_turns_a_direction(
    text: str, shown: str
) -> None:
    assert plain.line(text) == shown


@STEADY
@given(st.text(st.sampled_from("ab [];?0mP\\\n" + HARMFUL) | st.characters()))
def test_nothing_harmful_gets_through_and_a_second_time_changes_nothing(text: str) -> None:
    shown = plain.line(text)
    assert not any(unicodedata.category(character) == "Cc" for character in shown)
    assert not re.search(r"[\u2028-\u202e\u2066-\u2069]|\s\s", shown)
    assert plain.line(shown) == shown
    shown.encode()


def test_a_long_text_is_cut_and_says_so() -> None:
    assert plain.line("ab" * 10, 5) == "ababa…"
    assert plain.line("abcde", 5) == "abcde"


@pytest.mark.parametrize("piece", ["\x1b]", "\x9d", "\x1b[", "\x1b", "\x9b0", " ", "\x1bP;"])
def test_many_beginnings_of_a_sequence_cost_no_more_than_their_length(piece: str) -> None:
    assert len(plain.line(piece * 200_000)) <= 200_000 * len(piece)


def test_an_answer_keeps_its_lines_in_a_terminal() -> None:
    assert plain.printable("a\n\tb\x1b[2J\r\u202ec\x9b") == "a\n\tb[2Jc"


def test_an_error_event_is_clean_whoever_produced() -> None:
    failure = UpstreamFailed("m", provider_code="\x1b[1mc\n", request_id="r\u202e\n")
    event = Error.of(failure, "a\x1b[31m\nb" + "c" * 5000)
    assert event.message == "a b" + "c" * 1997 + "…"
    assert (event.provider_code, event.request_id) == ("c", "r")
