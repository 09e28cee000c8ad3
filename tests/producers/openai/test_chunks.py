"""Chat completion chunks, in every shape that compatible servers write them."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_serve.errors import UpstreamProtocol
from stream_serve.events.codec import encode
from stream_serve.events.types import Chunk, Reasoning, Usage
from stream_serve.producers.openai.chunks import DONE, Reading, SurrogateJoiner, decode

if TYPE_CHECKING:
    from stream_serve.events.types import Delta

STEADY = settings(derandomize=True, deadline=None, max_examples=300)

texts = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("😀👨‍👩‍👧𝒳中é\0\u2028"))
)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=10,
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


def wire(chunk: object) -> bytes:
    """A chunk as a server writes it, with lone surrogates as escapes."""
    return json.dumps(chunk).encode()


def choice(delta: object, finish_reason: object = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def read(*chunks: object) -> tuple[Reading, list[Delta]]:
    """Take chunks (JSON values, or bytes as they are)."""
    reading, deltas = Reading(), list[Any]()
    for chunk in chunks:
        reading.add(chunk if isinstance(chunk, bytes) else wire(chunk), deltas)
    return reading, deltas


def said(*chunks: object) -> list[Delta]:
    return read(*chunks)[1]


@pytest.mark.parametrize(
    ("delta", "deltas"),
    [
        ({"content": "hi"}, [Chunk("hi")]),
        ({"role": "assistant", "content": "hi"}, [Chunk("hi")]),
        ({"role": "assistant", "content": ""}, []),
        ({"role": "assistant"}, []),
        ({"content": None}, []),
        ({}, []),
        (None, []),
        ({"content": None, "reasoning_content": "hm"}, [Reasoning("hm")]),
        ({"content": "", "reasoning_content": "hm"}, [Reasoning("hm")]),
        ({"content": "", "reasoning": "hm"}, [Reasoning("hm")]),
        ({"reasoning_content": "hm", "reasoning": "hm"}, [Reasoning("hm")]),
        ({"reasoning_content": "", "reasoning": "hm"}, [Reasoning("hm")]),
        ({"reasoning_content": "hm", "content": "hi"}, [Reasoning("hm"), Chunk("hi")]),
        ({"content": None, "refusal": "I cannot"}, [Chunk("I cannot")]),
        ({"content": "hi", "tool_calls": [{"index": 0, "id": ""}]}, [Chunk("hi")]),
        ({"content": None, "tool_calls": None, "audio": {"x": [1]}}, []),
        ({"content": "a\0b\r\n\ndata: x"}, [Chunk("a\0b\r\n\ndata: x")]),
    ],
)
def test_each_delta_brings_its_text_and_its_thoughts(delta: object, deltas: list[Delta]) -> None:
    assert said(choice(delta)) == deltas


def test_text_in_the_chunk_with_the_finish_reason_is_not_lost() -> None:
    reading, deltas = read(choice({"content": "the end"}, "stop"))
    assert deltas == [Chunk("the end")]
    assert reading.finish_reason == "stop"


def test_a_finish_reason_without_any_delta_counts() -> None:
    assert read({"choices": [{"finish_reason": "length"}]})[0].finish_reason == "length"


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_finish_reason_that_says_nothing_does_not_end_the_answer(nothing: object) -> None:
    assert read(choice({"content": "a"}, nothing))[0].finish_reason is None
    assert read(choice({}, "stop"), choice({}, nothing))[0].finish_reason == "stop"


@pytest.mark.parametrize("choices", [None, []])
def test_a_chunk_without_choices_brings_no_text_and_starts_nothing(choices: object) -> None:
    reading, deltas = read({"id": "x", "choices": choices}, {"id": "x"})
    assert deltas == []
    assert not reading.started


def test_only_the_first_of_several_answers_is_read() -> None:
    both = {
        "choices": [
            {"index": 1, "delta": {"content": "b"}},
            {"index": 0, "delta": {"content": "a"}},
        ]
    }
    reading, deltas = read(
        both, {"choices": [{"index": 1, "delta": None, "finish_reason": "length"}]}
    )
    assert deltas == [Chunk("a")]
    assert reading.finish_reason is None


def test_a_choice_that_comes_alone_is_ours_whatever_its_index() -> None:
    chunks: list[object] = [
        {"choices": [{"index": n, "delta": {"content": str(n)}}]} for n in range(4)
    ]
    chunks.append({"choices": [{"index": "4", "finish_reason": "length"}]})
    reading, deltas = read(*chunks)
    assert deltas == [Chunk("0"), Chunk("1"), Chunk("2"), Chunk("3")]
    assert reading.finish_reason == "length"


def test_of_several_choices_without_an_index_0_the_first_is_read() -> None:
    both: dict[str, object] = {
        "choices": [{"index": n, "delta": {"content": str(n)}} for n in (3, 4)]
    }
    assert said(both, {"choices": [{"index": 5, "delta": {"content": "5"}}]}) == [
        Chunk("3"),
        Chunk("5"),
    ]


@pytest.mark.parametrize("index", [0, "0", None])
def test_several_choices_with_our_index_are_all_read(index: object) -> None:
    one = {"index": index, "delta": {"content": "a"}}
    assert said({"choices": [one, one]}) == [Chunk("a"), Chunk("a")]


def test_more_of_the_answer_takes_an_end_back_until_the_next() -> None:
    reading, _ = read(choice({"content": "a"}, "stop"))
    assert (reading.settled, reading.doubtful, reading.endings) == (True, False, 1)
    reading, _ = read(choice({}, "stop"), choice({}, "stop"), {"usage": None}, choice({}))
    assert (reading.settled, reading.doubtful, reading.endings) == (True, False, 2)
    reading, _ = read(choice({"content": "a"}, "stop"), choice({"content": "b"}, "stop"))
    assert (reading.settled, reading.doubtful, reading.endings) == (True, True, 2)
    reading, _ = read(choice({}, "stop"), choice({"content": "a"}))
    assert (reading.settled, reading.doubtful, reading.endings) == (False, True, 1)
    assert reading.finish_reason == "stop"


@pytest.mark.parametrize("word", ["length", "content_filter", "tool_calls"])
def test_a_stop_directly_after_another_word_does_not_hide_it(word: str) -> None:
    for more in ({}, {"content": ""}):
        reading, _ = read(choice({"content": "a"}, word), choice(more, "stop"))
        assert (reading.finish_reason, reading.endings) == (word, 2)
    reading, _ = read(choice({"content": "a"}, word), choice({"content": "b"}, "stop"))
    assert reading.finish_reason == "stop"
    reading, _ = read(choice({"content": "a"}, "stop"), choice({}, word))
    assert reading.finish_reason == word


def test_a_word_for_a_failure_is_never_taken_back() -> None:
    for words in (("abort", "stop"), ("stop", "abort"), ("abort", "error")):
        reading, _ = read(*(choice({}, word) for word in words))
        assert reading.broken in {"abort", "error"}
        assert reading.error is None


def test_text_beside_an_error_is_not_lost() -> None:
    for place in ("error", "base_resp"):
        error = {"status_code": 7, "message": "no"}
        reading, deltas = read({**choice({"content": "last"}, "stop"), place: error})
        assert deltas == [Chunk("last")]
        assert reading.error is not None
    odd = {"delta": {"content": "last"}, "finish_reason": "error", "error": {"message": "no"}}
    reading, deltas = read({"choices": [odd]})
    assert deltas == [Chunk("last")]
    assert reading.error is not None
    assert reading.error.error == {"message": "no"}


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


def test_a_harmless_base_resp_in_every_chunk_takes_nothing_with_it() -> None:
    fine = {"base_resp": {"status_code": 0, "status_msg": ""}}
    reading, deltas = read({**choice({"content": "hi"}, "stop"), **fine}, {"choices": None, **fine})
    assert deltas == [Chunk("hi")]
    assert reading.error is None


STEPS: dict[str, Any] = {
    "text": choice({"content": "x"}),
    "last text": choice({"content": "x"}, "stop"),
    "thought": choice({"reasoning_content": "x"}),
    "counted text": {"choices": [{"index": 3, "delta": {"content": "x"}}]},
    "stop": choice({}, "stop"),
    "length": choice({}, "MAX_TOKENS"),
    "unknown": choice({}, "stand_by\x1b"),
    "null": choice({}, "null"),
    "usage": {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}},
    "ping": {"type": "ping"},
    "abort": choice({}, "abort"),
    "error": {"error": {"message": "no"}},
    "error with text": {**choice({"content": "x"}, "stop"), "error": "no"},
    "object": {"object": "error", "message": "no"},
    "detail": {"detail": [{"msg": "no"}]},
    "code": {"code": "c", "message": "no"},
    "base_resp": {"base_resp": {"status_code": 7}},
}
FAILURES = {"abort", "error", "error with text", "object", "detail", "code", "base_resp"}


@STEADY
@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=10))
def test_in_any_order_all_text_comes_once_and_no_failure_is_forgotten(steps: list[str]) -> None:
    reading, deltas = read(*(STEPS[step] for step in steps))
    brought = [step for step in steps if "text" in step or step == "thought"]
    assert [delta.content for delta in deltas] == ["x"] * len(brought)
    failed = reading.error is not None or reading.broken is not None
    assert failed is bool(FAILURES & set(steps))
    assert reading.finish_reason in {None, "stop", "length"}
    ends = {"last text", "error with text", "stop", "length", "unknown"}
    assert (reading.finish_reason is not None) is bool(ends & set(steps))
    assert reading.word in {None, "MAX_TOKENS", "stand_by"}


def test_an_answer_has_started_with_its_first_choice_even_without_text() -> None:
    assert read(choice({"role": "assistant", "content": ""}))[0].started
    assert not Reading().started


@pytest.mark.parametrize("usage_place", [[], None])
def test_the_usage_comes_in_a_chunk_of_its_own(usage_place: object) -> None:
    usage = {
        "prompt_tokens": 7,
        "completion_tokens": 844,
        "total_tokens": 851,
        "completion_tokens_details": {"reasoning_tokens": 798, "text_tokens": 844},
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    reading, deltas = read({"choices": usage_place, "usage": usage})
    assert deltas == []
    assert reading.usage == Usage(7, 844, 851, "provider", reasoning_tokens=798)


@pytest.mark.parametrize("details", [None, {}, {"reasoning_tokens": None}])
def test_the_usage_may_say_nothing_of_thinking(details: object) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "completion_tokens_details": details}
    reading, _ = read({"choices": [], "usage": usage})
    assert reading.usage == Usage(1, 2, 3, "provider")


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": 1}, {"completion_tokens": 1}])
def test_usage_without_both_numbers_is_none(usage: dict[str, int]) -> None:
    reading, _ = read({"choices": [], "usage": usage})
    assert reading.usage is None


def test_a_missing_total_is_the_sum() -> None:
    reading, _ = read({"usage": {"prompt_tokens": 3, "completion_tokens": 4}})
    assert reading.usage is not None
    assert reading.usage.total_tokens == 7


def test_the_newest_usage_counts_and_null_does_not_take_it_back() -> None:
    reading, deltas = read(
        {**choice({"content": "a"}), "usage": {"prompt_tokens": 1, "completion_tokens": 1}},
        {**choice({"content": "b"}), "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
        {**choice({"content": "c"}), "usage": None},
    )
    assert deltas == [Chunk("a"), Chunk("b"), Chunk("c")]
    assert reading.usage is not None
    assert reading.usage.completion_tokens == 2


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


def test_done_is_the_end() -> None:
    reading, deltas = read(choice({"content": "a"}), DONE)
    assert reading.done
    assert deltas == [Chunk("a")]
    assert not read(choice({"content": "[DONE]"}))[0].done


def test_the_order_of_the_fields_does_not_matter() -> None:
    chunk = choice({"content": "hi", "reasoning_content": "hm"}, "stop")
    turned = {"usage": {"total_tokens": 3, "prompt_tokens": 1, "completion_tokens": 2}, **chunk}
    for order in (turned, dict(reversed(turned.items()))):
        reading, deltas = read(order)
        assert deltas == [Reasoning("hm"), Chunk("hi")]
        assert reading.finish_reason == "stop"
        assert reading.usage is not None


@pytest.mark.parametrize(
    "error",
    [
        {
            "message": "Output data may contain inappropriate content",
            "code": "DataInspectionFailed",
        },
        {"message": "m", "type": "server_error", "param": None, "code": None},
        {"code": 500},
        "overloaded",
        ["odd"],
        500,
    ],
)
def test_an_error_in_the_stream_is_kept_with_the_text_so_far(error: object) -> None:
    reading, deltas = read(choice({"content": "so far"}), {"error": error, "request_id": "r1"})
    assert deltas == [Chunk("so far")]
    assert reading.error is not None
    assert reading.error.error == error
    assert reading.error.request_id == "r1"
    assert not reading.done


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


@STEADY
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


@pytest.mark.parametrize(("field", "kind"), [("content", Chunk), ("reasoning_content", Reasoning)])
def test_an_emoji_cut_between_two_chunks_comes_whole(field: str, kind: type[Delta]) -> None:
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


@pytest.mark.parametrize("data", [b"", b" ", b"\t"])
def test_an_empty_data_line_says_nothing(data: bytes) -> None:
    assert decode(data) is None


@pytest.mark.parametrize("data", [b"[DONE]", b"[DONE] "])
def test_done_ends_the_stream(data: bytes) -> None:
    reading = Reading()
    reading.add(data, [])
    assert reading.done


def test_half_an_emoji_at_the_end_is_replaced() -> None:
    for delta, rest in (
        ({"content": "a\ud83d"}, [Chunk("\ufffd")]),
        ({"reasoning": "\ud83d"}, [Reasoning("\ufffd")]),
        ({"content": "a"}, []),
    ):
        reading, _ = read(choice(delta), DONE)
        assert reading.rest() == rest
        assert reading.rest() == []


@STEADY
@given(texts, st.lists(st.integers(0, 40)))
@example("😀", [1])
@example("a😀b", [0, 1, 2, 3])
def test_a_text_cut_anywhere_comes_out_as_it_was(text: str, cuts: list[int]) -> None:
    joiner = SurrogateJoiner()
    mended = [joiner.add(piece) for piece in pieces(units(text), cuts)]
    assert "".join(mended) + joiner.rest() == text
    for piece in mended:
        piece.encode()


@STEADY
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


@STEADY
@given(texts, st.lists(st.integers(0, 40)))
def test_a_stream_of_chunks_cut_anywhere_gives_the_text(text: str, cuts: list[int]) -> None:
    chunks = [choice({"content": piece}) for piece in pieces(units(text), cuts)]
    deltas = said(*chunks, DONE)
    assert "".join(delta.content for delta in deltas) == text
    assert all(delta.content for delta in deltas)
