"""The dialects beside the native format: one service, asked at each door, and one run read in each.

How it works: the doors take turns, several times, in one process of the service, so that what slows a
moment slows them all. Of each door the least counts: other work on the machine only adds. The start and
the end of the streams are included, since that is where dialects differ most. A door that stores its
answers by itself is asked both ways: beside the native door as it is, and beside one with a conversation.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bench.http_client import Request
from bench.measure import MICRO, Cost
from bench.targets import OURS
from bench.tools import Load, ask, read_load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.measure import Sample, Stage
    from bench.tools import LoadReport

Json = dict[str, Any]

STREAMS: Final = 100
TOKENS: Final = 100
_RATE: Final = 50.0
_ARRIVAL: Final = 100.0
_SPREAD: Final = 600.0
_SECONDS: Final = 30.0
_TURNS: Final = 3
_WORDS: Final = "Tell me about streams."
_EACH: Final = "########"
"""The load generator puts the number of each stream here."""


@dataclass(frozen=True)
class Door:
    """A way to get a run's events: `asked` returns the body for what is wanted of the upstream.

    Without it the door reads a run, and `path` is the dialect. A stream brings each token `copies` times.
    `beside` is the native door that does the same.
    """

    name: str
    path: str
    asked: Callable[[str], Json] | None = None
    copies: int = 1
    beside: str = "native"


def _said(**fields: object) -> list[Json]:
    return [{"role": "user", **fields}]


def _native(wish: str) -> Json:
    return {"message": _WORDS, "model": wish}


def _native_kept(wish: str) -> Json:
    return {**_native(wish), "conversationId": "new"}


def _chat(wish: str) -> Json:
    usage = {"include_usage": True}
    body: Json = {"model": wish, "messages": _said(content=_WORDS), "stream": True}
    return {**body, "stream_options": usage}


def _prompt(wish: str) -> Json:
    return {"model": wish, "prompt": _WORDS, "stream": True}


def _response(wish: str) -> Json:
    return {"model": wish, "input": _WORDS, "stream": True}


def _response_once(wish: str) -> Json:
    return {**_response(wish), "store": False}


def _ui(wish: str) -> Json:
    messages = _said(id="m1", parts=[{"type": "text", "text": _WORDS}])
    body: Json = {"id": _fresh(), "messages": messages, "trigger": "submit-message"}
    return {**body, "model": wish}


def _ui_once(wish: str) -> Json:
    return {**_ui(wish), "store": False}


def _agent(wish: str) -> Json:
    nothing: Json = {"state": {}, "tools": [], "context": []}
    messages = _said(id="m1", content=_WORDS)
    body: Json = {"threadId": _fresh(), "runId": _fresh(), "messages": messages, **nothing}
    return {**body, "forwardedProps": {"model": wish}}


def _fresh() -> str:
    """Return an id, another one for each stream."""
    return f"{secrets.token_hex(8)}-{_EACH}"


_REPEATED: Final = 5
"""Responses says the text as deltas, and whole in the ends of the text, the part, the item and all."""

_ASKED: Final = (
    Door("native", OURS.path, _native),
    Door("chat-completions", "/v1/chat/completions", _chat),
    Door("completions", "/v1/completions", _prompt),
    Door("responses", "/v1/responses", _response_once, _REPEATED),
    Door("ai-sdk", "/api/chat", _ui_once),
    Door("ag-ui", "/ag-ui", _agent),
)
_KEPT: Final = (
    Door("native-kept", OURS.path, _native_kept, beside="native-kept"),
    Door("responses-kept", "/v1/responses", _response, _REPEATED, beside="native-kept"),
    Door("ai-sdk-kept", "/api/chat", _ui, beside="native-kept"),
)
_READ: Final = tuple(
    Door(f"{one.name}-read", one.name, copies=one.copies, beside="native-read") for one in _ASKED
)
DOORS: Final[Sequence[Door]] = (*_ASKED, *_KEPT, *_READ)


def dialects(stage: Stage) -> Sample:
    """100 streams of 100 tokens at each door, and 100 readers of one such run: CPU a token."""
    sample: Sample = {"failed_streams": 0.0}
    for turn in range(_TURNS + 1):
        for door in DOORS:
            cost, failed = _measure(stage, door)
            sample["failed_streams"] += failed
            name = f"{door.name}_us"
            if turn:  # the first turn is for what a process makes once
                sample[name] = min(cost, sample.get(name, cost))
    return sample


def _measure(stage: Stage, door: Door) -> tuple[float, int]:
    """Return the CPU a token in microseconds, and how many streams did not bring all of them."""
    cost = Cost(stage.server)
    report = _asked(stage, door) if door.asked else _read(stage, door)
    return cost.seconds / max(report.tokens / door.copies, 1) * MICRO, report.failed


def _asked(stage: Stage, door: Door) -> LoadReport:
    """Start a run for each stream."""
    asked = door.asked or _native
    body = msgspec.json.encode(asked(ask(tokens=TOKENS, rate=_RATE))).decode()
    return read_load(stage.start(_load(stage, door, door.path, _ARRIVAL, body)))


def _read(stage: Stage, door: Door) -> LoadReport:
    """Start one run, and read it with all streams."""
    run_id = f"bench-{secrets.token_hex(8)}"
    wish = ask(tokens=TOKENS, rate=_RATE)
    run = Request(stage.port, OURS.path, OURS.body(wish, runId=run_id, onDisconnect="continue"))
    run.read_until(b"t=")
    path = f"/ai/runs/{run_id}/events?dialect={door.path}"
    report = read_load(stage.start(_load(stage, door, path, _SPREAD)))
    run.close()
    return report


def _load(stage: Stage, door: Door, path: str, arrival: float, body: str = "") -> Load:
    return Load(
        port=stage.port,
        path=path,
        method="POST" if body else "GET",
        body=body,
        streams=STREAMS,
        arrival=arrival,
        tokens=TOKENS * door.copies,
        seconds=_SECONDS,
    )
