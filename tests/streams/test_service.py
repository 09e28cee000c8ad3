"""What one stream, or one owner, cannot do to the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from structlog.testing import capture_logs

from stream_serve.streams import service
from stream_serve.streams.decisions import Create
from stream_serve.streams.errors import StreamUnreadable
from stream_serve.streams.memory import MemoryStore
from stream_serve.streams.service import Streams
from support.streams import QUOTA, RULES, TEXT, Clock
from support.waiting import until

if TYPE_CHECKING:
    import pytest

    from stream_serve.streams.state import Key, State

FEW: Final = 3


class Damaged(MemoryStore):
    """A store in which streams whose path begins with `damaged` cannot be read, once it says so."""

    def __init__(self) -> None:
        super().__init__()
        self.damaged = False
        self.tried: Counter[str] = Counter()

    async def load(self, key: Key) -> State | None:
        if self.damaged and key[1].startswith("damaged"):
            self.tried[key[1]] += 1
            raise StreamUnreadable("damaged")
        return await super().load(key)


async def test_streams_that_cannot_be_read_keep_no_other_one_from_being_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "_SWEPT", FEW)
    monkeypatch.setattr(service, "_SWEEP", 0.01)
    monkeypatch.setattr(service, "_PUT_OFF", 0.05)
    store, clock = Damaged(), Clock()
    streams = Streams(store, RULES, QUOTA, clock=clock)
    names = [f"damaged-{number}" for number in range(3 * FEW)]
    for path in (*names, "fine"):
        clock.now += 0.001  # those that cannot be read are due before the other one
        await streams.create(("owner", path), Create(content_type=TEXT, ttl=60))
    store.damaged = True
    clock.now += 100
    with capture_logs() as logs:
        await streams.open()

        async def is_gone() -> bool:
            return await store.load(("owner", "fine")) is None

        await until(is_gone)
        before = Counter(store.tried)
        # They are tried again, and nothing is said.
        await until(lambda: all(store.tried[one] > before[one] + 1 for one in names))
    said = sorted(one["path"] for one in logs if one["log_level"] == "warning")
    assert said == names
    await streams.close()


class Slow(MemoryStore):
    """A store in which changes of the owner `slow` wait."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()
        self.waits = 0

    async def load(self, key: Key) -> State | None:
        if key[0] == "slow":
            self.waits += 1
            await self.go_on.wait()
        return await super().load(key)


async def test_what_an_owner_deletes_waits_for_no_other_owner() -> None:
    store = Slow()
    store.go_on.set()
    streams = Streams(store, RULES, QUOTA)
    for owner in ("slow", "quick"):
        await streams.create((owner, "a"), Create(content_type=TEXT))
    store.go_on.clear()
    waits = store.waits
    slow = asyncio.create_task(streams.delete(("slow", "a")))
    await until(lambda: store.waits > waits)
    async with asyncio.timeout(10):
        fork = Create(content_type=TEXT)
        await streams.fork(("quick", "b"), fork, "a", 0, 0)
        await streams.delete(("quick", "a"))
    assert not slow.done()
    store.go_on.set()
    await slow
    await streams.close()
