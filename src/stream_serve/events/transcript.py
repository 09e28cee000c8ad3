"""`Transcript`: what a run has said so far, as one fold over its events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from stream_serve.events import usage
from stream_serve.events.types import (
    Chunk,
    End,
    Error,
    Reasoning,
    Source,
    Start,
    ToolArguments,
    ToolCall,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream_serve.events.types import Delta, Event, Usage


class CalledTool(Struct, frozen=True):
    """A tool call as far as it has come. `arguments` is the text of a JSON object, if it is whole."""

    id: str
    name: str
    arguments: str


class Transcript:
    """The text, the reasoning, the tool calls, the start and the end of a run, so far."""

    __slots__ = (
        "_arguments",
        "_calls",
        "_reasoning",
        "_reasoning_pieces",
        "_sources",
        "_text",
        "_text_pieces",
        "end",
        "start",
    )

    def __init__(self) -> None:
        self.start: Start | None = None
        self.end: End | Error | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._text_pieces = self._reasoning_pieces = 0
        self._calls: dict[int, ToolCall] = {}
        self._arguments: dict[int, list[str]] = {}
        self._sources: list[Source] = []

    @classmethod
    def of(cls, events: Iterable[Event]) -> Transcript:
        """Return what some events add up to."""
        transcript = cls()
        for event in events:
            transcript.fold(event)
        return transcript

    def fold(self, event: Event) -> None:
        """Add an event."""
        match event:
            case Start():
                self.start = event
            case End() | Error():
                self.end = event
            case _:
                self.add((event,))

    @property
    def text(self) -> str:
        """The answer's text."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """What a thinking model thought."""
        return "".join(self._reasoning)

    @property
    def tool_calls(self) -> list[CalledTool]:
        """The tool calls, in the order in which they began."""
        return [
            CalledTool(call.id, call.name, "".join(self._arguments[index]))
            for index, call in self._calls.items()
        ]

    @property
    def sources(self) -> list[Source]:
        """The pages that the answer refers to."""
        return list(self._sources)

    def add(self, deltas: Sequence[Delta]) -> None:
        """Add what has come. Arguments of a call that has not begun are left out.

        What comes together is kept as one string: a small one takes ten times the memory of its text.
        """
        text: list[str] = []
        reasoning: list[str] = []
        for delta in deltas:
            if isinstance(delta, Chunk):
                text.append(delta.content)
            elif isinstance(delta, Reasoning):
                reasoning.append(delta.content)
            else:
                self._add_rare(delta)
        if text:
            self._text_pieces += sum(map(bool, text))
            self._text.append("".join(text))
        if reasoning:
            self._reasoning_pieces += sum(map(bool, reasoning))
            self._reasoning.append("".join(reasoning))

    def estimate(self, prompt_tokens: int) -> Usage:
        """Return an estimate of the tokens that were used, for what was asked and what was said."""
        return usage.estimate(
            prompt_tokens=prompt_tokens,
            answer=self.text + "".join(f"{one.name}{one.arguments}" for one in self.tool_calls),
            reasoning=self.reasoning,
            pieces=self.pieces,
        )

    @property
    def pieces(self) -> tuple[int, int]:
        """In how many pieces the answer, with its tool calls, and the reasoning have come."""
        arguments = sum(sum(map(bool, pieces)) for pieces in self._arguments.values())
        return self._text_pieces + arguments, self._reasoning_pieces

    def clear(self) -> None:
        """Let go of the text: whoever needs it reads the log."""
        self._text.clear()
        self._reasoning.clear()
        self._calls.clear()
        self._arguments.clear()
        self._sources.clear()
        self._text_pieces = self._reasoning_pieces = 0

    def _add_rare(self, delta: Delta) -> None:
        match delta:
            case ToolCall(index):
                self._calls[index] = delta
                self._arguments[index] = []
            case ToolArguments(index, content):
                if index in self._arguments:
                    self._arguments[index].append(content)
            case Source():
                self._sources.append(delta)
            case _:
                pass
