"""Storing answers in a place that hangs, fails and heals; on a clock that never waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from stream_serve.conversations.context import Conversations
from stream_serve.conversations.recorder import Persistence, Recorder
from stream_serve.errors import HistoryUnavailable
from stream_serve.events.transcript import CalledTool, Transcript
from stream_serve.events.types import (
    End,
    Error,
    MessageRef,
    Source,
    Start,
    ToolArguments,
    ToolCall,
)
from stream_serve.runs.spec import Plan, RunSpec
from support.runs import Harness, read
from support.upstream import ToldProvider

if TYPE_CHECKING:
    from stream_serve.conversations.base import Answer, History
    from stream_serve.events.types import Event
    from stream_serve.runs.subscription import Subscription

pytestmark = [pytest.mark.fast, pytest.mark.simulated_time]

REF = MessageRef(conversation_id="c", user_message_id="q", answer_id="a")


class HangingHistory:
    """Keeps what it is given, but only while `open` is set; it fails while `broken` is true."""

    def __init__(self) -> None:
        self.stored: list[Answer] = []
        self.attempts = 0
        self.there = asyncio.Event()
        self.broken = False

    async def touch(self, _ref: MessageRef, _answer: Answer) -> None:
        await self.there.wait()

    async def finish(self, ref: MessageRef, answer: Answer) -> bool:
        assert ref == REF
        self.attempts += 1
        if self.broken:
            raise HistoryUnavailable("the disk is full")
        await self.there.wait()
        self.stored.append(answer)
        return True


class Opened(Conversations):
    """Conversations whose history is open already: opening it takes a thread."""

    def __init__(self, history: HangingHistory) -> None:
        super().__init__(lambda: cast("History", history), tokens=1000)
        self._there = cast("History", history)

    async def history(self) -> History:
        return self._there


class Desk:
    """Runs whose answers a recorder stores in a history that hangs."""

    def __init__(self, **persistence: Any) -> None:
        self.history = HangingHistory()
        self.provider = ToldProvider()
        self.recorder = Recorder(
            Opened(self.history), interval=1.0, persistence=Persistence(**persistence)
        )
        self.runs = Harness(self.provider, observers=[self.recorder]).runs

    async def start(self) -> Subscription:
        async def prepare(run_id: str) -> Plan:
            return Plan(self.provider.ask(), REF)

        return await self.runs.start(RunSpec(prepare=prepare), owner=None)

    async def finished(self, deltas: int = 3) -> Event:
        """Have an answer finished; return the last event of its run."""
        subscription = await self.start()
        for order in (deltas, "finish"):
            self.provider.producers[-1].orders.put_nowait(order)
        return (await read(subscription))[-1]

    async def close(self) -> None:
        await self.runs.close()
        await self.recorder.close()


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_the_end_waits_for_a_database_that_hangs_no_longer_than_it_may() -> None:
    desk = Desk(saving=0.25)
    since = now()
    last = await desk.finished()
    assert isinstance(last, End)
    assert last.saved is False
    assert now() - since == 0.25
    desk.history.there.set()
    await asyncio.sleep(0)
    await desk.close()
    assert [answer.content for answer in desk.history.stored] == ["0 1 2 "]


async def test_so_does_the_receipt_of_a_stop() -> None:
    desk = Desk(saving=0.25)
    subscription = await desk.start()
    since = now()
    receipt = await desk.runs.stop(subscription.run_id, owner=None)
    assert receipt.outcome == "stopped"
    assert now() - since == 0.25
    last = (await read(subscription))[-1]
    assert isinstance(last, End)
    assert last.saved is False
    await desk.close()


async def test_a_database_that_fails_is_not_waited_for_and_gets_the_answer_when_it_heals() -> None:
    desk = Desk(saving=8.0)
    desk.history.broken = True
    since = now()
    last = await desk.finished()
    assert isinstance(last, End)
    assert last.saved is False
    assert now() == since
    await asyncio.sleep(20)
    assert desk.history.attempts > 3
    desk.history.broken = False
    desk.history.there.set()
    await asyncio.sleep(20)
    assert [answer.content for answer in desk.history.stored] == ["0 1 2 "]
    await desk.close()


async def test_the_end_of_the_process_waits_for_a_hanging_database_no_longer_than_it_may() -> None:
    desk = Desk(saving=0.25, closing=0.5)
    await desk.finished()
    await desk.runs.close()
    since = now()
    await desk.recorder.close()
    assert now() - since == 0.5
    assert desk.history.stored == []


async def test_what_is_beyond_the_bytes_that_may_wait_is_not_tried_again() -> None:
    desk = Desk(saving=0.25, bytes=20)
    desk.history.broken = True
    for _ in range(3):
        await desk.finished()
    desk.history.broken = False
    desk.history.there.set()
    await asyncio.sleep(20)
    assert len(desk.history.stored) == 1, "the first one has room, the others have none"
    await desk.close()


async def test_calls_and_sources_are_stored_when_a_run_is_recovered() -> None:
    desk = Desk()
    desk.history.there.set()
    call, source = ToolCall(0, "a", "weather"), Source("https://a.example")
    start = Start.of("run", "m", REF)
    said = Transcript.of([start, call, ToolArguments(0, '{"ci'), source])
    error = Error(message="gone", code="run_interrupted", retryable=True)
    storing = desk.recorder.recovered("run", said, error)
    assert storing is not None
    assert await storing
    (answer,) = desk.history.stored
    assert answer.tool_calls == [CalledTool("a", "weather", '{"ci')]
    assert answer.sources == [source]
    await desk.close()
