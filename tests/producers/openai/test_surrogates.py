"""Emoji that a server cuts into two halves."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_serve.events.types import Chunk, Reasoning
from stream_serve.producers.openai.surrogates import SurrogateJoiner
from stream_serve.producers.openai.wire import DONE
from support.chunks import choice, read, said
from support.deltas import content_of
from support.properties import steady

texts = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("😀👨‍👩‍👧𝒳中é\0\u2028"))
)


def units(text: str) -> str:
    """The text as UTF-16 units, each a character of its own, as JavaScript has them."""
    data = text.encode("utf-16-le", "surrogatepass")
    return "".join(chr(data[i] | data[i + 1] << 8) for i in range(0, len(data), 2))


def pieces(text: str, cuts: list[int]) -> list[str]:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


def whole(text: str) -> str:
    """What a text of units says: pairs joined, and each half that stays alone replaced."""
    result, i = "", 0
    while i < len(text):
        pair = text[i : i + 2]
        if len(pair) == 2 and "\ud800" <= pair[0] <= "\udbff" and "\udc00" <= pair[1] <= "\udfff":
            result += chr(0x10000 + ((ord(pair[0]) - 0xD800) << 10) + ord(pair[1]) - 0xDC00)
            i += 2
        else:
            result += "\ufffd" if "\ud800" <= text[i] <= "\udfff" else text[i]
            i += 1
    return result


@pytest.mark.parametrize(("field", "kind"), [("content", Chunk), ("reasoning_content", Reasoning)])
def test_an_emoji_cut_between_two_chunks_comes_whole(
    field: str, kind: type[Chunk | Reasoning]
) -> None:
    first, second = choice({field: "a\ud83d"}), choice({field: "\ude00b"})
    assert said(first, second) == [kind("a"), kind("😀b")]


def test_thoughts_and_answer_are_mended_each_for_itself() -> None:
    deltas = said(
        choice({"reasoning_content": "\ud83d"}),
        choice({"content": "\ud83d"}),
        choice({"reasoning_content": "\ude00"}),
        choice({"content": "\ude01"}),
    )
    assert deltas == [Reasoning("😀"), Chunk("😁")]


def test_half_an_emoji_at_the_end_is_replaced() -> None:
    for delta, rest in (
        ({"content": "a\ud83d"}, [Chunk("\ufffd")]),
        ({"reasoning": "\ud83d"}, [Reasoning("\ufffd")]),
        ({"content": "a"}, []),
    ):
        reading, _ = read(choice(delta), DONE)
        assert reading.rest() == rest
        assert reading.rest() == []


@steady(3)
@given(texts, st.lists(st.integers(0, 40)))
@example("😀", [1])
@example("a😀b", [0, 1, 2, 3])
def test_a_text_cut_anywhere_comes_out_as_it_was(text: str, cuts: list[int]) -> None:
    joiner = SurrogateJoiner()
    mended = [joiner.add(piece) for piece in pieces(units(text), cuts)]
    assert "".join(mended) + joiner.rest() == text
    for piece in mended:
        piece.encode()


@steady(3)
@given(
    st.text(st.sampled_from("a中😀\ud83d\ude00\udbff\udc00\ud800\udfff")),
    st.lists(st.integers(0, 40)),
)
@example("\ud83d\ud83d\ude00", [1, 2])
@example("\ude00\ud83d", [1])
@example("\ud83da", [1])
def test_any_mix_of_halves_can_be_encoded_and_loses_only_lone_ones(
    text: str, cuts: list[int]
) -> None:
    joiner = SurrogateJoiner()
    mended = [joiner.add(piece) for piece in pieces(units(text), cuts)]
    mended.append(joiner.rest())
    assert "".join(mended) == whole(units(text))
    for piece in mended:
        piece.encode()
    assert joiner.rest() == ""


@steady(3)
@given(texts, st.lists(st.integers(0, 40)))
def test_a_stream_of_chunks_cut_anywhere_gives_the_text(text: str, cuts: list[int]) -> None:
    chunks = [choice({"content": piece}) for piece in pieces(units(text), cuts)]
    deltas = said(*chunks, DONE)
    assert "".join(content_of(delta) for delta in deltas) == text
    assert all(content_of(delta) for delta in deltas)
