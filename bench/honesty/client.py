"""A client of a stream that is careful: it notes all that it is told, and judges by that."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_DONE: Final = "[DONE]"
_FAILING: Final = frozenset({"error", "abort"})


class Verdict(StrEnum):
    """What a client may conclude."""

    COMPLETE = "complete"
    UNSAID = "ends"
    """The stream ends as a whole answer does, but for the finish reason."""
    ERROR = "error"
    CUT = "cut"
    """The connection broke off."""
    WAITS = "still waiting"
    """The client gave up before an end came."""


@dataclass
class Seen:
    """What came of one question."""

    status: int = 0
    text: str = ""
    finish: str | None = None
    done: bool = False
    error: str | None = None
    broken: bool = False
    patient: bool = True
    """Whether the client waited until the end."""
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """Judge as an official client does: what is an error first, and then whether it ended."""
        if self.error is not None or self.status >= 400 or self.finish in _FAILING:
            return Verdict.ERROR
        if not self.patient:
            return Verdict.WAITS
        if self.broken and not self.done:
            return Verdict.CUT
        return Verdict.UNSAID if self.finish is None else Verdict.COMPLETE


@dataclass(frozen=True)
class Door:
    """Where to ask, and in which format: OpenAI's, or our service's own (`native`)."""

    url: str
    native: bool

    def body(self, model: str) -> dict[str, Any]:
        """Return a question to a model."""
        if self.native:
            return {"message": "Hi", "model": model}
        return {"model": model, "messages": [{"role": "user", "content": "Hi"}], "stream": True}

    def note(self, data: str, seen: Seen) -> None:
        """Note what one event says."""
        if data == _DONE:
            seen.done = True
            return
        try:
            event = json.loads(data)
        except ValueError:
            return  # what a client cannot read, it does not show
        if isinstance(event, dict):
            note = _note_native if self.native else _note_chunk
            note(cast("dict[str, Any]", event), seen)


def _note_native(event: dict[str, Any], seen: Seen) -> None:
    match event.get("type"):
        case "chunk":
            seen.text += event["content"]
        case "end":
            seen.finish, seen.done = event["finishReason"], True
        case "error":
            seen.error = event["code"]
        case _:
            pass


def _note_chunk(event: dict[str, Any], seen: Seen) -> None:
    if event.get("error"):
        seen.error = str(event["error"])
    choices = cast("list[dict[str, Any]]", event.get("choices") or [])
    for choice in choices:
        delta = cast("dict[str, Any]", choice.get("delta") or {})
        seen.text += delta.get("content") or ""
        seen.finish = choice.get("finish_reason") or seen.finish


async def ask(session: aiohttp.ClientSession, door: Door, model: str, patience: float) -> Seen:
    """Ask, and read to the end, for `patience` seconds at most."""
    seen = Seen()
    begin = time.monotonic()
    try:
        async with (
            asyncio.timeout(patience),
            session.post(door.url, json=door.body(model)) as response,
        ):
            seen.status = response.status
            async for data in events(response):
                door.note(data, seen)
    except TimeoutError:
        seen.patient = False
    except aiohttp.ClientError:
        seen.broken = True
    seen.seconds = time.monotonic() - begin
    return seen


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[str]:
    """Return the data of each event that came whole, as the specification has it."""
    data: list[str] = []
    async for raw in response.content:
        line = raw.decode(errors="replace").rstrip("\r\n")
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif not line and data:
            yield "\n".join(data)
            data.clear()
