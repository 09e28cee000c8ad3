"""Scenarios of tool calls, in each form in which engines send them, and of what comes beside the text.

`calls` is how many tools are called (`get_weather`, `get_time`, and again), `size` how many characters of
the arguments a fragment has.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast

from stream_serve.testing.chunks import ANSWER, THOUGHT, event, pieces
from stream_serve.testing.script import scenario
from stream_serve.testing.speech import TEXT, Speech

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream_serve.testing.reply import Reply
    from stream_serve.testing.script import Ask, Script, Value

    Call = tuple[int, str, str, str]

NAMES: Final = ("get_weather", "get_time")
CITIES: Final = ("杭州", "Zürich", "São Paulo")
SIGNATURE: Final = "EqQBCkYIBhgCKkA="
SEALED: Final = "gAAAAABo"
PAGES: Final = (
    {"url": "https://example.com/weather", "title": "Weather"},
    {"url": "https://example.org/time", "title": "Time"},
)
_CALLS: Final[dict[str, Value]] = {"calls": 1, "size": 6, "interval": 0.0, "thought": ""}


def calls_of(ask: Ask) -> list[Call]:
    """The calls that a request is answered with: index, id, name, arguments."""
    return [
        (index, f"call_{index}", NAMES[index % 2], _arguments(CITIES[index % 3]))
        for index in range(ask.integer("calls"))
    ]


@scenario(
    "tool-call",
    "calls tools in OpenAI's fragments; after a tool's result: a text that contains it",
    **_CALLS,
)
async def tool_call(reply: Reply, ask: Ask) -> None:
    """OpenAI's form: id and name first, then the arguments. The second turn is a text."""
    if (result := tool_result(ask)) is not None:
        await _say(reply, ask, f"The tool says: {result}")
    elif not ask.stream:
        await _whole(reply, ask)
    else:
        await _fragments(reply, ask, _openai(ask))


@scenario(
    "tool-call-sealed",
    "thinks in signed and encrypted reasoning_details (OpenRouter), and then does as tool-call",
    **_CALLS,
)
async def sealed(reply: Reply, ask: Ask) -> None:
    """Thoughts that have to come back with the tool's result."""
    if (result := tool_result(ask)) is not None:
        await _say(reply, ask, f"The tool says: {result}")
        return
    deltas: list[dict[str, Any]] = [
        {"content": "", "reasoning": one.get("text"), "reasoning_details": [{**one, "index": 0}]}
        for one in (
            *({"type": "reasoning.text", "text": piece} for piece in pieces(THOUGHT, size=6)),
            {"type": "reasoning.text", "signature": SIGNATURE},
            {"type": "reasoning.encrypted", "data": SEALED, "id": "call_0"},
        )
    ]
    deltas += [{"tool_calls": [one]} for one in _openai(ask)]
    await _chunks(reply, ask, deltas)


@scenario(
    "tool-calls-interleaved", "calls tools whose fragments are mixed", **{**_CALLS, "calls": 2}
)
async def interleaved(reply: Reply, ask: Ask) -> None:
    """A fragment of each call in turn."""
    lines = [_openai_call(call, ask) for call in calls_of(ask)]
    longest = max(map(len, lines), default=0)
    mixed = [line[at] for at in range(longest) for line in lines if at < len(line)]
    await _fragments(reply, ask, mixed)


@scenario("tool-call-whole", "calls tools whole, in one chunk (Mistral)", **_CALLS)
async def whole(reply: Reply, ask: Ask) -> None:
    """All calls at once."""
    entries = [entry(call, id=call[1], name=call[2], arguments=call[3]) for call in calls_of(ask)]
    await _chunks(reply, ask, [{"tool_calls": entries}])


@scenario("tool-call-no-id", "calls tools whole, without ids and indexes", **_CALLS)
async def no_id(reply: Reply, ask: Ask) -> None:
    """Calls that have only names and arguments."""
    entries = [entry(None, name=call[2], arguments=call[3]) for call in calls_of(ask)]
    await _fragments(reply, ask, entries)


@scenario("tool-call-object-arguments", "calls tools with arguments as objects (Ollama)", **_CALLS)
async def object_arguments(reply: Reply, ask: Ask) -> None:
    """Arguments that are no text."""
    entries = [
        entry(call, id=call[1], name=call[2], arguments=json.loads(call[3]))
        for call in calls_of(ask)
    ]
    await _fragments(reply, ask, entries)


@scenario(
    "tool-call-index-zero",
    "calls tools whole, each with index 0 and an id of its own (Gemini)",
    **{**_CALLS, "calls": 2},
)
async def index_zero(reply: Reply, ask: Ask) -> None:
    """An index that tells nothing, and the word of a plain end."""
    entries = [
        {**entry(None, id=call[1], name=call[2], arguments=call[3]), "index": 0}
        for call in calls_of(ask)
    ]
    await _fragments(reply, ask, entries, finish="stop")


@scenario("tool-call-late-name", "the name comes after the arguments", **_CALLS)
async def late_name(reply: Reply, ask: Ask) -> None:
    """A name at the end."""
    entries: list[dict[str, Any]] = []
    for call in calls_of(ask):
        entries += [entry(call, arguments=piece) for piece in _cut(call, ask)]
        entries.append(entry(call, id=call[1], name=call[2]))
    await _fragments(reply, ask, entries)


@scenario("tool-call-null-arguments", "the first fragment has null arguments (vLLM)", **_CALLS)
async def null_arguments(reply: Reply, ask: Ask) -> None:
    """Arguments that are null at first; later fragments repeat an empty id and name."""
    entries: list[dict[str, Any]] = []
    for call in calls_of(ask):
        entries.append(entry(call, id=call[1], name=call[2], arguments=None))
        entries += [entry(call, id="", name="", arguments=piece) for piece in _cut(call, ask)]
    await _fragments(reply, ask, entries)


@scenario("tool-call-then-text", "calls tools, and then says a text", **_CALLS)
async def then_text(reply: Reply, ask: Ask) -> None:
    """Text after the calls."""
    deltas: list[dict[str, Any]] = [{"tool_calls": [one]} for one in _openai(ask)]
    deltas += [{"content": piece} for piece in ("I will ", "look ", "that up.")]
    await _chunks(reply, ask, deltas)


@scenario("tool-call-cut", "closes the connection inside a call's arguments", **_CALLS)
async def cut(reply: Reply, ask: Ask) -> None:
    """A cut in the middle of a call."""
    speech = Speech(reply, ask, text="")
    for one in _openai(ask)[:-1]:
        await reply.send(speech.chunks.delta(tool_calls=[one]))
    await reply.close()


@scenario("tool-call-length", "runs out of tokens inside a call's arguments", **_CALLS)
async def length(reply: Reply, ask: Ask) -> None:
    """A call that is not whole."""
    await _fragments(reply, ask, _openai(ask)[:-1], finish="length")


@scenario("tool-call-stop-word", "calls tools and ends with the word stop", **_CALLS, word="stop")
async def stop_word(reply: Reply, ask: Ask) -> None:
    """Another word at the end than that of calls."""
    await _fragments(reply, ask, _openai(ask), finish=ask.string("word"))


@scenario("tool-call-legacy", "calls one tool in function_call", size=6, interval=0.0)
async def legacy(reply: Reply, ask: Ask) -> None:
    """The form before tool_calls."""
    arguments = _arguments(CITIES[0])
    deltas: list[dict[str, Any]] = [{"function_call": {"name": NAMES[0], "arguments": ""}}]
    deltas += [
        {"function_call": {"arguments": piece}}
        for piece in pieces(arguments, size=ask.integer("size"))
    ]
    await _chunks(reply, ask, deltas, finish="function_call")


@scenario("tool-call-message", "calls tools in fragments, and repeats them in a message", **_CALLS)
async def in_message(reply: Reply, ask: Ask) -> None:
    """A last chunk with the whole message."""
    speech = Speech(reply, ask, text="")
    for one in _openai(ask):
        await reply.send(speech.chunks.delta(tool_calls=[one]))
    message = {"role": "assistant", "content": None, "tool_calls": _entries(ask)}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    await reply.send(event(speech.chunks.chunk([choice])))
    await speech.close(None)


def _beside(name: str, description: str) -> Callable[[Callable[[int], dict[str, Any]]], Script]:
    """Return a decorator for the fields that the n-th chunk of a text has beside it."""

    def register(fields: Callable[[int], dict[str, Any]]) -> Script:
        async def play(reply: Reply, ask: Ask) -> None:
            speech = Speech(reply, ask)
            await reply.send(speech.chunks.role())
            for number, piece in enumerate(speech.pieces()):
                speech.said += 1
                more = fields(number)
                delta = {"content": piece, **more.pop("delta", {})}
                choice = {
                    "index": 0,
                    "delta": delta,
                    "finish_reason": None,
                    **more.pop("choice", {}),
                }
                await reply.send(event(speech.chunks.chunk([choice], **more)))
                await reply.pause(ask.number("interval"))
            await speech.close()

        return scenario(name, description, **TEXT)(play)

    return register


@_beside("logprobs", "logprobs in the choice of each chunk")
def _logprobs(number: int) -> dict[str, Any]:
    one: dict[str, Any] = {
        "token": str(number),
        "logprob": -0.25,
        "bytes": None,
        "top_logprobs": [],
    }
    return {"choice": {"logprobs": {"content": [one], "refusal": None}}}


@_beside("annotations", "a url_citation in the delta of the first chunks (OpenRouter)")
def _annotations(number: int) -> dict[str, Any]:
    cited = [{"type": "url_citation", "url_citation": {**page}} for page in PAGES]
    return {"delta": {"annotations": cited[number : number + 1]}}


@_beside("citations", "citations and search_results in each chunk (Perplexity, xAI)")
def _citations(number: int) -> dict[str, Any]:
    del number
    return {"citations": [page["url"] for page in PAGES], "search_results": [*PAGES]}


@_beside("search-info", "search_info in each chunk (DashScope)")
def _search_info(number: int) -> dict[str, Any]:
    results = [{**page, "index": at + 1, "site_name": "Example"} for at, page in enumerate(PAGES)]
    return {"search_info": {"search_results": results} if number else None}


@_beside("unknown-delta-field", "a field in each delta that nobody knows")
def _unknown(number: int) -> dict[str, Any]:
    return {"delta": {"mood": {"number": number}}, "choice": {"native_finish_reason": None}}


def tool_result(ask: Ask) -> str | None:
    """Return the result of a tool that a request ends with; None if it ends otherwise."""
    messages: object = ask.body.get("messages")
    last: object = (
        cast("list[object]", messages)[-1] if isinstance(messages, list) and messages else None
    )
    if not isinstance(last, dict):
        return None
    fields = cast("dict[str, object]", last)
    content = fields.get("content")
    if fields.get("role") != "tool":
        return None
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def entry(call: Call | None, **fields: object) -> dict[str, Any]:
    """Return one entry of `tool_calls`, with the index of a call if there is one."""
    function = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    place = {} if call is None else {"index": call[0]}
    return {**place, **fields, "type": "function", "function": function}


def _arguments(city: str) -> str:
    return json.dumps({"city": city, "unit": "celsius"}, ensure_ascii=False)


def _cut(call: Call, ask: Ask) -> Iterable[str]:
    return pieces(call[3], size=ask.integer("size"))


def _openai_call(call: Call, ask: Ask) -> list[dict[str, Any]]:
    first = entry(call, id=call[1], name=call[2], arguments="")
    return [first, *({"index": call[0], "function": {"arguments": one}} for one in _cut(call, ask))]


def _openai(ask: Ask) -> list[dict[str, Any]]:
    return [one for call in calls_of(ask) for one in _openai_call(call, ask)]


def _entries(ask: Ask) -> list[dict[str, Any]]:
    return [entry(None, id=call[1], name=call[2], arguments=call[3]) for call in calls_of(ask)]


async def _fragments(
    reply: Reply, ask: Ask, entries: Iterable[dict[str, Any]], *, finish: str = "tool_calls"
) -> None:
    await _chunks(reply, ask, [{"tool_calls": [one]} for one in entries], finish=finish)


async def _chunks(
    reply: Reply, ask: Ask, deltas: Iterable[dict[str, Any]], *, finish: str = "tool_calls"
) -> None:
    """Send deltas, each as a chunk, and end properly."""
    speech = Speech(reply, ask, text="")
    await reply.send(speech.chunks.delta(role="assistant", content=None))
    if thought := ask.string("thought"):
        await reply.send(speech.chunks.thought(thought))
    for delta in deltas:
        await reply.send(speech.chunks.delta(**delta))
        speech.said += 1
        await reply.pause(ask.number("interval"))
    await speech.close(finish)


async def _whole(reply: Reply, ask: Ask) -> None:
    speech = Speech(reply, ask, text="")
    speech.said = 5
    message = {"content": None, "tool_calls": _entries(ask)}
    totals = speech.totals()
    await reply.json(200, speech.chunks.completion(message, finish="tool_calls", totals=totals))


async def _say(reply: Reply, ask: Ask, text: str) -> None:
    speech = Speech(reply, ask, text=text or ANSWER)
    if not ask.stream:
        message = {"content": speech.whole()}
        totals = speech.totals()
        await reply.json(200, speech.chunks.completion(message, finish="stop", totals=totals))
        return
    await reply.send(speech.chunks.role())
    await speech.say()
    await speech.close()
