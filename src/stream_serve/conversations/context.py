"""Conversations as runs see them: what a turn stores, and what of its history a provider is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stream_serve.events import usage
from stream_serve.producers.base import ChatRequest, text_of
from stream_serve.runs.run import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.conversations.base import History, Message, Turn

Content = str | list[dict[str, object]]


class Conversations:
    """The conversations of a history, which is opened at its first use.

    `tokens` is the budget for the history that goes to the provider.
    """

    def __init__(self, history: History, *, tokens: int) -> None:
        self._history = history
        self._tokens = tokens
        self._opened = False
        self._opening = asyncio.Lock()

    async def history(self) -> History:
        """Give the history, opened. Raises `HistoryError`."""
        if not self._opened:
            async with self._opening:
                if not self._opened:
                    await self._history.open()
                    await self._history.sweep()
                    self._opened = True
        return self._history

    async def close(self) -> None:
        """Close the history if it was opened."""
        if self._opened:
            await self._history.close()

    def task(self, turn: Turn, *, system_prompt: str, request: ChatRequest) -> Task:
        """Give the run's task: the turn's history, cut to the budget, behind the system prompt."""
        system: list[dict[str, object]] = [{"role": "system", "content": system_prompt}]
        return Task(
            ChatRequest(
                model=request.model,
                messages=[*system, *trim(told(turn.path), self._tokens)],
                options=request.options,
            ),
            turn,
        )


def told(path: Sequence[Message]) -> list[dict[str, object]]:
    """Put the messages of a path in the provider's words; answers without text are left out."""
    return [
        {"role": message.role, "content": message.content} for message in path if message.content
    ]


def trim(messages: list[dict[str, object]], tokens: int) -> list[dict[str, object]]:
    """Drop whole messages, oldest first, until the estimate is within the budget.

    The last message always stays, however long it is.
    """
    kept = len(messages) - 1
    left = tokens - _cost(messages[kept]) if messages else 0
    while kept > 0 and (left := left - _cost(messages[kept - 1])) >= 0:
        kept -= 1
    return messages[max(kept, 0) :]


def _cost(message: dict[str, object]) -> int:
    return usage.count(text_of(message["content"]))
