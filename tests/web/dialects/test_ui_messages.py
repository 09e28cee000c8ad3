"""The dialect `ai-sdk`: what a page makes of any run, from any place of it."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.events import codec
from stream_serve.events.types import (
    Chunk,
    End,
    Error,
    Reasoning,
    Start,
    ToolArguments,
    ToolCall,
    Usage,
)
from stream_serve.web.dialects.base import Translator
from stream_serve.web.dialects.ui_messages import UIMessages, door_of
from support.canon import RUN_ID, USAGE, odd_runs
from support.ui_messages import Message, message_of, parts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.events.types import Event

BEFORE: list[dict[str, Any]] = [
    {"type": "start-step"},
    {"type": "tool-input-start", "toolCallId": "call-0", "toolName": "weather"},
    {"type": "tool-input-delta", "toolCallId": "call-0", "inputTextDelta": "{}"},
    {"type": "tool-output-available", "toolCallId": "call-0", "output": 21},
    {"type": "finish-step"},
]
DOOR = door_of("answer-1", BEFORE)
ANSWERED = "tool-output-available"

runs = odd_runs([None, DOOR])


def translated(events: Sequence[Event], *, whole: bool = True) -> str:
    """Return all that a reader gets who is there from the beginning."""
    return read(Translator(UIMessages(whole=whole).translation(RUN_ID)), events, [])


def read(translator: Translator, events: Sequence[Event], cuts: Sequence[int]) -> str:
    """Return what a reader gets for events that come in several pieces."""
    frames = [codec.frame(number, event) for number, event in enumerate(events, 1)]
    places = [0, *sorted({cut for cut in cuts if 0 < cut < len(frames)}), len(frames)]
    pieces = [b"".join(frames[a:b]) for a, b in pairwise(places)]
    return b"".join(map(translator.translate, pieces)).decode()


def seen(message: Message) -> tuple[Any, ...]:
    parts = [part for part in message.parts if part["type"] != "step-start"]
    return message.id, parts, message.metadata, message.reason, message.error, message.data


@given(events=runs, whole=st.booleans())
def test_every_run_is_a_message_that_clients_take(events: list[Event], *, whole: bool) -> None:
    message = message_of(translated(events, whole=whole))
    for kind, piece in (("text", Chunk), ("reasoning", Reasoning)):
        said = "".join(one.content for one in events if isinstance(one, piece))
        assert message.text(kind) == said
    end = events[-1]
    if isinstance(end, End):
        assert message.metadata["finishReason"] == end.finish_reason
        assert message.aborted is (end.finish_reason == "stopped")
    else:
        assert message.error == "why"


@given(events=runs, cut=st.integers(1, 25))
def test_whoever_goes_on_with_a_cursor_has_the_same_message_in_the_end(
    events: list[Event], cut: int
) -> None:
    whole = translated(events)
    cut = min(cut, len(events) - 1)
    numbered = whole.split("\n\n")
    last = max(n for n, one in enumerate(numbered) if one.startswith(f"id: {_last(whole, cut)}\n"))
    first = "".join(f"{one}\n\n" for one in numbered[: last + 1])
    tail = Translator(UIMessages().translation(RUN_ID), after=_last(whole, cut), resumed=True)
    message = message_of(read(tail, events, []), message_of(first))
    assert seen(message) == seen(message_of(whole))


@given(events=runs, cut=st.integers(1, 25))
def test_whoever_begins_at_a_cursor_gets_a_stream_that_clients_take(
    events: list[Event], cut: int
) -> None:
    after = min(cut, len(events) - 1)
    joining = Translator(UIMessages().translation(RUN_ID), after=after)
    joined = message_of(read(joining, events, []))
    whole = message_of(translated(events))
    assert joined.id == whole.id
    assert (joined.reason, joined.error) == (whole.reason, whole.error)
    said = "".join(one.content for one in events[after:] if isinstance(one, Chunk))
    assert joined.text() == said
    if whole.parts and whole.parts[-1]["type"] == "tool-weather":
        assert joined.parts[-1]["type"] != "text"


@given(events=runs, cuts=st.lists(st.integers(0, 25)), after=st.integers(0, 10))
def test_pieces_that_come_together_may_become_one_and_change_nothing(
    events: list[Event], cuts: list[int], after: int
) -> None:
    after = min(after, len(events) - 1)
    for resumed in (False, True):
        one, other = (
            Translator(
                UIMessages().translation(RUN_ID), after=after, resumed=resumed, coalesce=coalesced
            )
            for coalesced in (False, True)
        )
        apart, together = read(one, events, cuts), read(other, events, cuts)
        assert len(parts_of(together)) <= len(parts_of(apart))
        if not (resumed and after):
            assert seen(message_of(together)) == seen(message_of(apart))
        assert parts_of(together)[-1] == parts_of(apart)[-1]


def test_a_long_text_before_the_live_point_is_one_part() -> None:
    events = [Start(RUN_ID, "m"), *(Chunk("a ") for _ in range(500))]
    translator = Translator(UIMessages().translation(RUN_ID), coalesce=True)
    parts = parts_of(read(translator, events, []))
    assert [one["type"] for _, one in parts] == ["start", "start-step", "text-start", "text-delta"]
    assert parts[-1] == (501, {"type": "text-delta", "id": "text-1", "delta": "a " * 500})


def test_a_text_begins_once_and_ends_before_its_step() -> None:
    events = [Start(RUN_ID, "m"), Reasoning("hm"), Chunk("a"), Chunk("b"), End("stop", USAGE)]
    parts = parts_of(translated(events))
    assert [(number, one["type"]) for number, one in parts] == [
        (None, "start"),
        (1, "start-step"),
        (None, "reasoning-start"),
        (2, "reasoning-delta"),
        (None, "reasoning-end"),
        (None, "text-start"),
        (3, "text-delta"),
        (4, "text-delta"),
        (None, "text-end"),
        (None, "finish-step"),
        (5, "finish"),
    ]
    assert parts[0][1]["messageId"] == f"msg-{RUN_ID}"
    assert parts[-1][1] == {
        "type": "finish",
        "finishReason": "stop",
        "messageMetadata": {
            "runId": RUN_ID,
            "finishReason": "stop",
            "usage": {"inputTokens": 3, "outputTokens": 5, "totalTokens": 8},
        },
    }


def test_what_is_estimated_says_so_and_thinking_is_counted() -> None:
    usage = Usage(1, 2, 3, "estimated", reasoning_tokens=1)
    message = message_of(translated([Start(RUN_ID, "m"), End("stop", usage, saved=False)]))
    assert message.metadata["usage"]["reasoningTokens"] == 1
    assert message.metadata["usage"]["source"] == "estimated"
    assert message.metadata["saved"] is False


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ('{"city": "杭州",\n "n": 1}', {"city": "杭州", "n": 1}),
        ("", {}),
        ('{\r\n"a":[1]}', {"a": [1]}),
    ],
)
@pytest.mark.parametrize("reason", ["tool_calls", "stop", "unknown"])
def test_an_input_is_there_as_soon_as_the_run_has_ended_well(
    reason: str, arguments: str, value: object
) -> None:
    call, said = ToolCall(0, "call-1", "weather"), ToolArguments(0, arguments)
    part = message_of(translated([Start(RUN_ID, "m"), call, said, End(reason, USAGE)])).parts[-1]
    assert (part["state"], part["input"]) == ("input-available", value)


@pytest.mark.parametrize("reason", ["length", "stopped", "content_filter"])
def test_a_call_that_was_cut_stays_open_and_never_counts_as_answered(reason: str) -> None:
    call, said = ToolCall(0, "call-1", "weather"), ToolArguments(0, '{"city":1}')
    message = message_of(translated([Start(RUN_ID, "m"), call, said, End(reason, USAGE)]))
    assert message.parts[-1]["state"] == "input-streaming"
    broken = ToolArguments(0, '{"ci')
    message = message_of(translated([Start(RUN_ID, "m"), call, broken, End("tool_calls", USAGE)]))
    assert message.parts[-1]["state"] == "input-streaming"


def test_a_run_that_goes_on_with_a_message_has_its_id_and_begins_with_a_step() -> None:
    events = [Start(RUN_ID, "m", door=DOOR), Chunk("21 °C"), End("stop", USAGE)]
    live = parts_of(translated(events, whole=False))
    assert [one["type"] for _, one in live[:3]] == ["start", "start-step", "text-start"]
    assert live[0][1]["messageId"] == "answer-1"
    replayed = message_of(translated(events))
    assert replayed.id == "answer-1"
    assert [part["type"] for part in replayed.parts] == [
        "step-start",
        "tool-weather",
        "step-start",
        "text",
    ]
    assert replayed.parts[1]["output"] == 21
    assert "tool-input-available" not in translated(events)


def test_a_call_never_has_the_id_of_an_older_one_in_its_message() -> None:
    call, said = ToolCall(0, "call-0", "weather"), ToolArguments(0, "{}")
    events = [Start(RUN_ID, "m", door=DOOR), call, said, End("tool_calls", USAGE)]
    for whole in (False, True):
        message = message_of(translated(events, whole=whole))
        assert message.parts[-1]["toolCallId"] == "call-0~2"
        assert message.parts[-1]["state"] == "input-available"


def test_the_door_of_another_dialect_says_nothing_here() -> None:
    events = [Start(RUN_ID, "m", door={"name": "other", "messageId": 7}), End("stop", USAGE)]
    assert message_of(translated(events)).id == f"msg-{RUN_ID}"


def test_an_error_is_told_to_programs_first_and_then_in_words() -> None:
    error = Error("it failed", "upstream_error", retryable=True, retry_after=2.0)
    text = translated([Start(RUN_ID, "m"), Chunk("a"), error])
    parts = [one for _, one in parts_of(text)][-2:]
    data = {"code": "upstream_error", "retryable": True, "retryAfter": 2.0}
    assert parts[0] == {"type": "data-error", "data": data, "transient": True}
    assert parts[1] == {"type": "error", "errorText": "it failed"}
    assert text.endswith("data: [DONE]\n\n")
    alone = UIMessages().translation(RUN_ID).failed(error)
    assert b"id:" not in alone
    assert [one["type"] for _, one in parts_of(alone)] == ["data-error", "error"]


def test_the_numbers_of_a_tools_input_stay_as_they_are() -> None:
    call, said = ToolCall(0, "call-1", "pay"), ToolArguments(0, '{"n":12345678901234567890.10}')
    text = translated([Start(RUN_ID, "m"), call, said, End("tool_calls", USAGE)])
    assert '"input":{"n":12345678901234567890.10}' in text
    line = next(line for line in text.splitlines() if "tool-input-available" in line)
    assert msgspec.json.decode(line.removeprefix("data: "))["toolName"] == "pay"
    assert json.loads(line.removeprefix("data: "))


def _last(whole: str, most: int) -> int:
    """Return the newest number up to `most` that a reader has seen."""
    return max(number for number, _ in parts_of(whole) if number is not None and number <= most)
