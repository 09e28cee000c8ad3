"""The schema: made, brought up to date, and refused."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from stream_serve.conversations.sql.files import TABLES, is_current, newest_version
from stream_serve.conversations.sql.history import SQLHistory
from stream_serve.conversations.sql.migrate import MIGRATIONS, migrate
from stream_serve.conversations.sql.schema import VERSION_TABLE, metadata
from stream_serve.conversations.sql.urls import database_url
from stream_serve.errors import HistoryError, HistorySchemaError, HistoryUnavailable
from support.history import Place, all_messages, talk, transact
from support.postgres import shared_server
from support.waiting import PATIENCE

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD: Final = "0006"

OPENING: Final = """
import asyncio, sys
from stream_serve.conversations.sql.history import SQLHistory

async def main():
    history = SQLHistory(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    await history.open()
    print((await history.create("")).id)
    await history.close()

asyncio.run(main())
"""


async def execute(place: Place, *statements: str) -> None:
    def work(connection: Connection) -> None:
        for statement in statements:
            connection.execute(text(statement))

    await transact(place.url, work)


def config_for(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def differences(connection: Connection) -> list[object]:
    def ours(name: str | None, kind: str, _parents: object) -> bool:
        index = {("column", "grams"), ("index", "ix_messages_grams")}
        return (kind, name) not in index and not str(name).startswith("message_grams")

    options = {
        "version_table": VERSION_TABLE,
        "compare_server_default": True,
        "include_name": ours,
    }
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, metadata))


async def test_the_migrations_make_what_the_code_says(place: Place) -> None:
    await place.history()

    def work(connection: Connection) -> tuple[list[object], list[object]]:
        before = differences(connection)
        metadata.tables["messages"].drop(connection)
        after = differences(connection)
        connection.rollback()
        return before, after

    before, after = await transact(place.url, work)
    assert before == []
    assert after != []


async def test_whether_a_file_is_current_is_known_without_the_libraries(sqlite: Place) -> None:
    file = Path(database_url(sqlite.url).database or "")
    assert not is_current(file)
    await (await sqlite.history()).close()
    assert newest_version() == HEAD
    assert set(metadata.tables) | {"message_grams"} == TABLES
    assert is_current(file)
    await execute(sqlite, f"UPDATE {VERSION_TABLE} SET version_num = '0005'")
    assert not is_current(file)
    file.write_text("dear diary, " * 1000)
    assert not is_current(file)


async def test_migrating_again_changes_nothing_and_gives_the_version(place: Place) -> None:
    history = await place.history()
    turn = await talk(history)
    assert await migrate(place.url) == HEAD
    assert len(await all_messages(history, "", turn.conversation_id)) == 2


async def test_a_newer_schema_is_refused(place: Place) -> None:
    await (await place.history()).close()
    await execute(place, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    for opening in (SQLHistory(place.url).open(), migrate(place.url)):
        with pytest.raises(HistorySchemaError, match="newer stream-serve"):
            await opening


async def test_a_migration_that_takes_longer_than_a_call_goes_on_and_is_waited_for_again(
    sqlite: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = await talk(await sqlite.history())
    await sqlite.close()
    await execute(sqlite, f"UPDATE {VERSION_TABLE} SET version_num = '0002'")
    steps, refused = 0, threading.Event()

    def slow(connection: Connection) -> None:
        nonlocal steps
        steps += 1
        refused.wait()
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '{HEAD}'")

    monkeypatch.setattr("stream_serve.conversations.sql.migrate._steps", slow)
    history = SQLHistory(sqlite.url, timeout=0.3)
    with pytest.raises(HistoryUnavailable, match="is being migrated"):
        await history.open()
    refused.set()
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await history.open()
                break
            except HistoryUnavailable:
                pass
    assert steps == 1
    assert len(await all_messages(history, "", turn.conversation_id)) == 2
    await history.close()


async def test_a_migration_is_not_bounded_by_the_time_for_reaching_the_database(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await place.history()).close()
    await execute(place, f"UPDATE {VERSION_TABLE} SET version_num = '0002'")

    def slow(connection: Connection) -> None:
        time.sleep(1.0)
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '{HEAD}'")

    monkeypatch.setattr("stream_serve.conversations.sql.migrate._steps", slow)
    assert await migrate(place.url, timeout=0.5) == HEAD


@pytest.mark.parametrize(
    "damage",
    [
        f"DELETE FROM {VERSION_TABLE}",
        f"DROP TABLE {VERSION_TABLE}",
        "DROP TABLE messages",
        f"INSERT INTO {VERSION_TABLE} VALUES ('0001 ')",
    ],
)
async def test_a_half_migrated_schema_is_refused(place: Place, damage: str) -> None:
    await (await place.history()).close()
    await execute(place, damage)
    for opening in (SQLHistory(place.url).open(), migrate(place.url)):
        with pytest.raises(HistorySchemaError, match=r"half-migrated|newer"):
            await opening


STEP: Final = """
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{head}"


def upgrade() -> None:
    op.add_column("messages", sa.Column("note", sa.Text))
    op.execute("DELETE FROM messages")
    {then}
"""


def another_step(monkeypatch: pytest.MonkeyPatch, folder: Path, then: str = "") -> None:
    """Let there be one more migration."""
    shutil.copytree(MIGRATIONS, folder, dirs_exist_ok=True)
    (folder / "versions" / "v9999_note.py").write_text(STEP.format(head=HEAD, then=then))
    monkeypatch.setattr("stream_serve.conversations.sql.migrate.MIGRATIONS", folder)


async def test_an_older_schema_is_migrated_on_sqlite_and_by_hand_on_postgresql(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    history = await place.history()
    turn = await talk(history)
    await history.close()
    another_step(monkeypatch, tmp_path / "migrations")
    if place.server is not None:
        with pytest.raises(HistorySchemaError, match="older schema: run `stream-serve migrate`"):
            await history.open()
        assert await migrate(place.url) == "next"
    await history.open()
    assert await all_messages(history, "", turn.conversation_id) == []


async def test_a_migration_that_fails_leaves_everything_as_it_was(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    history = await place.history()
    turn = await talk(history)
    with monkeypatch.context() as patched:
        another_step(patched, tmp_path / "migrations", then='op.execute("SELECT nothing")')
        with pytest.raises(HistoryError):
            await migrate(place.url)
    await history.close()
    await history.open()
    assert len(await all_messages(history, "", turn.conversation_id)) == 2
    another_step(monkeypatch, tmp_path / "migrations")
    assert await migrate(place.url) == "next"


async def test_the_step_back_takes_all_away(place: Place) -> None:
    await (await place.history()).close()

    def back(connection: Connection) -> set[str]:
        command.downgrade(config_for(connection), "base")
        return set(inspect(connection).get_table_names()) & set(metadata.tables)

    assert await transact(place.url, back) == set()


async def test_the_sizes_of_what_is_there_are_measured(place: Place) -> None:
    history = await place.history()
    turn = await talk(history, content="四个汉字")
    await history.close()

    def back(connection: Connection) -> None:
        command.downgrade(config_for(connection), "0001")

    await transact(place.url, back)
    assert await migrate(place.url) == HEAD
    sizes = [row[0] for row in await place.execute("SELECT size FROM messages ORDER BY seq")]
    total = (await place.execute("SELECT size FROM conversations"))[0][0]
    counted = await place.execute("SELECT messages FROM conversations")
    kept = await place.execute("SELECT conversations, size FROM owner_totals")
    quotes = 2
    assert [tuple(row) for row in [*counted, *kept]] == [(2,), (1, sum(sizes))]
    assert sizes == [12 + quotes, len("because") + quotes]
    assert total == sum(sizes)
    await history.open()
    assert len(await all_messages(history, "", turn.conversation_id)) == 2


async def test_a_database_with_other_peoples_tables_is_fine(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "chat.db"))
    await execute(
        place, "CREATE TABLE theirs (id INTEGER)", "CREATE TABLE alembic_version (v TEXT)"
    )
    await talk(await place.history())
    await place.close()


async def test_postgresql_is_migrated_by_hand_and_says_so() -> None:
    server = shared_server()
    place = Place(server.database(), server)
    history = SQLHistory(place.url)
    with pytest.raises(HistorySchemaError, match="run `stream-serve migrate`"):
        await history.open()
    assert await migrate(place.url) == HEAD
    await history.open()
    await talk(history)
    await history.close()
    await place.close()


async def test_two_migrations_at_once_are_one() -> None:
    server = shared_server()
    place = Place(server.database(), server)
    assert await asyncio.gather(*(migrate(place.url) for _ in range(4))) == [HEAD] * 4
    await talk(await place.history())
    await place.close()


async def test_many_files_may_be_made_at_once(tmp_path: Path) -> None:
    places = [Place(str(tmp_path / f"chat-{number % 4}.db")) for number in range(12)]
    histories = await asyncio.gather(*(place.history() for place in places))
    await asyncio.gather(*map(talk, histories))
    for place in places:
        await place.close()


def test_processes_that_start_at_once_make_one_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "chat.db"
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", OPENING, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, ""), out
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM conversations").fetchone() == (4,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_the_file_and_its_folder_are_for_their_owner_alone(sqlite: Place) -> None:
    await talk(await sqlite.history())
    folder = Path(database_url(sqlite.url).database or "").parent
    assert {path.name for path in folder.iterdir()} == {"chat.db", "chat.db-shm", "chat.db-wal"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for kept in folder.iterdir():
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600, kept.name


def test_every_step_is_in_the_package() -> None:
    names = {path.name for path in (MIGRATIONS / "versions").glob("v*.py")}
    assert names == {
        "v0001_conversations.py",
        "v0002_sizes.py",
        "v0003_search.py",
        "v0004_totals.py",
        "v0005_tools.py",
        "v0006_feedback.py",
    }
    assert (MIGRATIONS / "env.py").is_file()
