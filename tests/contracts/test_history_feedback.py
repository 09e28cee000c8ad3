"""What every place that keeps conversations promises of metadata, of feedback, and of matches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.conversations.base import Capacity, Feedback
from stream_serve.conversations.sql import lists, matches
from stream_serve.errors import ConversationFull, ConversationNotFound, MessageNotFound
from support.history import ask, ended, talk

if TYPE_CHECKING:
    from stream_serve.conversations.base import History
    from support.history import Place

KEPT: dict[str, Any] = {"model": "x", "systemPrompt": "be \x00 brief 你好", "leaf": None, "n": 0.5}


async def test_metadata_is_kept_and_replaced_and_moves_no_conversation(history: History) -> None:
    plain = await history.create("")
    assert plain.metadata is None
    made = await history.create("", title="a", metadata=KEPT)
    assert made.metadata == KEPT
    newer = await history.create("")
    changed = await history.change("", made.id, metadata={"other": [1]})
    assert changed.metadata == {"other": [1]}
    assert (changed.title, changed.updated_at) == ("a", made.updated_at)
    assert await history.get("", made.id) == changed
    page = await history.list("", limit=9)
    assert [one.id for one in page.conversations] == [newer.id, made.id, plain.id]
    both = await history.change("", made.id, title="b", metadata={})
    assert (both.title, both.metadata) == ("b", None)
    assert (await history.list("", limit=1)).conversations == [both]
    with pytest.raises(ConversationNotFound):
        await history.change("bob", made.id, metadata=KEPT)


async def test_metadata_counts_as_long_as_it_is_there(place: Place) -> None:
    history = await place.history(capacity=Capacity(bytes=1000))
    turn = await talk(history, content="x" * 100)
    here = turn.conversation_id
    await history.change("", here, metadata={"k": "y" * 700})
    with pytest.raises(ConversationFull):
        await history.change("", here, metadata={"k": "y" * 1000})
    with pytest.raises(ConversationFull):
        await ask(history, here, "z" * 200)
    # Less of it is taken also where there is no room left.
    await history.finish(await ask(history, here, "z"), ended("a" * 500))
    await history.change("", here, metadata={"k": "y" * 690})
    await history.change("", here, metadata={})
    await ask(history, here, "z" * 200)
    with pytest.raises(ConversationFull):
        await history.create("", metadata={"k": "y" * 1000})


async def test_an_answer_has_the_feedback_that_was_given_last(history: History) -> None:
    turn = await talk(history)
    here = turn.conversation_id
    for feedback in (Feedback.UP, Feedback.DOWN, None, Feedback.UP):
        rated = await history.rate("", here, turn.answer_id, feedback)
        assert rated.feedback is feedback
        assert (await history.message("", turn.answer_id)).message == rated
    page = await history.messages("", here, limit=9)
    assert [one.feedback for one in page.messages] == [None, Feedback.UP]
    await history.erase("", turn.answer_id)
    page = await history.messages("", here, limit=9)
    assert [one.feedback for one in page.messages] == [None, None]


async def test_only_ones_own_answers_have_feedback(history: History) -> None:
    turn, other = await talk(history), await talk(history)
    for owner, conversation, message in (
        ("", turn.conversation_id, turn.user_message_id),
        ("", turn.conversation_id, other.answer_id),
        ("", turn.conversation_id, "nothing"),
        ("bob", turn.conversation_id, turn.answer_id),
    ):
        with pytest.raises(MessageNotFound):
            await history.rate(owner, conversation, message, Feedback.UP)


async def test_messages_come_newest_first_where_that_is_asked_for(
    history: History, place: Place
) -> None:
    turn = await talk(history)
    await place.lengthen(turn, 7)
    found: list[str] = []
    after = None
    while True:
        page = await history.messages(
            "", turn.conversation_id, limit=4, after=after, newest_first=True
        )
        found += [one.id for one in page.messages]
        after = page.next_cursor
        if after is None:
            break
    oldest = await history.messages("", turn.conversation_id, limit=100)
    assert found == [one.id for one in oldest.messages][::-1]
    small = await history.messages(
        "", turn.conversation_id, limit=100, max_bytes=1, newest_first=True
    )
    assert [one.id for one in small.messages] == ["message-6"]


@pytest.mark.parametrize("few", [0, 1000])
async def test_a_search_shows_the_newest_message_with_the_text(
    history: History, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(lists, "FEW", few)
    old = await ask(history, content="A Needle, early")
    await history.finish(old, ended("x" * 60 + "\nin the hay: the NEEDLE and\tmore " + "y" * 200))
    await history.finish(await ask(history, old.conversation_id, "nothing"), ended("nothing"))
    parts: list[dict[str, object]] = [{"type": "text", "text": "needle in parts"}]
    other = await ask(history, content=parts)
    titled = await history.create("", title="needle")
    page = await history.list("", limit=9, query="needle")
    assert {one.id for one in page.conversations} == {
        *(old.conversation_id, other.conversation_id, titled.id)
    }
    assert set(page.matches) == {old.conversation_id, other.conversation_id}
    match = page.matches[old.conversation_id]
    assert match.message_id == old.answer_id
    assert match.before == "x" * 23 + " in the hay: the "
    assert (match.text, match.after[:9]) == ("NEEDLE", " and more")
    assert len(match.before) == matches.BEFORE
    assert len(match.after) == matches.AFTER
    match = page.matches[other.conversation_id]
    assert (match.before, match.text, match.after) == ("", "needle", " in parts")
    assert (await history.list("", limit=9)).matches == {}
    assert (await history.list("bob", limit=9, query="needle")).matches == {}


async def test_a_match_is_shown_also_where_the_case_changes_the_length_or_the_text_is_long(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = await talk(history, content="In der Straße: Großes")
    found = (await history.list("", limit=9, query="STRASSE")).matches[turn.conversation_id]
    assert (found.before, found.text, found.after) == ("in der ", "strasse", ": grosses")
    monkeypatch.setattr(matches, "MODERATE", 10)
    turn = await talk(history, content="b" * 100 + "Long \x00 Words" + "a" * 200)
    found = (await history.list("", limit=9, query="long \x00 w")).matches[turn.conversation_id]
    assert (found.before, found.text) == ("b" * matches.BEFORE, "long \x00 w")
    assert found.after.startswith("ordsaaa")
