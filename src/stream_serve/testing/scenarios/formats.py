"""Scenarios of the wire format: complete answers in unusual formats.

The line ends, fields and comments are those that the WHATWG specification of Server-Sent Events
allows; the others are quirks of OpenAI-compatible servers.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, Final, cast

from stream_serve.testing.chunks import DONE, event
from stream_serve.testing.script import scenario
from stream_serve.testing.speech import TEXT, Speech

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream_serve.testing.reply import Reply
    from stream_serve.testing.script import Ask

SEPARATORS: Final = (
    "line separator \u2028 here, ",
    "paragraph separator \u2029 here, ",
    "next line \x85 here, ",
    "vertical tab \x0b, form feed \x0c, file separator \x1c, ",
    "CRLF \r\n, CR \r, LF \n, ",
    'forged:\n\ndata: {"type":"end"}\n\n',
    'forged:\r\rdata: {"type":"error","error":"x"}\r\r',
    "event: end\nid: 999\nretry: 1\n\n",
    "data: [DONE]\n\n",
    "the end.",
)
SURROGATES: Final = (
    "lone \ud83d high, ",
    "lone \ude00 low, ",
    "split \ud83d",
    "\ude00, ",
    "nul \0.",
)
MARKUP: Final = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "[link](javascript:document.title='owned') ",
    "<a href=\"javascript:document.title='owned'\">click</a>",
    "<svg onload=\"document.title='owned'\"><circle r='9'/></svg>",
    "![remote](http://127.0.0.1:9/pixel.png) ",
    '<img src="http://127.0.0.1:9/pixel.png">',
    "<iframe srcdoc=\"<script>parent.document.title='owned'</script>\"></iframe>",
    "<style>body{display:none}</style></textarea></pre></div>&lt;b&gt;",
)


@scenario("text-with-finish", "the chunk with finish_reason stop carries the last text", **TEXT)
async def text_with_finish(reply: Reply, ask: Ask) -> None:
    """DashScope's last chunk may carry text."""
    speech = Speech(reply, ask)
    *first, last = list(speech.pieces())
    await reply.send(speech.chunks.role())
    await speech.say(first)
    await reply.send(speech.chunks.delta(content=last, finish="stop"))
    await speech.close(None)


@scenario("choices-null", "the chunk with the usage has choices null", **TEXT)
async def choices_null(reply: Reply, ask: Ask) -> None:
    """A chunk with usage and `choices: null`, even if it was not asked for."""
    speech = Speech(reply, ask)
    await reply.send(speech.chunks.role())
    await speech.say()
    await reply.send(speech.chunks.finish())
    await reply.send(speech.chunks.usage(speech.totals(), choices=None))
    await speech.close(None, with_usage=False)


@scenario("usage-null", "every chunk carries usage null, and none has the totals", **TEXT)
async def usage_null(reply: Reply, ask: Ask) -> None:
    """Usage that is announced but never comes."""
    speech = Speech(reply, ask, usage_null=True)
    await _send_all(speech, speech.events(with_usage=False))


@scenario("usage-missing", "no chunk mentions usage, though it was asked for", **TEXT)
async def usage_missing(reply: Reply, ask: Ask) -> None:
    """A server that does not know `stream_options`."""
    speech = Speech(reply, ask, usage_null=False)
    await _send_all(speech, speech.events(with_usage=False))


@scenario("usage-with-finish", "the totals come in the chunk with the finish_reason", **TEXT)
async def usage_with_finish(reply: Reply, ask: Ask) -> None:
    """Usage in the chunk of the finish_reason, as some servers send it."""
    speech = Speech(reply, ask)
    await reply.send(speech.chunks.role())
    await speech.say()
    choice: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": "stop"}
    await reply.send(event(speech.chunks.chunk([choice], usage=speech.totals())))
    await speech.close(None, with_usage=False)


@scenario("key-order", "the keys of every other chunk come in the opposite order", **TEXT)
async def key_order(reply: Reply, ask: Ask) -> None:
    """Fields in another order: JSON objects have none (RFC 8259, 4)."""
    turn = 0

    def turned(one: bytes) -> bytes:
        nonlocal turn
        turn += 1
        payload = one.removeprefix(b"data: ")
        return event(_reverse(json.loads(payload))) if turn % 2 and one != DONE else one

    await _play(reply, ask, turned)


@scenario("no-done", "finish_reason, then a clean end without [DONE]", **TEXT)
async def no_done(reply: Reply, ask: Ask) -> None:
    """Servers that end the body and send no `[DONE]`."""
    speech = Speech(reply, ask)
    await _send_all(speech, (one for one in speech.events() if one != DONE))


@scenario("done-without-finish", "[DONE] without any finish_reason", **TEXT)
async def done_without_finish(reply: Reply, ask: Ask) -> None:
    """Servers that never send a finish_reason; and those that were interrupted."""
    speech = Speech(reply, ask)
    await reply.send(speech.chunks.role())
    await speech.say()
    await speech.close(None, with_usage=False)


@scenario("after-done", "more events after [DONE], which belong to nothing", **TEXT)
async def after_done(reply: Reply, ask: Ask) -> None:
    """Text and an error after the end, which both have to be ignored."""
    speech = Speech(reply, ask)
    for one in speech.events():
        await reply.send(one)
    await reply.send(speech.chunks.text("LATE"), event({"error": {"message": "late"}}))
    await reply.end()


@scenario("no-space", "data:{…} without the space", **TEXT)
async def no_space(reply: Reply, ask: Ask) -> None:
    """The space after the colon is optional."""
    await _play(reply, ask, lambda one: one.replace(b"data: ", b"data:", 1))


@scenario("crlf", "lines end with CRLF", **TEXT)
async def crlf(reply: Reply, ask: Ask) -> None:
    """CRLF, the line end of HTTP."""
    await _play(reply, ask, lambda one: one.replace(b"\n", b"\r\n"))


@scenario("cr", "lines end with CR alone", **TEXT)
async def cr(reply: Reply, ask: Ask) -> None:
    """The rarest of the three line ends."""
    await _play(reply, ask, lambda one: one.replace(b"\n", b"\r"))


@scenario(
    "crlf-split", "lines end with CRLF, and each CR and LF come in writes of their own", **TEXT
)
async def crlf_split(reply: Reply, ask: Ask) -> None:
    """A CR at the end of one read and a LF at the start of the next are one line end."""
    speech = Speech(reply, ask)
    for one in speech.events():
        await reply.write(one[:-2] + b"\r")
        await reply.pause(ask.number("interval"))
        await reply.write(b"\n\r")
        await reply.pause(0)
        await reply.write(b"\n", events=1)
    await reply.end()


@scenario("bom", "a byte order mark before the first event", **TEXT)
async def bom(reply: Reply, ask: Ask) -> None:
    """Allowed once, at the very start."""
    await reply.write(b"\xef\xbb\xbf")
    await _play(reply, ask, lambda one: one)


@scenario("comments", "comments between the chunks, so many each time", **TEXT, comments=1)
async def comments(reply: Reply, ask: Ask) -> None:
    """Heartbeats between the events and inside them."""
    beat = b": keep-alive\n\n" * ask.integer("comments")
    await _play(reply, ask, lambda one: beat + b":inside\n" + one)


@scenario(
    "named-events", "event, id and retry fields, unknown fields, data over several lines", **TEXT
)
async def named_events(reply: Reply, ask: Ask) -> None:
    """All fields of an event; the lines of `data` together are the chunk's JSON."""
    number = 0

    def dressed(one: bytes) -> bytes:
        nonlocal number
        number += 1
        fields = f"id:{number}\nevent: completion\nretry: 3000\nunknown: x\nalone\n".encode()
        if one == DONE:
            return fields + one
        lines = json.dumps(json.loads(one[6:]), indent=1, ensure_ascii=False).split("\n")
        return fields + "".join(f"data: {line}\n" for line in lines).encode() + b"\n"

    await _play(reply, ask, dressed)


@scenario("keep-alive-after-done", "[DONE], but the body stays open until the peer goes", **TEXT)
async def keep_alive_after_done(reply: Reply, ask: Ask) -> None:
    """A body without an end: a client must not wait for it after [DONE]."""
    speech = Speech(reply, ask)
    for one in speech.events():
        await reply.send(one)
        await reply.pause(ask.number("interval"))
    await reply.forever()


@scenario("hang-after-finish", "a finish reason, then silence instead of usage and [DONE]", **TEXT)
async def hang_after_finish(reply: Reply, ask: Ask) -> None:
    """A complete answer without [DONE]: a client must not wait for it for ever."""
    speech = Speech(reply, ask)
    for one in speech.events():
        await reply.send(one)
        if b'"finish_reason":"stop"' in one:
            break
    await reply.forever()


@scenario("surrogates", "lone surrogates, a pair split over two chunks, NUL: all as \\u escapes")
async def surrogates(reply: Reply, ask: Ask) -> None:
    """Valid JSON whose text is not valid Unicode."""
    await _recite(reply, ask, SURROGATES, ascii_only=True)


@scenario("line-separators", "U+2028, U+0085, CR, LF and forged events inside the text")
async def line_separators(reply: Reply, ask: Ask) -> None:
    """Unicode line separators, which do not end a line of the event stream."""
    await _recite(reply, ask, SEPARATORS)


@scenario("markup", "script, event handlers, javascript: links, SVG, remote images in the text")
async def markup(reply: Reply, ask: Ask) -> None:
    """Markup that a page must show and never run; if it runs, it sets the title to `owned`."""
    await _recite(reply, ask, MARKUP)


@scenario("empty-deltas", "empty and null deltas between the pieces of the text", **TEXT)
async def empty_deltas(reply: Reply, ask: Ask) -> None:
    """Chunks without any text."""
    speech = Speech(reply, ask)
    nothing = (
        speech.chunks.delta(),
        speech.chunks.delta(content=""),
        speech.chunks.delta(content=None, reasoning_content=None, tool_calls=None),
        event(speech.chunks.chunk([])),
    )
    await reply.send(speech.chunks.role())
    for piece in speech.pieces():
        await reply.send(*nothing)
        await speech.say([piece])
    await speech.close()


@scenario("role-only", "a role and a finish_reason, but no text")
async def role_only(reply: Reply, ask: Ask) -> None:
    """An empty answer that ends properly."""
    speech = Speech(reply, ask, text="")
    await reply.send(speech.chunks.role())
    await speech.close()


@scenario("ascii-json", "the text as \\u escapes, surrogate pairs whole", **TEXT)
async def ascii_json(reply: Reply, ask: Ask) -> None:
    """Servers whose JSON is ASCII only."""

    def ascii_only(one: bytes) -> bytes:
        return one if one == DONE else event(json.loads(one[6:]), ascii_only=True)

    await _play(reply, ask, ascii_only)


@scenario("gzip", "a body compressed with gzip though nobody asked for it", **TEXT)
async def gzip(reply: Reply, ask: Ask) -> None:
    """A compressed stream; the compressor is flushed after every event."""
    speech = Speech(reply, ask)
    packer = zlib.compressobj(wbits=31)
    await reply.open(headers={"Content-Encoding": "gzip"})
    for one in speech.events():
        packed = packer.compress(one) + packer.flush(zlib.Z_SYNC_FLUSH)
        await reply.write(packed, events=1)
        await reply.pause(ask.number("interval"))
    await reply.write(packer.flush())
    await reply.end()


@scenario("byte-by-byte", "one byte a write", **{**TEXT, "tokens": 8})
async def byte_by_byte(reply: Reply, ask: Ask) -> None:
    """One byte in each write, so that characters and line ends come in parts."""
    speech = Speech(reply, ask)
    for one in speech.events():
        for position in range(len(one)):
            await reply.write(one[position : position + 1])
            await reply.pause(ask.number("interval"))
        reply.record.events_sent += 1
    await reply.end()


async def _play(reply: Reply, ask: Ask, change: Callable[[bytes], bytes]) -> None:
    speech = Speech(reply, ask)
    await _send_all(speech, (change(one) for one in speech.events()))


async def _send_all(speech: Speech, events: Iterable[bytes]) -> None:
    interval = speech.ask.number("interval")
    for one in events:
        await speech.reply.send(one)
        await speech.reply.pause(interval)
    await speech.reply.end()


async def _recite(
    reply: Reply, ask: Ask, texts: Iterable[str], *, ascii_only: bool = False
) -> None:
    speech = Speech(reply, ask, text="")
    await reply.send(speech.chunks.role())
    for text in texts:
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
        await reply.send(event(speech.chunks.chunk([choice]), ascii_only=ascii_only))
        speech.said += 1
    await speech.close()


def _reverse(value: Any) -> Any:
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {key: _reverse(item) for key, item in reversed(fields.items())}
    if isinstance(value, list):
        return [_reverse(item) for item in cast("list[Any]", value)]
    return value
