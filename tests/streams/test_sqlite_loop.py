"""Who writes to the file: the event loop, and the thread for whatever has to wait."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from stream_serve.streams import sqlite, tables
from stream_serve.streams.decisions import Append, Create
from stream_serve.streams.service import Streams
from stream_serve.streams.sqlite import SQLiteStore
from support.streams import QUOTA, RULES, TEXT
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NAMES: Final = [("owner", f"s{number}") for number in range(5)]
ONE: Final = Append(data=b"one", content_type=TEXT)
LOOP: Final = threading.current_thread().name
THREAD: Final = "streams"


class Write(NamedTuple):
    """A transaction: the thread that wrote it, and how many commits it had."""

    thread: str
    commits: int


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "streams.db"


class Clock:
    """The time for the store: it passes when a test says so, however slow the machine is."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(sqlite, "monotonic", made)
    return made


@pytest.fixture
async def streams(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Streams]:
    """Streams of all the names; the thread has done what it does when a file was opened."""
    del clock
    shrunk, shrink = threading.Event(), sqlite.shrink

    def watched(db: sqlite3.Connection) -> bool:
        more = shrink(db)
        if not more:
            shrunk.set()
        return more

    monkeypatch.setattr(sqlite, "shrink", watched)
    store = SQLiteStore(file)
    made = Streams(store, RULES, QUOTA)
    await made.open()
    for name in NAMES:
        await made.create(name, Create(content_type=TEXT))
    await until(shrunk.is_set)
    await store.totals("owner")  # for this the thread has let go of the file
    yield made
    await made.close()


@pytest.fixture
def writes(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> list[Write]:
    """The transactions that are tried from now on."""
    del streams
    tried: list[Write] = []
    write = vars(SQLiteStore)["_write"]

    def watched(self: SQLiteStore, db: sqlite3.Connection, commits: list[object]) -> None:
        tried.append(Write(threading.current_thread().name, len(commits)))
        write(self, db, commits)

    monkeypatch.setattr(SQLiteStore, "_write", watched)
    return tried


async def test_the_loop_writes_the_first_append_of_a_turn_at_once_and_the_others_together(
    streams: Streams, writes: list[Write]
) -> None:
    answers = [streams.append(name, ONE) for name in NAMES]
    assert [one.done() for one in answers] == [True, False, False, False, False]
    await asyncio.gather(*answers)
    assert writes == [Write(LOOP, 1), Write(LOOP, 4)]


async def test_the_thread_waits_for_another_process_that_writes(
    streams: Streams, writes: list[Write], file: Path
) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        answers = [streams.append(name, ONE) for name in NAMES]
        await until(lambda: THREAD in {one.thread for one in writes})
        assert not any(one.done() for one in answers)
    assert [one.tail for one in await asyncio.gather(*answers)] == [3] * 5
    assert writes[0] == Write(LOOP, 1)
    writes.clear()
    await streams.append(NAMES[0], ONE)
    assert writes == [Write(LOOP, 1)]


async def test_after_a_slow_transaction_others_are_written_by_the_thread_for_a_while(
    streams: Streams, writes: list[Write], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = tables.apply

    def slow(*given: object) -> object:
        clock.now += 0.2
        return apply(*given)  # pyright: ignore[reportArgumentType] - as it came

    monkeypatch.setattr(tables, "apply", slow)
    await streams.append(NAMES[0], ONE)
    monkeypatch.setattr(tables, "apply", apply)
    await streams.append(NAMES[0], ONE)
    clock.now += 2.0
    await streams.append(NAMES[0], ONE)
    assert [one.thread for one in writes] == [LOOP, THREAD, LOOP]


async def test_who_is_told_by_the_thread_writes_in_the_loop_again_at_once(
    streams: Streams, writes: list[Write], monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    loop, written = asyncio.get_running_loop(), threading.Event()
    tell = loop.call_soon_threadsafe

    def told(*given: object) -> None:
        tell(*given)  # pyright: ignore[reportArgumentType] - as it came
        written.wait()

    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        answer = streams.append(NAMES[0], ONE)
        await until(lambda: THREAD in {one.thread for one in writes})
        monkeypatch.setattr(loop, "call_soon_threadsafe", told)
    await answer
    try:
        assert streams.append(NAMES[0], ONE).done()
    finally:
        written.set()


@pytest.fixture
def checkpoints(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In which thread each checkpoint was, from now on."""
    del streams
    made: list[str] = []
    checkpoint = tables.checkpoint

    def watched(db: sqlite3.Connection) -> None:
        checkpoint(db)
        made.append(threading.current_thread().name)

    monkeypatch.setattr(tables, "checkpoint", watched)
    return made


async def test_the_thread_waits_for_the_disk(
    streams: Streams, monkeypatch: pytest.MonkeyPatch, file: Path, checkpoints: list[str]
) -> None:
    size = file.stat().st_size
    monkeypatch.setattr(tables, "CHECKPOINT", 100)
    await streams.append(NAMES[0], Append(data=b"." * 500_000, content_type=TEXT))
    await until(lambda: bool(checkpoints))
    assert checkpoints == [THREAD]
    assert file.stat().st_size > size + 400_000
    with closing(sqlite3.connect(file)) as db:
        _, frames, _ = db.execute("PRAGMA wal_checkpoint").fetchone()
    assert frames < 10  # so that the log has a new beginning, for which the disk is waited for, too


async def test_what_is_given_back_to_the_disk_is_not_kept_in_the_log(
    streams: Streams, monkeypatch: pytest.MonkeyPatch, checkpoints: list[str]
) -> None:
    monkeypatch.setattr(tables, "CHECKPOINT", 1)
    await streams.append(NAMES[0], ONE)
    await until(lambda: len(checkpoints) == 1)
    # The removal counts as one step, and what the thread gives back as another.
    monkeypatch.setattr(tables, "CHECKPOINT", 2 * tables.STEP)
    await streams.delete(NAMES[0])
    await until(lambda: len(checkpoints) == 2)
    assert set(checkpoints) == {THREAD}
