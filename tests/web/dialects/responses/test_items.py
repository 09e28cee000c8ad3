"""Items of a response: when a call's arguments are whole, and what is kept of a text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.events.types import Chunk, ToolArguments, ToolCall
from stream_serve.web.dialects.responses import items
from stream_serve.web.dialects.responses.items import Call, Output
from support.properties import steady

if TYPE_CHECKING:
    import pytest

TEXTS = st.one_of(
    st.text('{}[]",:\\\\ \\n1a', max_size=12),
    st.dictionaries(st.text(max_size=3), st.text('"\\\\{}[] a', max_size=5), max_size=3).map(
        json.dumps
    ),
)


def is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text, strict=True), dict)
    except ValueError:
        return False


@steady(2)
@given(st.lists(TEXTS, max_size=3), st.lists(st.booleans(), min_size=40, max_size=40))
def test_arguments_are_whole_exactly_when_they_are_an_object(
    texts: list[str], asked: list[bool]
) -> None:
    call, said = Call("run", 0, ToolCall(0, "c", "f")), ""
    for piece, ask in zip("".join(texts), asked, strict=False):
        call.argue(piece)
        said += piece
        if ask:
            assert call.is_whole is is_object(said), said
    assert call.is_whole is is_object(said), said


def test_what_is_open_is_decoded_once_however_many_items_follow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[int] = []
    decode = msgspec.json.decode

    def counted(text: str) -> object:
        decoded.append(len(text))
        return decode(text)

    monkeypatch.setattr(items.msgspec.json, "decode", counted)
    output = Output("run")
    for index in range(50):
        output.add(ToolCall(index, f"c{index}", "f"))
        output.add(ToolArguments(index, '{"a": "' + "x}" * 100))
    assert decoded == []
    for index in range(50):
        output.add(ToolArguments(index, '"}'))
    output.add(Chunk("done"))
    assert len(decoded) == 50


def test_all_events_of_an_item_share_its_text() -> None:
    output = Output("run")
    for piece in ("a" * 100, "b" * 100):
        output.add(Chunk(piece))
    done, part, item = output.complete()
    assert done["text"] is part["part"]["text"] is item["item"]["content"][0]["text"]
