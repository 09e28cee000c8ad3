"""Scenarios of answers that are cut off or seem to be: unusual finish_reasons and error formats.

The formats are those of real servers: vLLM and SGLang (`object: error`, `abort`), FastAPI (`detail`),
DashScope (`event:error`), older llama.cpp (a field `error`), Groq (`x_groq`), MiniMax (`base_resp`),
OpenRouter (an error in the choice), llama-cpp-python (`[DONE]` after an interrupted answer).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stream_serve.testing.chunks import DONE, event
from stream_serve.testing.script import scenario
from stream_serve.testing.speech import FEW, TEXT, Speech, begin

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.testing.reply import Reply
    from stream_serve.testing.script import Ask

WORDS: Final = "EngineCore encountered an issue."
_FIELDS: Final = [
    {"loc": ["body", "messages"], "msg": WORDS, "type": "value_error"},
    {"loc": ["body", "stream"], "msg": "second", "type": "missing"},
]
SHAPES: Final[dict[str, bytes]] = {
    "object": event(
        {"object": "error", "message": WORDS, "type": "InternalServerError", "code": 500}
    ),
    "detail": event({"detail": WORDS}),
    "detail-list": event({"detail": _FIELDS}),
    "code": event({"message": WORDS, "code": "InternalError"}),
    "msg": event({"code": 1302, "msg": WORDS, "success": False}),
    "dashscope": b"id:9\nevent:error\n:HTTP_STATUS/500\n"
    + event({"code": "InternalError", "message": WORDS, "request_id": "req-7"}),
    "minimax": event({"choices": None, "base_resp": {"status_code": 1013, "status_msg": WORDS}}),
    "list": event([{"error": {"code": 503, "message": WORDS, "status": "UNAVAILABLE"}}]),
    "field": b'error: {"code":500,"message":"' + WORDS.encode() + b'","type":"server_error"}\n\n',
    "groq": event({"id": "1", "choices": [], "x_groq": {"id": "req-8", "error": WORDS}}),
    "flag": event({"is_error": True, "message": WORDS}),
    "nested": event({"type": "error", "data": {"message": WORDS}}),
}


@scenario(
    "finish-every",
    "every chunk with text has the finish_reason; with hang, silence instead of [DONE]",
    **TEXT,
    finish="stop",
    hang=False,
)
async def finish_every(reply: Reply, ask: Ask) -> None:
    """A finish_reason that does not mean the end."""
    speech = Speech(reply, ask)
    await reply.send(speech.chunks.role())
    for piece in speech.pieces():
        await reply.send(speech.chunks.delta(content=piece, finish=ask.string("finish")))
        speech.said += 1
        await reply.pause(ask.number("interval"))
    if ask.flag("hang"):
        await reply.forever()
    await speech.close(None)


@scenario(
    "finish-first",
    "a finish_reason in the first chunk, then after a wait the text",
    **TEXT,
    wait=0.0,
)
async def finish_first(reply: Reply, ask: Ask) -> None:
    """A finish_reason before any text."""
    speech = Speech(reply, ask)
    await reply.send(speech.chunks.delta(role="assistant", content="", finish="stop"))
    await reply.pause(ask.number("wait"))
    await speech.say()
    await speech.close(None)


@scenario("finish-every-cut", "every chunk has the finish_reason; then a FIN in mid-body", **FEW)
async def finish_every_cut(reply: Reply, ask: Ask) -> None:
    """A broken connection after a finish_reason that has been wrong before."""
    speech = Speech(reply, ask)
    for piece in speech.pieces():
        await reply.send(speech.chunks.delta(content=piece, finish="stop"))
    await reply.close()


@scenario(
    "error-shape",
    f"some tokens, then an error as {'|'.join(SHAPES)}, [DONE]",
    **FEW,
    shape="object",
)
async def error_shape(reply: Reply, ask: Ask) -> None:
    """An error outside of `error`, and an end as after a complete answer."""
    await begin(reply, ask)
    await reply.send(SHAPES[ask.string("shape")], DONE)
    await reply.end()


@scenario(
    "error-choice", "some tokens, then finish_reason error with an error in the choice", **FEW
)
async def error_choice(reply: Reply, ask: Ask) -> None:
    """The error of OpenRouter when the server behind it fails."""
    speech = await begin(reply, ask)
    error = {"code": 502, "message": WORDS}
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "error": error}
    await reply.send(event(speech.chunks.chunk([choice])), DONE)
    await reply.end()


@scenario("error-with-text", "an error object beside the last text and a finish_reason", **FEW)
async def error_with_text(reply: Reply, ask: Ask) -> None:
    """Text and an error in the same chunk, which both count."""
    speech = await begin(reply, ask)
    choice = {"index": 0, "delta": {"content": "LAST"}, "finish_reason": "stop"}
    await reply.send(event(speech.chunks.chunk([choice], error={"message": WORDS})), DONE)
    await reply.end()


@scenario("index-counts", "the index of the one choice counts up from chunk to chunk", **TEXT)
async def index_counts(reply: Reply, ask: Ask) -> None:
    """One answer, in choices with the numbers 0, 1, 2 and so on."""
    speech = Speech(reply, ask)
    for index, piece in enumerate(speech.pieces()):
        await reply.send(speech.chunks.delta(content=piece, index=index))
        speech.said += 1
    await reply.send(speech.chunks.delta(finish="stop", index=speech.said))
    await speech.close(None)


@scenario("done-cut", "some tokens, [DONE] without a finish_reason, and at once a FIN", **FEW)
async def done_cut(reply: Reply, ask: Ask) -> None:
    """The end in llama-cpp-python of an answer that another request has interrupted."""
    await begin(reply, ask)
    await reply.send(DONE)
    await reply.close()


@scenario("done-alone", "some tokens, [DONE] without a finish_reason, and a clean end", **FEW)
async def done_alone(reply: Reply, ask: Ask) -> None:
    """A cut answer that only the missing finish_reason gives away."""
    await begin(reply, ask)
    await reply.send(DONE)
    await reply.end()


@scenario(
    "steps",
    "a letter a step: t text, s text and stop, f stop, u an unknown word, x abort, e n d m c errors, "
    "# usage, D [DONE], p a ping, and last | (clean end), / (FIN in mid-body)",
    steps="ttf#D|",
)
async def play_steps(reply: Reply, ask: Ask) -> None:
    """Everything that a stream may contain, in any order; the texts are numbered."""
    speech = Speech(reply, ask, text="")
    chunks = speech.chunks
    plain: dict[str, Callable[[], bytes]] = {
        "f": chunks.finish,
        "u": lambda: chunks.finish("stand_by"),
        "x": lambda: chunks.finish("abort"),
        "e": lambda: event({"error": {"message": WORDS}}),
        "n": lambda: SHAPES["object"],
        "d": lambda: SHAPES["detail"],
        "m": lambda: SHAPES["minimax"],
        "c": lambda: event(chunks.chunk([_broken_choice()])),
        "#": lambda: chunks.usage(speech.totals()),
        "D": lambda: DONE,
        "p": lambda: event({"type": "ping"}),
    }
    await reply.open()
    for number, step in enumerate(ask.string("steps")):
        if step == "/":
            await reply.close()
        elif step in "ts":
            finish = "stop" if step == "s" else None
            await reply.send(chunks.delta(content=f"{number} ", finish=finish))
            speech.said += 1
        elif step in plain:
            await reply.send(plain[step]())
    await reply.end()


def _broken_choice() -> dict[str, Any]:
    return {"index": 0, "delta": {}, "finish_reason": "error", "error": {"message": WORDS}}
