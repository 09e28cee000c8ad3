"""A run as a response: however its events come, every client can follow, and all see the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.events import codec, sse
from stream_serve.events.types import (
    Chunk,
    End,
    Error,
    Extra,
    Source,
    Start,
    ToolArguments,
    ToolCall,
)
from stream_serve.web.dialects.base import Translator
from stream_serve.web.dialects.registry import dialect_of
from stream_serve.web.dialects.responses.object import Door, ResponseObject
from stream_serve.web.dialects.responses.translation import Responses
from support.canon import RUN_ID, USAGE, odd_runs
from support.properties import steady
from support.responses import DONE, StrictReader, events_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.events.types import Event

Json = dict[str, Any]

LOGPROBS = Extra("choice", {"logprobs": {"content": [{"token": "a", "logprob": -0.1}]}})
DOORS: list[Json | None] = [
    None,
    {"chat": 1},
    {"responses": "odd"},
    Door().as_start(),
    Door(background=True, store=False, echo={"temperature": 0.5}).as_start(),
]
RUNS = odd_runs(DOORS)


def translated(run: Sequence[Event], dialect: Responses | None = None) -> list[bytes]:
    """Return what a reader gets for each event of a run."""
    translation = (dialect or Responses()).translation(RUN_ID)
    return [translation.add(number, event) for number, event in enumerate(run, 1)]


def whole(run: Sequence[Event]) -> Json:
    """Return the object that GET and an answer in one piece have."""
    response = ResponseObject(RUN_ID)
    for event in run:
        response.add(event)
    return json.loads(json.dumps(response.shown()))


@steady(2)
@given(RUNS)
def test_every_helper_can_follow_any_run_and_has_the_object_of_the_answer_in_one_piece(
    run: list[Event],
) -> None:
    events = events_of(b"".join(translated(run)))
    reader = StrictReader.read(events)
    assert reader.ended
    assert events[-1] == {"type": DONE}
    assert reader.response == whole(run)
    assert reader.items == whole(run)["output"]


@steady(1)
@given(RUNS, st.integers(-1, 60))
def test_a_reader_that_comes_back_with_a_number_gets_exactly_what_follows_it(
    run: list[Event], last: int
) -> None:
    every = events_of(b"".join(translated(run)))
    rest = events_of(b"".join(translated(run, Responses(starting_after=last))))
    assert rest == [event for event in every if event.get("sequence_number", 1000) > last]


@steady(1)
@given(RUNS, st.data())
def test_a_new_reader_that_joins_anywhere_can_follow_and_comes_to_the_same_end(
    run: list[Event], data: st.DataObject
) -> None:
    after = data.draw(st.integers(1, len(run) - 1))
    log = b"".join(codec.frame(number, event) for number, event in enumerate(run, 1))
    said = events_of(Translator(Responses().translation(RUN_ID), after=after).translate(log))
    reader = StrictReader.read(said, holes=True)
    assert reader.ended
    assert reader.response == whole(run)
    tail = events_of(
        Translator(Responses().translation(RUN_ID), after=after, resumed=True).translate(log)
    )
    assert said[-len(tail) :] == tail
    # If it is cut in the past, the number of the last event still says what is missing.
    cut = data.draw(st.integers(1, len(said) - 1))
    last = said[cut - 1].get("sequence_number")
    if last is not None:
        rest = events_of(b"".join(translated(run, Responses(starting_after=last))))
        reader = StrictReader.read([*said[:cut], *rest], holes=True)
        assert reader.response == whole(run)


@steady(0.5)
@given(RUNS)
def test_what_can_be_seen_on_the_way_is_true_at_every_event(run: list[Event]) -> None:
    for count in range(1, len(run) + 1):
        now = whole(run[:count])
        assert (now["status"] == "in_progress") == (count < len(run))
        assert len({item["id"] for item in now["output"]}) == len(now["output"])


@pytest.mark.parametrize(
    ("end", "kind", "status", "reason"),
    [
        (End("stop", USAGE), "completed", "completed", None),
        (End("tool_calls", USAGE), "completed", "completed", None),
        (End("unknown", USAGE), "completed", "completed", None),
        (End("length", USAGE), "incomplete", "incomplete", "max_output_tokens"),
        (End("content_filter", USAGE), "incomplete", "incomplete", "content_filter"),
        (End("stopped", USAGE), "incomplete", "cancelled", "cancelled"),
        (Error("no", "run_timeout", retryable=False), "failed", "failed", None),
    ],
)
def test_each_end_has_its_event_and_its_status(
    end: Event, kind: str, status: str, reason: str | None
) -> None:
    run = [Start(RUN_ID, "m"), Chunk("a"), end]
    *_, last, done = events_of(b"".join(translated(run)))
    assert (last["type"], last["response"]["status"]) == (f"response.{kind}", status)
    assert last["response"]["incomplete_details"] == (reason and {"reason": reason})
    expected = "completed" if kind == "completed" else "incomplete"
    assert last["response"]["output"][0]["status"] == expected
    assert done == {"type": DONE}


def test_a_failure_that_a_repetition_may_mend_has_another_code_than_one_that_it_cannot() -> None:
    codes = {
        ("upstream_error", True): "server_error",
        ("upstream_rate_limited", True): "rate_limit_exceeded",
        ("upstream_rejected", False): "invalid_prompt",
    }
    for (ours, retryable), code in codes.items():
        run = [Start(RUN_ID, "m"), Error("no luck", ours, retryable)]
        error, failed, _ = events_of(b"".join(translated(run)))[-3:]
        assert error["code"] == error["error"]["code"] == code
        assert error["error"]["type"] == ours
        assert error["message"] == f"no luck ({ours})"
        assert failed["response"]["error"] == error["error"]


def test_fragments_of_two_calls_in_turns_stay_apart() -> None:
    run = [
        Start(RUN_ID, "m"),
        ToolCall(0, "call_a", "a"),
        ToolCall(1, "call_b", "b"),
        ToolArguments(0, '{"x":'),
        ToolArguments(1, "{}"),
        ToolArguments(0, "1}"),
        End("tool_calls", USAGE),
    ]
    calls = whole(run)["output"]
    assert [(one["call_id"], one["arguments"]) for one in calls] == [
        ("call_a", '{"x":1}'),
        ("call_b", "{}"),
    ]
    assert [one["id"] for one in calls] == [f"fc_{RUN_ID}_0", f"fc_{RUN_ID}_1"]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    run = [Start(RUN_ID, "m"), ToolCall(0, "call_a", "a"), End("tool_calls", USAGE)]
    kinds = [event["type"] for event in events_of(b"".join(translated(run)))]
    assert "response.function_call_arguments.delta" in kinds
    assert whole(run)["output"][0]["arguments"] == "{}"


def test_sources_and_logprobs_belong_to_the_message_also_if_they_come_first() -> None:
    run = [Start(RUN_ID, "m"), Source("https://a.example/"), LOGPROBS, Chunk("a"), LOGPROBS]
    part = whole(run)["output"][0]["content"][0]
    token: Json = {"token": "a", "logprob": -0.1, "bytes": [], "top_logprobs": []}
    assert part["logprobs"] == [token, token]
    assert part["annotations"][0]["url"] == part["annotations"][0]["title"] == "https://a.example/"


@steady(1)
@given(RUNS, st.integers(-1, 60), st.lists(st.integers(0, 21), max_size=4))
def test_a_reader_whose_stream_is_cut_anywhere_comes_back_with_the_errors_number(
    run: list[Event], last: int, cuts: list[int]
) -> None:
    every = events_of(b"".join(translated(run)))[:-1]
    had = every[: last + 1]
    for cut in cuts:
        translation = Responses(starting_after=last).translation(RUN_ID)
        read = run[: min(cut, len(run) - 1)]
        said = [translation.add(number, event) for number, event in enumerate(read, 1)]
        had += events_of(b"".join(said))
        (error,) = events_of(translation.failed(Error("go on", "stream_moved", retryable=True)))
        assert error["type"] == "error"
        last = error["sequence_number"]
    rest = events_of(b"".join(translated(run, Responses(starting_after=last))))
    assert [*had, *rest][: len(every)] == every


@steady(1)
@given(RUNS, st.integers(1, 21), st.integers(0, 21))
def test_a_reader_that_is_cut_before_its_place_has_all_up_to_the_errors_number(
    run: list[Event], after: int, cut: int
) -> None:
    translator = Translator(Responses().translation(RUN_ID), after=after)
    read = list(enumerate(run[: min(cut, len(run) - 1)], 1))
    said = b"".join(
        [translator.translate(sse.FRAME % (number, codec.encode(one))) for number, one in read]
    )
    *had, error = events_of(
        said + translator.failed(Error("go on", "stream_moved", retryable=True))
    )
    assert error["type"] == "error"
    numbers = [event["sequence_number"] for event in had]
    assert numbers == sorted(numbers)
    assert error["sequence_number"] == (numbers[-1] if numbers else -1)


def test_the_dialect_is_known_by_its_name() -> None:
    assert isinstance(dialect_of("responses"), Responses)
