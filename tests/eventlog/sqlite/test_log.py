"""Logs in a file: what is left of them when their process is gone, and for how long."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from stream_serve.errors import (
    LogExists,
    LogForbidden,
    LogLost,
    LogNotFound,
    LogUnavailable,
    SettingsError,
)
from stream_serve.eventlog.sqlite import file
from stream_serve.files import sqlite as files
from support.eventlog import file_log, frames, never_lost, never_orphaned, new_name, rest, start
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from stream_serve.eventlog.base import Orphan
    from stream_serve.eventlog.sqlite.log import SQLiteEventLog

    Begin = Callable[..., Awaitable[SQLiteEventLog]]


@pytest.fixture
async def begin(tmp_path: Path) -> AsyncIterator[Begin]:
    """Opens logs as a process that begins does; the one before has been closed, or is as good as dead."""
    opened: list[SQLiteEventLog] = []

    async def opening(
        orphaned: Callable[[Orphan], Awaitable[None]] = never_orphaned, **limits: int
    ) -> SQLiteEventLog:
        folder = tmp_path / str(len(opened))
        if opened:
            shutil.copytree(tmp_path / str(len(opened) - 1), folder)
        log = file_log(folder / "runs.db", **limits)
        await log.open(lost=never_lost, orphaned=orphaned)
        opened.append(log)
        return log

    yield opening
    for log in opened:
        await log.close()


async def flush(log: SQLiteEventLog) -> None:
    """Wait until all that was appended is in the file."""
    assert await log.forbid(new_name(), 60)


async def end_with(orphan: Orphan, *, first: int = 100) -> None:
    await orphan.finish(frames(first, first), first=first, summary=b"interrupted")


async def test_a_finished_log_outlives_its_process(begin: Begin) -> None:
    log, name = await begin(), new_name()
    writer = await log.create(name, b"\xfffingerprint")
    writer.append(frames(1, 3))
    writer.append(frames(4, 5))
    writer.finish()
    writer.summarize(lambda: b"summary")
    await flush(log)
    log = await begin()
    info = await log.look(name)
    assert (info.fingerprint, info.last, info.finished) == (b"\xfffingerprint", 5, True)
    assert info.summary == b"summary"
    assert info.process is not None, "it is not a run of this process"
    for after in range(6):
        reader = await log.read(name, after)
        assert await rest(reader) == b"".join(frames(after + 1, 5))
        reader.close()
    with pytest.raises(LogExists):
        await log.create(name)
    assert not await log.forbid(name, 60)
    await log.drop(name)
    assert (await log.look(name)).last == 5, "only its own process drops a log"


async def test_numbers_that_were_skipped_stay_skipped(begin: Begin) -> None:
    log, name, behind = await begin(), new_name(), new_name()
    writer = await log.create(name)
    writer.append(frames(1, 2))
    writer.skip(50)
    writer.append(frames(51, 52))
    writer.finish()
    writer = await log.create(behind)
    writer.append(frames(1, 1))
    writer.skip(9)
    writer.finish()
    await flush(log)
    log = await begin()
    assert (await log.look(name)).last == 52
    assert await rest(await log.read(name, 30)) == b"".join(frames(51, 52))
    assert (await log.look(behind)).last == 9
    assert await (await log.read(behind, 9)).read() is None


async def test_an_unfinished_log_is_finished_by_the_next_process_once(begin: Begin) -> None:
    log, name, empty = await begin(), new_name(), new_name()
    (await log.create(name)).append(frames(1, 3))
    await log.create(empty)
    await flush(log)
    found: dict[str, list[bytes]] = {}
    hold: list[Orphan] = []

    async def orphaned(orphan: Orphan) -> None:
        found[orphan.name] = list(orphan.frames)
        hold.append(orphan)
        if len(hold) <= 2:
            raise LogUnavailable("not yet")
        await end_with(orphan)

    log = await begin(orphaned)
    early, ahead = await log.read(name), await log.read(name, 50)
    assert await early.read() == b"".join(frames(1, 3))
    waiting = await start(ahead)
    assert not (await log.look(name)).finished
    assert await waiting == frames(100, 100)[0], "its end is past whatever its reader has seen"
    assert await rest(early) == frames(100, 100)[0]
    assert found == {name: frames(1, 3), empty: []}
    await until(lambda: len(hold) == 4)
    info = await log.look(name)
    assert (info.last, info.finished, info.summary) == (100, True, b"interrupted")
    assert await rest(await log.read(name)) == b"".join(frames(1, 3) + frames(100, 100))
    log = await begin()
    assert await rest(await log.read(name)) == b"".join(frames(1, 3) + frames(100, 100))


async def test_a_process_begins_however_long_it_takes_to_read_what_is_left(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, name = await begin(), new_name()
    writer = await log.create(name)
    writer.append(frames(1, 3))
    await flush(log)
    with monkeypatch.context() as slow:
        slow.setattr(file, "_PATIENCE", 0.0)
        log = await begin()
    assert (await log.look(name)).last == 3


async def test_a_defect_with_one_orphan_does_not_keep_the_others_from_their_ends(
    begin: Begin,
) -> None:
    log, bad, good = await begin(), new_name(), new_name()
    await log.create(bad)
    await log.create(good)

    async def orphaned(orphan: Orphan) -> None:
        if orphan.name == bad:
            raise RuntimeError("a defect")
        await end_with(orphan)

    log = await begin(orphaned)
    assert await rest(await log.read(good)) == frames(100, 100)[0]
    assert not (await log.look(bad)).finished


async def test_what_a_crash_leaves_is_a_beginning_of_what_was_told(
    begin: Begin, tmp_path: Path
) -> None:
    log, name = await begin(), new_name()
    writer = await log.create(name)
    lefts: list[Path] = []
    for number in range(1, 60):
        writer.append(frames(number, number))
        if number % 10 == 0:
            if number % 20 == 0:
                await flush(log)
            lefts.append(tmp_path / f"left-{number}")
            shutil.copytree(tmp_path / "0", lefts[-1])
    found: list[int] = []
    for left in lefts:
        later = file_log(left / "runs.db")
        await later.open(lost=never_lost, orphaned=end_with)
        whole = await rest(await later.read(name))
        count = whole.count(b">") - 1
        assert whole == b"".join(frames(1, count) + frames(100, 100))
        found.append(count)
        await later.close()
    assert found == sorted(found)
    assert found[-1] >= 40, "what was flushed is there"


async def test_that_a_log_exists_is_in_the_file_before_its_writer_is(begin: Begin) -> None:
    log, name = await begin(), new_name()
    await log.create(name, b"one")
    log = await begin(end_with)
    assert (await log.look(name)).fingerprint == b"one"


async def test_an_earlier_process_s_logs_are_dropped_after_the_retention(
    begin: Begin, tmp_path: Path
) -> None:
    log, names = await begin(), [new_name() for _ in range(3)]
    for name in names:
        writer = await log.create(name)
        writer.append(frames(1, 9))
        writer.finish()
    await flush(log)
    log = await begin(retention=0)
    for name in names:
        with pytest.raises(LogNotFound):
            await log.read(name)
    await log.create(names[0])
    await flush(log)
    await log.close()
    assert rows(tmp_path / "1" / "runs.db") == (1, 0)


async def test_the_oldest_logs_of_an_earlier_process_make_room(begin: Begin) -> None:
    log, names = await begin(), [new_name() for _ in range(6)]
    for name in names:
        writer = await log.create(name)
        writer.append(frames(1, 1, 1_000))
        writer.finish()
        await flush(log)
    reading = partial(known, names)
    log = await begin(kept=4)
    await until(partial(same, log, reading, names[2:]))
    log = await begin(kept_bytes=2_500)
    await until(partial(same, log, reading, names[4:]))
    ours = await log.create(new_name())
    ours.append(frames(1, 1, 1_000))
    ours.finish()
    await until(partial(same, log, reading, names[5:]))


async def known(names: list[str], log: SQLiteEventLog) -> list[str]:
    found: list[str] = []
    for name in names:
        try:
            await log.look(name)
        except LogNotFound:
            continue
        found.append(name)
    return found


async def same(
    log: SQLiteEventLog, reading: Callable[[SQLiteEventLog], Awaitable[list[str]]], names: list[str]
) -> bool:
    return await reading(log) == names


def rows(path: Path) -> tuple[int, int]:
    """How many logs and how many rows of frames are in a file that nobody uses."""
    db = sqlite3.connect(path)
    try:
        return (
            db.execute("SELECT count(*) FROM logs").fetchone()[0],
            db.execute("SELECT count(*) FROM frames").fetchone()[0],
        )
    finally:
        db.close()


async def test_a_dropped_log_leaves_nothing_in_the_file(begin: Begin, tmp_path: Path) -> None:
    log, name = await begin(), new_name()
    writer = await log.create(name)
    writer.append(frames(1, 9))
    await flush(log)
    writer.append(frames(10, 19))
    await log.drop(name)
    writer.append(frames(20, 29))
    writer.finish()
    await log.create(name)
    await flush(log)
    await log.drop(name)
    await log.close()
    assert rows(tmp_path / "0" / "runs.db") == (0, 0)


async def test_a_log_of_an_earlier_process_is_erased_as_soon_as_it_has_its_end(
    begin: Begin,
) -> None:
    log, name, ours = await begin(), new_name(), new_name()
    (await log.create(name)).append(frames(1, 3))
    await flush(log)
    hold: list[Orphan] = []

    async def keep(orphan: Orphan) -> None:
        hold.append(orphan)

    log = await begin(keep)
    await until(lambda: bool(hold))
    await log.create(ours)
    assert not await log.erase(ours)
    assert not await log.erase(name)
    await end_with(hold[0])
    reader = await log.read(name)
    assert await log.erase(name)
    assert not await log.erase(name)
    assert await rest(reader) == b"".join(frames(1, 3) + frames(100, 100)), "a reader goes on"
    for again in (log, await begin(end_with)):
        with pytest.raises(LogNotFound):
            await again.look(name)


async def test_what_was_dropped_is_not_in_the_file_any_more(begin: Begin) -> None:
    log, name = await begin(), new_name()
    writer = await log.create(name)
    writer.append(frames(1, 3))
    writer.finish()
    await flush(log)
    assert await log.drop(name)
    log = await begin()
    with pytest.raises(LogNotFound):
        await log.look(name)


@pytest.mark.parametrize("damage", ["lengths = x'0102'", "lengths = 7", "data = x'00'"])
async def test_a_damaged_log_is_read_up_to_there_and_keeps_no_other_one_from_being_read(
    begin: Begin, damage: str
) -> None:
    log, ended, open_, whole = await begin(), new_name(), new_name(), new_name()
    writers = [await log.create(name) for name in (ended, open_, whole)]
    for first in (1, 4, 7):
        for writer in writers:
            writer.append(frames(first, first + 2))
        await flush(log)
    writers[0].finish()
    writers[2].finish()
    await flush(log)

    def spoil(db: sqlite3.Connection) -> None:
        db.execute(f"UPDATE frames SET {damage} WHERE first = 4 AND log < 3")

    await log._file.ask(spoil)  # pyright: ignore[reportPrivateUsage]
    for orphaned in (end_with, never_orphaned):
        log = await begin(orphaned)
        assert await rest(await log.read(whole)) == b"".join(frames(1, 9))
        assert await rest(await log.read(open_)) == b"".join(frames(1, 3) + frames(100, 100))
        reader = await log.read(ended)
        assert await reader.read() == b"".join(frames(1, 3))
        with pytest.raises(LogLost):
            await reader.read()
        reader.close()


async def test_a_forbidden_name_stays_forbidden(begin: Begin) -> None:
    log, name, short = await begin(), new_name(), new_name()
    await log.forbid(name, 60)
    await log.forbid(short, 0)
    log = await begin()
    with pytest.raises(LogForbidden):
        await log.create(name)
    await log.create(short)


async def test_many_frames_are_written_in_few_transactions(begin: Begin) -> None:
    log = await begin()
    writers = [await log.create(new_name()) for _ in range(20)]
    commits: list[str] = []

    def trace(db: sqlite3.Connection) -> None:
        db.set_trace_callback(lambda sql: commits.append(sql) if sql == files.BEGIN else None)

    await log._file.ask(trace)  # pyright: ignore[reportPrivateUsage]
    for number in range(1, 1_000):
        for writer in writers:
            writer.append(frames(number, number))
    await flush(log)
    assert len(commits) == 1


async def test_a_file_that_cannot_be_written_stops_no_run_and_gets_all_later(begin: Begin) -> None:
    log, name, refused = await begin(), new_name(), new_name()
    writer = await log.create(name)
    reader = await log.read(name)
    await set_readonly(log, 1)
    with pytest.raises(LogUnavailable):
        await log.create(refused)
    assert not log.ready
    writer.append(frames(1, 5))
    assert await reader.read() == b"".join(frames(1, 5))
    with pytest.raises(LogNotFound):
        await log.look(refused)
    await set_readonly(log, 0)
    await until(lambda: log.ready)
    writer.append(frames(6, 6))
    writer.finish()
    await flush(log)
    log = await begin()
    assert await rest(await log.read(name)) == b"".join(frames(1, 6))
    await log.create(refused)


async def test_nothing_is_written_to_a_file_that_was_removed_until_it_is_back(
    begin: Begin, tmp_path: Path
) -> None:
    log, name = await begin(), new_name()
    writer = await log.create(name)
    path, away = tmp_path / "0" / "runs.db", tmp_path / "away"
    path.rename(away)
    for replaced in (False, True):
        if replaced:
            path.write_bytes(b"another one")
        with pytest.raises(LogUnavailable) as refused:
            await log.create(new_name())
        assert "removed or replaced" in refused.value.for_operator
        assert not log.ready
    writer.append(frames(1, 5))
    away.rename(path)
    await until(lambda: log.ready)
    await flush(log)
    log = await begin(end_with)
    assert await rest(await log.read(name)) == b"".join(frames(1, 5) + frames(100, 100))


async def test_what_is_free_in_the_file_goes_back_to_the_disk(begin: Begin, tmp_path: Path) -> None:
    log, name = await begin(), new_name()
    writer = await log.create(name)
    for number in range(1, 41):
        writer.append(frames(number, number, 1_048_576))
    await flush(log)
    await log.drop(name)
    await flush(log)

    async def spare() -> bool:
        return (await free(log)) <= files._SPARE  # pyright: ignore[reportPrivateUsage]

    await until(spare)
    await log.create(name)
    await log.close()
    assert (tmp_path / "0" / "runs.db").stat().st_size < 20_000_000


async def free(log: SQLiteEventLog) -> int:
    """How many pages of the file nothing is in."""

    def ask(db: sqlite3.Connection) -> int:
        return db.execute("PRAGMA freelist_count").fetchone()[0]

    return await log._file.ask(ask)  # pyright: ignore[reportPrivateUsage]


async def set_readonly(log: SQLiteEventLog, flag: int) -> None:
    def call(db: sqlite3.Connection) -> None:
        db.execute(f"PRAGMA query_only = {flag}")

    await log._file.ask(call)  # pyright: ignore[reportPrivateUsage]


async def test_only_one_process_can_use_the_file(begin: Begin, tmp_path: Path) -> None:
    log = await begin()
    await flush(log)
    code = (
        "import asyncio, sys; from pathlib import Path\n"
        "from stream_serve.eventlog.sqlite.log import SQLiteEventLog as Log\n"
        "log = Log(Path(sys.argv[1]), flush_interval=1, retention=1, kept=1, kept_bytes=1)\n"
        "asyncio.run(log.open(lost=print, orphaned=print))"
    )
    path = str(tmp_path / "0" / "runs.db")
    said = subprocess.run(  # noqa: ASYNC221 - the other one waits for nothing of ours
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=False
    )
    assert said.returncode == 1
    assert f"SettingsError: the file of the runs, {path}, cannot be used: another" in said.stderr


@pytest.mark.parametrize("wrong", ["folder", "text", "version"])
async def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "runs.db"
    if wrong == "folder":
        path.mkdir()
    elif wrong == "text":
        path.write_text("no database at all\n" * 100, encoding="utf-8")
    else:
        files.connect(path, (), version=99).close()
    with pytest.raises(SettingsError, match="cannot be used") as refused:
        await file_log(path).open(lost=never_lost, orphaned=never_orphaned)
    assert refused.value.parameters == ["SQLiteEventLog.path"]


async def test_a_file_is_its_owner_s_alone(begin: Begin, tmp_path: Path) -> None:
    await begin()
    assert (tmp_path / "0" / "runs.db").stat().st_mode & 0o777 == 0o600


async def test_after_its_end_a_log_takes_nothing(begin: Begin) -> None:
    log = await begin()
    await log.close()
    with pytest.raises(LogUnavailable):
        await log.create(new_name())
