"""What every place that keeps conversations promises; the databases are in `conftest.py`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from stream_serve.conversations.base import Answer, NewAnswer, NewMessage, Status
from stream_serve.errors import ConversationNotFound, MessageNotFound
from support.conversations import NASTY, everything, message, refusals
from support.history import all_messages, ask, ended, new_answer, talk

if TYPE_CHECKING:
    from stream_serve.conversations.base import History
    from support.history import Place


async def test_a_new_conversation_is_empty_and_has_its_title(history: History) -> None:
    before = time.time()
    made = await history.create("", title="Plans")
    after = time.time()
    assert made.title == "Plans"
    assert before - 1 <= made.created_at <= after + 1
    assert made.created_at <= made.updated_at <= after + 1
    assert made.live_run_id is None
    assert await history.get("", made.id) == made
    assert await all_messages(history, "", made.id) == []
    assert (await history.create("")).title == ""


async def test_ids_have_128_bits_and_are_safe_in_a_url(history: History) -> None:
    turn = await ask(history)
    for made in (turn.conversation_id, turn.user_message_id, turn.answer_id):
        assert len(made) == 22
        assert set(made) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


async def test_a_first_question_makes_a_conversation_with_its_beginning_as_title(
    history: History,
) -> None:
    turn = await ask(history, content="  Why is  the sky\tblue?\nI ask", run_id="run-1")
    made = await history.get("", turn.conversation_id)
    assert made.title == "Why is the sky blue?"
    assert made.live_run_id == "run-1"
    question, answer = await all_messages(history, "", turn.conversation_id)
    assert question.id == turn.user_message_id
    assert question.parent_id is None
    assert question.role == "user"
    assert question.content == "  Why is  the sky\tblue?\nI ask"
    assert question.status is Status.COMPLETE
    assert (question.model, question.run_id, question.usage) == (None, None, None)
    assert answer.id == turn.answer_id
    assert answer.parent_id == question.id
    assert answer.role == "assistant"
    assert answer.content == ""
    assert answer.status is Status.GENERATING
    assert (answer.model, answer.run_id) == ("some-model", "run-1")
    assert question.created_at <= answer.created_at
    assert turn.path == [question]


async def test_a_long_first_question_is_cut_for_the_title(history: History) -> None:
    turn = await ask(history, content="一二三四五六七八九十" * 1000)
    title = (await history.get("", turn.conversation_id)).title
    assert title == "一二三四五六七八九十" * 5 + "一二三四五六七八九…"


async def test_the_title_of_a_question_in_parts_is_its_text(history: History) -> None:
    parts: list[dict[str, object]] = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "text", "text": "What is this?"},
        {"type": "text", "text": "Say it", "extra": [1, 2.5, None, True, 2**70]},
    ]
    turn = await ask(history, content=parts)
    assert (await history.get("", turn.conversation_id)).title == "What is this?"
    assert turn.path[0].content == parts
    assert (await message(history, turn, turn.user_message_id)).content == parts


async def test_the_first_question_titles_an_untitled_conversation_and_no_other_does(
    history: History,
) -> None:
    untitled = await history.create("")
    titled = await history.create("", title="Mine")
    for conversation in (untitled, titled):
        await talk(history, conversation.id, "first")
        await talk(history, conversation.id, "second")
    assert (await history.get("", untitled.id)).title == "first"
    assert (await history.get("", titled.id)).title == "Mine"
    await history.change("", untitled.id, title="")
    await talk(history, untitled.id, "third")
    assert (await history.get("", untitled.id)).title == ""


async def test_messages_are_oldest_first(history: History) -> None:
    first = await talk(history, content="0")
    for number in range(1, 12):
        await ask(history, first.conversation_id, str(number), at_root=number % 3 == 0)
    kept = await all_messages(history, "", first.conversation_id)
    asked = [str(found.content) for found in kept if found.role == "user"]
    assert asked == [str(number) for number in range(12)]
    seen: set[str | None] = {None}
    for found in kept:
        assert found.parent_id in seen, "a parent comes before its children"
        seen.add(found.id)


async def test_a_rename_changes_the_title_and_moves_to_the_front(history: History) -> None:
    old, new = await history.create("", title="old"), await history.create("", title="new")
    renamed = await history.change("", old.id, title="renamed \x00")
    assert renamed.title == "renamed \x00"
    assert renamed.created_at == old.created_at
    assert renamed.updated_at >= old.updated_at
    assert await history.get("", old.id) == renamed
    assert await everything(history, "") == [old.id, new.id]


async def test_every_change_of_its_messages_moves_a_conversation_to_the_front(
    history: History,
) -> None:
    first = await ask(history)
    other = await history.create("")
    assert await everything(history, "") == [other.id, first.conversation_id]
    await history.finish(first, ended())
    assert await everything(history, "") == [first.conversation_id, other.id]
    await ask(history, other.id)
    assert await everything(history, "") == [other.id, first.conversation_id]
    await history.ask_again("", first.conversation_id, first.answer_id, new_answer("r"))
    assert await everything(history, "") == [first.conversation_id, other.id]


async def test_a_deleted_conversation_is_gone_with_its_messages(history: History) -> None:
    turn, other = await talk(history, content="needle"), await talk(history, content="needle")
    await history.delete("", turn.conversation_id)
    with pytest.raises(ConversationNotFound):
        await history.delete("", turn.conversation_id)
    with pytest.raises(ConversationNotFound):
        await all_messages(history, "", turn.conversation_id)
    assert await everything(history, "", "needle") == [other.conversation_id]
    with pytest.raises(MessageNotFound):
        await ask(history, other.conversation_id, parent_id=turn.answer_id)


async def test_for_another_owner_a_conversation_does_not_exist(history: History) -> None:
    turn = await talk(history, content="secret plans", owner="alice")
    before = await all_messages(history, "alice", turn.conversation_id)
    for stranger in ("bob", "", "Alice", "alice\x00"):
        foreign = await refusals(history, stranger, turn.conversation_id, turn)
        unknown = await refusals(history, stranger, "no-such-conversation", turn)
        assert foreign == unknown, "the two cannot be told apart"
        assert await everything(history, stranger) == []
        assert await everything(history, stranger, "secret") == []
    assert await all_messages(history, "alice", turn.conversation_id) == before
    assert (await history.get("alice", turn.conversation_id)).title == "secret plans"
    assert await everything(history, "alice", "secret") == [turn.conversation_id]


async def test_a_parent_of_another_owner_does_not_exist(history: History) -> None:
    theirs = await talk(history, owner="alice")
    mine = await talk(history, owner="bob")
    with pytest.raises(MessageNotFound):
        await ask(history, mine.conversation_id, owner="bob", parent_id=theirs.answer_id)
    with pytest.raises(MessageNotFound):
        await history.ask_again("bob", mine.conversation_id, theirs.answer_id, new_answer("r"))


@pytest.mark.parametrize("text", NASTY)
async def test_any_text_comes_back_exactly(history: History, text: str) -> None:
    turn = await history.ask(
        text,
        None,
        [NewMessage(role="user", content=text)],
        NewAnswer(run_id=text, model=text, door={text: text}),
    )
    parts: list[dict[str, object]] = [{"type": "text", "text": text, text: [text]}]
    second = await ask(history, turn.conversation_id, parts, owner=text)
    answer = Answer(status=Status.FAILED, content=text, reasoning=text, error=text)
    await history.touch(turn, answer)
    await history.finish(turn, answer)
    kept = {found.id: found for found in await all_messages(history, text, turn.conversation_id)}
    assert kept[turn.user_message_id].content == text
    first = kept[turn.answer_id]
    assert (first.content, first.reasoning, first.error) == (text, text, text)
    assert (first.run_id, first.model) == (text, text)
    assert kept[second.user_message_id].content == parts
    assert (await history.change(text, turn.conversation_id, title=text)).title == text


async def test_it_can_be_reached(history: History) -> None:
    await history.check()


async def test_what_is_kept_is_there_after_closing_and_opening(place: Place) -> None:
    first = await place.history()
    turn = await talk(first)
    before = await all_messages(first, "", turn.conversation_id)
    await first.close()
    await first.close()
    second = await place.history()
    assert await all_messages(second, "", turn.conversation_id) == before
    await first.open()
    assert await all_messages(first, "", turn.conversation_id) == before
