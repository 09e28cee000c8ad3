"""Live readers of a stream: what they share, and what they do not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stream_serve.streams.decisions import Create
from stream_serve.streams.memory import MemoryStore
from stream_serve.streams.service import Streams
from stream_serve.web.streams.live import LiveReader
from stream_serve.web.streams.readable import StreamReadable
from support.streams import QUOTA, RULES, TEXT, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = ("owner", "a")


@pytest.fixture
async def streams() -> AsyncIterator[Streams]:
    made = Streams(MemoryStore(), RULES, QUOTA)
    await made.open()
    await made.create(KEY, Create(content_type=TEXT))
    yield made
    await made.close()


async def written(streams: Streams, cursors: list[int | None]) -> tuple[list[bytes], int]:
    """Return what readers with these cursors get of an append, and how often it was kept for others."""
    readable = StreamReadable(streams, KEY)
    followers = [await streams.follow(KEY) for _ in cursors]
    readers = [
        LiveReader(readable, follower, None, cursor)
        for follower, cursor in zip(followers, cursors, strict=True)
    ]
    got: list[bytes] = []
    for reader in readers:
        assert await reader.read()  # where it is

    def take(data: bytes) -> bool:
        got.append(data)
        return True

    tasks = [asyncio.create_task(reader.read(take)) for reader in readers]
    await asyncio.sleep(0)
    await streams.append(KEY, text(b"hello"))
    piece = followers[0].entry.piece
    assert piece is not None
    kept = len(piece.shared)
    for reader in readers:
        reader.close()
    await asyncio.gather(*tasks)
    return got, kept


async def test_readers_share_what_an_append_becomes(streams: Streams) -> None:
    got, kept = await written(streams, [None] * 20)
    assert len(got) == 20
    assert len({id(data) for data in got}) <= 2  # a new cursor may begin meanwhile
    assert kept <= 3


async def test_what_only_one_reader_gets_is_not_kept(streams: Streams) -> None:
    got, kept = await written(streams, [10**15 + number * 1_000 for number in range(20)])
    assert len(set(got)) == 20
    assert all(b"data:hello" in data for data in got)
    assert kept == 1
