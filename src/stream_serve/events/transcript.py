"""`Transcript`: what a run has said so far, as one fold over its events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_serve.events import usage
from stream_serve.events.types import Chunk, End, Error, Reasoning, Start

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream_serve.events.types import Delta, Event, Usage


class Transcript:
    """The text, the reasoning, the start and the end of a run, as far as they have come."""

    __slots__ = ("_reasoning", "_text", "end", "start")

    def __init__(self) -> None:
        self.start: Start | None = None
        self.end: End | Error | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []

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
            case Chunk() | Reasoning():
                self.add((event,))
            case Start():
                self.start = event
            case End() | Error():
                self.end = event

    @property
    def text(self) -> str:
        """The answer's text."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """What a thinking model thought."""
        return "".join(self._reasoning)

    def add(self, deltas: Sequence[Delta]) -> None:
        """Add what has come."""
        for delta in deltas:
            (self._text if isinstance(delta, Chunk) else self._reasoning).append(delta.content)

    def estimate(self, prompt_tokens: int) -> Usage:
        """Return an estimate of the tokens that were used, for what was asked and what was said."""
        return usage.estimate(
            prompt_tokens=prompt_tokens,
            answer=self.text,
            reasoning=self.reasoning,
            pieces=self.pieces,
        )

    @property
    def pieces(self) -> tuple[int, int]:
        """In how many pieces the answer and the reasoning have come."""
        return sum(map(bool, self._text)), sum(map(bool, self._reasoning))

    def clear(self) -> None:
        """Let go of the text: whoever needs it reads the log."""
        self._text.clear()
        self._reasoning.clear()
