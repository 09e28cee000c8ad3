"""What few answers have: tool calls, and what a provider sends beside the answer's parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_serve.producers.openai.extras import Extras
from stream_serve.producers.openai.tool_calls import ToolCalls

if TYPE_CHECKING:
    from stream_serve.events.types import Delta
    from stream_serve.producers.openai.odd import Unread


class RareParts:
    """The tool calls and the extras of one answer, each made when it is asked for first."""

    __slots__ = ("_calls", "_extras", "_unread")

    def __init__(self, unread: Unread) -> None:
        self._unread = unread
        self._calls: ToolCalls | None = None
        self._extras: Extras | None = None

    @property
    def calls(self) -> ToolCalls:
        """The tool calls."""
        if self._calls is None:
            self._calls = ToolCalls(self._unread)
        return self._calls

    @property
    def extras(self) -> Extras:
        """What comes beside the answer."""
        if self._extras is None:
            self._extras = Extras(self._unread)
        return self._extras

    @property
    def called(self) -> bool:
        """Whether a tool call has begun."""
        return self._calls is not None and self._calls.begun > 0

    def rest(self, deltas: list[Delta]) -> None:
        """Append the deltas for what is held back at the end of the stream."""
        if self._calls is not None:
            self._calls.rest(deltas)
        if self._extras is not None:
            deltas += self._extras.rest()
