"""The events as JSON and as frames, exactly as clients know them, and read back from both."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_serve.errors import InternalError, UpstreamRateLimited
from stream_serve.events import codec
from stream_serve.events.codec import encode
from stream_serve.events.sse import HEARTBEAT
from stream_serve.events.types import (
    Chunk,
    End,
    Error,
    Event,
    Extra,
    Reasoning,
    Source,
    Start,
    ToolArguments,
    ToolCall,
    Usage,
)

if TYPE_CHECKING:
    from stream_serve.events.types import Delta

STEADY = settings(derandomize=True, deadline=None)
TITLE = "服务器内部错误"
USAGE = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3, source="provider")
USAGE_JSON = {"promptTokens": 1, "completionTokens": 2, "totalTokens": 3, "source": "provider"}

SHAPES: list[tuple[Event, object]] = [
    (Start("r1", "qwen-plus"), {"type": "start", "runId": "r1", "model": "qwen-plus"}),
    (
        Start("r1", "m", conversation_id="c", user_message_id="u", message_id="a"),
        {
            "type": "start",
            "runId": "r1",
            "model": "m",
            "conversationId": "c",
            "userMessageId": "u",
            "messageId": "a",
        },
    ),
    (Chunk("你好"), {"type": "chunk", "content": "你好"}),
    (Chunk(""), {"type": "chunk", "content": ""}),
    (Reasoning("hm"), {"type": "reasoning", "content": "hm"}),
    (End("stop", USAGE), {"type": "end", "finishReason": "stop", "usage": USAGE_JSON}),
    (
        End("stopped", Usage(1, 2, 3, "estimated", reasoning_tokens=1)),
        {
            "type": "end",
            "finishReason": "stopped",
            "usage": {**USAGE_JSON, "source": "estimated", "reasoningTokens": 1},
        },
    ),
    (
        End("stop", USAGE, saved=True, provider_finish_reason="eos"),
        {
            "type": "end",
            "finishReason": "stop",
            "usage": USAGE_JSON,
            "saved": True,
            "providerFinishReason": "eos",
        },
    ),
    (
        Error("why", "upstream_error", retryable=False),
        {
            "type": "error",
            "error": TITLE,
            "message": "why",
            "code": "upstream_error",
            "retryable": False,
        },
    ),
    (
        Error("m", "c", True, retry_after=1.5, provider_code="p", request_id="q", saved=False),
        {
            "type": "error",
            "error": TITLE,
            "message": "m",
            "code": "c",
            "retryable": True,
            "retryAfter": 1.5,
            "providerCode": "p",
            "requestId": "q",
            "saved": False,
        },
    ),
]

texts = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["data: forged\n\nid: 9\n\n", "\r\n\r\n", "\0", "\u2028\u2029\u0085", "😀", "\ufeff"]
)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Start, texts, texts, st.none() | texts, st.none() | texts, st.none() | texts),
    st.builds(Chunk, texts),
    st.builds(Reasoning, texts),
    st.builds(ToolCall, st.integers(0, 9), texts, texts),
    st.builds(ToolArguments, st.integers(0, 9), texts),
    st.builds(Source, texts, st.none() | texts),
    st.builds(Extra, st.sampled_from(["delta", "choice", "chunk"]), st.dictionaries(texts, texts)),
    st.builds(End, texts, st.just(USAGE), st.none() | st.booleans(), st.none() | texts),
    st.builds(
        Error,
        *(texts, texts, st.booleans(), st.none() | st.floats(0, 1e6)),
        *(st.none() | texts, st.none() | texts, st.none() | st.booleans()),
    ),
)
runs = st.lists(st.tuples(st.integers(1, 2**62), events), max_size=8)


@st.composite
def cut_runs(draw: st.DrawFn) -> tuple[list[tuple[int, Event]], list[bytes]]:
    """Numbered events, and their frames in pieces, of which some are empty."""
    numbered = draw(runs)
    wire = b"".join(codec.frame(number, event) for number, event in numbered)
    cuts = sorted(draw(st.lists(st.integers(0, len(wire)), max_size=12)))
    return numbered, [wire[a:b] for a, b in pairwise([0, *cuts, len(wire)])]


@pytest.mark.parametrize(("event", "shape"), SHAPES)
def test_each_event_has_exactly_the_documented_fields(event: Event, shape: object) -> None:
    assert json.loads(encode(event)) == shape


@pytest.mark.parametrize(("event", "shape"), SHAPES)
def test_each_event_can_be_read_back(event: Event, shape: object) -> None:
    del shape
    assert codec.decode(encode(event)) == event


@STEADY
@given(events)
def test_any_event_is_one_line_and_comes_back_as_it_was(event: Event) -> None:
    line = encode(event)
    assert b"\n" not in line
    assert b"\r" not in line
    assert line.decode("utf-8")
    assert codec.decode(line) == event


@STEADY
@given(st.text())
def test_an_event_is_one_line_whatever_its_text_holds(text: str) -> None:
    for event in (Chunk(text), Reasoning(text), Start(text, text), End(text, USAGE)):
        line = encode(event)
        assert b"\n" not in line
        assert b"\r" not in line
        line.decode("utf-8")
    assert json.loads(encode(Chunk(text)))["content"] == text


def test_a_failure_is_described_with_everything_that_is_known_of_it() -> None:
    failure = UpstreamRateLimited(
        "slow down", retry_after=7.0, provider_code="Throttling.RateQuota", request_id="req-1"
    )
    assert json.loads(encode(Error.of(failure, str(failure)))) == {
        "type": "error",
        "error": TITLE,
        "message": "slow down",
        "code": "upstream_rate_limited",
        "retryable": True,
        "retryAfter": 7.0,
        "providerCode": "Throttling.RateQuota",
        "requestId": "req-1",
    }


def test_what_is_not_known_of_a_failure_is_left_out() -> None:
    assert json.loads(encode(Error.of(InternalError("oops"), "oops"))) == {
        "type": "error",
        "error": TITLE,
        "message": "oops",
        "code": "internal_error",
        "retryable": False,
    }


@pytest.mark.parametrize("shape", [shape for _, shape in SHAPES[-2:]])
def test_the_articles_title_of_an_error_is_for_clients_and_is_not_read(
    shape: dict[str, object],
) -> None:
    other = json.dumps({**shape, "error": "another title"}).encode()
    without = json.dumps({key: value for key, value in shape.items() if key != "error"}).encode()
    assert codec.decode(other) == codec.decode(without) == codec.decode(json.dumps(shape).encode())


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"{}", b'{"type":"chunk"}', b'{"type":"other"}', b'{"type":"end"}', b"{"],
)
def test_what_is_no_event_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        codec.decode(data)


def test_a_frame_is_the_number_and_the_json_and_an_empty_line() -> None:
    assert codec.frame(7, Chunk("a")) == b'id: 7\ndata: {"type":"chunk","content":"a"}\n\n'


@pytest.mark.parametrize("event", [event for event, _ in SHAPES])
def test_the_frame_of_each_event_has_its_json(event: Event) -> None:
    assert codec.frame(12, event) == b"id: 12\ndata: " + encode(event) + b"\n\n"


@pytest.mark.parametrize("after", [0, 1, 9, 2**40])
def test_the_frames_of_deltas_are_numbered_from_the_one_that_follows(after: int) -> None:
    deltas: list[Delta] = [Chunk("a"), Reasoning("b"), Chunk("c")]
    assert codec.frames(deltas, after) == [
        codec.frame(after + 1, Chunk("a")),
        codec.frame(after + 2, Reasoning("b")),
        codec.frame(after + 3, Chunk("c")),
    ]


def test_no_deltas_have_no_frames() -> None:
    assert codec.frames([], 5) == []


@STEADY
@given(runs)
def test_whole_frames_are_read_with_their_numbers(numbered: list[tuple[int, Event]]) -> None:
    wire = b"".join(codec.frame(number, event) for number, event in numbered)
    assert codec.read(wire) == numbered


@STEADY
@given(cut_runs())
@example(([(1, Chunk("a"))], [b'id: 1\ndata: {"type":"chunk","content":"a"}\n', b"", b"\n"]))
def test_frames_in_pieces_of_any_size_are_the_same_events(
    case: tuple[list[tuple[int, Event]], list[bytes]],
) -> None:
    numbered, pieces = case
    reader = codec.Reader()
    read = [event for piece in pieces for event in reader.feed(piece)]
    assert read == [event for _, event in numbered]


def test_an_event_is_given_with_the_piece_that_completes_it() -> None:
    wire = codec.frame(1, Chunk("é中😀")) + codec.frame(2, End("stop", USAGE))
    first = len(codec.frame(1, Chunk("é中😀")))
    reader = codec.Reader()
    given_at = [at for at in range(len(wire)) if reader.feed(wire[at : at + 1])]
    assert given_at == [first - 1, len(wire) - 1]


def test_heartbeats_between_frames_are_no_events() -> None:
    wire = HEARTBEAT + codec.frame(1, Chunk("a")) + HEARTBEAT + codec.frame(2, Chunk("b"))
    assert codec.read(wire) == [(1, Chunk("a")), (2, Chunk("b"))]


def test_an_event_of_any_size_is_read() -> None:
    large = Chunk("x" * 5_000_000)
    assert codec.read(codec.frame(1, large)) == [(1, large)]
    reader = codec.Reader()
    wire = codec.frame(1, large)
    pieces = [wire[at : at + 65_536] for at in range(0, len(wire), 65_536)]
    assert [event for piece in pieces for event in reader.feed(piece)] == [large]
