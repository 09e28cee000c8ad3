"""The events as JSON, exactly as clients know them."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_serve.errors import InternalError, UpstreamRateLimited
from stream_serve.events.types import Chunk, End, Error, Event, Reasoning, Start, Usage, encode

STEADY = settings(derandomize=True, deadline=None)
USAGE = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3, source="provider")
USAGE_JSON = {"promptTokens": 1, "completionTokens": 2, "totalTokens": 3, "source": "provider"}

SHAPES: list[tuple[Event, object]] = [
    (Start("r1", "qwen-plus"), {"type": "start", "runId": "r1", "model": "qwen-plus"}),
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
        End("stop", USAGE, provider_finish_reason="eos"),
        {
            "type": "end",
            "finishReason": "stop",
            "usage": USAGE_JSON,
            "providerFinishReason": "eos",
        },
    ),
    (
        Error("服务器内部错误", "why", "upstream_error", retryable=False),
        {
            "type": "error",
            "error": "服务器内部错误",
            "message": "why",
            "code": "upstream_error",
            "retryable": False,
        },
    ),
    (
        Error("e", "m", "c", True, retry_after=1.5, provider_code="p", request_id="q"),
        {
            "type": "error",
            "error": "e",
            "message": "m",
            "code": "c",
            "retryable": True,
            "retryAfter": 1.5,
            "providerCode": "p",
            "requestId": "q",
        },
    ),
]


@pytest.mark.parametrize(("event", "shape"), SHAPES)
def test_each_event_has_exactly_the_documented_fields(event: Event, shape: object) -> None:
    assert json.loads(encode(event)) == shape


@pytest.mark.parametrize(("event", "shape"), SHAPES)
def test_each_event_can_be_read_back(event: Event, shape: object) -> None:
    assert msgspec.json.decode(encode(event), type=Event) == event


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
    assert json.loads(encode(Error.of(failure))) == {
        "type": "error",
        "error": "服务器内部错误",
        "message": "slow down",
        "code": "upstream_rate_limited",
        "retryable": True,
        "retryAfter": 7.0,
        "providerCode": "Throttling.RateQuota",
        "requestId": "req-1",
    }


def test_what_is_not_known_of_a_failure_is_left_out() -> None:
    assert json.loads(encode(Error.of(InternalError("oops")))) == {
        "type": "error",
        "error": "服务器内部错误",
        "message": "oops",
        "code": "internal_error",
        "retryable": False,
    }


def test_an_event_cannot_be_changed_once_it_is_made() -> None:
    chunk = Chunk("a")
    with pytest.raises(AttributeError):
        chunk.content = "b"  # pyright: ignore[reportAttributeAccessIssue]  # what is tested
