"""Conversations as the routes use them: opens the history, and cuts it for the provider."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import structs

from stream_serve.events import usage
from stream_serve.producers.provider import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_serve.conversations.base import History, Message, Turn
    from stream_serve.producers.provider import ChatRequest

Content = str | list[dict[str, object]]


class Conversations:
    """A history that is created and opened at its first use.

    `create` is called in a thread, because it may import a large library. `tokens` is the budget for
    the part of the history that goes to the provider.
    """

    def __init__(self, create: Callable[[], History], *, tokens: int) -> None:
        self._create = create
        self._tokens = tokens
        self._history: History | None = None
        self._opened: History | None = None
        self._opening = asyncio.Lock()

    async def history(self) -> History:
        """Return the open history; the first call opens it, and a call after a failure tries again.

        Raises `HistoryError`, `SettingsError`. Cancelled, it leaves the opening to the next call.
        """
        if self._opened is None:
            async with self._opening:
                if self._opened is None:
                    if self._history is None:
                        self._history = await asyncio.to_thread(self._create)
                    await self._history.open()
                    await self._history.sweep()
                    self._opened = self._history
        return self._opened

    async def close(self) -> None:
        """Close the history if it is open."""
        if self._history is not None:
            await self._history.close()

    def request(
        self, turn: Turn, *, system_prompt: str | None, request: ChatRequest
    ) -> ChatRequest:
        """Return the provider request for a turn: the system prompt, and its path cut to the budget.

        Everything but the messages is that of `request`.
        """
        system: list[dict[str, object]] = []
        if system_prompt is not None:
            system.append({"role": "system", "content": system_prompt})
        return structs.replace(
            request, messages=[*system, *trim(provider_messages(turn.path), self._tokens)]
        )


def provider_messages(path: Sequence[Message]) -> list[dict[str, object]]:
    """Return the messages of a path in OpenAI's format, without those that have no content."""
    return [
        {"role": message.role, "content": message.content} for message in path if message.content
    ]


def trim(messages: list[dict[str, object]], tokens: int) -> list[dict[str, object]]:
    """Return the newest messages whose estimated tokens fit into `tokens`.

    Messages are never cut, and the last one always stays, however long it is.
    """
    kept = len(messages) - 1
    left = tokens - _cost(messages[kept]) if messages else 0
    while kept > 0 and (left := left - _cost(messages[kept - 1])) >= 0:
        kept -= 1
    return messages[max(kept, 0) :]


def _cost(message: dict[str, object]) -> int:
    return usage.count(text_of(message["content"]))
