"""What every place that keeps conversations promises of searches, which go by an index."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, true, union
from sqlalchemy.dialects import postgresql, sqlite

from stream_serve.conversations.base import Answer, Status
from stream_serve.conversations.sql import lists, search
from stream_serve.conversations.sql.database import Database
from stream_serve.conversations.sql.migrate import migrate
from stream_serve.errors import HistorySchemaError
from support.conversations import everything
from support.history import ask, ended, talk
from support.waiting import until

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from stream_serve.conversations.base import History
    from support.history import Place

LETTERS: Final = "aAbß香蕉好%_\x00\ud83d"


async def unindexed(place: Place) -> int:
    return (await place.execute("SELECT count(*) FROM messages WHERE NOT indexed"))[0][0]


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    texts=st.lists(st.text(LETTERS, min_size=1, max_size=6), min_size=1, max_size=4),
    queries=st.lists(st.text(LETTERS, min_size=1, max_size=4), min_size=1, max_size=4),
)
async def test_a_search_finds_what_a_look_at_every_message_would_find(
    history: History, texts: list[str], queries: list[str]
) -> None:
    owner = "-".join(texts)
    kept = await everything(history, owner)
    for conversation in kept:
        await history.delete(owner, conversation)
    ids: dict[str, str] = {}
    for said in texts:
        turn = await ask(history, content="x", owner=owner)
        await history.finish(turn, ended(said))
        await history.change(owner, turn.conversation_id, title="title")
        ids[turn.conversation_id] = said.casefold()
    for query in queries:
        found = set(await everything(history, owner, query))
        assert found == {one for one, said in ids.items() if query.casefold() in said}


async def test_the_two_characters_of_a_chinese_word_are_found_and_one_is(history: History) -> None:
    turn = await talk(history, content="香蕉好吃吗")
    other = await talk(history, content="好香的蕉")
    assert await everything(history, "", "香蕉") == [turn.conversation_id]
    assert await everything(history, "", "蕉") == [other.conversation_id, turn.conversation_id]


async def test_what_is_being_generated_is_found_and_what_was_replaced_is_not(
    history: History,
) -> None:
    turn = await ask(history, content="question")
    await history.touch(turn, Answer(status=Status.GENERATING, content="needle one"))
    assert await everything(history, "", "needle one") == [turn.conversation_id]
    await history.finish(turn, ended("needle two"))
    assert await everything(history, "", "needle one") == []
    assert await everything(history, "", "needle two") == [turn.conversation_id]


async def test_an_answer_that_is_found_interrupted_and_ends_after_all_is_found_by_its_end(
    place: Place,
) -> None:
    history = await place.history(lease=0.0)
    turn = await ask(history, content="question")
    await history.touch(turn, ended("needle one", Status.GENERATING))
    await history.sweep()
    await history.close()
    assert await migrate(place.url)
    assert await unindexed(place) == 0
    await history.open()
    assert await everything(history, "", "needle one") == [turn.conversation_id]
    await history.finish(turn, ended("needle two"))
    assert await everything(history, "", "needle one") == []
    assert await everything(history, "", "needle two") == [turn.conversation_id]


async def test_what_was_there_before_the_index_is_found_at_once_and_indexed_by_and_by(
    history: History, place: Place
) -> None:
    turn = await talk(history)
    await place.lengthen(turn, 3 * search.BATCH)
    assert await unindexed(place) == 3 * search.BATCH
    assert await everything(history, "", "149") == [turn.conversation_id]
    opened = await place.history()

    async def indexed() -> bool:
        return await unindexed(place) == 0

    await until(indexed)
    assert await everything(opened, "", "149") == [turn.conversation_id]
    assert await everything(opened, "", "150") == []


async def test_large_messages_are_indexed_few_at_a_time(history: History, place: Place) -> None:
    await place.lengthen(await talk(history), 4)
    half = search.BATCH_BYTES // 2
    await place.execute(f"UPDATE messages SET size = {half} WHERE NOT indexed")
    database = Database(place.url, timeout=20)
    done = [await database.run(search.index_some, write=True) for _ in range(3)]
    await database.close()
    assert done == [2, 2, 0]
    assert await everything(history, "", "3")


async def test_of_a_deleted_conversation_nothing_stays_in_the_index(
    history: History, place: Place
) -> None:
    turn = await talk(history, content="needle")
    await talk(history, content="another")
    await history.delete("", turn.conversation_id)
    table = "message_grams" if place.server is None else "messages WHERE grams IS NOT NULL"
    assert (await place.execute(f"SELECT count(*) FROM {table}"))[0][0] == 2


async def test_a_search_reads_the_index(history: History, place: Place) -> None:
    turn = await talk(history, content="needle")
    await place.lengthen(turn, 2000)
    for number in range(30):
        await talk(history, content=f"another {number}")
    at_sqlite = place.server is None
    await migrate(place.url)
    await place.execute("ANALYZE")
    hits = search.Hits("", "needle", 0)
    prefix, dialect, index = "EXPLAIN ", postgresql.dialect(), "ix_messages_grams"
    prefer = None if at_sqlite else "SET LOCAL enable_seqscan = off"  # `search.prefer_index`
    if at_sqlite:
        prefix, dialect, index = "EXPLAIN QUERY PLAN ", sqlite.dialect(), "VIRTUAL TABLE INDEX"
    for statement in (
        union(*hits.found("conversation_id", anything, sqlite=at_sqlite)),
        select(hits.some(10, sqlite=at_sqlite)),
    ):
        compiled = statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        plan = str(await place.execute(prefix + str(compiled), before=prefer))
        assert index in plan
        for scan in ("Seq Scan on messages", "SCAN messages"):
            assert scan not in plan.replace("SCAN messages USING INDEX ix_messages_unindexed", "")


def anything(_: object) -> ColumnElement[bool]:
    """What any text contains."""
    return true()


@pytest.mark.parametrize("few", [0, 1000])
@pytest.mark.parametrize("looked", [0, 5, 10_000])
async def test_a_search_finds_the_same_however_many_messages_may_have_the_text(
    history: History, monkeypatch: pytest.MonkeyPatch, few: int, looked: int
) -> None:
    monkeypatch.setattr(lists, "FEW", few)
    monkeypatch.setattr(lists, "LOOKED", looked)
    made: list[str] = []
    for number in range(9):
        turn = await talk(history, content="need an eel" if number % 3 else "a needle")
        made.insert(0, turn.conversation_id)
    await history.change("", made[-1], title="this needle is a title")
    await talk(history, content="needle", owner="somebody else")
    expected = [made[-1], *made[2:8:3]]
    assert await everything(history, "", "needle") == expected
    pages: list[str] = []
    cursor = None
    while not pages or cursor is not None:
        page = await history.list("", limit=1, cursor=cursor, query="needle")
        pages += [found.id for found in page.conversations]
        cursor = page.next_cursor
    assert pages == expected


async def test_while_much_is_not_indexed_a_search_says_so_and_finds_the_newest(
    history: History, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "WAITING", 10)
    old = await talk(history)
    await place.lengthen(old, 30)
    await history.change("", old.conversation_id, title="a title")
    for query, found in (("title", 1), ("29", 1), ("13", 0), ("nowhere", 0)):
        page = await history.list("", limit=9, query=query)
        assert (len(page.conversations), page.indexing) == (found, True)
    assert not (await history.list("", limit=9)).indexing
    await migrate(place.url)
    page = await history.list("", limit=9, query="13")
    assert (len(page.conversations), page.indexing) == (1, False)


async def test_what_is_indexed_of_a_large_text_is_found_in_a_thread(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[str, bool]] = []

    def watched(name: str) -> None:
        work = getattr(search, name)

        def watch(*given: object) -> object:
            found.append((name, threading.current_thread() is threading.main_thread()))
            return work(*given)

        monkeypatch.setattr(search, name, watch)

    watched("pairs_of")
    watched("numbers")
    await ask(history, content="".join(map(chr, range(0x4E00, 0x4E00 + search.LARGE + 1))))
    assert found == [("pairs_of", False), ("numbers", False)]


async def without_index(place: Place) -> None:
    """Make of a SQLite file what a Python whose SQLite has no FTS5 makes."""
    if place.server is None:
        await migrate(place.url)
        await place.execute("DROP TRIGGER message_grams_deleted")
        await place.execute("DROP TABLE message_grams")


async def test_without_an_index_every_message_is_looked_at(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await without_index(place)
    monkeypatch.setattr(search, "has_fts5", lambda: False)
    history = await place.history()
    turn = await talk(history, content="needle")
    assert await everything(history, "", "needle") == [turn.conversation_id]
    assert await unindexed(place) == (2 if place.server is None else 0)
    await history.delete("", turn.conversation_id)
    assert await everything(history, "", "needle") == []


async def test_a_file_made_without_an_index_has_one_as_soon_as_there_can_be_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await without_index(place)
    with monkeypatch.context() as without:
        without.setattr(search, "has_fts5", lambda: False)
        history = await place.history()
        old = await talk(history, content="needle")
        await history.close()
    history = await place.history()
    new = await talk(history, content="needle, too")
    assert await everything(history, "", "needle") == [new.conversation_id, old.conversation_id]

    async def indexed() -> bool:
        return await unindexed(place) == 0

    await until(indexed)
    assert await everything(history, "", "needle") == [new.conversation_id, old.conversation_id]


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_an_index_that_cannot_be_used_is_refused_in_words(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(place.url)
    monkeypatch.setattr(search, "has_fts5", lambda: False)
    with pytest.raises(HistorySchemaError, match="FTS5"):
        await place.history()
