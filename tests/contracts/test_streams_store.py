"""The contract of a store of streams, on every backend."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Final

import pytest
from msgspec import structs

from stream_serve.streams.base import Change, Quota, Totals
from stream_serve.streams.errors import StreamsFull
from stream_serve.streams.state import Producer, Segment, Source, State, Stop
from support.streams import SHARED
from support.waiting import until

if TYPE_CHECKING:
    from stream_serve.streams.base import Store
    from support.streams import Place

ROOM: Final = Quota(streams=100, bytes=1_000)
KEY: Final = ("owner", "a/b")


def state(version: int = 1, **more: Any) -> State:
    known: dict[str, Any] = {"created": 1.0, "touched": 2.0, "written": 3.0}
    return State(version=version, data="d", content_type="text/plain", **{**known, **more})


def change(before: State | None, after: State | None, **more: Any) -> Change:
    known: dict[str, Any] = {
        "key": KEY,
        "version": 0 if before is None else before.version,
        "state": after,
        "data_id": "d",
        "streams": (after is not None) - (before is not None),
    }
    return Change(**{**known, **more})


async def put(store: Store, data: bytes = b"", **more: Any) -> State:
    made = state(tail=len(data))
    assert await store.commit([change(None, made, data=data, bytes=len(data), **more)], ROOM)
    return made


async def test_what_is_committed_is_there(streams_place: Place) -> None:
    store = await streams_place.store()
    assert await store.load(KEY) is None
    whole = state(
        tail=7,
        base=2,
        lineage=(Segment("x", 0, 2),),
        source=Source("s", None, 1),
        forks=2,
        deleted=True,
        closed=True,
        lost=True,
        ttl=3,
        expires_at=4.5,
        producers={"p": Producer(1, 2, 3.0), "": Producer(0, 0, 0.0)},
        closer=("p", 1, 2),
        seq="é\x00",
        lease=1.5,
        leased=2.5,
        stop=Stop(1.0, None, 4),
    )
    assert await store.commit([change(None, whole, data=b"hello")], ROOM)
    assert await store.load(KEY) == whole
    assert await store.read("d", 0, 5) == b"hello"
    assert await store.read("d", 1, 3) == b"el"
    assert await store.read("d", 3, 99) == b"lo"
    assert await store.read("other", 0, 5) == b""
    assert await store.load(("owner", "a/B")) is None
    assert await store.load(("", "a/b")) is None


async def test_any_name_and_any_bytes_are_kept_as_they_are(streams_place: Place) -> None:
    store = await streams_place.store()
    data = bytes(range(256)) * 3
    for key in (("", "x"), ("o", "日本/é %?'\""), ("o", "x:y\\z"), ("o:x", "y")):
        one = state(tail=len(data))
        made = change(None, one, key=key, data_id=f"d{key}", data=data)
        assert await store.commit([made], ROOM)
        assert await store.load(key) == one
        assert await store.read(f"d{key}", 255, 300) == data[255:300]


async def test_data_grows_in_the_order_of_its_commits(streams_place: Place) -> None:
    store = await streams_place.store()
    now = await put(store, b"0")
    for number in range(1, 50):
        after = structs.replace(now, version=now.version + 1)
        assert await store.commit([change(now, after, data=b",%d" % number)], ROOM)
        now = after
    whole = b",".join(b"%d" % number for number in range(50))
    assert await store.read("d", 0, 999) == whole
    for start in range(0, len(whole), 7):
        assert await store.read("d", start, start + 10) == whole[start : start + 10]


async def test_a_change_of_another_version_changes_nothing(streams_place: Place) -> None:
    store = await streams_place.store()
    assert not await store.commit([change(state(3), state(4))], ROOM)
    now = await put(store, b"x")
    for wrong in (None, state(7)):
        assert not await store.commit([change(wrong, state(8), data=b"y")], ROOM)
    assert await store.load(KEY) == now
    assert await store.read("d", 0, 9) == b"x"
    assert await store.totals("owner") == Totals(1, 1)


async def test_several_changes_are_made_together_or_not_at_all(streams_place: Place) -> None:
    store = await streams_place.store()
    now = await put(store, b"x")
    after = structs.replace(now, version=2, forks=1)
    other = structs.replace(state(), data="e")
    second = change(None, other, key=("owner", "fork"), data_id="e", data=b"z")
    stale = change(state(9), after)
    assert not await store.commit([second, stale], ROOM)
    assert await store.load(("owner", "fork")) is None
    assert await store.read("e", 0, 9) == b""
    assert await store.commit([second, change(now, after)], ROOM)
    assert await store.load(KEY) == after
    assert await store.load(("owner", "fork")) == other


async def test_of_changes_that_race_one_wins(streams_place: Place) -> None:
    stores = [await streams_place.store() for _ in range(3)]
    now = await put(stores[0])
    after = structs.replace(now, version=2)
    won = await asyncio.gather(
        *(store.commit([change(now, after, data=b"x")], ROOM) for _ in range(5) for store in stores)
    )
    assert sorted(won) == [False] * 14 + [True]
    assert await stores[1].read("d", 0, 99) == b"x"


async def test_what_is_removed_is_gone_with_its_data_and_may_come_again(
    streams_place: Place,
) -> None:
    store = await streams_place.store()
    now = await put(store, b"old", due=5.0)
    assert await store.commit([change(now, None, bytes=-3)], ROOM)
    assert await store.load(KEY) is None
    assert await store.read("d", 0, 9) == b""
    assert await store.totals("owner") == Totals(0, 0)
    assert await store.due(10.0, 9) == []
    again = structs.replace(state(5), data="n")
    assert await store.commit([change(None, again, data_id="n", data=b"new")], ROOM)
    assert await store.read("n", 0, 9) == b"new"


async def test_no_growth_goes_beyond_the_quota_and_nothing_else_is_hindered(
    streams_place: Place,
) -> None:
    store = await streams_place.store()
    now = await put(store, b"12345")
    tight = Quota(streams=1, bytes=5)
    with pytest.raises(StreamsFull, match="1 streams"):
        await store.commit([change(None, state(), key=("owner", "b"), data_id="e")], tight)
    after = structs.replace(now, version=2)
    with pytest.raises(StreamsFull, match="5 of 5 bytes"):
        await store.commit([change(now, after, data=b"6", bytes=1)], tight)
    assert await store.load(KEY) == now
    assert await store.read("d", 0, 9) == b"12345"
    assert await store.commit([change(None, state(), key=("other", "b"), data_id="e")], tight)
    less = Quota(streams=0, bytes=0)
    assert await store.commit([change(now, after)], less)
    assert await store.totals("owner") == Totals(1, 5)
    assert await store.commit([change(after, None, bytes=-5)], less)


async def test_what_is_due_is_named_until_a_change_says_another_time(
    streams_place: Place,
) -> None:
    store = await streams_place.store()
    now = await put(store, due=5.0)
    other = structs.replace(state(), data="e")
    late = change(None, other, key=("", "late"), data_id="e", due=3.0)
    assert await store.commit([late], ROOM)
    assert await store.due(2.9, 9) == []
    assert await store.due(5.0, 9) == [("", "late"), KEY]
    assert await store.due(5.0, 1) == [("", "late")]
    after = structs.replace(now, version=2)
    assert await store.commit([change(now, after)], ROOM)  # as before
    assert KEY in await store.due(5.0, 9)
    later = structs.replace(now, version=3)
    assert await store.commit([change(after, later, due=50.0)], ROOM)
    assert await store.due(49.0, 9) == [("", "late")]
    sooner = structs.replace(now, version=4)
    assert await store.commit([change(later, sooner, due=1.0)], ROOM)
    assert (await store.due(1.0, 9))[0] == KEY
    never = structs.replace(now, version=5)
    assert await store.commit([change(sooner, never, due=math.inf)], ROOM)
    assert await store.due(1e12, 9) == [("", "late")]


@pytest.mark.parametrize("streams_place", SHARED, indirect=True)
async def test_what_another_user_changes_is_told_of_what_is_watched(streams_place: Place) -> None:
    changed: list[tuple[str, str] | None] = []
    writing, reading = await streams_place.store(), await streams_place.store(changed)
    now = await put(writing)
    reading.watch(KEY)
    await reading.load(KEY)
    after = structs.replace(now, version=2)
    assert await writing.commit([change(now, after)], ROOM)
    await until(lambda: KEY in changed)
    assert await reading.load(KEY) == after
    reading.unwatch(KEY)
    changed.clear()
    last = structs.replace(now, version=3)
    assert await writing.commit([change(after, last)], ROOM)
    other = structs.replace(state(), data="e")
    reading.watch(("", "new"))
    await reading.load(("", "new"))
    assert await writing.commit([change(None, other, key=("", "new"), data_id="e")], ROOM)
    await until(lambda: ("", "new") in changed)
    assert KEY not in changed
    assert await writing.commit([change(other, None, key=("", "new"), data_id="e")], ROOM)


async def test_a_cancelled_commit_is_whole_or_not_there(streams_place: Place) -> None:
    store = await streams_place.store()
    now = await put(store)
    after = structs.replace(now, version=2)
    store.commit([change(now, after, data=b"abc")], ROOM).cancel()
    found, data = await store.load(KEY), await store.read("d", 0, 9)
    assert (found == now and data == b"") or (found == after and data == b"abc")


async def test_closing_twice_is_fine(streams_place: Place) -> None:
    store = await streams_place.store()
    await store.close()
    await store.close()
