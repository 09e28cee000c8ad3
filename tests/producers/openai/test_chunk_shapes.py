"""Chat completion chunks in every odd shape: no text is lost for it, and nothing breaks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.events.codec import encode
from stream_serve.events.types import Chunk, Extra, Reasoning
from stream_serve.producers.openai.wire import DONE
from support.chunks import choice, read, said, wire
from support.deltas import content_of
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
    deltas = said({**choice({"content": "hi"}), field: value})
    assert [one for one in deltas if not isinstance(one, Extra)] == [Chunk("hi")]


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


LOST: list[Any] = [
    "words",
    ["words"],
    [["words"]],
    [{"delta": ["words"]}],
    [{"delta": {"content": {"odd": "words"}}}],
    [{"delta": {"content": [{"odd": "words"}]}}],
    [{"delta": {"content": [{"type": "text", "odd": "words"}]}}],
    [{"delta": {"refusal": {"odd": ["words"]}}}],
    [{"message": {"content": {"odd": {"odd": "words"}}}}],
]


@pytest.mark.parametrize("choices", LOST)
def test_words_in_a_form_that_is_not_known_are_lost_and_the_rest_is_read(choices: object) -> None:
    reading, deltas = read(choice({"content": "a"}), {"choices": choices}, choice({"content": "b"}))
    assert [content_of(one) for one in deltas] == ["a", "b"]
    assert (reading.unread.count, reading.unread.lost is not None) == (1, True)


HARMLESS: list[Any] = [
    7,
    True,
    {},
    [7],
    [None],
    [[]],
    [{"delta": 7}],
    [{"delta": []}],
    [{"delta": {"content": True}}],
    [{"delta": {"content": [None, [], {}, "", {"type": "text", "text": ""}]}}],
    [{"delta": {"content": [{"type": "image_url", "image_url": {"url": "x"}}]}}],
    [{"delta": {"content": {"type": "citation", "title": "x"}}}],
    [{"delta": {"reasoning": {"odd": "x"}, "reasoning_details": 7}}],
    [{"delta": {"role": 7, "tool_calls": "x", "audio": [[]], "annotations": {}}}],
    [{"delta": {}, "logprobs": "x", "finish_reason": 7}],
    [{"delta": {}, "finish_reason": {}}],
]


@pytest.mark.parametrize("choices", HARMLESS)
def test_what_is_no_text_costs_nothing(choices: object) -> None:
    reading, deltas = read(choice({"content": "a"}), {"choices": choices}, choice({"content": "b"}))
    assert [one for one in deltas if not isinstance(one, Extra)] == [Chunk("a"), Chunk("b")]
    assert (reading.unread.lost, reading.finish_reason) == (None, None)


@pytest.mark.parametrize("index", [[], {}, "x", 1.5, True, -1, None, 10**30])
def test_an_odd_index_does_not_take_the_text_with_it(index: object) -> None:
    assert said({"choices": [{"index": index, "delta": {"content": "hi"}}]}) == [Chunk("hi")]


@pytest.mark.parametrize(
    ("content", "deltas"),
    [
        (5, [Chunk("5")]),
        (1.5, [Chunk("1.5")]),
        (["a", "b"], [Chunk("ab")]),
        ({"text": "x"}, [Chunk("x")]),
        ({"type": "text", "text": {"value": "x", "annotations": []}}, [Chunk("x")]),
        (
            [{"type": "output_text", "text": "x"}, {"type": "refusal", "content": "y"}],
            [Chunk("xy")],
        ),
        ([{"type": "thinking", "thinking": "hm"}], [Reasoning("hm")]),
        (
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"text": "m"}]},
                {"type": "text", "text": "x"},
            ],
            [Reasoning("hm"), Chunk("x")],
        ),
        ([{"type": "reasoning", "text": "hm"}, "x"], [Reasoning("hm"), Chunk("x")]),
    ],
)
def test_content_of_many_types_is_text_and_thinking(content: object, deltas: list[object]) -> None:
    reading, found = read(choice({"content": content}))
    assert found == deltas
    assert reading.unread.count == 0


DETAILS = [
    {"type": "reasoning.text", "text": "h", "signature": None},
    {"type": "reasoning.summary", "summary": "m"},
]


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning": "hm"},
        {"reasoning": {"content": "hm"}},
        {"reasoning": {"text": "hm", "id": "x"}},
        {"reasoning": ["h", {"text": "m"}]},
        {"reasoning_content": [{"type": "text", "text": "hm"}]},
        {"reasoning_details": DETAILS},
        {"reasoning": "hm", "reasoning_details": DETAILS},
        {"reasoning_content": "hm", "reasoning": "hm", "reasoning_details": DETAILS},
    ],
)
def test_thinking_of_many_types_is_thinking_once(delta: object) -> None:
    reading, deltas = read(choice(delta), choice({"content": "x"}))
    assert deltas == [Reasoning("hm"), Chunk("x")]
    assert reading.unread.count == 0


def test_details_after_the_thinking_itself_only_repeat_it() -> None:
    whole = choice({"reasoning_details": DETAILS, "content": "x"})
    assert said(choice({"reasoning": "hm"}), whole) == [Reasoning("hm"), Chunk("x")]


@pytest.mark.parametrize(
    "reason",
    [
        *({"type": "stop"}, {"reason": "stop", "index": 0}, "stop", "STOP", "FINISH_REASON_STOP"),
        *(["stop"], [{"type": "stop"}], " stop\n", "Stop."),
    ],
)
def test_a_finish_reason_may_be_an_object_or_alone_in_a_list(reason: object) -> None:
    assert read(choice({}, reason))[0].finish_reason == "stop"


@pytest.mark.parametrize(
    "reason",
    [
        *(
            0,
            1,
            2.5,
            True,
            False,
            [],
            {},
            "",
            " ",
            ["stop", "length"],
            [1],
            [["stop"]],
            {"a": "stop"},
        ),
        *("in_progress", "undefined", "-", {"type": 1}, [None]),
    ],
)
def test_a_finish_reason_that_says_nothing_is_no_end_and_costs_no_text(reason: object) -> None:
    reading, deltas = read(choice({"content": "a"}, reason), choice({"content": "b"}))
    assert [content_of(one) for one in deltas] == ["a", "b"]
    assert (reading.finish_reason, reading.broken, reading.unread.lost) == (None, None, None)
    assert read(choice({"content": "a"}, reason), choice({}, "stop"))[0].finish_reason == "stop"


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


PLACES = ["choices", "usage", "error", "request_id", "delta", "message", "index", "finish_reason"]
FIELDS = ["content", "reasoning", "reasoning_content", "reasoning_details", "refusal", "tool_calls"]


@steady(3)
@given(any_json, st.sampled_from([*PLACES, *FIELDS]))
def test_no_json_of_any_shape_breaks_the_reading_or_costs_other_text(
    value: Any, place: str
) -> None:
    chunk: Any = choice({"content": "x"})
    if place in FIELDS:
        chunk["choices"][0]["delta"][place] = value
    elif place in {"delta", "index", "message", "finish_reason"}:
        chunk["choices"][0][place] = value
    else:
        chunk[place] = value
    reading, deltas = read(choice({"content": "hi"}), chunk, value, choice({"content": "ho"}), DONE)
    for delta in deltas:
        json.loads(encode(delta))
    text = [delta.content for delta in deltas if isinstance(delta, Chunk)]
    assert text[0] == "hi"
    assert text[-1] == "ho"
    assert any(one.startswith("x") for one in text) or place in {"choices", "delta", "content"}
    assert reading.done


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b'{"choices":',
        b"{'a': 1}",
        b"{}{",
        b'"x"}}]}',
        b'tent":"x","index":0',
        b'ping\n{"a"',
        *(
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            b'{"error":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        ),
    ],
)
def test_what_looks_like_a_piece_of_json_is_lost(data: bytes) -> None:
    reading, deltas = read(data, choice({"content": "hi"}))
    assert reading.unread.lost == "an event that is not whole JSON"
    assert deltas == [Chunk("hi")]


@pytest.mark.parametrize(
    "data",
    [
        *(b"hello", b"<html>", b"\0", b"\xff", b"undefined", b"keep-alive 1"),
        *(b"[done]", b"[ DONE ]", b"[PING]", b"[end of stream]"),
    ],
)
def test_a_word_is_left_out_and_counted(data: bytes) -> None:
    reading, deltas = read(data, choice({"content": "hi"}))
    assert (reading.unread.count, reading.unread.lost) == (1, None)
    assert deltas == [Chunk("hi")]


def test_choices_by_their_index_are_choices() -> None:
    assert said({"choices": {"0": {"delta": {"content": "hi"}}}}) == [Chunk("hi")]
    assert said({"choices": {"delta": {"content": "hi"}}}) == [Chunk("hi")]
    assert read({"choices": {"0": "hi"}})[0].unread.lost == "choices[0]"


def test_several_chunks_in_one_event_are_read_one_after_the_other() -> None:
    a, b = wire(choice({"content": "a"})), wire(choice({"content": "b"}, "stop"))
    for between in (b"", b"\n", b"\nping\n"):
        reading, deltas = read(a + between + b + between + b"[DONE]")
        assert deltas == [Chunk("a"), Chunk("b")]
        assert (reading.finish_reason, reading.done) == ("stop", True)
    assert said([choice({"content": "a"}), choice({"content": "b"})]) == [Chunk("a"), Chunk("b")]


@pytest.mark.parametrize(
    "data", [b"a\n" * 2000, b"{}" * 2000, b'"\n' * 2000, b"[" + b"{}," * 2000 + b"{}]"]
)
def test_an_event_has_a_bound_of_values_and_what_is_more_is_lost(data: bytes) -> None:
    reading, deltas = read(data, choice({"content": "hi"}))
    assert reading.unread.lost is not None
    assert reading.unread.count <= 1001
    assert deltas == [Chunk("hi")]


def test_control_characters_in_a_string_are_text() -> None:
    assert said(b'{"choices":[{"delta":{"content":"a\0\tb"}}]}') == [Chunk("a\0\tb")]


def test_a_chunk_that_is_cut_between_two_lines_of_data_is_lost() -> None:
    reading, deltas = read(b'{"choices":[{"delta":{"con\ntent":"x"}}]}')
    assert (deltas, reading.unread.lost) == ([], "an event that is not whole JSON")


def test_bytes_that_are_not_utf_8_do_not_take_the_text_with_them() -> None:
    assert said(b'{"choices":[{"delta":{"content":"a\xffb"}}]}') == [Chunk("a\ufffdb")]


def test_an_escaped_nul_stays_in_the_text() -> None:
    assert said(b'{"choices":[{"delta":{"content":"a\\u0000b"}}]}') == [Chunk("a\0b")]


@pytest.mark.parametrize("data", [b"", b" ", b"\t"])
def test_an_empty_data_line_says_nothing(data: bytes) -> None:
    reading, deltas = read(data)
    assert (deltas, reading.unread.count, reading.started) == ([], 0, False)


def test_a_number_of_thousands_of_digits_costs_nothing_else() -> None:
    data = b'{"choices":[{"index":' + b"9" * 9000 + b',"delta":{"content":"hi"}}]}'
    assert said(data) == [Chunk("hi")]


def test_text_beside_a_refusal_is_not_lost() -> None:
    assert said(choice({"content": "a", "refusal": "b"})) == [Chunk("ab")]


@pytest.mark.parametrize("error", [{"message": "no"}, "no"])
def test_an_error_in_a_delta_is_one(error: object) -> None:
    reading, _ = read(choice({"content": None, "error": error}, "stop"))
    assert reading.error is not None
    assert reading.error.error == error


BESIDE: list[Any] = [
    {"choices": [{"index": 0, "delta": {"text": "a"}}]},
    {"choices": [{"index": 0, "content": "a"}]},
    {"choices": [{"index": 0, "delta": {"content": "a", "text": "a"}}]},
    {"choices": [{"index": [], "delta": {"text": "a"}, "message": 1}]},
    b'data: {"choices":[{"delta":{"content":"a"}}]}',
]


@pytest.mark.parametrize("chunk", BESIDE)
def test_text_beside_its_place_is_text_once(chunk: object) -> None:
    assert [content_of(one) for one in said(chunk)] == ["a"]
