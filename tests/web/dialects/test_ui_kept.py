"""UI messages as they are stored: which id each has, whatever the client calls its messages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.conversations.base import MAX_ID
from stream_serve.web.dialects import ui_kept

Json = dict[str, Any]

ODD = [
    "",
    "x" * MAX_ID,
    "x" * 1_000_000,
    "你好 👩‍👩‍👧",
    "a/b",
    "/",
    "a/1",
    "\x00",
    "\x1f\n",
    " ",
    "%2F",
]
IDS = st.sampled_from(["a", "a/1", "a/tool/c", "a/", "/0", "0", *ODD]) | st.text(max_size=4)


def user(message_id: str, text: str = "hi") -> Json:
    return {"id": message_id, "role": "user", "parts": [{"type": "text", "text": text}]}


def steps(message_id: str, *calls: str) -> Json:
    """Return an assistant's message with a step for each call, which has a result."""
    parts: list[Json] = []
    for call in calls:
        answered: Json = {"state": "output-available", "input": {}, "output": 1, "toolCallId": call}
        parts += [{"type": "step-start"}, {"type": "tool-f", **answered}]
    return {"id": message_id, "role": "assistant", "parts": parts}


def ids(*messages: Json) -> list[str]:
    found = [one.id for one in ui_kept.kept(messages)]
    return [one for one in found if one is not None]


@pytest.mark.parametrize("message_id", ODD)
def test_the_answer_that_goes_on_has_the_id_of_the_next_step_whatever_the_messages_id_is(
    message_id: str,
) -> None:
    before = steps(message_id, "c1")
    said = [{"type": "step-start"}, {"type": "text", "text": "said"}]
    after = {**before, "parts": [*before["parts"], *said]}
    named = ui_kept.next_id([user("u"), before])
    assert ids(user("u"), after) == [*ids(user("u"), before), named]
    assert all(0 < len(one) <= MAX_ID for one in ids(user("u"), after))


EMPTY: list[Json] = [
    {"type": "step-start"},
    {"type": "text", "text": ""},
    {"type": "reasoning", "text": ""},
    {"type": "data-x", "data": 1},
    {"type": "source-url", "url": "https://example.com", "sourceId": "1"},
]


@given(st.lists(st.sampled_from(EMPTY), max_size=6), st.lists(st.sampled_from(EMPTY), max_size=6))
def test_steps_with_nothing_in_them_are_neither_stored_nor_counted(
    before: list[Json], between: list[Json]
) -> None:
    message = steps("m", "c1", "c2")
    parts = message["parts"]
    odd = {**message, "parts": [*before, *parts[:2], *between, *parts[2:], *between]}
    assert ui_kept.kept([user("u"), odd]) == ui_kept.kept([user("u"), message])
    assert ui_kept.next_id([odd]) == ui_kept.next_id([message])
    nothing = {**message, "parts": before}
    assert ids(nothing) == ["m"], "an answer that was stored as empty is found again"


@given(
    names=st.lists(IDS.filter(bool), unique=True, max_size=4),
    calls=st.lists(IDS, min_size=1, max_size=3, unique=True),
)
def test_no_two_messages_have_the_same_id(names: list[str], calls: list[str]) -> None:
    found = ids(user("first"), *(steps(one, *calls) for one in names if one != "first"))
    edited = [ui_kept.edited_id(one, "other") for one in ids(*(user(one) for one in names))]
    assert len({*found, *edited}) == len(found) + len(edited)


def test_a_message_without_an_id_is_known_by_its_place_and_its_words() -> None:
    said = [user("", "yes"), user("", "yes"), user("", "no")]
    assert len(set(ids(*said))) == 3
    assert ids(*said)[:2] == ids(*said[:2])


@pytest.mark.parametrize("message_id", ["plain", "你好", "\x00", "x" * MAX_ID])
def test_an_id_that_fits_is_the_stored_one(message_id: str) -> None:
    assert ids(user(message_id)) == [message_id]
