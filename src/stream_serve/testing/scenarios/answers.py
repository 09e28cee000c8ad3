"""Scenarios of answers without any failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stream_serve.testing.chunks import THOUGHT, pieces, usage
from stream_serve.testing.script import scenario
from stream_serve.testing.speech import TEXT, Speech

if TYPE_CHECKING:
    from stream_serve.testing.reply import Reply
    from stream_serve.testing.script import Ask

_FRAGMENTS: Final = ('{"ci', 'ty": "', "杭州", '", "unit"', ': "celsius"}')
_BURST: Final = 16


@scenario(
    "answer",
    "streams a text and ends properly; finish=stop|length|content_filter, usage=asked|1|0",
    **TEXT,
    finish="stop",
    usage="asked",
)
async def answer(reply: Reply, ask: Ask) -> None:
    """A plain answer, as one object if the request does not ask for a stream."""
    wanted = {"0": False, "1": True}.get(ask.string("usage"))
    await speak(reply, ask, finish=ask.string("finish"), with_usage=wanted)


@scenario("echo", "streams back the last user message", tokens=0, interval=0.0, size=4)
async def echo(reply: Reply, ask: Ask) -> None:
    """The last user message as the answer."""
    await speak(reply, ask, text=ask.prompt)


@scenario(
    "flood", "streams tokens as fast as they go, some in each write", tokens=10_000, size=4, text=""
)
async def flood(reply: Reply, ask: Ask) -> None:
    """Many tokens, several events a write, held back only by the reader."""
    speech = Speech(reply, ask)
    await reply.send(speech.chunks.role())
    burst: list[bytes] = []
    for piece in speech.pieces():
        burst.append(speech.chunks.text(piece))
        if len(burst) == _BURST:
            await reply.write(b"".join(burst), events=len(burst))
            speech.said += len(burst)
            burst.clear()
            await reply.pause(0)
    if burst:
        await reply.write(b"".join(burst), events=len(burst))
        speech.said += len(burst)
    await speech.close()


@scenario(
    "thinking",
    "thinks in reasoning_content with content null, then answers; its usage details overlap",
    **TEXT,
    thought="",
    thoughts=0,
)
async def thinking(reply: Reply, ask: Ask) -> None:
    """A thinking model: the details of its usage overlap, as one capture of DashScope had them."""
    thoughts = list(
        pieces(
            ask.string("thought") or THOUGHT,
            size=ask.integer("size"),
            tokens=ask.integer("thoughts"),
        )
    )
    speech = Speech(reply, ask)
    totals = usage(24, 844, text_tokens=844, reasoning_tokens=798)
    if not ask.stream:
        text = "".join(speech.pieces())
        message = {"content": text, "reasoning_content": "".join(thoughts)}
        await reply.json(200, speech.chunks.completion(message, finish="stop", totals=totals))
        return
    await reply.send(speech.chunks.delta(role="assistant", content=None, reasoning_content=""))
    for piece in thoughts:
        await reply.send(speech.chunks.thought(piece))
        await reply.pause(ask.number("interval"))
    await speech.say()
    await speech.close(totals=totals)


@scenario(
    "only-thinks", "thinks in reasoning_content until its tokens are used up", interval=0.0, hold=0
)
async def only_thinks(reply: Reply, ask: Ask) -> None:
    """A thinking model that does not come to its answer."""
    speech = Speech(reply, ask, text="")
    for piece in pieces(THOUGHT, size=4, tokens=0):
        await reply.send(speech.chunks.thought(piece))
        speech.said += 1
        await speech.pace()
    await speech.close("length")


@scenario(
    "tools",
    "calls two tools in fragments; later fragments have an empty id and name",
    interval=0.0,
)
async def tools(reply: Reply, ask: Ask) -> None:
    """Tool calls to be merged by index, after DashScope's fragments."""
    speech = Speech(reply, ask, text="")
    calls = [_call(0, "call_w1", "get_weather"), _call(1, "call_t2", "get_time")]
    if not ask.stream:
        whole = [_call(i, call["id"], call["function"]["name"], "".join(_FRAGMENTS))
                 for i, call in enumerate(calls)]  # fmt: skip
        message = {"content": None, "tool_calls": whole}
        totals = speech.totals()
        await reply.json(200, speech.chunks.completion(message, finish="tool_calls", totals=totals))
        return
    await reply.send(speech.chunks.delta(role="assistant", content=None))
    for index, call in enumerate(calls):
        await reply.send(speech.chunks.delta(content=None, tool_calls=[call]))
        for fragment in _FRAGMENTS:
            later = _call(index, "", "", fragment)
            await reply.send(speech.chunks.delta(content=None, tool_calls=[later]))
            speech.said += 1
            await reply.pause(ask.number("interval"))
    await speech.close("tool_calls")


@scenario("refusal", "the model refuses in delta.refusal and says no content", interval=0.0)
async def refusal(reply: Reply, ask: Ask) -> None:
    """OpenAI's refusal field."""
    speech = Speech(reply, ask, text="")
    await reply.send(speech.chunks.delta(role="assistant", content=None, refusal=""))
    for piece in ("I'm sorry, ", "but I can't ", "help with that."):
        await reply.send(speech.chunks.delta(refusal=piece))
        speech.said += 1
        await reply.pause(ask.number("interval"))
    await speech.close()


async def speak(
    reply: Reply,
    ask: Ask,
    *,
    text: str | None = None,
    finish: str = "stop",
    with_usage: bool | None = None,
) -> None:
    """Send a proper answer with the text of the request, streamed or whole as it asks."""
    speech = Speech(reply, ask, text=text)
    if not ask.stream:
        message: dict[str, Any] = {"content": speech.whole()}
        totals = speech.totals()
        await reply.json(200, speech.chunks.completion(message, finish=finish, totals=totals))
        return
    await reply.send(speech.chunks.role())
    await speech.say()
    await speech.close(finish, with_usage=with_usage)


def _call(index: int, id_: str, name: str, arguments: str = "") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"index": index, "id": id_, "type": "function", "function": function}
