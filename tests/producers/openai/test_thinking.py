"""Thinking inside the text: what is thinking, and what is the answer."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.events.types import Chunk, Reasoning
from stream_serve.producers.openai.chunks import Reading
from stream_serve.producers.openai.thinking import TAGS, ThinkSplitter, split
from support.chunks import choice, wire
from support.properties import steady


def split_pieces(pieces: list[str]) -> tuple[str, str]:
    splitter = ThinkSplitter()
    found = [*map(splitter.add, pieces), splitter.rest()]
    return "".join(thought for thought, _ in found), "".join(text for _, text in found)


def read(*texts: str, split_thinking: bool = True) -> list[object]:
    reading, deltas = Reading(split_thinking=split_thinking), list[object]()
    for text in texts:
        reading.add(wire(choice({"content": text})), deltas)  # pyright: ignore[reportArgumentType]
    return [*deltas, *reading.rest()]


CASES = [
    ("<think>a</think>b", "a", "b"),
    ("\n <think>\na\nb\n</think>\n\nc\n", "a\nb\n", "c\n"),
    ("<think>a</think> \r\n\n    code", "a", "    code"),
    ("<think></think>b", "", "b"),
    ("<think>\n\n</think>\n\nb", "", "b"),
    ("<think>a</think>", "a", ""),
    ("<think>a</think>\n", "a", ""),
    ("<think>a", "a", ""),
    ("<think>a</thi", "a</thi", ""),
    ("<think>", "", ""),
    ("<thi", "", "<thi"),
    ("\n ", "", "\n "),
    ("", "", ""),
    ("a<think>b</think>c", "", "a<think>b</think>c"),
    ("b</think>c", "", "b</think>c"),
    ("<thinks>a", "", "<thinks>a"),
    ("<Think>a", "", "<Think>a"),
    ("<b>a</b>", "", "<b>a</b>"),
    ("<think>a</think>b<think>c</think>", "a", "b<think>c</think>"),
    ("<think>a<think>b</think>c</think>", "a<think>b", "c</think>"),
    ("<think>a</thinking></think>b", "a</thinking>", "b"),
    *((f"{opening}a{closing}b", "a", "b") for opening, closing in TAGS),
]


@pytest.mark.parametrize(("text", "thought", "answer"), CASES)
def test_a_tag_at_the_very_beginning_begins_the_thinking(
    text: str, thought: str, answer: str
) -> None:
    assert split(text) == (thought, answer)
    assert split_pieces(list(text)) == (thought, answer)


def test_white_space_is_not_held_back_without_end() -> None:
    splitter = ThinkSplitter()
    assert "".join(splitter.add(" " * 100)[1] for _ in range(20)) == " " * 2000
    assert splitter.over
    splitter = ThinkSplitter()
    splitter.add("<think></think>")
    assert "".join(splitter.add(" " * 100)[1] for _ in range(20)) == " " * 2000


@steady(3)
@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<", "</", "think>", "a", "\n", " "]))
    | st.lists(st.text(max_size=3)),
    st.lists(st.integers(0, 50), max_size=5),
)
def test_cut_anywhere_the_text_is_split_the_same_and_nothing_is_lost(
    parts: list[str], places: list[int]
) -> None:
    text = "".join(parts)
    edges = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    thought, answer = split_pieces([text[start:end] for start, end in pairwise(edges)])
    assert (thought, answer) == split(text)
    if not text.lstrip().startswith("<think>"):
        assert (thought, answer) == ("", text)
    else:
        rest = text.lstrip().removeprefix("<think>")
        first, _, second = rest.partition("</think>")
        assert thought == first.lstrip("\r\n")
        assert answer.strip() == second.strip()


def test_the_reading_makes_reasoning_of_it_however_it_is_cut() -> None:
    whole = "<think>\nhm 😀</think>\n\nYes 你好"
    for size in (1, 2, 5, 100):
        deltas = read(*(whole[at : at + size] for at in range(0, len(whole), size)))
        thought = "".join(one.content for one in deltas if isinstance(one, Reasoning))
        assert thought == "hm 😀"
        assert "".join(one.content for one in deltas if isinstance(one, Chunk)) == "Yes 你好"


def test_the_reading_may_leave_it() -> None:
    assert read("<think>a</think>b", split_thinking=False) == [Chunk("<think>a</think>b")]


def test_what_looks_like_a_tag_comes_at_the_end_of_the_stream() -> None:
    assert read("<thi") == [Chunk("<thi")]
    assert read("<think>a</") == [Reasoning("a"), Reasoning("</")]
    assert read("\ud83d") == [Chunk("\ufffd")]
