"""Streams as a whole, over every store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from stream_serve.errors import BadRequest
from stream_serve.streams.base import Quota
from stream_serve.streams.decisions import Append, Create, Rules
from stream_serve.streams.errors import (
    ProducerGap,
    StreamClosed,
    StreamGone,
    StreamNotFound,
    StreamsFull,
    StreamsUnavailable,
)
from support.streams import RULES, TEXT, Clock, text
from support.waiting import until

if TYPE_CHECKING:
    from stream_serve.streams.base import Store
    from stream_serve.streams.service import Streams
    from support.streams import Place

KEY: Final = ("owner", "a")
JSON: Final = "application/json"


async def whole(streams: Streams, path: str = "a", start: int = 0) -> bytes:
    page = await streams.read(("owner", path), start, 1_000_000)
    assert page.last
    return page.data


async def test_appends_are_read_in_their_order(streams_place: Place) -> None:
    streams = await streams_place.streams()
    assert (await streams.create(KEY, Create(content_type=TEXT, data=b"0"))).new
    for number in range(1, 10):
        assert (await streams.append(KEY, text(b"%d" % number))).tail == number + 1
    assert await whole(streams) == b"0123456789"
    assert await whole(streams, start=5) == b"56789"
    page = await streams.read(KEY, 2, 3)
    assert (page.data, page.start, page.end, page.last) == (b"234", 2, 5, False)
    assert (await streams.read(KEY, None, 3)).data == b""
    with pytest.raises(BadRequest):
        await streams.read(KEY, 11, 3)


async def test_owners_do_not_see_each_others_streams(streams_place: Place) -> None:
    streams = await streams_place.streams()
    await streams.create(KEY, Create(content_type=TEXT, data=b"x"))
    for call in (
        streams.read(("other", "a"), 0, 9),
        streams.append(("other", "a"), text(b"x")),
        streams.delete(("", "a")),
        streams.follow(("other", "a")),
        streams.fork(("other", "b"), Create(), "a", None, 0),
    ):
        with pytest.raises(StreamNotFound):
            await call
    assert (await streams.create(("other", "a"), Create(content_type=JSON))).new


async def test_of_many_writers_at_once_nothing_is_lost_or_doubled(streams_place: Place) -> None:
    users = [await streams_place.streams() for _ in range(3)]
    await users[0].create(KEY, Create(content_type=JSON))

    async def write(streams: Streams, name: str) -> None:
        for seq in range(10):
            data = f'"{name}{seq}"\n'.encode()
            request = Append(data=data, content_type=JSON, producer=(name, 0, seq))
            while True:
                try:
                    await streams.append(KEY, request)
                    break
                except StreamsUnavailable:
                    pass

    names = [f"{user}{one}-" for user in range(3) for one in "abcde"]
    await asyncio.gather(*(write(users[int(name[0])], name) for name in names))
    for streams in users:
        found = (await whole(streams)).decode().split("\n")[:-1]
        assert sorted(found) == sorted(f'"{name}{seq}"' for name in names for seq in range(10))
        for name in names:
            mine = [one for one in found if one.startswith(f'"{name}')]
            assert mine == sorted(mine)


async def test_an_answer_that_changes_nothing_is_about_the_newest_state(
    streams_place: Place,
) -> None:
    here, there = await streams_place.streams(), await streams_place.streams()
    await here.create(KEY, Create(content_type=TEXT))
    await here.append(KEY, text(b"a", producer=("p", 0, 0)))
    await there.append(KEY, text(b"b", producer=("p", 0, 1)))
    # This process knows of number 0 only.
    answer = await here.append(KEY, text(b"b", producer=("p", 0, 1)))
    assert (answer.new, answer.tail) == (False, 2)
    await there.append(KEY, text(b"c", producer=("p", 0, 2)))
    assert (await here.append(KEY, text(b"d", producer=("p", 0, 3)))).new
    with pytest.raises(ProducerGap):
        await there.append(KEY, text(b"f", producer=("p", 0, 5)))
    await there.delete(KEY)
    with pytest.raises(StreamNotFound):
        await here.append(KEY, text(b"a"))
    await there.create(KEY, Create(content_type=TEXT, closed=True))
    with pytest.raises(StreamClosed):
        await here.append(KEY, text(b"a"))


async def test_a_fork_has_what_its_source_had_and_outlives_it(streams_place: Place) -> None:
    streams = await streams_place.streams()
    await streams.create(KEY, Create(content_type=TEXT, data=b"source"))
    await streams.fork(("owner", "b"), Create(data=b"-b"), "a", 3, 1)
    await streams.append(KEY, text(b" goes on"))
    await streams.fork(("owner", "c"), Create(), "b", None, 0)
    await streams.append(("owner", "c"), text(b"-c"))
    assert await whole(streams, "b") == b"sour-b"
    assert await whole(streams, "c") == b"sour-b-c"
    assert await whole(streams, "c", start=5) == b"b-c"
    await streams.delete(KEY)
    await streams.delete(("owner", "b"))
    with pytest.raises(StreamGone):
        await streams.read(KEY, 0, 9)
    assert await whole(streams, "c") == b"sour-b-c"
    await streams.delete(("owner", "c"))
    with pytest.raises(StreamNotFound):
        await streams.read(KEY, 0, 9)
    assert (await streams.create(KEY, Create(content_type=TEXT))).new


async def test_a_json_stream_is_forked_and_read_between_messages(streams_place: Place) -> None:
    streams = await streams_place.streams()
    await streams.create(KEY, Create(content_type=JSON, data=b'{"a":1}\n"two"\n3\n'))
    await streams.fork(("owner", "b"), Create(), "a", 8, 1)
    assert await whole(streams, "b") == b'{"a":1}\n"two"\n'
    page = await streams.read(KEY, 0, 10)
    assert (page.data, page.end) == (b'{"a":1}\n', 8)
    page = await streams.read(KEY, 0, 3)
    assert page.data == b'{"a":1}\n'
    for offset, sub in ((3, 0), (8, 3)):
        with pytest.raises(BadRequest):
            await streams.fork(("owner", "c"), Create(), "a", offset, sub)
    with pytest.raises(BadRequest, match="no message begins"):
        await streams.read(KEY, 3, 9)


async def test_a_follower_is_told_what_is_appended_here_and_elsewhere(
    streams_place: Place,
) -> None:
    here = await streams_place.streams()
    there = await streams_place.other(here)
    await here.create(KEY, Create(content_type=TEXT, data=b"a"))
    follower = await here.follow(KEY)
    for streams, data in ((here, b"b"), (there, b"c"), (here, b"d")):
        waiting = asyncio.create_task(follower.wait(10))
        await asyncio.sleep(0)
        await streams.append(KEY, text(data))
        await waiting
        assert follower.entry.piece is not None
        assert follower.entry.piece.data == data
        assert follower.state is not None
        assert follower.state.tail == follower.entry.piece.end
    waiting = asyncio.create_task(follower.wait(10))
    await asyncio.sleep(0)
    await there.delete(KEY)
    await waiting
    assert follower.state is None
    follower.close()
    follower.close()


async def test_a_stream_with_a_live_reader_does_not_expire(streams_place: Place) -> None:
    streams = await streams_place.streams()
    await streams.create(KEY, Create(content_type=TEXT, ttl=1))
    follower = await streams.follow(KEY)
    state = await streams.describe(KEY)
    await until(lambda: follower.state is not None and follower.state.touched > state.touched + 0.5)
    follower.close()


async def test_what_has_expired_is_removed_in_the_background_and_its_name_is_free(
    streams_place: Place,
) -> None:
    clock = Clock()
    streams = await streams_place.streams(clock=clock)
    await streams.create(KEY, Create(content_type=TEXT, ttl=10, data=b"a"))
    await streams.fork(("owner", "fork"), Create(ttl=100), "a", None, 0)
    await streams.create(("owner", "b"), Create(content_type=TEXT, expires_at=clock.now + 5))
    follower = await streams.follow(("owner", "b"))
    clock.now += 50
    with pytest.raises(StreamNotFound):
        await streams.read(("owner", "b"), 0, 9)
    await asyncio.wait_for(follower.wait(), 10)
    assert follower.state is None
    follower.close()
    with pytest.raises(StreamGone):
        await streams.read(KEY, 0, 9)
    assert (await streams.create(("owner", "b"), Create(content_type=JSON))).new
    assert await whole(streams, "fork") == b"a"


async def test_a_producer_that_is_gone_ends_its_stream_in_the_background(
    streams_place: Place,
) -> None:
    clock = Clock()
    streams = await streams_place.streams(clock=clock)
    await streams.create(KEY, Create(content_type=JSON))
    await streams.append(KEY, Append(data=b"1\n", content_type=JSON, lease=5))
    follower = await streams.follow(KEY)
    clock.now += 5
    await asyncio.wait_for(follower.wait(), 10)
    follower.close()
    state = await streams.describe(KEY)
    assert (state.closed, state.lost) == (True, True)
    assert b'"finishReason":"lost"' in await whole(streams)


async def test_of_appends_that_do_not_all_fit_those_are_made_that_do(
    streams_place: Place,
) -> None:
    streams = await streams_place.streams(quota=Quota(streams=2, bytes=10))
    await streams.create(KEY, Create(content_type=TEXT))
    answers = await asyncio.gather(
        *(streams.append(KEY, text(data)) for data in (b"1234", b"123456789", b"56", b"7890")),
        return_exceptions=True,
    )
    assert [isinstance(one, StreamsFull) for one in answers] == [False, True, False, False]
    assert await whole(streams) == b"1234567890"
    await streams.create(("owner", "b"), Create(content_type=TEXT))
    with pytest.raises(StreamsFull, match="2 streams"):
        await streams.create(("owner", "c"), Create(content_type=TEXT))
    await streams.delete(KEY)
    await streams.append(("owner", "b"), text(b"1"))


async def test_a_stream_has_a_bounded_size(streams_place: Place) -> None:
    rules = Rules(stream_bytes=3, retention=RULES.retention)
    streams = await streams_place.streams(rules=rules)
    await streams.create(KEY, Create(content_type=TEXT, data=b"12"))
    with pytest.raises(StreamsFull, match="3 bytes"):
        await streams.append(KEY, text(b"34"))
    await streams.append(KEY, text(b"3", close=True))


async def test_a_cancelled_request_holds_nobody_up(streams_place: Place) -> None:
    streams = await streams_place.streams()
    await streams.create(KEY, Create(content_type=TEXT))
    for number in range(20):
        calls = [
            asyncio.ensure_future(call)
            for call in (
                streams.append(KEY, text(b"x")),
                streams.fork(("owner", f"f{number}"), Create(), "a", None, 0),
                streams.append(KEY, text(b"y")),
                streams.delete(("owner", f"f{number}")),
                streams.follow(KEY),
            )
        ]
        for _ in range(number % 4):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        for call in calls:
            if not call.cancelled() and call.exception() is None and call is calls[-1]:
                call.result().close()  # type: ignore[union-attr]
    await streams.append(KEY, text(b"z"))
    assert (await whole(streams)).endswith(b"z")


async def test_who_waits_at_the_end_is_told(streams_place: Place) -> None:
    streams = await streams_place.streams()
    await streams.create(KEY, Create(content_type=TEXT))
    follower = await streams.follow(KEY)
    waiting = asyncio.create_task(follower.wait())
    await asyncio.sleep(0)
    streams.let_go()
    await waiting
    await follower.wait()
    assert follower.closed
    with pytest.raises(StreamsUnavailable):
        await streams.follow(KEY)
    await streams.append(KEY, text(b"y"))
    await streams.close()
    with pytest.raises(StreamsUnavailable):
        await streams.append(KEY, text(b"x"))


async def test_a_long_message_is_read_in_few_pieces_however_little_is_asked_for(
    streams_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = await streams_place.streams()
    data = b'"%b"\n' % (b"x" * 500_000)
    await streams.create(KEY, Create(content_type=JSON, data=data + b"2\n"))
    reads: list[int] = []
    kind = type(await streams_place.store())
    read = kind.read

    async def count(self: Store, data_id: str, start: int, end: int) -> bytes:
        reads.append(start)
        return await read(self, data_id, start, end)

    monkeypatch.setattr(kind, "read", count)
    page = await streams.read(KEY, 0, 1)
    assert (page.data, page.end, page.last) == (data, len(data), False)
    assert len(reads) < 5
    assert (await streams.read(KEY, len(data), 1)).data == b"2\n"


async def test_the_end_of_a_producer_is_told_where_its_owner_has_no_room_left(
    streams_place: Place,
) -> None:
    clock = Clock()
    streams = await streams_place.streams(quota=Quota(streams=9, bytes=40), clock=clock)
    for number, owner in enumerate(("full", "other")):
        await streams.create((owner, "a"), Create(content_type=JSON))
        data = b'"%b"\n' % (b"x" * 37 if owner == "full" else b"x")
        lease = 5 + number
        await streams.append((owner, "a"), Append(data=data, content_type=JSON, lease=lease))
    followers = [await streams.follow((owner, "a")) for owner in ("full", "other")]
    clock.now += 10
    for follower in followers:
        while follower.state is None or not follower.state.lost:
            await asyncio.wait_for(follower.wait(), 10)
        follower.close()
    assert b'"lost"' in (await streams.read(("full", "a"), 0, 1_000)).data


async def test_a_producer_whose_lease_ran_out_while_nobody_was_there_may_come_back(
    streams_place: Place,
) -> None:
    clock = Clock()
    before = await streams_place.streams(clock=clock)
    leased = Append(data=b'"x"\n', content_type=JSON, lease=5)
    await before.create(KEY, Create(content_type=JSON))
    await before.append(KEY, leased)
    await before.close()
    clock.now += 10
    after = await streams_place.streams(clock=clock)
    await after.create(("owner", "b"), Create(content_type=JSON))
    await after.append(("owner", "b"), leased)
    follower = await after.follow(("owner", "b"))
    clock.now += 10
    while follower.state is None or not follower.state.lost:  # they have been seen to
        await asyncio.wait_for(follower.wait(), 10)
    follower.close()
    await after.append(KEY, leased)
    assert not (await after.describe(KEY)).lost


async def test_the_names_of_producers_count_as_bytes_of_their_owner(
    streams_place: Place,
) -> None:
    streams = await streams_place.streams(quota=Quota(streams=9, bytes=5_000))
    await streams.create(KEY, Create(content_type=TEXT))
    for number in range(5_000 // 133):
        await streams.append(KEY, text(b"x", producer=(f"{number:0100d}", 0, 0)))
    with pytest.raises(StreamsFull):
        await streams.append(KEY, text(b"x", producer=("x" * 100, 0, 0)))
    await streams.delete(KEY)
    await streams.create(KEY, Create(content_type=TEXT, data=bytes(5_000)))
