"""What every place that keeps conversations promises of tool calls, results, sources, and doors."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest

from stream_serve.conversations.base import Answer, Capacity, NewMessage, Status
from stream_serve.errors import (
    ConversationFull,
    ConversationNotFound,
    InvalidFields,
    MessageNotFound,
)
from stream_serve.events.transcript import CalledTool
from stream_serve.events.types import Source
from support.conversations import NASTY, everything, message
from support.history import all_messages, ask, ended, new_answer, talk

if TYPE_CHECKING:
    from stream_serve.conversations.base import History, Turn
    from support.history import Place

CALLS: Final = [
    CalledTool("call-1", "weather", '{"city": "Berlin"}'),
    CalledTool("call-2", "weather", '{"city": "\\u5317\\u4eac"}'),
]
SOURCES: Final = [Source("https://a.example/b", "A page"), Source("https://c.example")]


def user(content: str, own: str | None = None) -> NewMessage:
    return NewMessage(role="user", content=content, id=own)


def result(call: str, content: str = "sunny", own: str | None = None) -> NewMessage:
    return NewMessage(role="tool", content=content, tool_call_id=call, id=own)


def called(content: str = "", own: str | None = None) -> NewMessage:
    return NewMessage(role="assistant", content=content, tool_calls=CALLS, id=own)


async def calling(history: History, conversation_id: str | None = None) -> Turn:
    """A turn whose answer calls two tools."""
    turn = await ask(history, conversation_id)
    await history.finish(
        turn, Answer(status=Status.COMPLETE, content="", tool_calls=CALLS, sources=SOURCES)
    )
    return turn


async def test_an_answer_has_its_calls_and_sources_when_it_is_touched_and_when_it_ends(
    history: History,
) -> None:
    turn = await ask(history)
    so_far = Answer(status=Status.GENERATING, content="", tool_calls=CALLS[:1])
    await history.touch(turn, so_far)
    assert (await message(history, turn)).tool_calls == CALLS[:1]
    whole = Answer(status=Status.COMPLETE, content="x", tool_calls=CALLS, sources=SOURCES)
    await history.finish(turn, whole)
    kept = await message(history, turn)
    assert (kept.tool_calls, kept.sources) == (CALLS, SOURCES)


@pytest.mark.parametrize("text", NASTY)
async def test_any_text_in_calls_results_and_ids_comes_back_exactly(
    history: History, text: str
) -> None:
    own = text or "x"
    call = CalledTool(text, text, text)
    turn = await history.ask(
        "",
        None,
        [
            user("why?"),
            NewMessage(role="assistant", content="", tool_calls=[call]),
            NewMessage(role="tool", content=text, tool_call_id=text, name=text),
            user("and?", own),
        ],
        new_answer(caller_id=own, door={text: [text]}),
        caller_id=own,
    )
    source = Source(text, text)
    end = Answer(status=Status.COMPLETE, content="", tool_calls=[call], sources=[source])
    await history.finish(turn, end)
    _, brought, told, again, answer = await all_messages(history, "", turn.conversation_id)
    assert brought.tool_calls == answer.tool_calls == [call]
    assert (told.tool_call_id, told.name, told.content) == (text, text, text)
    assert again.caller_id == answer.caller_id == own
    assert answer.sources == [source]
    assert (await history.message("", turn.answer_id)).door == {text: [text]}
    assert (await history.named("", own)).id == turn.conversation_id


async def test_several_messages_follow_one_another_and_then_comes_the_answer(
    history: History,
) -> None:
    first = await calling(history)
    new = [result("call-1"), result("call-2"), user("and tomorrow?")]
    turn = await history.ask("", first.conversation_id, new, new_answer())
    kept = await all_messages(history, "", first.conversation_id)
    assert [one.role for one in kept] == ["user", "assistant", "tool", "tool", "user", "assistant"]
    assert [one.parent_id for one in kept[1:]] == [one.id for one in kept[:-1]]
    assert [one.id for one in turn.path] == [one.id for one in kept[:-1]]
    assert turn.user_message_id == kept[-2].id
    assert kept[2].tool_call_id == "call-1"


async def test_results_alone_are_answered_and_answered_again(history: History) -> None:
    first = await calling(history)
    turn = await history.ask(
        "", first.conversation_id, [result("call-1"), result("call-2")], new_answer()
    )
    await history.finish(turn, ended())
    for asked in (turn.answer_id, turn.user_message_id):
        again = await history.ask_again("", first.conversation_id, asked, new_answer())
        assert again.path == turn.path
        assert again.path[-1].role == "tool"


async def test_a_whole_history_makes_a_conversation_that_its_first_question_names(
    history: History,
) -> None:
    new = [called("hm"), user("what now?"), called(), result("call-2")]
    turn = await history.ask("", None, new, new_answer())
    assert (await history.get("", turn.conversation_id)).title == "what now?"
    assert [one.role for one in turn.path] == ["assistant", "user", "assistant", "tool"]
    assert turn.path[0].parent_id is None


@pytest.mark.parametrize(
    "new",
    [
        [],
        [user("a"), NewMessage(role="assistant", content="b")],
        [NewMessage(role="system", content="a")],
        [NewMessage(role="tool", content="a")],
        [NewMessage(role="user", content="a", tool_call_id="call-1")],
        [result("call-1")],
        [user("a"), result("call-1")],
        [user("a"), called(), result("call-3")],
        [user("a", "")],
        [user("a", "x" * 513)],
    ],
)
async def test_messages_that_nothing_can_answer_are_refused_and_nothing_is_kept(
    history: History, new: list[NewMessage]
) -> None:
    turn = await talk(history)
    before = await history.get("", turn.conversation_id)
    for conversation in (None, turn.conversation_id):
        with pytest.raises(InvalidFields):
            await history.ask("", conversation, new, new_answer())
    assert await everything(history, "") == [turn.conversation_id]
    assert await history.get("", turn.conversation_id) == before


async def test_a_callers_id_of_a_conversation_is_his_own(history: History) -> None:
    own = "chats/2026/ä %2F " + "x" * 495
    assert len(own) == 512
    mine = await history.ask("anna", None, [user("mine")], new_answer("run-1"), caller_id=own)
    theirs = await history.ask("bert", None, [user("theirs")], new_answer("run-2"), caller_id=own)
    assert mine.conversation_id != theirs.conversation_id
    again = await history.ask("anna", None, [user("again")], new_answer("run-3"), caller_id=own)
    assert again.conversation_id == mine.conversation_id
    found = await history.named("anna", own)
    assert (found.id, found.caller_id, found.live_run_id) == (mine.conversation_id, own, "run-3")
    assert (await history.named("bert", own)).live_run_id == "run-2"
    with pytest.raises(ConversationNotFound):
        await history.named("", own)
    with pytest.raises(InvalidFields):
        await history.ask("", None, [user("x")], new_answer(), caller_id=own + "x")
    await history.delete("anna", found.id)
    with pytest.raises(ConversationNotFound):
        await history.named("anna", own)


async def test_first_messages_at_the_same_time_under_one_id_are_one_conversation(
    place: Place,
) -> None:
    histories = [await place.history() for _ in range(2)]
    turns = await asyncio.gather(
        *(
            histories[n % 2].ask("", None, [user(str(n))], new_answer(), caller_id="one")
            for n in range(10)
        )
    )
    assert len({turn.conversation_id for turn in turns}) == 1
    kept = await all_messages(histories[0], "", turns[0].conversation_id)
    assert len(kept) == 20


async def test_a_message_that_is_there_is_not_stored_twice(history: History) -> None:
    first = await history.ask("", None, [user("one", "u1")], new_answer(), caller_id="chat")
    await history.finish(first, ended())
    new = [
        user("one, said otherwise", "u1"),
        NewMessage(role="assistant", content="because", id=first.answer_id),
        user("two", "u2"),
        user("two", "u2"),
    ]
    second = await history.ask("", None, new, new_answer(), caller_id="chat", at_root=True)
    kept = await all_messages(history, "", first.conversation_id)
    assert [one.content for one in kept] == ["one", "because", "two", ""]
    assert [one.caller_id for one in kept] == ["u1", None, "u2", None]
    assert second.path == kept[:3]
    counted = await history.messages("", first.conversation_id, limit=9)
    assert len(counted.messages) == 4
    other = await history.ask("", None, [user("one", "u1")], new_answer(), caller_id="other")
    assert other.path[0].content == "one", "an id is that of a message in its conversation"


async def test_the_answer_of_a_run_is_found_with_its_path(history: History) -> None:
    first = await ask(history, owner="anna", run_id="run-1")
    await history.finish(first, ended())
    door: dict[str, Any] = {"metadata": {"a": "b"}, "instructions": "x"}
    second = await history.ask(
        "anna", first.conversation_id, [user("two")], new_answer("run-2", door=door)
    )
    await ask(history, first.conversation_id, owner="anna", at_root=True)
    kept = await history.answer("anna", "run-2")
    assert (kept.conversation_id, kept.message.id) == (first.conversation_id, second.answer_id)
    assert kept.door == door
    path = [*second.path, kept.message]
    assert set(await history.turn("anna", kept.message.id)) == {one.id for one in path[2:]}
    assert [one.content for one in path] == ["why?", "because", "two", ""]
    assert (await history.message("anna", second.user_message_id)).message == path[2]
    answers = await history.answers("anna", kept.message.id, max_bytes=1_000_000)
    assert [one.message for one in answers] == [path[1], path[3]]
    assert [one.door for one in answers] == [None, door]
    newest_answers = await history.answers("anna", kept.message.id, max_bytes=1)
    assert [one.message for one in newest_answers] == [path[3]]
    newest = await history.newest("anna", first.conversation_id)
    assert newest.message.id not in {first.answer_id, second.answer_id}
    for stranger in ("", "bert"):
        for attempt in (
            history.answer(stranger, "run-2"),
            history.message(stranger, second.answer_id),
            history.turn(stranger, second.answer_id),
            history.answers(stranger, second.answer_id, max_bytes=1_000_000),
            history.erase(stranger, second.answer_id),
        ):
            with pytest.raises(MessageNotFound):
                await attempt
        with pytest.raises(ConversationNotFound):
            await history.newest(stranger, first.conversation_id)


async def test_a_message_is_found_by_its_callers_id_in_its_conversation_alone(
    history: History,
) -> None:
    turn = await history.ask("", None, [user("one", "u1")], new_answer(caller_id="a1"))
    here = turn.conversation_id
    assert (await history.message("", "u1", conversation_id=here)).message.content == "one"
    assert (await history.message("", "a1", conversation_id=here)).message.id == turn.answer_id
    with pytest.raises(MessageNotFound):
        await history.message("", "u1")
    follow = await history.ask("", here, [user("two")], new_answer(), parent_id="a1")
    assert follow.path[-2].id == turn.answer_id
    again = await history.ask_again("", here, "u1", new_answer())
    assert again.user_message_id == turn.user_message_id


async def test_an_erased_answer_is_gone_and_what_follows_keeps_its_place(
    history: History, place: Place
) -> None:
    first = await ask(history, run_id="run-1")
    await history.finish(first, Answer(status=Status.COMPLETE, content="needle", reasoning="hm"))
    second = await talk(history, first.conversation_id, "two")
    await history.erase("", first.answer_id)
    for attempt in (
        history.answer("", "run-1"),
        history.message("", first.answer_id),
        history.erase("", first.answer_id),
        history.ask_again("", first.conversation_id, first.answer_id, new_answer()),
        ask(history, first.conversation_id, parent_id=first.answer_id),
    ):
        with pytest.raises(MessageNotFound):
            await attempt
    assert await everything(history, "", "needle") == []
    _, erased, after, _ = await all_messages(history, "", first.conversation_id)
    assert (erased.erased, erased.content, erased.reasoning, erased.run_id) == (
        True,
        "",
        None,
        None,
    )
    assert after.parent_id == erased.id
    assert set(await history.turn("", second.answer_id)) == {after.id, second.answer_id}
    third = await ask(history, first.conversation_id, "three")
    assert [one.content for one in third.path] == ["why?", "two", "because", "three"]
    sizes = await place.execute(
        "SELECT (SELECT sum(size) FROM messages), (SELECT size FROM conversations), "
        "(SELECT sum(size) FROM owner_totals)"
    )
    assert len(set(sizes[0])) == 1


async def test_an_erased_answer_that_is_generated_is_not_stored_any_more(history: History) -> None:
    turn = await ask(history)
    await history.erase("", turn.answer_id)
    await history.touch(turn, ended(status=Status.GENERATING))
    assert not await history.finish(turn, ended("secret"))
    kept = await message(history, turn)
    assert (kept.content, kept.erased) == ("", True)
    assert (await history.get("", turn.conversation_id)).live_run_id is None


async def test_a_search_finds_calls_results_and_sources(history: History) -> None:
    turn = await calling(history)
    await history.ask("", turn.conversation_id, [result("call-1", "Nebel")], new_answer())
    brought = await history.ask("", None, [called(), user("x")], new_answer())
    for words, found in (
        ("nebel", [turn.conversation_id]),
        ("a page", [turn.conversation_id]),
        ("c.example", [turn.conversation_id]),
        ("北京", [brought.conversation_id, turn.conversation_id]),
        ("weather", [brought.conversation_id, turn.conversation_id]),
    ):
        assert await everything(history, "", words) == found


async def test_quotas_count_calls_results_sources_and_what_a_door_keeps(place: Place) -> None:
    history = await place.history(capacity=Capacity(bytes=3000))
    for full in (
        [
            user("x"),
            NewMessage(
                role="assistant", content="", tool_calls=[CalledTool("a", "b", "汉" * 1000)]
            ),
            result("a"),
        ],
        [user("x"), called(), result("call-1", "x" * 3000)],
    ):
        with pytest.raises(ConversationFull):
            await history.ask("", None, full, new_answer())
    with pytest.raises(ConversationFull):
        await history.ask("", None, [user("x")], new_answer(door={"a": "x" * 3000}))
    turn = await history.ask("", None, [user("x")], new_answer(door={"a": "x" * 1000}))
    long = [Source("https://a.example/" + "x" * 1000)]
    calls = [CalledTool("a", "b", "{}" + " " * 1000)]
    await history.finish(
        turn, Answer(status=Status.COMPLETE, content="", sources=long, tool_calls=calls)
    )
    with pytest.raises(ConversationFull):
        await history.ask("", turn.conversation_id, [user("x")], new_answer())
    sizes = await place.execute(
        "SELECT (SELECT sum(size) FROM messages), (SELECT size FROM conversations)"
    )
    assert sizes[0][0] == sizes[0][1] > 3000
    with pytest.raises(InvalidFields, match="1048576"):
        await history.ask("", None, [user("x")], new_answer(door={"a": "x" * 2**20}))


async def test_a_long_step_is_read_back_to_its_question(place: Place) -> None:
    history = await place.history(reach=100)
    turn = await talk(history, content="first")
    new = [user("look it up"), called(), result("call-1", "x" * 500), result("call-2", "y" * 500)]
    last = await history.ask("", turn.conversation_id, new, new_answer())
    assert [one.role for one in last.path] == ["user", "assistant", "tool", "tool"]
