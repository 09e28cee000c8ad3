"""The history as the routes get it: opened once, and tried again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from stream_serve.conversations.context import Conversations
from stream_serve.errors import HistoryUnavailable
from support.waiting import until

if TYPE_CHECKING:
    from stream_serve.conversations.base import History


class Hanging:
    """A history whose opening waits until it replies."""

    def __init__(self) -> None:
        self.attempts = 0
        self.there = False
        self.replies = asyncio.Event()

    async def open(self) -> None:
        self.attempts += 1
        await self.replies.wait()
        if not self.there:
            raise HistoryUnavailable("away")

    async def sweep(self) -> int:
        return 0

    async def close(self, patience: float | None = None) -> None:
        del patience


async def test_calls_that_wait_for_the_database_share_one_attempt_to_open_it() -> None:
    hanging = Hanging()
    conversations = Conversations(lambda: cast("History", hanging), tokens=100)
    calls = [asyncio.ensure_future(conversations.history()) for _ in range(20)]
    await until(lambda: hanging.attempts == 1)
    hanging.replies.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, HistoryUnavailable) for one in results)
    assert hanging.attempts == 1
    hanging.there = True
    assert await conversations.history() is cast("History", hanging)
    assert hanging.attempts == 2


async def test_a_call_that_is_cancelled_leaves_the_opening_to_the_others() -> None:
    hanging = Hanging()
    hanging.there = True
    conversations = Conversations(lambda: cast("History", hanging), tokens=100)
    first = asyncio.create_task(conversations.history())
    second = asyncio.create_task(conversations.history())
    await until(lambda: hanging.attempts == 1)
    first.cancel()
    hanging.replies.set()
    assert await second is cast("History", hanging)
    with pytest.raises(asyncio.CancelledError):
        await first
    assert hanging.attempts == 1
