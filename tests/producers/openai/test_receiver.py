"""The body of a response: whether it is a stream at all, what keeps it alive, and how it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import pytest

from stream_serve.events.types import Chunk, End, Error, Reasoning
from stream_serve.producers.openai.endpoint import Traits
from support.body import events_of, producer, text_of
from support.chunks import choice, wire

if TYPE_CHECKING:
    from support.body import Last

pytestmark = pytest.mark.simulated_time

HELLO = b"data: " + wire(choice({"content": "hello"})) + b"\n\n"
FINISH = b"data: " + wire(choice({}, "stop")) + b"\n\n"
DONE = b"data: [DONE]\n\n"
EMPTY = b"data: " + wire(choice({"content": ""})) + b"\n\n"
COMPLETION = wire(
    {
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hello", "reasoning_content": "hm"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
)
KINDS = [
    *(None, "text/event-stream", "TEXT/EVENT-STREAM; charset=utf-8", "text/plain", "text/html"),
    *("application/json", "application/octet-stream", "application/x-ndjson", ""),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [b"", b": beat\n\n", b"\xef\xbb\xbf", b"\r\n\r\n", b"id: 1\n"])
async def test_a_stream_is_one_whatever_its_label(kind: str | None, first: bytes) -> None:
    for size in (1, 1000):
        body = first + HELLO + FINISH + DONE
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        events = await events_of(producer(pieces, kind=kind))
        assert text_of(events, Chunk) == "hello"
        assert isinstance(events[-1], End)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "body", [COMPLETION, b"\n  \n" + COMPLETION + b"\n", b"data: " + COMPLETION + b"\n\n" + DONE]
)
async def test_a_whole_completion_is_an_answer_whatever_its_label(
    kind: str | None, body: bytes
) -> None:
    for size in (1, 1000):
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        events = await events_of(producer(pieces, kind=kind))
        assert (text_of(events, Reasoning), text_of(events, Chunk)) == ("hm", "hello")
        end = events[-1]
        assert isinstance(end, End)
        assert (end.finish_reason, end.usage.completion_tokens) == ("stop", 2)


async def test_a_completion_of_which_a_part_is_missing_is_cut() -> None:
    for last in ("end", "cut"):
        for size in range(1, len(COMPLETION)):
            end = (await events_of(producer([COMPLETION[:size]], last)))[-1]
            assert isinstance(end, Error)
            assert end.code == ("upstream_incomplete" if last == "end" else "upstream_disconnected")


OTHER = [
    b"<!DOCTYPE html><p>data: {}",
    b"  Please sign in\n\ndata: {}\n\n",
    b'{"status": "ok"}',
    b"da",
    b"",
]


@pytest.mark.parametrize("body", OTHER)
@pytest.mark.parametrize("last", ["end", "cut"])
async def test_what_is_no_stream_and_not_called_one_is_an_error_that_says_so(
    body: bytes, last: Last
) -> None:
    for pieces in ([body], [body[:3], body[3:]]):
        events = await events_of(producer(pieces, last, kind="text/html"))
        assert len(events) == 2
        error = events[-1]
        assert isinstance(error, Error)
        if last == "end" or body.startswith((b"<", b" ")):
            assert error.code == "upstream_protocol"
            assert "text/html" in error.message


async def test_a_page_that_never_ends_is_read_for_two_seconds_and_64_kib() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    for body in ([b"<p>"], [b"<p>", *[b"x" * 1000] * 100]):
        error = (await events_of(producer(body, "silence", kind="text/html")))[-1]
        assert isinstance(error, Error)
        assert error.code == "upstream_protocol"
    assert loop.time() - began == 2


@pytest.mark.parametrize(
    ("comments", "first", "between"),
    [("never", False, False), ("first", True, False), ("always", True, True)],
)
@pytest.mark.parametrize("sign", [b": beat\n\n", b":\n", b"\n", b"data: ping\n\n", b"event: x\r\r"])
async def test_comments_are_life_where_the_provider_is_said_to_use_them_so(
    comments: Literal["never", "first", "always"], first: bool, between: bool, sign: bytes
) -> None:
    traits = Traits(comments=comments)
    signs = [sign, 20.0] * 10
    end = (await events_of(producer([*signs, HELLO, FINISH, DONE], traits=traits)))[-1]
    assert isinstance(end, End) is first
    end = (await events_of(producer([HELLO, *signs, FINISH, DONE], traits=traits)))[-1]
    assert isinstance(end, End) is between
    if not between:
        assert isinstance(end, Error)
        assert end.code == "upstream_timeout"


async def test_a_chunk_without_text_is_always_life_and_half_a_line_never() -> None:
    traits = Traits(comments="never")
    chunks = [EMPTY, 20.0] * 10
    for pieces in ([*chunks, HELLO, FINISH, DONE], [HELLO, *chunks, FINISH, DONE]):
        assert isinstance((await events_of(producer(pieces, traits=traits)))[-1], End)
    at = EMPTY.index(b"choices") + 3
    cut = [HELLO, *[EMPTY[:at], 10.0, EMPTY[at:], 10.0] * 10, FINISH, DONE]
    assert isinstance((await events_of(producer(cut, traits=traits)))[-1], End)
    half = [b"data: {", *[20.0, b" "] * 10, b"}\n\n", HELLO, FINISH, DONE]
    error = (await events_of(producer(half, traits=Traits(comments="always"))))[-1]
    assert isinstance(error, Error)
    assert error.code == "upstream_timeout"


async def test_life_does_not_lengthen_the_time_that_a_run_may_take() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    error = (await events_of(producer([b": beat\n\n", 15.0] * 1000)))[-1]
    assert isinstance(error, Error)
    assert error.code == "run_timeout"
    assert loop.time() - began == 1000


async def test_white_space_before_a_whole_completion_is_life_too() -> None:
    pieces = [*[b" \n", 20.0] * 10, COMPLETION]
    events = await events_of(producer(pieces, kind="application/json"))
    assert text_of(events, Chunk) == "hello"
    assert isinstance(events[-1], End)


NAMED = b'event: error\ndata: {"message": "so sorry"}\n\n'


@pytest.mark.parametrize("last", ["end", "cut", "silence"])
@pytest.mark.parametrize(
    "failure", [b"event: error\n", b"event: error\ndata: gone", b"event:error"]
)
async def test_an_error_by_name_alone_counts_also_where_the_stream_ends_in_it(
    failure: bytes, last: Last
) -> None:
    error = (await events_of(producer([HELLO + FINISH + failure], last)))[-1]
    assert isinstance(error, Error)
    assert error.code == "upstream_error"
    error = (await events_of(producer([HELLO + FINISH + failure + b"\n\n" + DONE])))[-1]
    assert isinstance(error, Error)
    end = (await events_of(producer([HELLO + FINISH + DONE + failure + b"\n\n"], last)))[-1]
    assert isinstance(end, End)


@pytest.mark.parametrize("last", ["end", "cut", "silence"])
@pytest.mark.parametrize("size", range(len(b"event:"), len(NAMED) + 1))
async def test_an_error_event_is_an_error_wherever_it_is_cut_off(size: int, last: Last) -> None:
    for pieces in ([HELLO + FINISH + NAMED[:size]], [HELLO, FINISH, NAMED[:3], NAMED[3:size]]):
        events = await events_of(producer(pieces, last))
        assert text_of(events, Chunk) == "hello"
        error = events[-1]
        assert isinstance(error, Error)
        assert ("so" in error.message) is (size >= NAMED.index(b"so sorry") + 2)
        assert '{"' not in error.message


async def test_another_name_costs_nothing_where_the_stream_ends_in_it() -> None:
    for name in (b"event: done", b"event: done\n", b"event", b": error", b"id: error"):
        assert isinstance((await events_of(producer([HELLO + FINISH + name])))[-1], End)


HUGE = b"data: " + b"x" * 1000


@pytest.mark.parametrize("huge", [HUGE, HUGE + b"\n\n", b"event: x\n" + HUGE, b"{\n" + HUGE[6:]])
async def test_whole_events_in_the_same_piece_come_before_one_that_is_too_large(
    huge: bytes,
) -> None:
    events = await events_of(producer([HELLO + HELLO + huge], max_event_bytes=500))
    assert text_of(events, Chunk) == "hellohello"
    error = events[-1]
    assert isinstance(error, Error)
    assert error.code == "upstream_too_large"
    events = await events_of(producer([HELLO + FINISH + DONE + huge], max_event_bytes=500))
    assert isinstance(events[-1], End)
    events = await events_of(producer([HELLO + FINISH + NAMED + huge], max_event_bytes=500))
    assert isinstance(events[-1], Error)
    assert "so sorry" in events[-1].message


async def test_thinking_in_tags_may_be_left_as_text() -> None:
    said = b"data: " + wire(choice({"content": "<think>a</think>b"})) + b"\n\n"
    events = await events_of(producer([said, FINISH], traits=Traits(think_tags="never")))
    assert (text_of(events, Chunk), text_of(events, Reasoning)) == ("<think>a</think>b", "")
    events = await events_of(producer([said, FINISH]))
    assert (text_of(events, Chunk), text_of(events, Reasoning)) == ("b", "a")


async def test_one_line_end_after_each_event_holds_no_token_back() -> None:
    """Each token is emitted in the read in which it comes, once two events have come."""
    lines = [wire(choice({"content": str(n)})) for n in range(5)]
    pieces = [part for line in lines for part in (b"data: " + line + b"\n", 25.0)]
    events = await events_of(producer([*pieces, b"data: " + FINISH[6:-1]], "silence"))
    assert text_of(events, Chunk) == "01234"
    assert isinstance(events[-1], End)
