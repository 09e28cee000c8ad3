"""Chat completion chunks in every odd shape: no text is lost for it, and nothing breaks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.errors import UpstreamProtocol
from stream_serve.events.codec import encode
from stream_serve.events.types import Chunk, Reasoning
from stream_serve.producers.openai.chunks import DONE, decode
from support.chunks import choice, read, said
from support.properties import steady

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=10,
)


@pytest.mark.parametrize(
    "chunk",
    [
        {"object": "error", "message": "no", "code": 500},
        {"detail": "no"},
        {"message": "no", "code": "c", "request_id": "r1"},
        {"choices": [], "base_resp": {"status_code": 7, "status_msg": "no"}},
        {"choices": 7, "object": "error", "message": "no"},
        [{"error": {"message": "no"}}],
    ],
)
def test_an_error_in_another_shape_is_one(chunk: object) -> None:
    reading, deltas = read(choice({"content": "so far"}), chunk)
    assert deltas == [Chunk("so far")]
    assert reading.error is not None
    assert reading.error.error["message"] == "no"


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": "7"},
        "none",
        [1],
        7,
        {"prompt_tokens": 1.5},
        {"prompt_tokens": 10**400},
    ],
)
def test_an_odd_usage_does_not_take_the_text_with_it(usage: object) -> None:
    assert said({**choice({"content": "hi"}), "usage": usage}) == [Chunk("hi")]


@pytest.mark.parametrize(
    "field", ["id", "object", "created", "model", "request_id", "service_tier"]
)
@pytest.mark.parametrize("value", [None, 7, "x", [], {}, 1.5, True])
def test_an_odd_value_in_another_field_does_not_take_the_text_with_it(
    field: str, value: object
) -> None:
    assert said({**choice({"content": "hi"}), field: value}) == [Chunk("hi")]


def test_the_order_of_the_fields_does_not_matter() -> None:
    chunk = choice({"content": "hi", "reasoning_content": "hm"}, "stop")
    turned = {"usage": {"total_tokens": 3, "prompt_tokens": 1, "completion_tokens": 2}, **chunk}
    for order in (turned, dict(reversed(turned.items()))):
        reading, deltas = read(order)
        assert deltas == [Reasoning("hm"), Chunk("hi")]
        assert reading.finish_reason == "stop"
        assert reading.usage is not None


@pytest.mark.parametrize(
    "rest", [{"choices": 7}, {"usage": "x"}, {"request_id": 7}, {"choices": None}]
)
def test_an_error_is_seen_whatever_else_the_chunk_has(rest: dict[str, object]) -> None:
    reading, _ = read({"error": {"message": "no"}, **rest})
    assert reading.error is not None
    assert reading.error.error == {"message": "no"}


@pytest.mark.parametrize("error", [None, "", {}, False])
def test_an_empty_error_is_none(error: object) -> None:
    reading, deltas = read({**choice({"content": "hi"}), "error": error})
    assert reading.error is None
    assert deltas == [Chunk("hi")]


@pytest.mark.parametrize(
    "data",
    [
        b"7",
        b"null",
        b"true",
        b'"text"',
        b"[]",
        b"[[]]",
        b"{}",
        b'{"choices": [{}]}',
        b'{"type": "ping"}',
        b'{"object": "chat.completion.chunk"}',
        b"1e999",
        b"1" * 4000,
    ],
)
def test_json_of_an_unknown_shape_is_ignored(data: bytes) -> None:
    reading, deltas = read(data, choice({"content": "hi"}))
    assert deltas == [Chunk("hi")]
    assert (reading.error, reading.finish_reason, reading.usage) == (None, None, None)


UNREADABLE: list[Any] = [
    7,
    {},
    [7],
    [None],
    [[]],
    [{"delta": 7}],
    [{"delta": {"content": 7}}],
    [{"delta": {"content": ["x"]}}],
    [{"delta": {"content": "x"}, "index": []}],
]


@pytest.mark.parametrize("choices", UNREADABLE)
def test_choices_that_cannot_be_read_are_a_failure_since_text_could_be_in_them(
    choices: object,
) -> None:
    with pytest.raises(UpstreamProtocol, match="choices"):
        read({"choices": choices})


@pytest.mark.parametrize(
    "one",
    [
        {"message": {"content": "hi"}},
        {"text": "hi"},
        {"delta": {"content": [{"type": "text", "text": "h"}, {"text": "i"}]}},
        {"index": "0", "delta": {"content": "hi"}},
        {"index": None, "delta": {"content": "hi"}},
    ],
)
def test_text_in_the_words_of_other_servers_is_not_lost(one: dict[str, object]) -> None:
    assert said({"choices": [one]}) == [Chunk("hi")]


@steady(3)
@given(any_json, st.sampled_from(["choices", "usage", "delta", "error", "index", "request_id"]))
def test_no_json_of_any_shape_breaks_the_reading(value: Any, place: str) -> None:
    chunk: Any = choice({"content": "x"})
    if place == "delta":
        chunk["choices"][0]["delta"] = value
    elif place == "index":
        chunk["choices"][0]["index"] = value
    else:
        chunk[place] = value
    try:
        deltas = said(chunk, value, choice({"content": "hi"}), DONE)
    except UpstreamProtocol:
        assert place in {"choices", "delta", "index"} or isinstance(value, dict)
        return
    for delta in deltas:
        json.loads(encode(delta))


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b'{"choices":',
        b"hello",
        b"<html>",
        b"{'a': 1}",
        b'{"a": 1} x',
        b"\0",
        b"\xff",
        b'{"choices":[{"delta":{"content":"\0"}}]}',
        b'{"a": "\n"}',
        b"undefined",
        b"{}{}",
    ],
)
def test_what_is_not_json_is_a_failure_of_the_provider(data: bytes) -> None:
    with pytest.raises(UpstreamProtocol, match="not JSON"):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"error":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"error":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    ],
)
def test_json_nested_too_deeply_is_a_failure_of_the_provider(data: bytes) -> None:
    with pytest.raises(UpstreamProtocol):
        decode(data)


def test_bytes_that_are_not_utf_8_do_not_take_the_text_with_them() -> None:
    assert said(b'{"choices":[{"delta":{"content":"a\xffb"}}]}') == [Chunk("a\ufffdb")]


def test_an_escaped_nul_stays_in_the_text() -> None:
    assert said(b'{"choices":[{"delta":{"content":"a\\u0000b"}}]}') == [Chunk("a\0b")]


@pytest.mark.parametrize("data", [b"", b" ", b"\t"])
def test_an_empty_data_line_says_nothing(data: bytes) -> None:
    assert decode(data) is None
