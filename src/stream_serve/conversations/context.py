"""Conversations as the routes use them: opens the history, and makes a provider's request of a turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from msgspec import structs

from stream_serve.conversations import prompt, tokens
from stream_serve.conversations.shortening import ShorteningProducer
from stream_serve.producers.provider import sees

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.conversations.base import History, Turn
    from stream_serve.producers.base import Producer
    from stream_serve.producers.provider import ChatRequest, Provider

_ANSWER_SHARE: Final = 4
_log = structlog.stdlib.get_logger("stream_serve.conversations")


class Conversations:
    """A history that is created and opened at its first use.

    `create` is called in a thread, because it may import a large library. `tokens` is the budget for
    the part of the history that goes to the provider.
    """

    def __init__(
        self, create: Callable[[], History], *, tokens: int, closing: float | None = None
    ) -> None:
        self._create = create
        self._tokens = tokens
        self._closing = closing
        self._history: History | None = None
        self._opened: History | None = None
        self._opening: asyncio.Task[History] | None = None

    async def history(self) -> History:
        """Return the open history; the first call opens it, and a call after a failure tries again.

        Calls at the same time share one attempt. Raises `HistoryError`, `SettingsError`. Cancelled, it
        leaves the opening to the other calls and to the next one.
        """
        if self._opened is not None:
            return self._opened
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(), name="open conversations")
            self._opening.add_done_callback(self._tried)
        return await asyncio.shield(self._opening)

    async def close(self) -> None:
        """Close the history if it is open; calls that still go on have `closing` seconds."""
        if self._history is not None:
            await self._history.close(self._closing)

    async def _open(self) -> History:
        if self._history is None:
            self._history = await asyncio.to_thread(self._create)
        await self._history.open()
        await self._history.sweep()
        self._opened = self._history
        return self._opened

    def _tried(self, task: asyncio.Task[History]) -> None:
        self._opening = None
        if not task.cancelled():
            task.exception()  # retrieved here, because a cancelled caller never does

    def ask(
        self, provider: Provider, turn: Turn, *, system_prompt: str | None, request: ChatRequest
    ) -> Producer:
        """Return the producer of the answer to a turn.

        The model gets the system prompt, and as much of the path as fits into the budget and into its
        context, where that is known. If the provider refuses that for its length, it is asked for the
        context, and half is sent, or less if the context says so.
        One that takes no pictures is told where there were some.
        Everything but the messages is that of `request`.
        """
        if not sees(provider.models, request.model):
            turn = structs.replace(turn, path=prompt.without_pictures(turn.path))
        budget = self._budget(provider, request, system_prompt)
        whole = self._request(turn, budget, system_prompt=system_prompt, request=request)

        async def shorten() -> Producer | None:
            if len(turn.path) == 1:
                return None
            await provider.look_up(request.model)
            half = sum(map(tokens.of_message, whole.messages)) // 2
            budget = min(half, self._budget(provider, request, system_prompt))
            less = self._request(turn, budget, system_prompt=system_prompt, request=request)
            return provider.ask(less) if len(less.messages) < len(whole.messages) else None

        return ShorteningProducer(provider.ask(whole), shorten)

    def _budget(self, provider: Provider, request: ChatRequest, system_prompt: str | None) -> int:
        """Return how many tokens of the path may be sent.

        A part of the context is the answer's; the system prompt and what goes with the messages need
        theirs.
        """
        context = provider.context_of(request.model)
        if context is None:
            return self._tokens
        limit = request.options.get("max_tokens")
        answer = limit if isinstance(limit, int) else context // _ANSWER_SHARE
        beside = tokens.of_content(system_prompt or "") + tokens.of_options(request)
        return max(0, min(self._tokens, context - answer - beside))

    def _request(
        self, turn: Turn, budget: int, *, system_prompt: str | None, request: ChatRequest
    ) -> ChatRequest:
        messages = prompt.messages(turn.path, budget)
        asked = prompt.asked(turn.path)
        if asked > budget:
            _log.warning(
                "a question alone is beyond the budget of the history; it is sent whole, and without "
                "any history",
                conversation_id=turn.conversation_id,
                tokens=asked,
                budget=budget,
            )
        if system_prompt is not None:
            messages.insert(0, {"role": "system", "content": system_prompt})
        return structs.replace(request, messages=messages)
