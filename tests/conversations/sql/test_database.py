"""A database that is slow, locked, full, frozen or away, and callers that go away."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import Pool

from stream_serve.conversations.base import Answer, Status
from stream_serve.conversations.sql.database import CONNECTIONS, Database
from stream_serve.conversations.sql.history import SQLHistory
from stream_serve.conversations.sql.migrate import migrate
from stream_serve.conversations.sql.sqlite import RETRY
from stream_serve.conversations.sql.urls import database_url
from stream_serve.errors import ConversationNotFound, HistoryError, HistoryUnavailable
from support.history import all_messages, ask, ended, talk
from support.postgres import free_port
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from sqlalchemy import Connection

    from support.history import Place

Result = TypeVar("Result")

BOUND: Final = 0.5
SLACK: Final = 10.0
PATIENCE: Final = 60.0
CUTS: Final = 200


def file_of(place: Place) -> str:
    return database_url(place.url).database or ""


@contextmanager
def locked(place: Place) -> Generator[None]:
    """Somebody else writes to the file, and does not end."""
    with closing(sqlite3.connect(file_of(place), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def unavailable(*calls: Awaitable[object]) -> None:
    """All of them say so, and within their bound."""
    begun = time.monotonic()
    for result in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(result, HistoryUnavailable), result
    assert time.monotonic() - begun < BOUND + SLACK


async def healed(call: Callable[[], Awaitable[Result]]) -> Result:
    """Try again for as long as the database is not available, and return what came at last."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(HistoryUnavailable):
                return await call()


COUNTING: Final = """
import asyncio, sys
import uvloop
from sqlalchemy import text
from stream_serve.conversations.sql.database import Database
from stream_serve.errors import HistoryUnavailable

COUNT = (
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000000000) "
    "SELECT count(*) FROM n"
)

async def main():
    database = Database(sys.argv[1], timeout=0.2)
    await database.prepare()
    try:
        await database.run(lambda connection: connection.execute(text(COUNT)), write=False)
    except HistoryUnavailable:
        print("timeout", flush=True)
    await database.close(0.1)
    print("closed", flush=True)

uvloop.run(main())
"""


def test_a_statement_of_sqlite_that_never_ends_does_not_hold_up_the_end_of_the_process(
    tmp_path: Path,
) -> None:
    process = subprocess.run(
        [sys.executable, "-c", COUNTING, str(tmp_path / "chat.db")],
        capture_output=True,
        text=True,
        timeout=SLACK + PATIENCE,
        check=True,
    )
    assert process.stdout == "timeout\nclosed\n"


COUNT: Final = text(
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000000000) "
    "SELECT count(*) FROM n"
)


async def test_a_statement_that_takes_too_long_is_interrupted_and_gives_its_connection_back(
    sqlite: Place,
) -> None:
    history = await sqlite.history()
    database = Database(sqlite.url, timeout=BOUND)
    slow = [database.run(lambda at: at.execute(COUNT), write=False) for _ in range(CONNECTIONS)]
    await unavailable(*slow)
    for _ in range(CONNECTIONS):
        await healed(lambda: database.run(lambda at: at.execute(text("SELECT 1")), write=False))
    await unavailable(database.run(lambda at: at.execute(COUNT), write=True))
    await healed(lambda: history.create(""))
    async with asyncio.timeout(PATIENCE):
        await database.close()


async def turns_of(work: Awaitable[object]) -> int:
    """How often the loop turns until something is done."""
    task = asyncio.ensure_future(work)
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    await task
    return turns


async def cut(work: Awaitable[object], turns: int) -> None:
    """Cancel something after some turns of the loop, and wait for its end."""
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()


@pytest.mark.both_loops
async def test_a_question_that_is_cancelled_is_stored_whole_or_not_at_all(place: Place) -> None:
    history = await place.history()
    first = await talk(history)
    conversation = first.conversation_id
    usual = sorted([await turns_of(ask(history, conversation)) for _ in range(5)])[2]
    count = len(await all_messages(history, "", conversation))
    for number in range(CUTS):
        before = (await history.get("", conversation)).updated_at
        await cut(ask(history, conversation), usual * number // CUTS)
        now = len(await all_messages(history, "", conversation))
        assert now in {count, count + 2}
        after = (await history.get("", conversation)).updated_at
        assert (after > before) == (now > count)
        count = now
    assert len(await asyncio.gather(*(ask(history, conversation) for _ in range(30)))) == 30
    if place.server is not None:
        name = place.url.rpartition("/")[2]
        query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"
        assert int(place.server.sql(query)) <= CONNECTIONS


async def test_everything_else_may_be_cancelled_too(place: Place) -> None:
    history = await place.history()
    first = await talk(history)
    here = first.conversation_id
    live = await ask(history, here)
    random = [secrets.randbelow(400) for _ in range(40)]
    for turns in random:
        for work in (
            history.list("", limit=3, query="why"),
            all_messages(history, "", here),
            history.touch(live, Answer(status=Status.GENERATING, content="so far")),
            history.change("", here, title=str(turns)),
            history.sweep(),
            history.create("another"),
            history.check(),
        ):
            await cut(work, turns)
    await history.finish(live, ended())
    assert [at.status for at in await all_messages(history, "", here)] == [Status.COMPLETE] * 4
    await asyncio.gather(*(history.check() for _ in range(CONNECTIONS * 2)))


async def test_a_caller_that_is_cancelled_twice_does_not_wait(sqlite: Place) -> None:
    history = await sqlite.history(timeout=60)
    with locked(sqlite):
        task = asyncio.create_task(ask(history))
        await asyncio.sleep(0)
        begun = time.monotonic()
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait({task})
        assert task.cancelled()
        assert time.monotonic() - begun < 20
    await history.close()
    assert (await (await sqlite.history()).list("", limit=1)).conversations == []


async def test_a_locked_file_is_unavailable_within_the_bound_and_heals(sqlite: Place) -> None:
    patient, history = await sqlite.history(), await sqlite.history(timeout=BOUND)
    turn = await ask(patient)
    with locked(sqlite):
        await unavailable(ask(history), *(history.finish(turn, ended()) for _ in range(20)))
        assert len(await all_messages(history, "", turn.conversation_id)) == 2, "reading goes on"
        with pytest.raises(HistoryUnavailable, match=r"SQLITE_BUSY|took longer"):
            await history.change("", turn.conversation_id, title="x")
    await history.finish(turn, ended())
    assert len((await history.list("", limit=9)).conversations) == 1


async def test_a_locked_new_file_is_unavailable(sqlite: Place) -> None:
    await (await sqlite.history()).close()
    with closing(sqlite3.connect(file_of(sqlite), isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        await unavailable(SQLHistory(sqlite.url, timeout=BOUND).open())
    await sqlite.history(timeout=BOUND)


async def test_a_full_disk_stores_nothing_by_halves(sqlite: Place) -> None:
    def fill(connection: Any, record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA max_page_count = 40")
        cursor.close()

    event.listen(Pool, "connect", fill)
    try:
        history = await sqlite.history()
        turn = await talk(history)
        with pytest.raises(HistoryUnavailable, match="SQLITE_FULL"):
            await ask(history, turn.conversation_id, "x" * 1_000_000)
        with pytest.raises(HistoryUnavailable, match="SQLITE_FULL"):
            await ask(history, None, "y" * 1_000_000)
        assert len(await all_messages(history, "", turn.conversation_id)) == 2
        again = await ask(history, turn.conversation_id, "a small one goes")
        assert len(again.path) == 3
        assert len((await history.list("", limit=9)).conversations) == 1
    finally:
        event.remove(Pool, "connect", fill)


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_is_gone_or_another_one_is_refused_and_heals_when_it_is_back(
    sqlite: Place, replaced: bool
) -> None:
    history = await sqlite.history()
    turn = await talk(history)
    file = Path(file_of(sqlite))
    file.rename(file.with_suffix(".away"))
    if replaced:
        file.touch()
    for call in (ask(history), history.list("", limit=9)):
        with pytest.raises(HistoryUnavailable, match="deleted, moved or replaced"):
            await call
    assert file.exists() is replaced
    file.with_suffix(".away").rename(file)
    assert len((await ask(history, turn.conversation_id)).path) == 3


async def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Any) -> None:
    (tmp_path / "file").write_text("")
    history = SQLHistory(str(tmp_path / "file" / "chat.db"))
    with pytest.raises(HistoryUnavailable, match=r"NotADirectoryError|FileExistsError"):
        await history.open()
    await history.close()


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Any) -> None:
    (tmp_path / "chat.db").write_text("dear diary, " * 1000)
    history = SQLHistory(str(tmp_path / "chat.db"))
    with pytest.raises(HistoryUnavailable, match="SQLITE_NOTADB"):
        await history.open()
    await history.close()


async def test_a_restart_of_postgresql_heals_by_itself(postgresql: Place) -> None:
    history = await postgresql.history(timeout=5)
    assert postgresql.server is not None
    turns = await asyncio.gather(*(ask(history) for _ in range(10)))
    await asyncio.to_thread(postgresql.server.restart)
    await asyncio.gather(*(history.finish(turn, ended()) for turn in turns))
    await asyncio.to_thread(postgresql.server.stop)
    await unavailable(history.check(), ask(history), history.list("", limit=3))
    await asyncio.to_thread(postgresql.server.start)
    await ask(history)


async def test_a_crash_of_postgresql_in_the_middle_leaves_no_half_message(
    postgresql: Place,
) -> None:
    history = await postgresql.history(timeout=5)
    server = postgresql.server
    assert server is not None
    first = await talk(history)
    work = [asyncio.create_task(ask(history, first.conversation_id)) for _ in range(8)]
    name = postgresql.url.rpartition("/")[2]
    kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    await asyncio.to_thread(server.sql, kill)
    results = await asyncio.gather(*work, return_exceptions=True)
    lost = [result for result in results if isinstance(result, BaseException)]
    assert all(isinstance(error, HistoryUnavailable) for error in lost), lost
    kept = await all_messages(history, "", first.conversation_id)
    assert len(kept) % 2 == 0
    assert len(kept) >= 2 + 2 * (8 - len(lost))


async def test_a_frozen_postgresql_is_unavailable_within_the_bound_and_heals(
    postgresql: Place,
) -> None:
    history = await postgresql.history(timeout=BOUND)
    server = postgresql.server
    assert server is not None
    turn = await talk(history)
    server.freeze()
    try:
        calls = [ask(history, turn.conversation_id) for _ in range(CONNECTIONS + 2)]
        await unavailable(history.check(), history.list("", limit=3), *calls)
        await unavailable(SQLHistory(postgresql.url, timeout=BOUND).open())
        await unavailable(migrate(postgresql.url, timeout=BOUND))
        begun = time.monotonic()
        await history.close()
        assert time.monotonic() - begun < BOUND + SLACK
    finally:
        server.thaw()
    await healed(history.open)
    assert len(await healed(lambda: all_messages(history, "", turn.conversation_id))) % 2 == 0
    await asyncio.gather(*(healed(lambda: ask(history)) for _ in range(CONNECTIONS * 2)))


async def test_a_locked_row_is_unavailable_within_the_bound_and_no_connection_is_lost(
    postgresql: Place,
) -> None:
    history = await postgresql.history(timeout=BOUND)
    turn = await talk(history)
    other = create_async_engine(database_url(postgresql.url))
    async with other.begin() as connection:
        await connection.execute(text("SELECT * FROM conversations FOR UPDATE"))
        for _ in range(2):
            calls = [ask(history, turn.conversation_id) for _ in range(CONNECTIONS + 2)]
            await unavailable(*calls)
    await other.dispose()
    patient = await postgresql.history()
    assert len(await all_messages(patient, "", turn.conversation_id)) == 2

    async def all_at_once() -> bool:
        calls = [ask(history, turn.conversation_id) for _ in range(CONNECTIONS)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        return not any(isinstance(one, BaseException) for one in results)

    await until(all_at_once)


async def test_nobody_listening_is_unavailable_and_tells_no_password() -> None:
    await telling_nothing(f"postgresql://me:canary-0451@127.0.0.1:{free_port()}/chat")


async def test_a_wrong_password_is_unavailable_and_not_told(postgresql: Place) -> None:
    assert postgresql.server is not None
    wrong = postgresql.url.replace(postgresql.server.password, "canary-0451")
    assert "canary-0451" in wrong
    assert "InvalidPasswordError" in await telling_nothing(wrong)
    missing = postgresql.server.url("canary-0451")
    assert "InvalidCatalogNameError" in await telling_nothing(missing)


async def telling_nothing(url: str) -> str:
    """What is said of a database that cannot be used, traceback and all; no canary is in it."""
    history = SQLHistory(url, timeout=5)
    told = repr(history)
    for call in (history.open(), history.check(), ask(history), migrate(url)):
        with pytest.raises(HistoryUnavailable) as refused:
            await call
        told += "".join(traceback.format_exception(refused.value)) + repr(refused.value)
    await history.close()
    assert "canary-0451" not in told
    return told


@pytest.mark.parametrize(
    "wrong",
    [
        "INSERT INTO messages (id) VALUES ('canary-0451')",
        "SELECT 'canary-0451' FROM nowhere",
        "INSERT INTO conversations (id, owner, title, search, created_at, updated_at) VALUES "
        "('canary-0451', '', '', '', 1, 1), ('canary-0451', '', '', '', 1, 1)",
    ],
)
async def test_a_refused_statement_tells_neither_itself_nor_its_values(
    place: Place, wrong: str
) -> None:
    await place.history()
    database = Database(place.url, timeout=5)

    def work(connection: Connection) -> None:
        connection.execute(text(wrong))

    with pytest.raises(HistoryError, match="the database") as refused:
        await database.run(work, write=True)
    await database.close()
    told = "".join(traceback.format_exception(refused.value))
    assert "canary-0451" not in told
    assert "INSERT" not in told
    assert "SELECT" not in told


async def test_what_json_has_no_word_for_is_refused_as_a_defect(place: Place) -> None:
    history = await place.history()
    with pytest.raises(HistoryError, match="ValueError") as refused:
        await ask(history, content=[{"type": "text", "text": "x", "n": float("nan")}])
    assert not isinstance(refused.value, HistoryUnavailable)
    assert (await history.list("", limit=1)).conversations == []


async def test_an_error_of_ours_passes_and_rolls_back(place: Place) -> None:
    history = await place.history()
    for _ in range(CONNECTIONS * 3):
        with pytest.raises(ConversationNotFound):
            await history.change("", "nowhere", title="x")
    await history.check()


async def test_closing_waits_for_what_goes_on_and_leaves_no_thread_or_task(place: Place) -> None:
    before = threading.active_count()
    history = SQLHistory(place.url)
    await history.open()
    work = [asyncio.create_task(ask(history)) for _ in range(20)]
    await asyncio.sleep(0)
    await history.close()
    for task in work:
        task.cancel()
    await asyncio.wait(work)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await asyncio.get_running_loop().shutdown_default_executor()
    assert threading.active_count() <= before


async def test_after_closing_a_locked_file_nothing_waits_for_its_thread(sqlite: Place) -> None:
    await (await sqlite.history()).close()
    database = Database(sqlite.url, timeout=PATIENCE)

    def work(connection: Connection) -> None:
        connection.execute(text("SELECT 1"))

    with locked(sqlite):
        writing = asyncio.create_task(database.run(work, write=True))
        await asyncio.sleep(0)
        await database.close(2 * RETRY)
        assert asyncio.all_tasks() <= {asyncio.current_task(), writing}
    with pytest.raises(HistoryUnavailable):
        await writing
