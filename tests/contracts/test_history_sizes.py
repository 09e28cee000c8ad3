"""What every place that keeps conversations promises of large ones: pages, paths, and quotas."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import literal
from sqlalchemy.dialects import postgresql, sqlite

from stream_serve.conversations.base import TOOL, Answer, Capacity, NewMessage, Status
from stream_serve.conversations.sql.statements import path_at, sizes_from
from stream_serve.errors import BadCursor, ConversationFull, ConversationNotFound, StorageFull
from stream_serve.events.transcript import CalledTool
from support.history import all_messages, ask, ended, new_answer, talk

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sqlalchemy import Select

    from stream_serve.conversations.base import History
    from support.history import Place

MANY: Final = 2000


async def test_messages_come_in_pages_oldest_first(history: History, place: Place) -> None:
    turn = await talk(history)
    await place.lengthen(turn, 7)
    found: list[str] = []
    after = None
    while True:
        page = await history.messages("", turn.conversation_id, limit=4, after=after)
        found += [at.id for at in page.messages]
        after = page.next_cursor
        if after is None:
            break
        assert len(page.messages) == 4
        assert after == page.messages[-1].id
    assert found == [
        turn.user_message_id,
        turn.answer_id,
        *(f"message-{number}" for number in range(7)),
    ]
    whole = await history.messages("", turn.conversation_id, limit=9)
    assert (len(whole.messages), whole.next_cursor) == (9, None)
    end = await history.messages("", turn.conversation_id, limit=9, after=found[-1])
    assert (end.messages, end.next_cursor) == ([], None)


async def test_a_page_ends_before_it_has_too_many_bytes_but_has_a_message(
    history: History,
) -> None:
    turn = await ask(history, content="x" * 1000)
    await history.finish(turn, ended("y" * 5000))
    await ask(history, turn.conversation_id, "z" * 10)
    pages: list[int] = []
    after = None
    while True:
        page = await history.messages(
            "", turn.conversation_id, limit=100, after=after, max_bytes=2000
        )
        pages.append(len(page.messages))
        after = page.next_cursor
        if after is None:
            break
    assert pages == [1, 1, 2]


async def test_a_page_begins_after_a_message_of_the_conversation(history: History) -> None:
    here, elsewhere = await talk(history), await talk(history)
    for after in ("nothing", elsewhere.answer_id, "\x00"):
        with pytest.raises(BadCursor):
            await history.messages("", here.conversation_id, limit=5, after=after)
    with pytest.raises(ConversationNotFound):
        await history.messages("bob", here.conversation_id, limit=5, after=here.answer_id)


async def test_a_question_reads_its_path_and_no_other_branch(
    history: History, place: Place
) -> None:
    turn = await talk(history)
    await place.lengthen(turn, 10)
    await place.execute("UPDATE messages SET content = 'no JSON' WHERE id LIKE 'message-%'")
    edited = await ask(history, turn.conversation_id, "again", parent_id=turn.answer_id)
    assert [at.content for at in edited.path] == ["why?", "because", "again"]


async def test_of_a_long_path_only_the_newest_part_is_read_if_that_is_asked_for(
    place: Place,
) -> None:
    history = await place.history(reach=100)
    turn = await talk(history, content="first")
    await place.lengthen(turn, MANY)
    last = await ask(history, turn.conversation_id, "last")
    assert [at.content for at in last.path] == [str(MANY - 2), str(MANY - 1), "last"]


async def test_a_picture_does_not_hide_what_was_said_before_it(place: Place) -> None:
    history = await place.history(reach=10_000)
    turn = await talk(history, content="first")
    url = f"data:image/png;base64,{'A' * 90_000}"
    picture: dict[str, object] = {"type": "image_url", "image_url": {"url": url}}
    second = await talk(history, turn.conversation_id, [picture])
    third = await talk(history, turn.conversation_id, [picture])
    last = await ask(history, turn.conversation_id, "last")
    assert [at.id for at in last.path] == [
        *(second.user_message_id, second.answer_id),
        *(third.user_message_id, third.answer_id),
        last.user_message_id,
    ]


def picture(size: int) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * size}"}}


def document(size: int) -> dict[str, object]:
    return {"type": "file", "file": {"filename": "a.pdf", "file_data": "A" * size}}


@pytest.mark.parametrize(
    ("content", "more"),
    [
        ([picture(90_000), picture(90_000)], False),
        ([picture(90_000), document(10)], False),
        ([document(300_000)], False),
        ([{"type": "input_audio", "input_audio": {"data": "A" * 300_000}}], False),
        ([{"type": "json", "value": "so " * 100_000}], False),
        ([picture(900_000)], True),
        ([document(100_000)], True),
        ([{"type": "text", "text": '"type":"image" ' * 100}], True),
        ([{"type": "text", "text": "\N{LATIN SMALL LETTER SHARP S}" * 100}], True),
    ],
)
async def test_all_parts_of_a_message_count_where_a_path_is_cut(
    place: Place, content: list[dict[str, object]], *, more: bool
) -> None:
    history = await place.history(reach=10_000)
    first = await talk(history, content="first")
    second = await talk(history, first.conversation_id, content)
    last = await ask(history, first.conversation_id, "last")
    assert [at.id for at in last.path] == [
        *((first.user_message_id, first.answer_id) if more else ()),
        *(second.user_message_id, second.answer_id),
        last.user_message_id,
    ]


@pytest.mark.parametrize("named", ["name", "tool_call_id", "tool_calls"])
async def test_the_names_of_tools_and_calls_count_where_a_path_is_cut(
    place: Place, named: str
) -> None:
    history = await place.history(reach=10_000)
    long = "a" * 5_000
    call = CalledTool(long if named == "tool_call_id" else "1", "f", "{}")
    if named == "tool_calls":
        call = CalledTool("1", "f", f'{{"a": "{long * 2}"}}')
    first = await talk(history, content="first")
    turn = await ask(history, first.conversation_id, "second")
    await history.finish(turn, Answer(status=Status.COMPLETE, content="", tool_calls=[call]))
    told = NewMessage(
        role=TOOL,
        content="so",
        tool_call_id=call.id,
        name=long * 2 if named == "name" else None,
    )
    told_of = await history.ask("", turn.conversation_id, [told], new_answer("r"))
    assert told_of.path[0].id == turn.user_message_id


def explained(statement: Select[*tuple[Any, ...]], place: Place) -> str:
    """The statement that shows how a database would run another one."""
    prefix, dialect = (
        ("EXPLAIN QUERY PLAN ", sqlite.dialect())
        if place.server is None
        else ("EXPLAIN ", postgresql.dialect())
    )
    options = {"literal_binds": True}
    return prefix + str(statement.compile(dialect=dialect, compile_kwargs=options))


async def test_no_question_and_no_page_reads_a_table_from_end_to_end(
    history: History, place: Place
) -> None:
    turn = await talk(history)
    await place.lengthen(turn, 10 * MANY)
    for _ in range(50):
        await talk(history)
    await place.execute("ANALYZE")
    now = literal(0.0)
    for statement in (
        path_at(now, "message-1", 1000),
        path_at(now, "message-1", None),
        sizes_from(turn.conversation_id, 10, 10, newest_first=False),
    ):
        plan = "\n".join(map(str, await place.execute(explained(statement, place))))
        for scan in ("Seq Scan on messages", "SCAN messages", "SCAN older"):
            assert scan not in plan


async def test_a_conversation_has_a_limit_of_messages(place: Place) -> None:
    history = await place.history(capacity=Capacity(messages=5))
    turn = await talk(history)
    await talk(history, turn.conversation_id)
    with pytest.raises(ConversationFull, match="would have 6 messages") as refused:
        await ask(history, turn.conversation_id)
    assert refused.value.parameters == ["Capacity.messages", "Capacity.bytes"]
    again = await history.ask_again("", turn.conversation_id, turn.answer_id, new_answer("r"))
    await history.finish(again, ended())
    with pytest.raises(ConversationFull):
        await history.ask_again("", turn.conversation_id, turn.answer_id, new_answer("r"))
    assert len(await all_messages(history, "", turn.conversation_id)) == 5
    await talk(history)


async def test_a_conversation_has_a_limit_of_bytes_and_no_answer_is_cut_by_it(
    place: Place,
) -> None:
    history = await place.history(capacity=Capacity(bytes=1000))
    turn = await ask(history, content="x" * 400)
    with pytest.raises(ConversationFull):
        await ask(history, turn.conversation_id, "汉" * 300)
    await history.finish(turn, ended("y" * 5000))
    assert (await all_messages(history, "", turn.conversation_id))[1].content == "y" * 5000
    with pytest.raises(ConversationFull):
        await ask(history, turn.conversation_id, "x")
    with pytest.raises(ConversationFull):
        await ask(history, None, "x" * 1001)
    assert len((await history.list("", limit=9)).conversations) == 1


async def test_an_owner_has_a_limit_of_conversations_and_a_deleted_one_makes_room(
    place: Place,
) -> None:
    history = await place.history(capacity=Capacity(conversations=2))
    first = await talk(history, owner="anna")
    await history.create("anna")
    with pytest.raises(StorageFull, match="delete some"):
        await ask(history, owner="anna")
    with pytest.raises(StorageFull):
        await history.create("anna")
    await talk(history, first.conversation_id, owner="anna")
    await talk(history, owner="bert")
    await history.delete("anna", first.conversation_id)
    await talk(history, owner="anna")


async def test_questions_at_the_same_time_do_not_get_past_an_owners_limits(place: Place) -> None:
    capacity = Capacity(conversations=5, all_bytes=1000)
    histories = [await place.history(capacity=capacity) for _ in range(2)]

    async def allowed(calls: list[Awaitable[object]]) -> int:
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(
            not isinstance(one, Exception) or isinstance(one, StorageFull) for one in results
        )
        return sum(not isinstance(one, Exception) for one in results)

    assert await allowed([histories[n % 2].create("anna") for n in range(20)]) == 5
    page = await histories[0].list("anna", limit=9)
    asked = [ask(histories[0], at.id, "x" * 300, owner="anna") for at in page.conversations]
    assert await allowed([*asked]) == 3


async def test_a_smaller_limit_of_conversations_ends_none_that_is_there(place: Place) -> None:
    history = await place.history()
    turns = [await talk(history, owner="anna") for _ in range(3)]
    history = await place.history(capacity=Capacity(conversations=2))
    await ask(history, turns[0].conversation_id, owner="anna")
    with pytest.raises(StorageFull):
        await ask(history, owner="anna")


async def test_an_owner_has_a_limit_of_bytes_in_all_conversations(place: Place) -> None:
    history = await place.history(capacity=Capacity(all_bytes=1000))
    turns = [await ask(history, content="x" * 300, owner="anna") for _ in range(3)]
    with pytest.raises(StorageFull):
        await ask(history, turns[0].conversation_id, "x" * 300, owner="anna")
    await history.finish(turns[0], ended("y" * 500))
    with pytest.raises(StorageFull):
        await ask(history, turns[1].conversation_id, "x", owner="anna")
    await ask(history, content="x" * 300, owner="bert")
    await history.delete("anna", turns[0].conversation_id)
    await ask(history, turns[1].conversation_id, "x", owner="anna")


async def test_the_sums_of_an_owner_are_those_of_his_conversations_whatever_happens(
    place: Place,
) -> None:
    history = await place.history()
    counted = (
        "SELECT owner, count(*), sum(size), sum(messages) FROM conversations GROUP BY owner "
        "ORDER BY owner"
    )
    kept = (
        "SELECT owner, sum(conversations), sum(size) FROM owner_totals GROUP BY owner "
        "HAVING sum(conversations) > 0 ORDER BY owner"
    )
    turns = [await ask(history, content="x" * n, owner="anna") for n in range(1, 20)]
    for turn in turns[:9]:
        await history.touch(turn, ended("y" * 7, Status.GENERATING))
        await history.finish(turn, ended("y" * 50))
    again = turns[0].conversation_id
    await history.ask_again("anna", again, turns[0].answer_id, new_answer("r"))
    await history.change("anna", again, title="another")
    await history.create("bert")
    for turn in turns[5:15]:
        await history.delete("anna", turn.conversation_id)
    moved = turns[1].conversation_id
    await place.execute(f"UPDATE conversations SET owner = 'bert' WHERE id = '{moved}'")
    rows = [tuple(row) for row in await place.execute(counted)]
    assert [row[:3] for row in rows] == [tuple(row) for row in await place.execute(kept)]
    assert [row[0] for row in rows] == ["anna", "bert"]
    assert (
        sum(row[3] for row in rows) == (await place.execute("SELECT count(*) FROM messages"))[0][0]
    )


async def test_what_an_older_version_writes_meanwhile_is_counted(place: Place) -> None:
    history = await place.history(capacity=Capacity(messages=10, conversations=3))
    turn = await talk(history)
    await place.lengthen(turn, 4)
    await place.execute(
        "INSERT INTO conversations (id, owner, title, search, created_at, updated_at, size) "
        "VALUES ('older', '', '', '', 1, 1, 100)"
    )
    await talk(history, turn.conversation_id)
    await ask(history, turn.conversation_id)
    with pytest.raises(ConversationFull, match="would have 12 messages"):
        await ask(history, turn.conversation_id)
    await history.create("")
    with pytest.raises(StorageFull, match="3 conversations"):
        await history.create("")


async def test_questions_at_the_same_time_are_all_counted(place: Place) -> None:
    histories = [await place.history() for _ in range(2)]
    first = await talk(histories[0])
    await asyncio.gather(
        *(talk(histories[n % 2], first.conversation_id if n % 3 else None) for n in range(24))
    )
    counted = await place.execute("SELECT sum(messages), sum(size), count(*) FROM conversations")
    real = await place.execute("SELECT count(*), sum(size) FROM messages")
    kept = await place.execute("SELECT sum(size), sum(conversations) FROM owner_totals")
    assert tuple(counted[0]) == (*real[0], kept[0][1])
    assert kept[0][0] == real[0][1]
