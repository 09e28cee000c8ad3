"""Streams in a file of SQLite: what goes wrong with a file, and what takes long."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest

from stream_serve.files import sqlite as files
from stream_serve.streams import sqlite, tables
from stream_serve.streams.decisions import Create
from stream_serve.streams.errors import StreamNotFound, StreamsUnavailable, StreamUnreadable
from stream_serve.streams.service import Streams
from stream_serve.streams.sqlite import SQLiteStore
from support.streams import QUOTA, RULES, TEXT, Clock, text
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KEY: Final = ("owner", "a")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "streams.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def streams(file: Path, clock: Clock) -> AsyncIterator[Streams]:
    """Streams in the file, with one of text, which has one byte."""
    made = Streams(SQLiteStore(file), RULES, QUOTA, clock=clock)
    await made.open()
    await made.create(KEY, Create(content_type=TEXT, data=b"0"))
    yield made
    await made.close()


def asked(file: Path, question: str) -> int:
    with closing(sqlite3.connect(file)) as db:
        return int(db.execute(question).fetchone()[0] or 0)


async def whole(streams: Streams) -> bytes:
    return (await streams.read(KEY, 0, 10_000_000)).data


async def test_small_appends_are_joined_and_large_ones_divided(
    streams: Streams, file: Path
) -> None:
    pieces = [bytes([number % 256]) for number in range(2_000)]
    large = os.urandom(900_000)
    for piece in (*pieces, large, *pieces[:300]):
        await streams.append(KEY, text(piece))
    expected = b"".join((b"0", *pieces, large, *pieces[:300]))
    assert await whole(streams) == expected
    for start in (0, 1, 899, 900, 901, 2_000, 2_001, 264_145, 902_001, 902_300):
        assert (await streams.read(KEY, start, 10)).data == expected[start : start + 10]
    assert asked(file, "SELECT count(*) FROM data") < 12
    assert asked(file, "SELECT max(length(bytes)) FROM data") < 300_000


async def test_much_that_is_removed_is_deleted_piece_by_piece_while_others_go_on(
    streams: Streams, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_MAX_ROW", 1_000)
    monkeypatch.setattr(sqlite, "_REST", 60.0)
    await streams.append(KEY, text(bytes(200_000)))
    await streams.delete(KEY)
    with pytest.raises(StreamNotFound):
        await whole(streams)
    # The name is free at once, and nobody has waited for all the bytes.
    await streams.create(KEY, Create(content_type=TEXT, data=b"new"))
    assert asked(file, "SELECT count(*) FROM data") > 100
    monkeypatch.setattr(sqlite, "_REST", 0.001)
    assert await whole(streams) == b"new"
    await until(lambda: asked(file, "SELECT count(*) FROM data") == 1)
    assert asked(file, "SELECT count(*) FROM removed") == 0


async def test_the_file_of_streams_that_are_removed_goes_back_to_the_disk(
    streams: Streams, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_SPARE", 10)
    monkeypatch.setattr(files, "_PIECE", 5)
    await streams.append(KEY, text(bytes(400_000)))
    assert asked(file, "PRAGMA page_count") > 90
    await streams.delete(KEY)
    await until(lambda: asked(file, "PRAGMA page_count") < 40)
    await streams.create(KEY, Create(content_type=TEXT, data=b"0"))
    assert await whole(streams) == b"0"


async def test_what_another_start_has_left_to_delete_is_deleted(file: Path) -> None:
    for _ in range(2):
        streams = Streams(SQLiteStore(file), RULES, QUOTA)
        await streams.open()
        await streams.create(KEY, Create(content_type=TEXT))
        await streams.close()
        with closing(sqlite3.connect(file)) as db:
            db.execute("INSERT INTO data VALUES ('old', 0, x'00')")
            db.execute("INSERT INTO removed VALUES ('old')")
            db.commit()
    streams = Streams(SQLiteStore(file), RULES, QUOTA)
    await streams.open()
    await streams.describe(KEY)
    await until(lambda: asked(file, "SELECT count(*) FROM data") == 0)
    await streams.close()


@pytest.mark.parametrize("replaced", [False, True])
async def test_nothing_is_acknowledged_that_goes_to_a_file_that_was_removed(
    streams: Streams, file: Path, *, replaced: bool
) -> None:
    kept = file.rename(file.with_name("kept.db"))
    if replaced:
        file.touch()
    for _ in range(2):
        with pytest.raises(StreamsUnavailable, match="removed or replaced") as refused:
            await streams.append(KEY, text(b"1"))
        assert str(file.parent) not in str(refused.value)
    kept.rename(file)
    await streams.append(KEY, text(b"2"))
    assert await whole(streams) == b"02"


async def test_who_cannot_use_the_file_does_not_read_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    streams = Streams(SQLiteStore(tmp_path / "file" / "streams.db"), RULES, QUOTA)
    await streams.open()
    with pytest.raises(StreamsUnavailable) as refused:
        await streams.create(KEY, Create(content_type=TEXT))
    await streams.close()
    assert str(tmp_path) not in str(refused.value)


async def test_appends_that_wait_for_a_locked_file_wait_once_for_all(
    streams: Streams, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    write = vars(SQLiteStore)["_write"]

    def count(self: SQLiteStore, *given: object) -> None:
        tried.append(1)
        write(self, *given)

    monkeypatch.setattr(SQLiteStore, "_write", count)
    await streams.close()
    monkeypatch.setattr("stream_serve.files.sqlite._PATIENCE", 0.05)
    again = Streams(SQLiteStore(file), RULES, QUOTA)
    await again.open()
    names = [("owner", f"b{number}") for number in range(20)]
    for name in names:
        await again.create(name, Create(content_type=TEXT))
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        tried.clear()
        answers = await asyncio.gather(
            *(again.append(name, text(b"1")) for name in names), return_exceptions=True
        )
    assert all(isinstance(one, StreamsUnavailable) for one in answers)
    assert len(tried) <= 3
    await again.append(names[0], text(b"2"))
    await again.close()


async def test_an_append_that_is_written_is_acknowledged_whatever_comes_after_it(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = await streams.follow(KEY)

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(SQLiteStore, "_look", fail)
    await streams.append(KEY, text(b"1"))
    follower.close()
    assert await whole(streams) == b"01"


async def test_a_stream_that_cannot_be_read_does_not_keep_others_from_their_end(
    streams: Streams, file: Path, clock: Clock
) -> None:
    await streams.append(KEY, text(b"1", lease=5))
    await streams.create(("owner", "b"), Create(content_type=TEXT))
    await streams.append(("owner", "b"), text(b"1", lease=6))
    with closing(sqlite3.connect(file)) as db:
        db.execute("UPDATE streams SET state = x'00' WHERE path = 'a'")
        db.commit()
    with pytest.raises(StreamUnreadable, match="another name"):
        await streams.describe(KEY)
    follower = await streams.follow(("owner", "b"))
    clock.now += 10
    await asyncio.wait_for(follower.wait(), 10)
    follower.close()
    assert (await streams.describe(("owner", "b"))).lost


async def test_looks_for_what_others_have_changed_leave_most_of_the_time_to_requests(
    streams: Streams, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic() + 1_000.0
    looks: list[float] = []
    version_of = tables.version_of

    def slow(db: sqlite3.Connection, key: tuple[str, str]) -> int:
        nonlocal now
        looks.append(now)
        now += 1.0
        return version_of(db, key)

    other = Streams(SQLiteStore(file), RULES, QUOTA)
    await other.open()
    follower = await streams.follow(KEY)
    monkeypatch.setattr(sqlite, "monotonic", lambda: now)
    monkeypatch.setattr(tables, "version_of", slow)
    await other.append(KEY, text(b"1"))
    await until(lambda: bool(looks))
    first = looks[0]
    for _ in range(5):
        await other.append(KEY, text(b"2"))
        await streams.describe(KEY)
    assert looks == [first]
    now += 4.0
    await until(lambda: follower.state is not None and follower.state.tail == 7)
    follower.close()
    await other.close()
