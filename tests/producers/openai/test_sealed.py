"""Thoughts that a caller has to send back: signed and encrypted entries of `reasoning_details`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.events.types import Chunk, Delta, Extra, Reasoning
from stream_serve.producers.openai.sealed import MAX_KEPT, SealedThoughts
from support.chunks import choice, read

Entry = dict[str, Any]

SECRET: Entry = {"type": "reasoning.encrypted", "data": "AAAA", "id": "r1", "index": 0}


def text(said: str, **more: object) -> Entry:
    return {"type": "reasoning.text", "text": said, "index": 0, "signature": None, **more}


def details(*entries: Entry, **more: object) -> Entry:
    return choice({"reasoning_details": [*entries], **more})


def passed(deltas: list[Delta]) -> list[Entry]:
    """The entries that callers get, however many events brought them."""
    extras = [one for one in deltas if isinstance(one, Extra)]
    return [entry for one in extras for entry in one.fields["reasoning_details"]]


def joined(name: str, entries: list[Entry]) -> str:
    return "".join(str(one.get(name) or "") for one in entries)


def test_an_encrypted_thought_is_passed_on_as_it_came() -> None:
    reading, deltas = read(details(SECRET), choice({"content": "x"}))
    assert deltas == [Extra("delta", {"reasoning_details": [SECRET]}), Chunk("x")]
    assert reading.unread.count == 0


def test_plain_thoughts_are_thoughts_and_nothing_else() -> None:
    _, deltas = read(details(text("h")), details(text("m")), choice({"content": "x"}))
    assert deltas == [Reasoning("h"), Reasoning("m"), Chunk("x")]


def test_a_signed_thought_is_one_entry_with_its_whole_text() -> None:
    sign = {"type": "reasoning.text", "signature": "S", "index": 0, "format": "f"}
    _, deltas = read(details(text("h")), details(text("m")), details(sign), details(SECRET))
    signed = {**text("hm"), "signature": "S", "format": "f"}
    assert passed(deltas) == [signed, SECRET]
    assert deltas[:2] == [Reasoning("h"), Reasoning("m")]


def test_the_plain_thoughts_beside_a_sealed_one_come_with_it_in_their_order() -> None:
    summary = {"type": "reasoning.summary", "summary": "s", "index": 0}
    first = details(summary, reasoning="s")
    reading, deltas = read(first, details(SECRET), details(text("a")), details(text("b")))
    assert passed(deltas + reading.rest()) == [summary, SECRET, text("ab")]


def test_entries_with_the_same_index_are_not_one() -> None:
    other = {**SECRET, "data": "BBBB"}
    assert passed(read(details(SECRET), details(other))[1]) == [SECRET, other]


def test_a_message_after_deltas_does_not_repeat_them() -> None:
    whole = {"role": "assistant", "content": "x", "reasoning_details": [text("hm"), SECRET]}
    last = {"choices": [{"index": 0, "message": whole, "finish_reason": "stop"}]}
    assert passed(read(last)[1]) == [text("hm"), SECRET]
    deltas = [details(text("hm")), choice({"content": "x"})]
    assert passed(read(*deltas, last)[1]) == [text("hm"), SECRET]
    assert passed(read(deltas[0], details(SECRET), deltas[1], last)[1]) == [text("hm"), SECRET]


def test_very_long_plain_thoughts_are_passed_on_and_not_kept() -> None:
    thoughts = SealedThoughts()
    long = text("x" * (MAX_KEPT // 2))
    assert [bool(thoughts.add([long])) for _ in range(3)] == [False, True, False]
    assert thoughts.rest() == [long]


@pytest.mark.parametrize("value", ["x", 7, [7, None, []], {}, [{}], [{"type": "reasoning.text"}]])
def test_what_says_nothing_is_not_passed_on(value: object) -> None:
    assert SealedThoughts().add(value) == []


ENTRY = st.one_of(
    st.builds(text, st.text(max_size=3)),
    st.sampled_from([text("y", index=at) for at in range(3)]),
    st.just({"type": "reasoning.summary", "summary": "s"}),
    st.just({"type": "reasoning.text", "signature": "S"}),
    st.just({"data": "D"}),
    st.just(SECRET),
)


@given(st.lists(st.lists(ENTRY, max_size=3), max_size=8))
def test_with_a_sealed_entry_every_text_and_every_secret_comes_once_in_order(
    lists: list[list[Entry]],
) -> None:
    thoughts = SealedThoughts()
    got = [entry for value in lists for entry in thoughts.add(value)] + thoughts.rest()
    came = [entry for value in lists for entry in value]
    if any("data" in one or one.get("signature") for one in came):
        for name in ("text", "summary", "data", "signature"):
            assert joined(name, got) == joined(name, came)
    else:
        assert got == []
