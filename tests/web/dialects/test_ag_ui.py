"""AG-UI: any run, joined anywhere, is the same thread in the end, and no client rejects it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.events.types import (
    Chunk,
    End,
    Error,
    Event,
    Reasoning,
    Start,
    ToolArguments,
    ToolCall,
    Usage,
)
from stream_serve.web.dialects.ag_ui import AgUi, door_of
from stream_serve.web.dialects.base import Translator
from support.ag_ui import Client
from support.canon import RUN_ID, USAGE, frames, runs
from support.properties import steady

if TYPE_CHECKING:
    from collections.abc import Sequence

Json = dict[str, Any]

HISTORY: list[Json] = [
    {"id": "u1", "role": "user", "content": "Hi"},
    {"id": "r1", "role": "reasoning", "content": "old thoughts"},
    {"id": "a1", "role": "assistant", "content": "Hello"},
    {"id": "u2", "role": "user", "content": "Weather?"},
]
DOOR = door_of(thread_id="t/1", run_id="run-1", parent=None, messages=HISTORY)
START = Start(RUN_ID, "m", created_at=1, door=DOOR)
END = End("stop", USAGE)


def read(
    client: Client,
    events: Sequence[Event],
    *,
    after: int = 0,
    resumed: bool = False,
    newest: int = 0,
    upto: int | None = None,
) -> Client:
    """Let a client read a run from a place on, up to an event; what came before comes in one piece."""
    translator = Translator(AgUi().translation(RUN_ID), after=after, resumed=resumed, newest=newest)
    log = frames(events)
    before = max(after, newest)
    client.feed(translator.take(b"".join(log[:before])))
    for frame in log[before:upto]:
        client.feed(translator.translate(frame))
    return client


def whole(events: Sequence[Event], messages: list[Json] | None = None) -> Client:
    """Let a client read a run from its beginning to its end."""
    return read(Client(HISTORY if messages is None else messages), events)


def partial(events: Sequence[Event], upto: int) -> Client:
    """Return a client that has read so many events."""
    return read(Client(HISTORY), events, upto=upto)


def kinds(client: Client) -> list[str]:
    return [event["type"] for event in client.events]


@steady(3)
@given(runs(DOOR))
def test_a_client_takes_any_run_and_has_all_that_it_said(events: list[Event]) -> None:
    client = whole(events)
    assert client.state == "over"
    own = client.messages[len(HISTORY) :]
    assert client.messages[: len(HISTORY)] == HISTORY
    for role, kind in (("assistant", Chunk), ("reasoning", Reasoning)):
        said = "".join(one.get("content", "") for one in own if one["role"] == role)
        assert said == "".join(one.content for one in events if isinstance(one, kind))
    calls = [call for one in own for call in one.get("toolCalls", ())]
    assert [(call["id"], call["function"]["name"]) for call in calls] == [
        (one.id, one.name) for one in events if isinstance(one, ToolCall)
    ]
    for index, call in enumerate(calls):
        assert call["function"]["arguments"] == "".join(
            one.content for one in events if isinstance(one, ToolArguments) and one.index == index
        )


@steady(2)
@given(runs(DOOR), st.data())
def test_the_same_reader_goes_on_anywhere_with_the_tail_alone(
    events: list[Event], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(events)))
    client = partial(events, cut)
    read(client, events, after=client.cursor, resumed=True)
    assert client.messages == whole(events).messages
    assert kinds(client) == kinds(whole(events))


@steady(3)
@given(runs(DOOR), st.data())
def test_a_reader_without_a_cursor_joins_anywhere_and_has_the_same_thread(
    events: list[Event], data: st.DataObject
) -> None:
    newest = data.draw(st.integers(1, len(events)))
    cut = data.draw(st.integers(0, newest))
    expected = whole(events)
    for client in readers(events, cut, data.draw(st.integers(0, cut))):
        read(client, events, newest=newest)
        assert client.messages == expected.messages
        assert client.called == expected.called
        assert client.pending == expected.pending
        assert client.last == expected.last


@steady(3)
@given(runs(DOOR), st.data())
def test_a_new_reader_joins_after_any_event_and_has_the_same_thread(
    events: list[Event], data: st.DataObject
) -> None:
    after = data.draw(st.integers(1, len(events)))
    expected = whole(events)
    for client in readers(events, after, data.draw(st.integers(0, after))):
        read(client, events, after=after)
        assert client.messages == expected.messages
        assert client.pending == expected.pending
        assert client.last == expected.last


def readers(events: Sequence[Event], cut: int, stale: int) -> list[Client]:
    """Return the clients that can come: the one that was cut, and new ones with more or less."""
    same = partial(events, cut)
    same.connect()
    same.called.clear()
    return [
        same,
        Client(),
        Client(HISTORY),
        Client(partial(events, cut).messages),
        Client(partial(events, stale).messages),
    ]


@steady(3)
@given(runs(), st.data())
def test_a_run_of_another_door_can_be_read_too(events: list[Event], data: st.DataObject) -> None:
    expected = whole(events, []).messages
    place = data.draw(st.integers(1, len(events)))
    assert read(Client(), events, newest=place).messages == expected
    assert read(Client(), events, after=place).messages == expected


@steady(3)
@given(runs(DOOR), st.data())
def test_no_part_of_a_group_before_its_number_is_needed_to_go_on(
    events: list[Event], data: st.DataObject
) -> None:
    """A client that drops what came behind its newest number is right, wherever the bytes ended."""
    newest = data.draw(st.integers(0, len(events)))
    translator = Translator(AgUi().translation(RUN_ID), newest=newest)
    log = frames(events)
    first = translator.take(b"".join(log[:newest])) + b"".join(
        map(translator.translate, log[newest:])
    )
    seen = first[: data.draw(st.integers(0, len(first)))].rpartition(b"\n\n")[0]
    blocks = seen.split(b"\n\n") if seen else []
    while blocks and not blocks[-1].startswith(b"id: "):
        blocks.pop()
    client = Client(HISTORY)
    client.feed(b"".join(block + b"\n\n" for block in blocks))
    read(client, events, after=client.cursor, resumed=client.cursor > 0, newest=len(events))
    assert client.messages == whole(events).messages


def test_a_text_run_is_told_as_the_specification_says() -> None:
    client = whole([START, Reasoning("hm"), Chunk("a"), Chunk("b"), END])
    ids = {"threadId": "t/1", "runId": "run-1"}
    answer, thoughts = f"msg-{RUN_ID}", f"reasoning-{RUN_ID}-1"
    usage = {"model": "m", "inputTokens": 3, "outputTokens": 5, "totalTokens": 8}
    assert client.events == [
        {"type": "RUN_STARTED", **ids, "protocolVersion": "1.0"},
        {"type": "REASONING_START", "messageId": thoughts},
        {"type": "REASONING_MESSAGE_START", "messageId": thoughts, "role": "reasoning"},
        {"type": "REASONING_MESSAGE_CONTENT", "messageId": thoughts, "delta": "hm"},
        {"type": "REASONING_MESSAGE_END", "messageId": thoughts},
        {"type": "REASONING_END", "messageId": thoughts},
        {"type": "TEXT_MESSAGE_START", "messageId": answer, "role": "assistant"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": answer, "delta": "a"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": answer, "delta": "b"},
        {"type": "TEXT_MESSAGE_END", "messageId": answer},
        {
            "type": "RUN_FINISHED",
            **ids,
            "usage": [usage],
            "outcome": {"type": "success"},
            "result": {"finishReason": "stop"},
        },
    ]


def test_a_replay_joins_pieces_and_goes_on_from_there() -> None:
    events = [START, Chunk("a"), Chunk("b"), Chunk("c"), Chunk("d"), END]
    client = read(Client(HISTORY), events, newest=4)
    deltas = [one["delta"] for one in client.events if one["type"] == "TEXT_MESSAGE_CONTENT"]
    assert deltas == ["abc", "d"]


@pytest.mark.parametrize("reason", ["length", "content_filter", "tool_calls", "stop"])
def test_a_call_that_was_cut_is_an_error_and_no_call(reason: str) -> None:
    events = [START, ToolCall(0, "c", "get"), ToolArguments(0, '{"ci'), End(reason, USAGE)]
    client = whole(events)
    assert client.called == []
    assert client.pending is None
    assert client.last["type"] == "RUN_ERROR"
    cut = reason in {"length", "content_filter"}
    assert client.last["code"] == (reason if cut else "invalid_tool_arguments")


def test_calls_that_are_whole_wait_for_their_results() -> None:
    events = [START, ToolCall(0, "c", "get"), ToolArguments(0, "{}"), ToolCall(1, "d", "put")]
    client = whole([*events, End("tool_calls", USAGE)])
    assert client.called == [("c", {}), ("d", {})]
    assert client.last["outcome"] == {"type": "success", "pendingToolCallIds": ["c", "d"]}


def test_a_stopped_run_is_cancelled_with_all_ended() -> None:
    events = [START, Chunk("a"), ToolCall(0, "c", "get"), ToolArguments(0, '{"ci')]
    client = whole([*events, End("stopped", Usage(1, 2, 3, "estimated", 1))])
    assert client.last["outcome"] == {"type": "cancelled"}
    assert "result" not in client.last
    assert client.last["metadata"] == {"finishReason": "stopped", "usageSource": "estimated"}
    assert client.last["usage"][0]["reasoningTokens"] == 1
    assert client.pending is None


def test_a_failure_is_told_whatever_is_open_and_nothing_follows() -> None:
    error = Error("gone", "upstream_disconnected", True, retry_after=2.0, provider_code="x")
    client = whole([START, Chunk("a"), ToolCall(0, "c", "get"), error])
    assert client.last == {
        "type": "RUN_ERROR",
        "message": "gone",
        "code": "upstream_disconnected",
        "metadata": {"retryable": True, "retryAfter": 2.0, "providerCode": "x"},
    }


def test_a_stream_that_ends_without_the_runs_end_is_an_error_even_before_anything() -> None:
    translator = Translator(AgUi().translation(RUN_ID), newest=5)
    client = Client(HISTORY)
    client.feed(translator.translate(frames([START])[0]))
    client.feed(translator.failed(Error("moved", "stream_moved", retryable=True)))
    assert kinds(client) == ["RUN_ERROR"]
    assert client.cursor == 0


def test_an_id_of_a_call_that_the_thread_has_already_is_made_another() -> None:
    calls = [{"id": "call_0", "type": "function", "function": {"name": "a", "arguments": "{}"}}]
    before: list[Json] = [{"id": "a1", "role": "assistant", "toolCalls": calls}]
    door = door_of(thread_id="t", run_id="r", parent=None, messages=before)
    start = Start(RUN_ID, "m", door=door)
    events = [start, ToolCall(0, "call_0", "b"), ToolArguments(0, '{"x":1}')]
    client = whole([*events, End("tool_calls", USAGE)], before)
    assert client.messages[0] == before[0]
    assert client.called == [(f"call_0-{RUN_ID}", {"x": 1})]


def test_the_number_of_an_end_may_be_far_beyond_the_last() -> None:
    log = [*frames([START, Chunk("a")]), *frames([Error("lost", "x", retryable=True)], first=900)]
    for after in (2, 900):
        translator = Translator(AgUi().translation(RUN_ID), after=after)
        client = Client()
        client.feed(b"".join(map(translator.translate, log)))
        assert kinds(client)[0] == "RUN_STARTED"
        assert kinds(client)[-1] == "RUN_ERROR"
        assert client.messages[-1]["content"] == "a"
        assert client.cursor == 900
