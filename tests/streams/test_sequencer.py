"""Requests of a stream in order: how many of them become one write, and a store that comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from stream_serve.streams.base import Quota
from stream_serve.streams.decisions import Create, Rules
from stream_serve.streams.errors import StreamsUnavailable
from stream_serve.streams.memory import MemoryStore
from stream_serve.streams.service import Streams
from support.streams import QUOTA, RULES, TEXT, text
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_serve.streams.base import Change
    from stream_serve.streams.state import Key, State

KEY: Final = ("owner", "a")
MOST: Final = 8_388_608


class Watched(MemoryStore):
    """A store that says how much each commit brings, and that can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.away = False
        self.asked = 0
        self.tell: Callable[[Key | None], None] = lambda _: None

    async def open(self, changed: Callable[[Key | None], None]) -> None:
        self.tell = changed

    async def load(self, key: Key) -> State | None:
        self.asked += 1
        if self.away:
            raise StreamsUnavailable("away")
        return await super().load(key)

    def commit(self, changes: Sequence[Change], quota: Quota) -> asyncio.Future[bool]:
        self.sizes.append(sum(len(one.data) for one in changes))
        return super().commit(changes, quota)


async def opened(store: Watched) -> Streams:
    rules = Rules(stream_bytes=100 * MOST, retention=1e6)
    streams = Streams(store, rules, Quota(10, 100 * MOST))
    await streams.open()
    await streams.create(KEY, Create(content_type=TEXT))
    return streams


async def test_large_appends_that_wait_are_several_writes_of_a_bounded_size() -> None:
    store = Watched()
    streams = await opened(store)
    store.sizes.clear()
    store.tell(KEY)  # so that the state is loaded first, and all of them wait
    parts = [bytes([number]) * (MOST // 4) for number in range(10)]
    answers = await asyncio.gather(*(streams.append(KEY, text(one)) for one in parts))
    assert [one.tail for one in answers] == [MOST // 4 * number for number in range(1, 11)]
    assert store.sizes == [MOST, MOST, MOST // 2]
    assert (await streams.read(KEY, 0, 100 * MOST)).data == b"".join(parts)
    await streams.close()


async def test_a_follower_is_told_as_soon_as_the_store_is_back() -> None:
    store = Watched()
    streams, other = await opened(store), Streams(store, Rules(MOST, 1e6), Quota(10, MOST))
    follower = await streams.follow(KEY)
    await other.append(KEY, text(b"x"))
    store.away = True
    asked = store.asked
    store.tell(None)
    await until(lambda: store.asked >= asked + 2)
    store.away = False
    await until(lambda: follower.state is not None and follower.state.tail == 1)
    follower.close()
    await streams.close()
    await other.close()


class SlowStore(MemoryStore):
    """A store in which a load takes some turns of the loop; it counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.loads = 0

    async def load(self, key: Key) -> State | None:
        self.loads += 1
        state = await super().load(key)
        for _ in range(5):
            await asyncio.sleep(0)
        return state


async def test_followers_who_come_at_once_do_not_hold_each_other_up() -> None:
    store = SlowStore()
    streams = Streams(store, RULES, QUOTA)
    await streams.create(KEY, Create(content_type=TEXT))
    store.loads = 0
    followers = await asyncio.gather(*[streams.follow(KEY) for _ in range(50)])
    assert store.loads <= 2 * 50  # one to see whether it may, one for what it follows
    for follower in followers:
        follower.close()
    await streams.close()


async def test_a_follower_joins_a_stream_that_is_written_without_a_pause() -> None:
    store = SlowStore()
    streams = Streams(store, RULES, QUOTA)
    await streams.create(KEY, Create(content_type=TEXT))
    store.loads = 0
    following = asyncio.create_task(streams.follow(KEY))
    tail = 0
    while not following.done() and tail < 1_000:
        tail = (await streams.append(KEY, text(b"x"))).tail
        await asyncio.sleep(0)
    assert following.done(), "it has waited for a pause"
    follower = await following
    assert follower.state is not None
    assert follower.state.tail == tail
    follower.close()
    await streams.close()


async def test_a_reader_with_a_defect_stops_neither_who_writes_nor_the_others() -> None:
    streams = await opened(Watched())

    def fail() -> bool:
        raise RuntimeError("a defect")

    broken, other = await streams.follow(KEY), await streams.follow(KEY)
    broken.serve = fail
    waits = [asyncio.create_task(one.wait()) for one in (broken, other)]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert (await streams.append(KEY, text(b"1"))).tail == 1
        await asyncio.gather(*waits)
        assert (await streams.append(KEY, text(b"2"))).tail == 2
    await streams.close()
