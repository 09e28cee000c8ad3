"""Scenarios of answers whose chunks, or whose whole body, have an unusual shape.

The shapes are those of real servers and gateways: thinking as a part of `content` (Mistral), in
`reasoning_details` (OpenRouter) or in tags (open models of DeepSeek and Qwen), a whole completion instead
of a stream, a label that is not that of a stream, events without an empty line between.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from stream_serve.testing.chunks import DONE, THOUGHT, event, pieces
from stream_serve.testing.script import scenario
from stream_serve.testing.speech import FEW, TEXT, Speech, begin

if TYPE_CHECKING:
    from stream_serve.testing.reply import Reply
    from stream_serve.testing.script import Ask

PINGS: Final = (b"data: ping\n\n", b"data: keep-alive 1\n\n", b'data: "pong"\n\n', b"data:\n\n")
ODD_FIELDS: Final[tuple[dict[str, Any], ...]] = (
    {"index": []},
    {"index": "first"},
    {"logprobs": "none"},
    {"finish_reason": 0},
    {"finish_reason": {}},
)
ODD_DELTA: Final[dict[str, Any]] = {
    "role": 7,
    "tool_calls": "none",
    "annotations": {"x": [1]},
    "audio": [[]],
    "refusal": [],
    "reasoning": {},
    "reasoning_details": 0,
}
NO_TEXT: Final = [
    {"type": "image_url", "image_url": {"url": "x"}},
    {"type": "citation", "ids": [1]},
]


@scenario(
    "message-last",
    "the last chunk repeats the text in message: repeats=whole|prefix|suffix|more|alone (no delta)",
    **TEXT,
    repeats="whole",
)
async def message_last(reply: Reply, ask: Ask) -> None:
    """A last chunk with `message` in place of `delta`."""
    speech = Speech(reply, ask)
    said = list(speech.pieces())
    text = "".join(said)
    parts = {"prefix": text[: len(text) // 2], "suffix": text[-len(said[-1]) :]}
    await reply.send(speech.chunks.role())
    if ask.string("repeats") != "alone":
        await speech.say(said[:-1] if ask.string("repeats") == "more" else said)
    message = {"role": "assistant", "content": parts.get(ask.string("repeats"), text)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    await reply.send(event(speech.chunks.chunk([choice])))
    await speech.close(None)


@scenario("label", "a proper stream under another Content-Type", **TEXT, type="text/plain")
async def label(reply: Reply, ask: Ask) -> None:
    """A stream that is not called one."""
    speech = Speech(reply, ask)
    await reply.open(content_type=ask.string("type"))
    for one in speech.events():
        await reply.send(one)
        await reply.pause(ask.number("interval"))
    await reply.end()


@scenario(
    "whole",
    "a whole completion with thinking instead of a stream; cut=1: only the first half of it",
    **TEXT,
    type="application/json",
    pretty=False,
    finish="stop",
    cut=False,
)
async def whole(reply: Reply, ask: Ask) -> None:
    """A whole completion as JSON, in one line or pretty-printed."""
    speech = Speech(reply, ask)
    message = {"content": speech.whole(), "reasoning_content": THOUGHT}
    completion = speech.chunks.completion(
        message, finish=ask.string("finish"), totals=speech.totals()
    )
    body = json.dumps(completion, indent=2 if ask.flag("pretty") else None).encode()
    if ask.flag("cut"):
        body = body[: len(body) // 2]
    await reply.whole(200, body, content_type=ask.string("type"))


@scenario("json-other", "200 with JSON that is no answer and no error")
async def json_other(reply: Reply, ask: Ask) -> None:
    """Something else that speaks JSON."""
    del ask
    await reply.json(200, {"message": "please sign in"})


@scenario(
    "one-line-end",
    "one line end between the events; bare=1: without data:, hang=1: then silence",
    **TEXT,
    bare=False,
    hang=False,
)
async def one_line_end(reply: Reply, ask: Ask) -> None:
    """Events without an empty line between them."""
    speech = Speech(reply, ask)
    for one in speech.events():
        line = one[6:] if ask.flag("bare") else one
        await reply.send(line.replace(b"\n\n", b"\n"))
        await reply.pause(ask.number("interval"))
    if ask.flag("hang"):
        await reply.forever()
    await reply.end()


@scenario(
    "odd-thinking",
    "the thinking as form=parts|object|list|details|both (details repeat reasoning), then the answer",
    **TEXT,
    form="parts",
)
async def odd_thinking(reply: Reply, ask: Ask) -> None:
    """Thinking in other fields and types than `reasoning_content`."""
    speech = Speech(reply, ask)
    form = ask.string("form")
    await reply.send(speech.chunks.role())
    for piece in pieces(THOUGHT, size=ask.integer("size")):
        details = [{"type": "reasoning.text", "text": piece, "index": 0}]
        part = {"type": "thinking", "thinking": [{"type": "text", "text": piece}]}
        delta: dict[str, Any] = {
            "parts": {"content": [part]},
            "object": {"content": None, "reasoning": {"content": piece}},
            "list": {"content": "", "reasoning": [{"text": piece}]},
            "details": {"content": "", "reasoning_details": details},
            "both": {"content": "", "reasoning": piece, "reasoning_details": details},
        }[form]
        await reply.send(speech.chunks.delta(**delta))
    sealed = [{"type": "reasoning.encrypted", "data": "AAAA"}]
    await reply.send(speech.chunks.delta(content="", reasoning_details=sealed))
    for piece in speech.pieces():
        content = [{"type": "text", "text": piece}] if form == "parts" else piece
        await reply.send(speech.chunks.delta(content=content))
        speech.said += 1
    await speech.close()


@scenario("odd-fields", "odd types in every field that is no text; parts without text", **TEXT)
async def odd_fields(reply: Reply, ask: Ask) -> None:
    """Fields that cost nothing, whatever is in them."""
    speech = Speech(reply, ask)
    for number, piece in enumerate(speech.pieces()):
        odd = ODD_FIELDS[number % len(ODD_FIELDS)]
        choice: dict[str, Any] = {"index": 0, "delta": {**ODD_DELTA, "content": piece}, **odd}
        await reply.send(event(speech.chunks.chunk([choice], usage="none", created=[])))
        speech.said += 1
    await reply.send(speech.chunks.delta(content=NO_TEXT))
    await speech.close()


@scenario(
    "lost-part",
    "some tokens, then text in a form that is not known, then more and a proper end",
    **FEW,
)
async def lost_part(reply: Reply, ask: Ask) -> None:
    """Text that nobody can read: the answer is not whole."""
    speech = await begin(reply, ask)
    await reply.send(speech.chunks.delta(content={"odd": "words"}))
    await speech.say()
    await speech.close()


@scenario(
    "think-tags",
    "thinks between tags at the beginning of the text; cut anywhere by size; closed=0: never closed",
    **TEXT,
    tag="think",
    closed=True,
)
async def think_tags(reply: Reply, ask: Ask) -> None:
    """Thinking inside `content`, as open models write it."""
    tag = ask.string("tag")
    speech = Speech(reply, ask)
    said = f"\n<{tag}>\n{THOUGHT}"
    if ask.flag("closed"):
        said += f"</{tag}>\n\n{''.join(speech.pieces())}"
    await reply.send(speech.chunks.role())
    await speech.say(pieces(said, size=ask.integer("size")))
    await speech.close()


@scenario(
    "life",
    "so many signs of life (kind=comment|empty|tools), some in the middle of the text, too (mid=1)",
    **FEW,
    kind="comment",
    beats=10,
    pause=0.1,
    mid=False,
)
async def life(reply: Reply, ask: Ask) -> None:
    """A gateway that says that it still works."""
    speech = Speech(reply, ask)
    call = {"index": 0, "function": {"arguments": ""}}
    sign = {
        "comment": b": PROCESSING\n\n",
        "empty": speech.chunks.delta(content=""),
        "tools": speech.chunks.delta(tool_calls=[call]),
    }[ask.string("kind")]
    await reply.send(speech.chunks.role())
    if ask.flag("mid"):
        await speech.say()
    for _ in range(ask.integer("beats")):
        await reply.write(sign)
        await reply.pause(ask.number("pause"))
    await speech.say()
    await speech.close()


@scenario("pings", "words that are not JSON between the chunks, and spaces before [DONE]", **TEXT)
async def pings(reply: Reply, ask: Ask) -> None:
    """Heartbeats of gateways in `data`."""
    speech = Speech(reply, ask)
    for number, one in enumerate(speech.events()):
        await reply.send(PINGS[number % len(PINGS)])
        await reply.send(b"data:  \t[DONE]\n\n" if one == DONE else one)
    await reply.end()


@scenario("error-line", "some tokens, then an error as a line of JSON without data:, [DONE]", **FEW)
async def error_line(reply: Reply, ask: Ask) -> None:
    """An error that somebody wrote into the stream as it was."""
    await begin(reply, ask)
    error = {"error": {"message": "The engine is gone.", "code": "engine_gone"}}
    await reply.write(json.dumps(error).encode() + b"\n\n")
    await reply.send(DONE)
    await reply.end()


@scenario(
    "other-place",
    "the text in: delta-text, choice-content; twice: data is written twice",
    **TEXT,
    place="delta-text",
)
async def other_place(reply: Reply, ask: Ask) -> None:
    """Text beside the place where it belongs."""
    speech = Speech(reply, ask)
    for one in speech.events():
        chunk: Any = {} if one == DONE else json.loads(one.removeprefix(b"data: "))
        choices: list[Any] = chunk.get("choices") or [dict[str, Any]()]
        first = choices[0]
        said = first.get("delta", {}).pop("content", None)
        if ask.string("place") == "twice":
            await reply.send(b"data: " + one)
        elif said and ask.string("place") == "delta-text":
            first["delta"]["text"] = said
            await reply.send(event(chunk))
        elif said:
            await reply.send(event({**chunk, "choices": [{"index": 0, "content": said}]}))
        else:
            await reply.send(one)
    await reply.end()


@scenario(
    "error-event-cut",
    "all tokens and a finish_reason, then an error event that ends after its name, or in its data",
    **TEXT,
    data=True,
)
async def error_event_cut(reply: Reply, ask: Ask) -> None:
    """An error that does not come whole."""
    speech = Speech(reply, ask)
    await reply.send(*list(speech.events())[:-1])
    await reply.write(b"event: error\n")
    if ask.flag("data"):
        await reply.write(b'data: {"message": "the engine is gone')
    await reply.end()


@scenario(
    "error-event",
    "some tokens, then an event that only its name calls an error, [DONE]",
    **FEW,
    named="error",
)
async def error_event(reply: Reply, ask: Ask) -> None:
    """An error whose data is a word."""
    await begin(reply, ask)
    await reply.send(f"event: {ask.string('named')}\ndata: the engine is gone\n\n".encode(), DONE)
    await reply.end()
