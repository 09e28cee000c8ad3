"""The dialects `chat-completions` and `completions`: what their clients insist on, for any run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from stream_serve.events import sse
from stream_serve.events.types import (
    Chunk,
    End,
    Error,
    Extra,
    Source,
    Start,
    ToolArguments,
    ToolCall,
    Usage,
)
from stream_serve.web.dialects.chat import ChatAnswer, ChatCompletions
from stream_serve.web.dialects.completions import Completions, TextAnswer
from support.canon import RUN_ID, USAGE, runs
from support.properties import steady
from support.telling import chat, completions, objects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.events.types import Event

Json = dict[str, Any]

DONE = sse.DONE
START = Start(RUN_ID, "m", created_at=7)
END = End("stop", USAGE)


def streamed(
    run: Sequence[Event], *, dialect: ChatCompletions | Completions | None = None
) -> bytes:
    translation = (dialect or ChatCompletions()).translation(RUN_ID)
    return b"".join(translation.add(number, event) for number, event in enumerate(run, 1))


def answered(run: Sequence[Event], answer: ChatAnswer | TextAnswer | None = None) -> Json:
    found = answer or ChatAnswer(RUN_ID)
    *deltas, end = run
    for one in deltas:
        found.add(one)
    assert isinstance(end, End)
    return found.whole(end)


@steady(1)
@given(runs())
def test_a_stream_has_what_clients_insist_on(run: list[Event]) -> None:
    body = streamed(run)
    *chunks, last = objects(body)
    failed = isinstance(run[-1], Error)
    assert body.endswith(DONE) is not failed
    assert b"\nid:" not in body
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert {one["id"] for one in chunks} == {f"chatcmpl-{RUN_ID}"}
    assert {(one["object"], one["created"], one["model"]) for one in chunks} == {
        ("chat.completion.chunk", 1, "m")
    }
    choices = [choice for one in chunks for choice in one["choices"]]
    assert {choice["index"] for choice in choices} == {0}
    finishes = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    assert len(finishes) == (0 if failed else 1)
    if failed:
        assert set(last["error"]) == {"message", "type", "param", "code"}
    else:
        assert (last["choices"], last["usage"]["total_tokens"]) == ([], USAGE.total_tokens)
        assert finishes[0] in {"stop", "length", "tool_calls", "content_filter"}


@steady(1)
@given(runs())
def test_an_answer_in_one_piece_is_the_sum_of_its_stream(run: list[Event]) -> None:
    if not isinstance(run[-1], End):
        return
    told, whole = chat(streamed(run)), answered(run)
    (choice,) = whole["choices"]
    message = choice["message"]
    calls = message.get("tool_calls", [])
    assert (message["content"] or "", message.get("reasoning_content", "")) == (
        told.text,
        told.thought,
    )
    assert [[one["function"]["name"], one["function"]["arguments"]] for one in calls] == [
        *told.calls.values()
    ]
    assert message["role"] == "assistant"
    text = completions(streamed(run, dialect=Completions()))
    assert answered(run, TextAnswer(RUN_ID))["choices"][0]["text"] == text.text == told.text


def test_the_usage_comes_only_where_it_is_asked_for() -> None:
    for dialect in (ChatCompletions(include_usage=False), Completions(include_usage=False)):
        assert b"usage" not in streamed([START, Chunk("a"), END], dialect=dialect)


@pytest.mark.parametrize(
    ("reason", "word", "finish"),
    [
        ("stop", None, {"finish_reason": "stop"}),
        ("length", "MAX_TOKENS", {"finish_reason": "length", "native_finish_reason": "MAX_TOKENS"}),
        ("stopped", None, {"finish_reason": "stop", "native_finish_reason": "stopped"}),
        ("unknown", None, {"finish_reason": "stop", "native_finish_reason": "unknown"}),
    ],
)
def test_an_end_that_has_no_word_there_keeps_its_own_beside(
    reason: str, word: str | None, finish: Json
) -> None:
    run = [START, Chunk("a"), End(reason, USAGE, None, word)]
    (choice,) = objects(streamed(run))[-2]["choices"]
    assert choice == {"index": 0, "delta": {}, **finish}
    whole = answered(run)["choices"][0]
    assert finish.items() <= whole.items()


def test_an_estimated_usage_says_so() -> None:
    usage = Usage(1, 2, 3, "estimated", 1)
    assert answered([START, End("stop", usage)])["usage"] == {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
        "completion_tokens_details": {"reasoning_tokens": 1},
        "source": "estimated",
    }


def test_what_a_provider_sends_beside_the_answer_stands_where_it_stood() -> None:
    logprobs = [{"content": [{"token": "a", "logprob": -0.5}]}, {"content": [{"token": "b"}]}]
    run: list[Event] = [
        START,
        Chunk("a"),
        Extra("choice", {"logprobs": logprobs[0]}),
        Chunk("b"),
        Extra("choice", {"logprobs": logprobs[1]}),
        Extra("delta", {"annotations": [{"type": "x"}]}),
        Extra("chunk", {"system_fingerprint": "fp"}),
        END,
    ]
    chunks = objects(streamed(run))
    assert [one["choices"][0].get("logprobs") for one in chunks[:-1] if one["choices"]] == [
        *(None, None, logprobs[0], None, logprobs[1], None, None, None)
    ]
    assert chunks[5]["choices"][0]["delta"] == {"annotations": [{"type": "x", "index": 0}]}
    assert chunks[6]["system_fingerprint"] == "fp"
    whole = answered(run)
    (choice,) = whole["choices"]
    assert choice["logprobs"] == {"content": [{"token": "a", "logprob": -0.5}, {"token": "b"}]}
    assert choice["message"]["annotations"] == [{"type": "x"}]
    assert whole["system_fingerprint"] == "fp"


def test_a_page_is_named_once_by_the_provider_or_else_by_us() -> None:
    page = Source("https://a.example/", "A")
    (cited,) = objects(streamed([START, page]))[1]["choices"][0]["delta"]["annotations"]
    assert cited["url_citation"] == {"url": "https://a.example/", "title": "A"}
    named = Extra("delta", {"annotations": [{"type": "url_citation"}]})
    assert len(objects(streamed([START, named, page]))) == 2


def test_a_failure_is_an_object_with_its_code_and_whether_to_repeat_it() -> None:
    body = streamed([START, Error("too many", "upstream_rate_limited", retryable=True)])
    assert json.loads(body.split(b"data: ")[-1]) == {
        "error": {
            "message": "too many",
            "type": "rate_limit_exceeded",
            "param": None,
            "code": "upstream_rate_limited",
        },
        "retryable": True,
    }


def test_fields_of_a_call_that_are_not_known_stay_at_the_call() -> None:
    signature: Json = {"extra_content": {"google": {"thought_signature": "s"}}}
    run: list[Event] = [
        START,
        *(ToolCall(0, "call_0", "a"), ToolCall(1, "call_1", "b"), ToolArguments(1, "{}")),
        Extra("delta", {"tool_calls": [{"index": 1, **signature}]}),
        END,
    ]
    first, second = answered(run)["choices"][0]["message"]["tool_calls"]
    assert (first["id"], second["id"]) == ("call_0", "call_1")
    assert second["function"] == {"name": "b", "arguments": "{}"}
    assert signature.items() <= second.items()
    assert not signature.keys() & first.keys()
