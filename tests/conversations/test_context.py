"""The history as the routes get it: opened once, and tried again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from stream_serve.conversations.base import Message, Status, Turn
from stream_serve.conversations.context import Conversations
from stream_serve.errors import HistoryUnavailable
from stream_serve.producers.provider import ChatRequest, Model
from support.upstream import ToldProducer
from support.waiting import until

if TYPE_CHECKING:
    from stream_serve.conversations.base import History
    from stream_serve.producers.provider import Provider


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


class Small:
    """A provider whose model has a context of 200 tokens; remembers what it is asked."""

    models = (Model(name="m", default=True),)

    def context_of(self, model: str) -> int | None:
        return 200 if model == "m" else None

    def __init__(self) -> None:
        self.asked: list[ChatRequest] = []

    def ask(self, request: ChatRequest) -> ToldProducer:
        self.asked.append(request)
        return ToldProducer()


def test_the_tools_of_a_question_leave_less_of_the_context_to_the_history() -> None:
    provider = Small()
    conversations = Conversations(lambda: cast("History", Hanging()), tokens=1000)
    path = [
        Message(
            id=str(number),
            parent_id=None,
            role="assistant" if number % 2 else "user",
            content="1234567890",
            status=Status.COMPLETE,
            created_at=0.0,
        )
        for number in range(9)
    ]
    turn = Turn(conversation_id="c", user_message_id="8", answer_id="a", path=path)
    tools = [{"type": "function", "function": {"name": "1" * 60}}]
    for options in ({}, {"tools": tools}):
        request = ChatRequest("m", [], {"max_tokens": 50, **options})
        conversations.ask(cast("Provider", provider), turn, system_prompt=None, request=request)
    without, with_tools = (one.messages for one in provider.asked)
    assert len(without) == 9
    assert 1 < len(with_tools) < 9
