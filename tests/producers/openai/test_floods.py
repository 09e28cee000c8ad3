"""Values that cost far more than their bytes: very many tiny ones, in any shape."""

from __future__ import annotations

import pytest

from stream_serve.events.types import Chunk, End, Error
from support.body import events_of, producer, text_of
from support.chunks import choice, wire

pytestmark = pytest.mark.simulated_time

HELLO = b"data: " + wire(choice({"content": "hello"})) + b"\n\n"
FINISH = b"data: " + wire(choice({}, "stop")) + b"\n\n"
DONE = b"data: [DONE]\n\n"
PLENTY = 400_000
FLOODS = {
    "values": b"data: " + b"{} " * 50_000 + b"\n\n",
    "words": b"data: " + b"[A] " * 50_000 + b"\n\n",
    "events": b"data: {}\n\n" * 20_000,
    "lines": b"data: {}\n" * 20_000,
    "bare lines": b"{}\n" * 50_000,
    "events of values": (b"data: " + b"{} " * 100 + b"\n\n") * 500,
    "a list": b"data: [" + b"{}," * 50_000 + b"{}]\n\n",
    "choices": b'data: {"choices":[' + b"{}," * 50_000 + b"{}]}\n\n",
    "odd choices": b'data: {"choices":[' + b"null," * 50_000 + b"{}]}\n\n",
    "parts": b'data: {"choices":[{"delta":{"content":[' + b'"",' * 50_000 + b'""]}}]}\n\n',
    "nested parts": b'data: {"choices":[{"delta":{"content":['
    + b"[[[]]]," * 20_000
    + b"[]]}}]}\n\n",
}


@pytest.mark.parametrize("before", [HELLO, HELLO * 3, HELLO * 3 + FINISH], ids=["1", "3", "end"])
@pytest.mark.parametrize("flood", FLOODS)
async def test_a_flood_of_tiny_values_is_read_no_further_and_the_text_before_it_stays(
    flood: str, before: bytes
) -> None:
    body = before + FLOODS[flood] + HELLO + FINISH + DONE
    for size in (65_536, len(body)):
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        events = await events_of(producer(pieces, "silence", max_event_bytes=PLENTY))
        assert text_of(events, Chunk) == "hello" * before.count(b"hello")
        error = events[-1]
        assert isinstance(error, Error)
        assert error.code == "upstream_protocol"
        assert "too many small values" in error.message


async def test_many_words_and_pings_between_the_tokens_are_no_flood() -> None:
    pings = [b"data: ping\n\n", b'data: {"type":"ping"}\n\n', b"data: {} {}\n\n", b": beat\n\n"]
    token = b"data: " + wire(choice({"content": "x"})) + b"\n\n"
    body = b"".join(token + pings[number % 4] for number in range(20_000)) + FINISH + DONE
    for pieces in ([body], [*[pings[1]] * 5000, HELLO, FINISH]):
        events = await events_of(producer(pieces))
        assert isinstance(events[-1], End)
    assert text_of(await events_of(producer([body])), Chunk) == "x" * 20_000


async def test_tool_calls_cost_nothing_however_many_they_are() -> None:
    empty: dict[str, object] = {}
    calls = wire(choice({"content": "a", "tool_calls": [empty] * 50_000}))
    events = await events_of(
        producer([b"data: " + calls + b"\n\n", FINISH], max_event_bytes=PLENTY)
    )
    assert text_of(events, Chunk) == "a"
    assert isinstance(events[-1], End)
