"""Runs as events: any sequence that a run can have, and any that only a fault could make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from stream_serve.events import codec
from stream_serve.events.types import (
    Chunk,
    End,
    Error,
    Extra,
    Reasoning,
    Source,
    Start,
    ToolArguments,
    ToolCall,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.events.types import Delta, Event

RUN_ID = "run_of-a-property-test"
USAGE = Usage(3, 5, 8, "provider")

_texts = st.sampled_from(
    ["", "a", " ", "你好", "b\n\nc", 'q"\\', '{"a":', '1"}', "{}", "data: x\r\n", "\u2028", "🙂"]
)
_arguments = st.sampled_from(['{"city":"Rome"}', "{}", "", '{"a":[1,2,{"b":null}]}', '{"ci'])
_ends = st.sampled_from(["stop", "length", "content_filter", "tool_calls", "stopped", "unknown"])
_plain = st.one_of(
    st.builds(Chunk, _texts),
    st.builds(Reasoning, _texts),
    st.builds(Source, st.just("https://a.example/"), st.none() | st.just("A")),
    st.builds(Extra, st.sampled_from(["delta", "choice", "chunk"]), st.just({"x": None})),
    st.just(Extra("choice", {"logprobs": {"content": [{"token": "a", "logprob": -0.1}]}})),
)
_indexes = st.integers(0, 2)
_any = _plain | st.one_of(
    st.builds(ToolCall, _indexes, st.sampled_from(["call-0", "call-1"]), st.just("weather")),
    st.builds(ToolArguments, _indexes, _texts),
)


@st.composite
def runs(draw: st.DrawFn, door: dict[str, Any] | None = None) -> list[Event]:
    """Return all events of a run: texts, thoughts, and tool calls whose arguments come in any pieces."""
    deltas: list[Delta] = draw(st.lists(_plain, max_size=8))
    for index in range(draw(st.integers(0, 3))):
        _scatter(draw, deltas, _call(draw, index))
    start = Start(RUN_ID, "m", created_at=1, door=door)
    return [start, *deltas, draw(_last)]


@st.composite
def odd_runs(draw: st.DrawFn, doors: Sequence[dict[str, Any] | None]) -> list[Event]:
    """Return a run with its events in any order: arguments without a call, a call that begins twice."""
    start = Start(
        RUN_ID,
        "m",
        message_id=draw(st.none() | st.just("m-1")),
        created_at=draw(st.none() | st.just(3)),
        door=draw(st.sampled_from(doors)),
    )
    return [start, *draw(st.lists(_any, max_size=20)), draw(_last)]


_saved = st.none() | st.booleans()
_times = st.none() | st.just(5)
_last = st.one_of(
    st.builds(End, _ends, st.just(USAGE), saved=_saved, ended_at=_times),
    st.builds(
        *(Error, st.just("why"), st.just("upstream_error"), st.booleans()),
        retry_after=st.none() | st.just(2.0),
    ),
)


def _call(draw: st.DrawFn, index: int) -> list[Delta]:
    """Return a call and its arguments, in pieces."""
    text: str = draw(_arguments)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return [
        ToolCall(index, f"call_{index}", f"tool{index}"),
        *(ToolArguments(index, piece) for piece in pieces),
    ]


def _scatter(draw: st.DrawFn, among: list[Delta], events: Sequence[Delta]) -> None:
    """Put events among others, in their order; a call begins after the calls before it."""
    begun = [place for place, one in enumerate(among) if isinstance(one, ToolCall)]
    place = begun[-1] + 1 if begun else 0
    for event in events:
        place = draw(st.integers(place, len(among)))
        among.insert(place, event)
        place += 1


def frames(events: Sequence[Event], first: int = 1) -> list[bytes]:
    """Return the frames of a log; the first one has this number."""
    return [codec.frame(number, event) for number, event in enumerate(events, first)]
