"""Scenarios of endless, very large or malformed streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stream_serve.testing.chunks import ANSWER, event
from stream_serve.testing.script import scenario
from stream_serve.testing.speech import FEW, Speech, begin

if TYPE_CHECKING:
    from stream_serve.testing.reply import Reply
    from stream_serve.testing.script import Ask

_MEGABYTE: Final = 1024 * 1024
_BLOCK: Final = b"all work and no play " * 780


@scenario("forever", "tokens that never stop", interval=0.01, size=4, text="")
async def forever(reply: Reply, ask: Ask) -> None:
    """A model that never stops."""
    speech = Speech(reply, ask)
    await reply.send(speech.chunks.role())
    while True:
        await speech.say()


@scenario("comments-forever", "nothing but comments, and never a token", interval=0.05)
async def comments_forever(reply: Reply, ask: Ask) -> None:
    """Heartbeats, which must not extend a time limit."""
    while True:
        await reply.write(b": keep-alive\n\n")
        await reply.pause(ask.number("interval"))


@scenario("endless-line", "after some tokens a line that never ends", **FEW)
async def endless_line(reply: Reply, ask: Ask) -> None:
    """A line without an end: a parser needs a limit for lines."""
    await begin(reply, ask)
    await reply.write(b'data: {"choices":[{"delta":{"content":"')
    while True:
        await reply.write(_BLOCK)
        await reply.pause(ask.number("interval"))


@scenario("endless-event", "after some tokens data lines without the empty line", **FEW)
async def endless_event(reply: Reply, ask: Ask) -> None:
    """An event without an end: a parser needs a limit for events."""
    await begin(reply, ask)
    while True:
        await reply.write(b"data: " + _BLOCK + b"\n")
        await reply.pause(ask.number("interval"))


@scenario(
    "huge-event", "one event with a text of so many megabytes, then a proper end", megabytes=4
)
async def huge_event(reply: Reply, ask: Ask) -> None:
    """A single chunk that may be larger than the parser's limit."""
    size = ask.integer("megabytes") * _MEGABYTE
    speech = Speech(reply, ask, text="")
    await reply.send(speech.chunks.role())
    await reply.send(speech.chunks.text("x" * size))
    speech.said += 1
    await speech.close()


@scenario("one-write", "a whole stream of so many megabytes in a single write", megabytes=1, size=4)
async def one_write(reply: Reply, ask: Ask) -> None:
    """All events in one write, which must give the same text as one by one."""
    chunks = Speech(reply, ask, text="").chunks
    a_text = len(chunks.text("x" * ask.integer("size")))
    tokens = ask.integer("megabytes") * _MEGABYTE // a_text
    speech = Speech(reply, ask, text=ANSWER, tokens=tokens)
    events = list(speech.events())
    await reply.write(b"".join(events), events=len(events))
    await reply.end()


@scenario("not-json", "chunks that are no JSON between good ones, then a proper end", **FEW)
async def not_json(reply: Reply, ask: Ask) -> None:
    """Data that is not JSON, which must not crash the worker."""
    speech = await begin(reply, ask)
    for junk in (b"{not json", b"", b"\xff\xfe\x80", b'{"choices":', b"NaN", b"hello"):
        await reply.send(b"data: " + junk + b"\n\n")
    await speech.say()
    await speech.close()


@scenario(
    "tiny-values",
    "after some tokens so many values in events of `each`, and a text that comes too late",
    **FEW,
    values=50_000,
    each=100,
)
async def tiny_values(reply: Reply, ask: Ask) -> None:
    """Values that cost far more to read than to write."""
    speech = await begin(reply, ask)
    one = b"data: " + b"{} " * ask.integer("each") + b"\n\n"
    await reply.write(one * (ask.integer("values") // ask.integer("each")))
    await speech.say(["too late"])
    await speech.close()


@scenario("unknown-shape", "JSON of other shapes between good chunks, then a proper end", **FEW)
async def unknown_shape(reply: Reply, ask: Ask) -> None:
    """Lists, numbers, strings and nulls in place of objects, and a second choice."""
    speech = await begin(reply, ask)
    chunk = speech.chunks.chunk
    shapes: tuple[Any, ...] = (
        [],
        [1, 2],
        42,
        "text",
        None,
        True,
        {},
        {"choices": "text"},
        {"choices": 7},
        {"choices": {"0": {}}},
        chunk([None]),
        chunk(["text"]),
        chunk([dict[str, Any]()]),
        chunk([{"index": 0}]),
        chunk([{"index": 0, "delta": None}]),
        chunk([{"index": 0, "delta": "text"}]),
        chunk([{"index": 0, "delta": {"content": 5}}]),
        chunk([{"index": 0, "delta": {"content": {"text": "x"}}}]),
        chunk([{"index": 0, "delta": {"tool_calls": "text"}}]),
        chunk([{"index": 0, "delta": {"tool_calls": [{"index": "one"}]}}]),
        chunk([{"index": 1, "delta": {"content": "OTHER CHOICE"}, "finish_reason": None}]),
        chunk([], usage="text"),
        chunk([], usage={"prompt_tokens": "many"}),
        chunk([], model=5, created="today"),
        {"object": "ping", "surprise": {"nested": [1, {"a": None}]}},
    )
    for value in shapes:
        await reply.send(event(value))
    await speech.say()
    await speech.close()


@scenario("deep-json", "a chunk with so many levels of nesting, then a proper end", levels=100_000)
async def deep_json(reply: Reply, ask: Ask) -> None:
    """A recursive parser without a limit would overflow its stack."""
    levels = ask.integer("levels")
    speech = Speech(reply, ask, text="")
    await reply.send(speech.chunks.role())
    await speech.say(["before "])
    await reply.send(b'data: {"choices":' + b"[" * levels + b"]" * levels + b"}\n\n")
    await speech.say(["after"])
    await speech.close()


@scenario("many-events", "so many tiny events in writes of a megabyte", events=100_000)
async def many_events(reply: Reply, ask: Ask) -> None:
    """Many events in one read: a parser has to let other tasks run between them."""
    speech = Speech(reply, ask, text="")
    one = speech.chunks.text("x")
    left = ask.integer("events")
    await reply.send(speech.chunks.role())
    while left:
        count = min(left, _MEGABYTE // len(one))
        await reply.write(one * count, events=count)
        await reply.pause(0)
        speech.said += count
        left -= count
    await speech.close()
