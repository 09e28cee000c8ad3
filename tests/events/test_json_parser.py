"""Streams of JSON that are not written after the standard of Server-Sent Events."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.events.sse import EventTooLarge, JSONParser, Parser, may_begin
from support.properties import steady

if TYPE_CHECKING:
    from collections.abc import Sequence

PLENTY = 100_000
objects = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=5,
    ),
    min_size=1,
    max_size=3,
)


def data_of(*pieces: bytes) -> list[bytes]:
    """The data of all events, with what the end of the body ends."""
    parser = JSONParser(PLENTY)
    found = [data for piece in pieces for data in parser.data(piece)]
    return [*found, rest] if (rest := parser.rest()) else found


def flood(parser: JSONParser, line: bytes) -> None:
    for _ in range(1000):
        parser.feed(line)


def cut(stream: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("field", [b"data: ", b"data:", b""])
def test_events_that_one_line_end_divides_are_read_line_by_line(field: bytes, end: bytes) -> None:
    lines = [b'{"a":1}', b'{"b":{}}', b"[DONE]"]
    assert data_of(b"".join(field + line + end for line in lines)) == lines


def test_after_the_first_two_such_lines_each_comes_at_once() -> None:
    parser = JSONParser(PLENTY)
    assert parser.data(b'data: {"a":1}\n') == []
    assert parser.data(b'data: {"b":2}\n') == [b'{"a":1}', b'{"b":2}']
    assert parser.data(b'data: {"c":3}\n') == [b'{"c":3}']
    assert parser.data(b"data: [DONE]\n") == [b"[DONE]"]


VALUES: list[Any] = [
    {"a": [{"b": 1}, {"c": [[{}]]}], "d": {"e": {}}},
    [{"error": {"a": 1}}],
    {"a": "}\n{"},
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("field", ["data: ", ""])
def test_json_over_several_lines_is_one_event(value: object, field: str) -> None:
    for indent in (0, 1, 4):
        lines = json.dumps(value, indent=indent).split("\n")
        stream = "".join(f"{field}{line}\n" for line in lines).encode()
        more = stream + b'\ndata: {"next":1}\n\n'
        assert [json.loads(one) for one in data_of(more)] == [value, {"next": 1}]


def test_json_without_a_field_between_events_is_an_event() -> None:
    assert data_of(b'data: {"a":1}\n\n{"error":"x"}\ndata: {"b":1}\n\n') == [
        b'{"a":1}',
        b'{"error":"x"}',
        b'{"b":1}',
    ]
    assert data_of(b'{\n\n "error":\n: beat\n"x"\n}\nevent: y\ndata: {}\n\n') == [
        b'{\n "error":\n"x"\n}',
        b"{}",
    ]
    assert data_of(b'{"a":1') == [b'{"a":1']


def test_a_word_before_or_after_json_does_not_take_it_along() -> None:
    assert data_of(b'data: ping\ndata: {"a":1}\n\n') == [b"ping", b'{"a":1}']
    assert data_of(b'data: {"a":1}\ndata: [DONE]\n\n') == [b'{"a":1}', b"[DONE]"]
    assert data_of(b"[odd]: field\n\ndata: {}\n\n") == [b"{}"]


@pytest.mark.parametrize("name", [b"error", b"Error", b"response.error", b"thread_failed"])
def test_an_event_that_is_named_as_an_error_is_kept(name: bytes) -> None:
    for data in (b'{"a":1}', b"words"):
        parser = JSONParser(PLENTY)
        text = b"data: {}\n\nevent:" + name + b"\ndata: " + data + b"\n\ndata: [DONE]\n\n"
        assert parser.data(text) == [b"{}"]
        assert parser.failure == data
        assert parser.data(b"data: {}\n\n" + text) == []
    parser = JSONParser(PLENTY)
    parser.data(b"event: " + name + b"\n\n")
    assert parser.failure == b""


def test_the_name_of_an_event_is_not_that_of_the_line_before() -> None:
    parser = JSONParser(PLENTY)
    parser.data(b'data: {"a":1}\nevent: error\ndata: {"b":1}\n\n')
    assert parser.failure == b'{"b":1}'
    parser = JSONParser(PLENTY)
    parser.data(b'event: completion\ndata: {"a":1}\n\n\n')
    assert parser.failure is None


def test_json_that_never_ends_is_refused() -> None:
    for line in (b'"x",\n', b"\n" * 99 + b'"x",\n'):
        parser = JSONParser(1000)
        parser.feed(b"{\n")
        with pytest.raises(EventTooLarge):
            flood(parser, line)


@steady(2)
@given(
    st.lists(objects, max_size=5),
    st.sampled_from(["one", "standard", "indented", "bare", "bare indented"]),
    st.lists(st.integers(0, 10_000), max_size=4),
)
def test_each_way_to_divide_objects_gives_the_objects(
    values: list[object], way: str, places: list[int]
) -> None:
    """Written with one line end or two, with or without `data:`, in one line or many, cut anywhere."""
    indent = 1 if "indented" in way else None
    field = "" if "bare" in way else "data: "
    end = "\n" if way in {"one", "bare", "bare indented"} else "\n\n"
    stream = "".join(
        "\n".join(field + line for line in json.dumps(value, indent=indent).split("\n")) + end
        for value in values
    )
    found = data_of(*cut(stream.encode(), places))
    assert [json.loads(one) for one in found] == values


@steady(2)
@given(st.lists(objects, max_size=4), st.lists(st.integers(0, 10_000), max_size=4))
def test_a_stream_after_the_standard_is_read_as_the_standard_says(
    values: list[object], places: list[int]
) -> None:
    stream = b"".join(
        b": beat\nid: 7\nevent: x\n"
        + b"".join(
            b"data: " + line + b"\n" for line in json.dumps(one, indent=1).encode().split(b"\n")
        )
        + b"\n"
        for one in values
    )
    pieces = cut(stream, places)
    plain = Parser(PLENTY)
    assert data_of(*pieces) == [data for piece in pieces for data in plain.data(piece)]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"data: x", True),
        (b"\xef\xbb\xbf\r\n : beat", True),
        (b"event:x", True),
        (b" {", True),
        (b"[", True),
        (b"", None),
        (b"\xef\xbb", None),
        (b"\n\nda", None),
        (b"<html>", False),
        (b"datum", False),
        (b"hello", False),
    ],
)
def test_what_a_stream_may_begin_with(start: bytes, expected: bool | None) -> None:
    assert may_begin(start) is expected
