"""Whatever a provider sends, in any order: no text is lost or doubled, and no cut is called whole."""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hypothesis import example, given
from hypothesis import strategies as st

from stream_serve.events.types import Chunk, End, Error, Reasoning, ToolArguments, ToolCall
from stream_serve.producers.openai.endpoint import Traits
from stream_serve.testing.scenarios.endings import SHAPES
from support.body import events_of, producer, text_of
from support.chunks import choice, wire
from support.properties import steady
from support.simulated import SimulatedLoop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.body import Last

DOCUMENTED = {"stop", "length", "tool_calls", "content_filter"}
ODD: dict[str, object] = {
    "content": "O ",
    "role": 7,
    "tool_calls": "x",
    "annotations": [[]],
    "audio": 1,
}
PARTS: list[object] = [
    {"type": "image_url", "image_url": {"url": "x"}},
    {"type": "citation", "n": 1},
]
CHUNKS: dict[str, Any] = {
    "f": choice({}, "stop"),
    "l": choice({}, "MAX_TOKENS"),
    "u": choice({}, "stand_by"),
    "x": choice({}, "abort"),
    "0": choice({"role": "assistant", "content": ""}, ""),
    "k": {},
    "#": {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}},
    "p": {"type": "ping"},
    "i": choice({"content": PARTS}),
    "y": choice({}, 7),
    "e": {"error": {"message": "no"}},
    "E": {"choices": [{"delta": {}, "finish_reason": "error", "error": {"message": "no"}}]},
    "w": choice({"content": {"odd": "words"}}),
    "v": {"choices": "words"},
}
WORDS = {
    "P": b"ping",
    "D": b"[DONE]",
    "b": b'{"choices":[{"delta":{"con',
    "B": b'tent":"x"}}]}',
    "N": b'event: error\ndata: {"odd": "sorry"}',
    "J": b'{"error": "no"}',
    ":": b": beat",
}
SHAPED = {chr(ord("α") + number): shape for number, shape in enumerate(SHAPES.values())}
TEXTS, ENDS = "tsoM", "flus"
ERRORS = "eENJ" + "".join(SHAPED)
LOST = "wvbB"
STEPS = TEXTS + "hm" + "".join(CHUNKS) + "".join(WORDS) + "".join(SHAPED)


def events(steps: str) -> list[bytes]:
    """The events of the steps, as lines; texts are numbered, and messages repeat all texts so far."""
    lines: list[bytes] = []
    said = ""
    for number, step in enumerate(steps):
        piece = f"{number} "
        if step in "ts":
            lines.append(wire(choice({"content": piece}, "stop" if step == "s" else None)))
        elif step == "o":
            odd: dict[str, object] = {
                "delta": {**ODD, "content": piece},
                "index": {},
                "logprobs": 1,
            }
            lines.append(wire({"choices": [odd]}))
        elif step in "mM":
            whole = said + (piece if step == "M" else "")
            lines.append(wire({"choices": [{"index": 0, "message": {"content": whole}}]}))
        elif step == "k":
            function = {"name": "f", "arguments": piece}
            call = {"index": number, "id": f"call_{number}", "function": function}
            lines.append(wire(choice({"tool_calls": [call]})))
        elif step == "h":
            lines.append(wire(choice({"reasoning": {"text": piece}})))
        elif step in SHAPED:
            lines.append(SHAPED[step].strip())
            continue
        else:
            lines.append(WORDS[step] if step in WORDS else wire(CHUNKS[step]))
        if step in TEXTS:
            said += piece
        if not lines[-1].startswith((b"event", b":")) and step != "J":
            lines[-1] = b"data: " + lines[-1]
    return lines


def text_of_steps(steps: str, kinds: str) -> str:
    return "".join(f"{number} " for number, step in enumerate(steps) if step in kinds)


def is_whole(read: str, last: Last, *, done: bool, require_finish: bool) -> bool:
    """Whether the provider said that the answer ended, in a way that cannot be a cut."""
    if set(read) & set(ERRORS + LOST + "x"):
        return False
    if not set(read) & set(ENDS):
        return done and not require_finish and bool(set(read) & set(TEXTS + "h0kiyom"))
    if done or last == "end":
        return True
    after = re.split(f"[{ENDS}]", read)
    settled = not set(after[-1]) & set(TEXTS + "hkwiB")
    if last == "cut":
        doubtful = any(set(part) & set(TEXTS + "hki") for part in after[1:]) or "s" in re.sub(
            f"^[^{ENDS}]*[{ENDS}]", "", read
        )
        return settled and not doubtful
    ended = re.sub("[^flus]", "", read)
    return settled and (bool(set(read) & set(TEXTS + "hk")) or "l" in ended)


def check(steps: str, last: Last, way: str, places: Sequence[int], *, require_finish: bool) -> None:
    between = b"\n" if way == "lines" else b"\n\n"
    stream = b"".join(line + between for line in events(steps))
    if way == "bare":
        stream = re.sub(rb"data: (?=\{)", b"", stream)
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(edges)]
    traits = Traits(require_finish=require_finish)
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:

        async def run() -> list[Any]:
            return list(await events_of(producer(pieces, last, traits=traits)))

        came = runner.run(run())
    read, done, _ = (
        re.split(f"([D{ERRORS}])", steps, maxsplit=1)
        if re.search(f"[D{ERRORS}]", steps)
        else (steps, "", "")
    )
    read += done.replace("D", "")
    assert text_of(came, Chunk) == text_of_steps(read, TEXTS)
    assert text_of(came, Reasoning) == text_of_steps(read, "h")
    assert text_of(came, ToolArguments) == text_of_steps(read, "k")
    assert len([one for one in came if isinstance(one, ToolCall)]) == len(re.sub("[^k]", "", read))
    assert [isinstance(one, End | Error) for one in came] == [False] * (len(came) - 1) + [True]
    whole = is_whole(read, last, done=done == "D", require_finish=require_finish)
    assert isinstance(came[-1], End) is whole, came[-1]
    if isinstance(came[-1], End):
        known = DOCUMENTED if require_finish else {*DOCUMENTED, "unknown"}
        assert came[-1].finish_reason in known


def sensible(steps: str) -> str:
    """Leave out a message before any delta, which would be a delta itself."""
    first = next((at for at, step in enumerate(steps) if step in "tsoh"), len(steps))
    return re.sub("[mM]", "", steps[:first]) + steps[first:]


@steady(6)
@given(
    st.text(STEPS, max_size=9).map(sensible),
    st.sampled_from(["end", "cut", "silence"]),
    st.sampled_from(["standard", "lines", "bare"]),
    st.lists(st.integers(0, 10_000), max_size=3),
    st.booleans(),
)
@example("tbBtfD", "end", "standard", [], True)
@example("tfmD", "cut", "standard", [], True)
@example("tfN", "silence", "standard", [], True)
@example("tDN", "end", "standard", [], False)
@example("tPtfD", "end", "lines", [], True)
@example("h0fD", "end", "bare", [3], True)
def test_in_any_order_no_text_is_lost_or_doubled_and_no_cut_is_called_whole(
    steps: str,
    last: Last,
    way: str,
    places: list[int],
    require_finish: bool,
) -> None:
    check(steps, "end" if way == "lines" else last, way, places, require_finish=require_finish)
