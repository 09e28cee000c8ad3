"""The runs of a chat, found by the chat's id."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stream_serve.cluster.local import LocalIndex
from stream_serve.errors import StoppedEarly
from stream_serve.web.chats import Chats
from support.runs import Harness, read
from support.upstream import ToldProvider

if TYPE_CHECKING:
    from stream_serve.runs.subscription import Subscription

CHAT = "a/b"
FIRST, SECOND = "run-one-0123456789", "run-two-0123456789"


def told() -> tuple[Harness, ToldProvider, Chats]:
    provider = ToldProvider()
    harness = Harness(provider)
    return harness, provider, Chats(LocalIndex(ttl=60), harness.runs)


async def start(
    harness: Harness, chats: Chats, run_id: str, *, owner: str | None = None, turns: int = 0
) -> Subscription:
    await chats.begin(CHAT, run_id, owner=owner)
    spec = harness.spec(run_id, turns_to_prepare=turns)
    return await harness.runs.start(spec, owner=owner)


async def test_a_chat_has_the_newest_run_that_goes_on() -> None:
    harness, provider, chats = told()
    assert await chats.live(CHAT, owner=None) is None
    one = await start(harness, chats, FIRST)
    other = await start(harness, chats, SECOND)
    assert await chats.live(CHAT, owner=None) == SECOND
    provider.producers[1].orders.put_nowait("finish")
    await read(other)
    assert await chats.live(CHAT, owner=None) == FIRST
    receipt = await chats.stop(CHAT, owner=None)
    assert receipt is not None
    assert (receipt.run_id, receipt.outcome) == (FIRST, "stopped")
    await read(one)
    assert await chats.live(CHAT, owner=None) is None


async def test_a_run_that_is_being_started_is_waited_for() -> None:
    harness, _, chats = told()
    starting = asyncio.create_task(start(harness, chats, FIRST, turns=20))
    await asyncio.sleep(0)
    assert await chats.live(CHAT, owner=None) == FIRST
    (await starting).close()


async def test_a_stop_overtakes_the_start_of_a_run() -> None:
    harness, provider, chats = told()
    await chats.begin(CHAT, FIRST, owner=None)
    assert await chats.stop(CHAT, owner=None) is None
    with pytest.raises(StoppedEarly):
        await harness.runs.start(harness.spec(FIRST), owner=None)
    assert provider.producers == []


async def test_a_start_that_fails_leaves_the_run_before_it() -> None:
    harness, _, chats = told()
    subscription = await start(harness, chats, FIRST)
    await chats.begin(CHAT, SECOND, owner=None)
    assert await chats.live(CHAT, owner=None) == FIRST
    subscription.close()


async def test_only_the_named_run_is_stopped_if_it_is_the_chats() -> None:
    harness, _, chats = told()
    subscription = await start(harness, chats, FIRST)
    assert await chats.stop(CHAT, owner=None, only=SECOND) is None
    assert await chats.stop("another", owner=None, only=FIRST) is None
    assert await chats.live(CHAT, owner=None) == FIRST
    receipt = await chats.stop(CHAT, owner=None, only=FIRST)
    assert receipt is not None
    await read(subscription)


async def test_each_owner_has_chats_of_its_own() -> None:
    harness, _, chats = told()
    subscription = await start(harness, chats, FIRST, owner="ann")
    assert await chats.live(CHAT, owner="ann") == FIRST
    assert await chats.live(CHAT, owner="bob") is None
    assert await chats.live(CHAT, owner=None) is None
    assert await chats.stop(CHAT, owner="bob") is None
    assert await chats.live(CHAT, owner="ann") == FIRST
    subscription.close()
