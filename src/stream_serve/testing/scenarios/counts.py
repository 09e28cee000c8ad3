"""Scenarios of usage: in other places than OpenAI's, in odd forms, in every chunk, too early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stream_serve.testing.chunks import DONE, event
from stream_serve.testing.script import scenario
from stream_serve.testing.speech import FEW, Speech

if TYPE_CHECKING:
    from stream_serve.testing.reply import Reply
    from stream_serve.testing.script import Ask

PROMPT: Final = 7
COMPLETION: Final = 30
_TOTALS: Final = {"prompt_tokens": PROMPT, "completion_tokens": COMPLETION, "total_tokens": 37}
PLACES: Final[dict[str, dict[str, Any]]] = {
    "choice": {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": _TOTALS}]},
    "groq": {"x_groq": {"id": "req", "usage": _TOTALS}},
    "timings": {"timings": {"prompt_n": 2, "cache_n": 5, "predicted_n": COMPLETION}},
    "input": {"usage": {"input_tokens": PROMPT, "output_tokens": COMPLETION}},
    "digits": {"usage": {name: str(figure) for name, figure in _TOTALS.items()}},
    "float": {"usage": {name: float(figure) for name, figure in _TOTALS.items()}},
    "small-total": {"usage": {**_TOTALS, "total_tokens": 1}},
}
ODD: Final[dict[str, object]] = {
    "negative": -1,
    "fraction": 30.5,
    "nan": float("nan"),
    "huge": 10**400,
    "true": True,
    "word": "many",
}


@scenario(
    "usage-in",
    f"the usage in another place or form: {'|'.join(PLACES)}, or an odd figure: {'|'.join(ODD)}",
    **FEW,
    place="choice",
)
async def usage_in(reply: Reply, ask: Ask) -> None:
    """Usage in the last chunk with a choice, as this or that server sends it."""
    place = ask.string("place")
    last: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": "stop"}
    odd = {"usage": {**_TOTALS, "completion_tokens": ODD.get(place)}}
    speech = Speech(reply, ask, usage_null=False)
    await reply.send(speech.chunks.role())
    await speech.say()
    await reply.send(event({**speech.chunks.chunk([last]), **PLACES.get(place, odd)}), DONE)
    await reply.end()


@scenario(
    "usage-as-it-goes",
    "every chunk has the usage so far, each more tokens than pieces; then silence until it is stopped",
    **FEW,
    per_chunk=5,
)
async def usage_as_it_goes(reply: Reply, ask: Ask) -> None:
    """A server that counts as it goes (vLLM's `continuous_usage_stats`)."""
    speech = Speech(reply, ask)
    for number, piece in enumerate(speech.pieces(), start=1):
        count = number * ask.integer("per-chunk")
        totals = {
            "prompt_tokens": PROMPT,
            "completion_tokens": count,
            "total_tokens": PROMPT + count,
        }
        choice = {"index": 0, "delta": {"content": piece}, "finish_reason": None}
        await reply.send(event(speech.chunks.chunk([choice], usage=totals)))
    await reply.forever()


@scenario(
    "usage-early", "the first chunk has a usage of one token; then pieces, then silence", **FEW
)
async def usage_early(reply: Reply, ask: Ask) -> None:
    """A gateway that passes on what was counted when the answer began."""
    speech = Speech(reply, ask)
    totals = {"prompt_tokens": PROMPT, "completion_tokens": 1, "total_tokens": PROMPT + 1}
    choice = {"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}
    await reply.send(event(speech.chunks.chunk([choice], usage=totals)))
    await speech.say()
    await reply.forever()
