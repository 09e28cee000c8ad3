"""The runs of a chat, found by the chat's id."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stream_serve.cluster.index import KEPT, never
from stream_serve.cluster.local import LocalIndex
from stream_serve.errors import StoppedEarly
from stream_serve.web.chats import Chats
from support.runs import Harness, read
from support.upstream import ToldProvider

if TYPE_CHECKING:
    from stream_serve.cluster.index import Lasts
    from stream_serve.runs.subscription import Subscription

CHAT = "a/b"
FIRST, SECOND = "run-one-0123456789", "run-two-0123456789"


def told() -> tuple[Harness, ToldProvider, Chats]:
    provider = ToldProvider()
    harness = Harness(provider)
    return harness, provider, Chats(LocalIndex(ttl=60), harness.runs)


class Recorded(LocalIndex):
    """An index of which the only name's values are known."""

    def __init__(self) -> None:
        super().__init__(ttl=60)
        self.name = ""

    async def record(self, name: str, value: str, *, lasts: Lasts = never) -> list[str]:
        self.name = name
        return await super().record(name, value, lasts=lasts)

    async def all(self) -> list[str]:
        return await self.newest(self.name)


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


async def test_runs_that_are_over_hide_none_that_goes_on_and_are_dropped() -> None:
    harness, provider, _ = told()
    index = Recorded()
    chats = Chats(index, harness.runs)
    live = await start(harness, chats, FIRST)
    for number in range(3 * KEPT):
        over = await start(harness, chats, f"over-{number}-0123456789")
        provider.producers[-1].orders.put_nowait("finish")
        await read(over)
    assert await chats.live(CHAT, owner=None) == FIRST
    assert len(await index.all()) == KEPT + 1
    receipt = await chats.stop(CHAT, owner=None)
    assert receipt is not None
    assert (receipt.run_id, receipt.outcome) == (FIRST, "stopped")
    live.close()


async def test_none_of_many_runs_that_go_on_is_hidden() -> None:
    harness, provider, _ = told()
    index = Recorded()
    chats = Chats(index, harness.runs)
    runs = [f"many-{number}-0123456789" for number in range(5 * KEPT)]
    for run_id in runs:
        await start(harness, chats, run_id)
    assert sorted(await index.all()) == sorted(runs)
    await chats.stop(CHAT, owner=None)
    assert await chats.live(CHAT, owner=None) is None
    assert len(provider.producers) == len(runs)


async def test_a_run_that_is_joined_again_and_again_has_a_few_records() -> None:
    harness, _, _ = told()
    index = Recorded()
    chats = Chats(index, harness.runs)
    subscription = await start(harness, chats, FIRST)
    for _ in range(5 * KEPT):
        await chats.begin(CHAT, FIRST, owner=None)
    assert len(await index.all()) == 2 * KEPT
    for _ in range(5 * KEPT):
        await chats.begin(CHAT, SECOND, owner=None)
        await chats.refuse(CHAT, SECOND, owner=None)
    assert await chats.live(CHAT, owner=None) == FIRST
    subscription.close()


async def test_a_run_that_is_begun_and_not_yet_started_is_not_taken_for_one_that_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    harness, provider, _ = told()
    index = Recorded()
    chats = Chats(index, harness.runs)
    await chats.begin(CHAT, FIRST, owner=None)
    for number in range(3 * KEPT):
        over = await start(harness, chats, f"over-{number}-0123456789")
        provider.producers[-1].orders.put_nowait("finish")
        await read(over)
    assert FIRST in await index.all()
    subscription = await harness.runs.start(harness.spec(FIRST), owner=None)
    assert await chats.live(CHAT, owner=None) == FIRST
    subscription.close()
    await chats.begin(CHAT, "never-started-0123456789", owner=None)
    monkeypatch.setattr("stream_serve.web.chats._STARTING_SECONDS", 0)
    for number in range(2 * KEPT):
        await chats.begin(CHAT, f"forgotten-{number}-0123456789", owner=None)
    assert "never-started-0123456789" not in await index.all()


async def test_the_runs_of_a_chat_are_asked_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    harness, _, chats = told()
    for number in range(KEPT):
        await chats.begin(CHAT, f"run-{number}-0123456789", owner=None)
    asked = 0
    all_asked = asyncio.Event()

    async def live(run_id: str, *, owner: str | None) -> bool:
        nonlocal asked
        asked += 1
        if asked == KEPT:
            all_asked.set()
        await all_asked.wait()
        return owner is None and run_id.startswith(("run-2-", "run-5-"))

    monkeypatch.setattr(harness.runs, "live", live)
    async with asyncio.timeout(10):
        assert await chats.live(CHAT, owner=None) == "run-5-0123456789"


async def test_a_chat_whose_run_goes_on_is_not_displaced_by_newer_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stream_serve.cluster.local._MOST_NAMES", 10)
    harness, _, chats = told()
    subscription = await start(harness, chats, FIRST)
    for number in range(50):
        await chats.begin(f"other-{number}", f"other-{number}-0123456789", owner=None)
    assert await chats.live(CHAT, owner=None) == FIRST
    subscription.close()
