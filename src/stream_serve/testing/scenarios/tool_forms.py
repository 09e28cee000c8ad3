"""The scenario `tool-form`: the same two calls in the words of one engine or another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from stream_serve.testing.chunks import event, pieces
from stream_serve.testing.scenarios.tools import calls_of, entry, tool_result
from stream_serve.testing.script import scenario
from stream_serve.testing.speech import Speech

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stream_serve.testing.reply import Reply
    from stream_serve.testing.script import Ask

    Call = tuple[int, str, str, str]
    Delta = dict[str, Any]

BEFORE: Final = "Let me see. "
AFTER: Final = "One moment."
_SIZE: Final = 6


def _cut(call: Call, begin: int = 0) -> Iterator[str]:
    return pieces(call[3][begin:], size=_SIZE)


def _calls(*entries: dict[str, Any]) -> Delta:
    return {"tool_calls": [*entries]}


def _one_by_one(of: Callable[[Call], list[dict[str, Any]]]) -> Callable[[list[Call]], list[Delta]]:
    """Return the form in which each fragment of a call is a delta."""
    return lambda calls: [_calls(one) for call in calls for one in of(call)]


def _later(call: Call, begin: int = 0, **fields: Any) -> list[dict[str, Any]]:
    return [{**entry(call, arguments=piece), **fields} for piece in _cut(call, begin)]


def _openai(call: Call, **fields: Any) -> list[dict[str, Any]]:
    return [entry(call, id=call[1], name=call[2], arguments="") | fields, *_later(call, **fields)]


def _without_index(call: Call) -> list[dict[str, Any]]:
    return [{name: one for name, one in each.items() if name != "index"} for each in _openai(call)]


def _vllm(call: Call) -> list[dict[str, Any]]:
    return [entry(call, id=call[1], name=call[2]), *_later(call)]


def _llama_cpp(call: Call) -> list[dict[str, Any]]:
    return [entry(call, id=call[1], name=call[2], arguments="{"), *_later(call, 1)]


def _dashscope(call: Call) -> list[dict[str, Any]]:
    first = entry(call, id=call[1], name=call[2], arguments=call[3][:2])
    return [first, *_later(call, 2, id=""), entry(call, id="", name="", arguments=None)]


def _repeated(call: Call) -> list[dict[str, Any]]:
    return [entry(call, id=call[1], name=call[2], arguments=piece) for piece in _cut(call)]


def _ollama(calls: list[Call]) -> list[Delta]:
    whole = [entry(None, name=call[2], arguments=json.loads(call[3])) for call in calls]
    return [{"content": "", **_calls(*whole)}]


def _interleaved(calls: list[Call]) -> list[Delta]:
    lines = [_openai(call) for call in calls]
    longest = max(map(len, lines))
    return [_calls(*(line[at] for line in lines if at < len(line))) for at in range(longest)]


def _legacy(calls: list[Call]) -> list[Delta]:
    """Return the form before `tool_calls`, which has one call."""
    pieces_of = [{"arguments": piece} for piece in _cut(calls[0])]
    first = {"name": calls[0][2], "arguments": ""}
    return [{"function_call": one} for one in (first, *pieces_of)]


def _texts(calls: list[Call]) -> list[Delta]:
    before, *others = _one_by_one(_openai)(calls)
    return [{"content": BEFORE}, before, *others, {"content": AFTER}]


FORMS: Final[dict[str, Callable[[list[Call]], list[Delta]]]] = {
    "openai": _one_by_one(_openai),
    "azure": _one_by_one(_openai),
    "vllm": _one_by_one(_vllm),
    "llama.cpp": _one_by_one(_llama_cpp),
    "ollama": _ollama,
    "dashscope": _one_by_one(_dashscope),
    "interleaved": _interleaved,
    "no-id": _one_by_one(lambda call: _openai(call, id=None)),
    "same-id": _one_by_one(lambda call: _openai((call[0], "call_0", *call[2:]))),
    "repeated-id": _one_by_one(_repeated),
    "no-index": _one_by_one(_without_index),
    "same-index": _one_by_one(lambda call: _openai((0, *call[1:]))),
    "whole-same-index": lambda calls: [
        _calls(*(entry((0, *one[1:]), id=one[1], name=one[2], arguments=one[3]) for one in calls))
    ],
    "object": lambda calls: [
        _calls(entry(one, id=one[1], name=one[2], arguments=json.loads(one[3]))) for one in calls
    ],
    "legacy": _legacy,
    "texts": _texts,
    "stop": _one_by_one(_openai),
}


@scenario(
    "tool-form",
    f"calls two tools in the form={'|'.join(FORMS)}; after a tool's result: a text",
    form="openai",
    calls=2,
    size=_SIZE,
)
async def tool_form(reply: Reply, ask: Ask) -> None:
    """One answer that calls tools, in one of many forms."""
    form = ask.string("form")
    speech = Speech(reply, ask, text="")
    if tool_result(ask) is not None:
        await reply.send(speech.chunks.delta(role="assistant", content=AFTER))
        await speech.close()
        return
    if form == "azure":
        filters: list[Delta] = [{"prompt_index": 0, "content_filter_results": {}}]
        await reply.send(event(speech.chunks.chunk([], prompt_filter_results=filters, model="")))
    await reply.send(speech.chunks.delta(role="assistant", content=None))
    for delta in FORMS[form](calls_of(ask)):
        more: Delta = {"content_filter_results": {}} if form == "azure" else {}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, **more}
        await reply.send(event(speech.chunks.chunk([choice])))
        speech.said += 1
    words = {"stop": "stop", "ollama": "stop", "legacy": "function_call"}
    await speech.close(words.get(form, "tool_calls"))
