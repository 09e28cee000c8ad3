"""What every index promises, in one process or in several; the backends are at the top."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

import pytest

from stream_serve.cluster.index import KEPT
from stream_serve.cluster.local import LocalIndex
from stream_serve.cluster.redis import keys
from stream_serve.cluster.redis.client import RedisClient
from stream_serve.cluster.redis.index import RedisIndex
from stream_serve.errors import LogUnavailable
from support.redis import shared_server
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from stream_serve.cluster.index import Index


class Indexes(NamedTuple):
    """The index as two processes see it, or one; and one that forgets at once."""

    here: Index
    elsewhere: Index
    short: Index


@pytest.fixture(params=["local", "redis"])
async def indexes(request: pytest.FixtureRequest) -> AsyncIterator[Indexes]:
    if request.param == "local":
        local = LocalIndex(ttl=60)
        yield Indexes(local, local, LocalIndex(ttl=0.001))
        return
    url = shared_server().url
    clients = [RedisClient(url, 5), RedisClient(url, 5)]
    here, elsewhere = (RedisIndex(client, ttl=60) for client in clients)
    yield Indexes(here, elsewhere, RedisIndex(clients[0], ttl=0.001))
    for client in clients:
        await client.close()


@pytest.fixture
def name() -> str:
    return secrets.token_urlsafe(16)


async def test_the_newest_value_comes_first_in_every_process(indexes: Indexes, name: str) -> None:
    assert await indexes.elsewhere.newest(name) == []
    for value in ("one", "two", "three"):
        await indexes.here.record(name, value)
    assert await indexes.elsewhere.newest(name) == ["three", "two", "one"]
    assert await indexes.here.newest(name + "-other") == []


async def test_who_records_a_value_is_told_the_older_ones_and_none_is_dropped(
    indexes: Indexes, name: str
) -> None:
    values = [str(number) for number in range(KEPT + 3)]
    older = [await indexes.here.record(name, value) for value in values]
    assert older == [[]] * KEPT + [["0"], ["1", "0"], ["2", "1", "0"]]
    assert await indexes.elsewhere.newest(name) == values[::-1]
    await indexes.elsewhere.remove(name, "1")
    assert await indexes.here.record(name, "new") == ["3", "2", "0"]


async def test_the_newest_record_of_a_value_can_be_taken_back(indexes: Indexes, name: str) -> None:
    for value in ("one", "two", "one"):
        await indexes.here.record(name, value)
    await indexes.elsewhere.remove(name, "one")
    assert await indexes.here.newest(name) == ["two", "one"]
    await indexes.here.remove(name, "three")
    await indexes.here.remove(name + "-other", "one")
    assert await indexes.here.newest(name) == ["two", "one"]


async def test_a_name_is_forgotten_after_a_while(indexes: Indexes, name: str) -> None:
    await indexes.short.record(name, "one")

    async def forgotten() -> bool:
        return await indexes.short.newest(name) == []

    await until(forgotten)


async def test_of_too_many_names_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_serve.cluster.local._MOST_NAMES", 2)
    index = LocalIndex(ttl=60)
    for name in ("a", "b", "a", "c"):
        await index.record(name, "one")
    assert [await index.newest(name) for name in "abc"] == [["one", "one"], [], ["one"]]
    for number in range(3):
        await index.record(f"refused-{number}", "one")
        await index.remove(f"refused-{number}", "one")
    assert [await index.newest(name) for name in "ac"] == [[], ["one"]]


async def test_names_that_last_are_not_forgotten_for_others_and_few_are_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stream_serve.cluster.local._MOST_NAMES", 20)
    index = LocalIndex(ttl=60)
    asked: list[Sequence[str]] = []

    def lasts(values: Sequence[str]) -> bool:
        asked.append(values)
        return True

    for number in range(30):
        await index.record(f"lasting-{number}", "one", lasts=lasts)
    assert len(asked) <= 8 * 10
    for number in range(100):
        await index.record(f"other-{number}", "one")
    assert [await index.newest(f"lasting-{number}") for number in range(30)] == [["one"]] * 30
    others = [number for number in range(100) if await index.newest(f"other-{number}")]
    assert len(others) < 30
    assert others[-1] == 99


async def test_an_index_that_is_away_says_so(name: str) -> None:
    client = RedisClient(shared_server().url, 5)
    client.mark_down()
    index = RedisIndex(client, ttl=60)
    with pytest.raises(LogUnavailable):
        await index.record(name, "one")
    with pytest.raises(LogUnavailable):
        await index.newest(name)
    with pytest.raises(LogUnavailable):
        await index.remove(name, "one")
    await client.close()


async def test_a_name_in_redis_always_expires(name: str) -> None:
    client = RedisClient(shared_server().url, 5)
    await RedisIndex(client, ttl=60).record(name, "one")
    assert 0 < await client.run("PTTL", keys.index(name)) <= 60_000
    await client.close()
