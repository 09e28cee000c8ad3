"""A whole text after its pieces: what of it is new."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.events.types import Chunk, Reasoning
from stream_serve.producers.openai.repeats import missing
from support.chunks import choice, read, said
from support.deltas import content_of
from support.properties import steady

if TYPE_CHECKING:
    from stream_serve.events.types import Delta


def message(content: object, finish_reason: str | None = "stop", **fields: object) -> object:
    whole = {"role": "assistant", "content": content, **fields}
    return {"choices": [{"index": 0, "message": whole, "finish_reason": finish_reason}]}


A, B = choice({"content": "Hello "}), choice({"content": "world"})


@pytest.mark.parametrize(
    ("whole", "more"),
    [
        ("Hello world", ""),
        ("Hello world\n", "\n"),
        (" Hello world", ""),
        ("Hello", ""),
        ("world", ""),
        ("", ""),
        (None, ""),
        ("Hello world, again", ", again"),
        ("\nHello world!", "!"),
        ("Something else", "Something else"),
        ("Hello wOrld", ""),
    ],
)
@pytest.mark.parametrize("beside", [{}, {"delta": {}}, {"delta": {"content": ""}}])
def test_a_message_after_deltas_brings_only_what_they_did_not(
    whole: object, more: str, beside: dict[str, object]
) -> None:
    last: object = {"choices": [{"message": {"content": whole}, "finish_reason": "stop", **beside}]}
    reading, deltas = read(A, B, last)
    assert "".join(content_of(one) for one in deltas) == "Hello world" + more
    assert (reading.finish_reason, reading.unread.lost) == ("stop", None)
    assert reading.unread.count == (whole == "Hello wOrld")
    text: object = {"choices": [{"text": whole, "finish_reason": "stop", **beside}]}
    assert said(A, B, text) == deltas


def test_a_message_that_repeats_says_nothing_new_after_a_finish_reason() -> None:
    reading, deltas = read(A, B, choice({}, "stop"), message("Hello world", None))
    assert [content_of(one) for one in deltas] == ["Hello ", "world"]
    assert (reading.settled, reading.doubtful) == (True, False)
    reading, _ = read(A, choice({}, "stop"), message("Hello world", None))
    assert (reading.settled, reading.doubtful) == (False, True)


def test_a_message_without_deltas_is_the_text() -> None:
    whole = message("Hi", reasoning_content="hm")
    assert said(whole) == [Reasoning("hm"), Chunk("Hi")]
    assert said(choice({"role": "assistant"}), whole) == [Reasoning("hm"), Chunk("Hi")]
    assert said({"choices": [{"delta": {}, "message": {"content": "Hi"}}]}) == [Chunk("Hi")]


def test_a_message_repeats_the_thinking_too() -> None:
    first = choice({"reasoning_content": "h"}), choice({"reasoning_content": "m"})
    whole = message("Hello world", reasoning_content="hm!")
    deltas: list[Delta] = [Reasoning("h"), Reasoning("m"), Reasoning("!"), Chunk("Hello world")]
    assert said(*first, whole) == deltas


def test_a_message_beside_every_delta_is_what_came_so_far() -> None:
    chunks: list[object] = [
        {"choices": [{"delta": {"content": c}, "message": {"content": "abc"[: n + 1]}}]}
        for n, c in enumerate("abc")
    ]
    last: object = {
        "choices": [
            {"delta": {"content": "d"}, "message": {"content": "abcd"}, "finish_reason": "stop"}
        ]
    }
    assert "".join(content_of(one) for one in said(*chunks, last)) == "abcd"


def test_pieces_in_messages_are_all_read_and_a_repeat_at_the_end_is_not() -> None:
    pieces = [message(piece, None) for piece in ("ha", "ha", " and more ", "words")]
    assert "".join(content_of(one) for one in said(*pieces)) == "haha and more words"
    assert said(*pieces, message("haha and more words")) == said(*pieces)
    assert said(*pieces, message("ha")) == [*said(*pieces), Chunk("ha")]


@pytest.mark.parametrize("finish_reason", [None, "stop"])
def test_messages_that_grow_are_each_what_came_so_far(finish_reason: str | None) -> None:
    text = "Hello there, this is one answer"
    grown = [message(text[:at], finish_reason, reasoning_content="hm") for at in (17, 20, 20, 25)]
    deltas = said(*grown, message(text, reasoning_content="hm"))
    assert "".join(one.content for one in deltas if isinstance(one, Chunk)) == text
    assert [one for one in deltas if isinstance(one, Reasoning)] == [Reasoning("hm")]


def test_what_whole_texts_are_compared_with_is_bounded_and_what_is_more_is_lost() -> None:
    long = choice({"content": "x" * 1_000_000})
    reading, deltas = read(long, *[message("x")] * 67)
    assert (len(deltas), reading.unread.lost) == (1, None)
    reading, _ = read(long, *[message("x")] * 68)
    assert reading.unread.lost == "message"
    pieces = read(message("x" * 1_000_000, None), *[message("y")] * 100)
    assert (len(pieces[1]), pieces[0].unread.lost) == (101, None)


@steady(2)
@given(st.text("ab \n", max_size=12), st.text("ab \n", max_size=12))
def test_what_came_and_what_is_missing_are_the_whole(said: str, more: str) -> None:
    assert missing(said, said) == ""
    assert missing(said + more, said) == more
    assert not missing(said.strip(), said)
    assert not missing(said[: len(said) // 2], said) or not said[: len(said) // 2].strip()


def test_messages_that_grow_from_a_letter_are_never_called_whole() -> None:
    text = "Hello world, here I am"
    grown = [message(text[:end], None) for end in range(1, len(text))]
    reading, _ = read(*grown, message(text))
    assert reading.unread.lost is not None
