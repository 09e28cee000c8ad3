"""What every place that keeps conversations promises; the databases are in `conftest.py`."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_serve.conversations.base import Answer, Status
from stream_serve.errors import BadCursor, ConversationNotFound, MessageNotFound
from stream_serve.events.types import Usage
from support.history import ask, ended, talk

if TYPE_CHECKING:
    from stream_serve.conversations.base import Conversation, History, Message, Turn
    from support.history import Place

ENDS: Final = [Status.COMPLETE, Status.STOPPED, Status.FAILED, Status.INTERRUPTED]
USAGE: Final = Usage(
    prompt_tokens=3, completion_tokens=5, total_tokens=8, source="provider", reasoning_tokens=2
)
NASTY: Final = [
    "",
    "NUL \x00 in the middle, and at the end \x00",
    "halves \ud83d and \ude00, a wrong pair \ud83d\ude00, a true one 😀",
    "\x1a and \x1a\ue800 and \ue801 and \x1a\x1a",
    "\ud800\x00\udfff\x1a",
    '"quotes" and \\ and \\u0000 and \r\n and \u2028',
    "流式回答，一字不差",
]


async def everything(history: History, owner: str, query: str | None = None) -> list[str]:
    """The ids of all conversations, read in pages of two."""
    found: list[str] = []
    cursor = None
    while True:
        page = await history.list(owner, limit=2, cursor=cursor, query=query)
        found += [conversation.id for conversation in page.conversations]
        cursor = page.next_cursor
        if cursor is None:
            return found
        assert len(page.conversations) == 2, "a page that is not the last is full"


async def message(history: History, turn: Turn, message_id: str | None = None) -> Message:
    """A message of a turn's conversation, its answer unless told."""
    wanted = message_id or turn.answer_id
    all_of_it = await history.messages("", turn.conversation_id)
    return next(found for found in all_of_it if found.id == wanted)


async def test_a_new_conversation_is_empty_and_has_its_title(history: History) -> None:
    before = time.time()
    made = await history.create("", title="Plans")
    after = time.time()
    assert made.title == "Plans"
    assert before - 1 <= made.created_at <= after + 1
    assert made.created_at <= made.updated_at <= after + 1
    assert made.live_run_id is None
    assert await history.get("", made.id) == made
    assert await history.messages("", made.id) == []
    assert (await history.create("")).title == ""


async def test_ids_have_128_bits_and_are_safe_in_a_url(history: History) -> None:
    turn = await ask(history)
    for made in (turn.conversation_id, turn.user_message_id, turn.answer_id):
        assert len(made) == 22
        assert set(made) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


async def test_a_first_question_makes_a_conversation_with_its_beginning_as_title(
    history: History,
) -> None:
    turn = await ask(history, content="  Why is\n the sky\tblue?  ", run_id="run-1")
    made = await history.get("", turn.conversation_id)
    assert made.title == "Why is the sky blue?"
    assert made.live_run_id == "run-1"
    question, answer = await history.messages("", turn.conversation_id)
    assert question.id == turn.user_message_id
    assert question.parent_id is None
    assert question.role == "user"
    assert question.content == "  Why is\n the sky\tblue?  "
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
    assert title == "一二三四五六七八九十" * 7 + "一二三四五六七八九…"


async def test_the_title_of_a_question_in_parts_is_its_text(history: History) -> None:
    parts: list[dict[str, object]] = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "text", "text": "What is"},
        {"type": "text", "text": "this?", "extra": [1, 2.5, None, True, 2**70]},
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
    await history.rename("", untitled.id, "")
    await talk(history, untitled.id, "third")
    assert (await history.get("", untitled.id)).title == ""


async def test_a_question_hangs_on_the_newest_answer(history: History) -> None:
    first = await talk(history, content="one")
    second = await talk(history, first.conversation_id, "two")
    third = await ask(history, first.conversation_id, "three")
    assert [at.content for at in third.path] == ["one", "because", "two", "because", "three"]
    assert [at.id for at in third.path] == [
        *(first.user_message_id, first.answer_id),
        *(second.user_message_id, second.answer_id),
        third.user_message_id,
    ]
    assert [at.parent_id for at in third.path] == [None, *(at.id for at in third.path[:-1])]


async def test_the_first_question_of_an_empty_conversation_is_a_root(history: History) -> None:
    made = await history.create("")
    turn = await ask(history, made.id)
    assert turn.conversation_id == made.id
    assert turn.path[0].parent_id is None


async def test_the_newest_answer_is_the_one_that_began_last_in_any_branch(
    history: History,
) -> None:
    first = await talk(history, content="one")
    await talk(history, first.conversation_id, "two")
    again = await history.ask_again(
        "", first.conversation_id, first.answer_id, run_id="again", model="other"
    )
    await history.finish(again, ended("another"))
    third = await ask(history, first.conversation_id, "three")
    assert [at.content for at in third.path] == ["one", "another", "three"]


async def test_an_edited_question_is_a_sibling(history: History) -> None:
    first = await talk(history, content="one")
    second = await talk(history, first.conversation_id, "two")
    edited = await ask(history, first.conversation_id, "2", parent_id=first.answer_id)
    assert [at.content for at in edited.path] == ["one", "because", "2"]
    root = await ask(history, first.conversation_id, "1", parent_id=None, at_root=True)
    assert [at.content for at in root.path] == ["1"]
    kept = await history.messages("", first.conversation_id)
    assert [(at.content, at.parent_id) for at in kept if at.role == "user"] == [
        ("one", None),
        ("two", first.answer_id),
        ("2", first.answer_id),
        ("1", None),
    ]
    assert second.answer_id in {at.id for at in kept}


async def test_another_answer_is_a_sibling_whether_the_answer_or_the_question_is_named(
    history: History,
) -> None:
    turn = await talk(history)
    for number, named in enumerate((turn.answer_id, turn.user_message_id)):
        again = await history.ask_again(
            "", turn.conversation_id, named, run_id=f"run-{number}", model="other"
        )
        assert again.user_message_id == turn.user_message_id
        assert again.conversation_id == turn.conversation_id
        assert again.path == turn.path
        await history.finish(again, ended(f"answer {number}"))
    answers = (await history.messages("", turn.conversation_id))[1:]
    assert [at.content for at in answers] == ["because", "answer 0", "answer 1"]
    assert {at.parent_id for at in answers} == {turn.user_message_id}
    assert [at.model for at in answers] == ["some-model", "other", "other"]


async def test_a_path_has_what_is_there_of_an_answer_that_is_being_generated(
    history: History,
) -> None:
    first = await ask(history)
    await history.touch(first, Answer(status=Status.GENERATING, content="so f"))
    second = await ask(history, first.conversation_id, parent_id=first.answer_id)
    assert [(at.content, at.status) for at in second.path] == [
        ("why?", Status.COMPLETE),
        ("so f", Status.GENERATING),
        ("why?", Status.COMPLETE),
    ]


@pytest.mark.parametrize("parent", ["nowhere", "a question", "elsewhere", "\x00"])
async def test_a_parent_has_to_be_an_answer_of_the_conversation(
    history: History, parent: str
) -> None:
    here, elsewhere = await talk(history), await talk(history)
    names = {"a question": here.user_message_id, "elsewhere": elsewhere.answer_id}
    with pytest.raises(MessageNotFound):
        await ask(history, here.conversation_id, parent_id=names.get(parent, parent))
    assert len(await history.messages("", here.conversation_id)) == 2


async def test_a_question_that_makes_a_conversation_has_no_parent(history: History) -> None:
    turn = await talk(history)
    with pytest.raises(MessageNotFound):
        await ask(history, None, parent_id=turn.answer_id)
    assert await everything(history, "") == [turn.conversation_id], "nothing half-made stays"


async def test_another_answer_to_a_message_that_is_not_there_is_refused(history: History) -> None:
    here, elsewhere = await talk(history), await talk(history)
    for wrong in ("nowhere", elsewhere.answer_id, "\ud800"):
        with pytest.raises(MessageNotFound):
            await history.ask_again(
                "", here.conversation_id, wrong, run_id="run", model="some-model"
            )


@pytest.mark.parametrize("status", ENDS)
async def test_an_answer_is_kept_as_it_ended(history: History, status: Status) -> None:
    turn = await ask(history, run_id="run-1")
    answer = Answer(
        status=status,
        content="text so far",
        reasoning="hm",
        usage=USAGE,
        first_token_ms=123.4,
        error="upstream_timeout",
    )
    await history.finish(turn, answer)
    kept = await message(history, turn)
    assert {name: getattr(kept, name) for name in Answer.__struct_fields__} == (
        msgspec.structs.asdict(answer)
    )
    assert (kept.model, kept.run_id) == ("some-model", "run-1")
    assert (await history.get("", turn.conversation_id)).live_run_id is None


async def test_finishing_again_changes_nothing(history: History) -> None:
    turn = await ask(history)
    assert await history.finish(turn, ended("the end", Status.STOPPED))
    before = await history.get("", turn.conversation_id)
    assert await history.finish(turn, ended("the end", Status.STOPPED))
    assert await history.finish(turn, ended("another", Status.COMPLETE))
    kept = await message(history, turn)
    assert (kept.content, kept.status) == ("the end", Status.STOPPED)
    assert await history.get("", turn.conversation_id) == before


async def test_an_answer_cannot_end_as_generating(history: History) -> None:
    turn = await ask(history)
    with pytest.raises(ValueError, match="being generated"):
        await history.finish(turn, ended(status=Status.GENERATING))


async def test_an_end_in_a_deleted_conversation_is_not_called_stored(history: History) -> None:
    turn = await ask(history)
    await history.delete("", turn.conversation_id)
    await history.touch(turn, ended(status=Status.GENERATING))
    assert not await history.finish(turn, ended())
    assert await everything(history, "") == []


async def test_a_touch_keeps_the_text_so_far(history: History) -> None:
    turn = await ask(history, run_id="run-1")
    await history.touch(
        turn,
        Answer(
            status=Status.GENERATING,
            content="so far",
            reasoning="hm",
            usage=USAGE,
            first_token_ms=1.5,
        ),
    )
    kept = await message(history, turn)
    assert (kept.content, kept.reasoning, kept.usage) == ("so far", "hm", USAGE)
    assert (kept.first_token_ms, kept.status) == (1.5, Status.GENERATING)
    assert (await history.get("", turn.conversation_id)).live_run_id == "run-1"


@pytest.mark.parametrize("status", ENDS)
async def test_a_touch_never_revives_an_answer_that_has_ended(
    history: History, status: Status
) -> None:
    turn = await ask(history)
    await history.finish(turn, ended("the end", status))
    await history.touch(turn, Answer(status=Status.GENERATING, content="late"))
    kept = await message(history, turn)
    assert (kept.content, kept.status) == ("the end", status)
    assert (await history.get("", turn.conversation_id)).live_run_id is None


async def test_an_answer_whose_lease_ran_out_reads_as_interrupted_before_any_sweep(
    place: Place,
) -> None:
    dying, looking = await place.history(lease=0.0), await place.history()
    turn = await ask(dying, run_id="run-1")
    await dying.touch(turn, Answer(status=Status.GENERATING, content="so far"))
    kept = await message(looking, turn)
    assert (kept.content, kept.status) == ("so far", Status.INTERRUPTED)
    assert (await looking.get("", turn.conversation_id)).live_run_id is None
    assert (await looking.list("", limit=9)).conversations[0].live_run_id is None
    following = await ask(looking, turn.conversation_id)
    assert following.path[1].status is Status.INTERRUPTED


async def test_a_sweep_marks_answers_whose_lease_ran_out_and_counts_them(place: Place) -> None:
    dying, living = await place.history(lease=0.0), await place.history()
    dead = [await ask(dying), await ask(dying, owner="another")]
    live = await ask(living, dead[0].conversation_id)
    done = await talk(dying)
    assert await living.sweep() == 2
    assert await living.sweep() == 0
    assert (await message(living, dead[0])).status is Status.INTERRUPTED
    assert (await message(living, live)).status is Status.GENERATING
    assert (await message(living, done)).status is Status.COMPLETE


async def test_a_touch_renews_the_lease(place: Place) -> None:
    short, long = await place.history(lease=0.0), await place.history()
    turn = await ask(short)
    await long.touch(turn, Answer(status=Status.GENERATING, content="alive"))
    assert await long.sweep() == 0
    assert (await message(long, turn)).status is Status.GENERATING


async def test_a_touch_does_not_revive_what_was_swept_and_a_finish_gives_its_true_end(
    place: Place,
) -> None:
    dying, living = await place.history(lease=0.0), await place.history()
    turn = await ask(dying)
    await living.sweep()
    await living.touch(turn, Answer(status=Status.GENERATING, content="late"))
    kept = await message(living, turn)
    assert (kept.content, kept.status) == ("", Status.INTERRUPTED)
    await living.finish(turn, ended("the true end"))
    kept = await message(living, turn)
    assert (kept.content, kept.status) == ("the true end", Status.COMPLETE)


async def test_the_live_run_is_the_newest(history: History) -> None:
    first = await ask(history, run_id="old")
    second = await ask(history, first.conversation_id, run_id="new")
    other = await ask(history, run_id="other")

    async def live() -> dict[str, str | None]:
        page = await history.list("", limit=9)
        assert page.conversations == [
            await history.get("", conversation.id) for conversation in page.conversations
        ]
        return {found.id: found.live_run_id for found in page.conversations}

    assert await live() == {first.conversation_id: "new", other.conversation_id: "other"}
    await history.finish(second, ended())
    assert await live() == {first.conversation_id: "old", other.conversation_id: "other"}
    renamed = await history.rename("", first.conversation_id, "other title")
    assert renamed.live_run_id == "old"
    await history.finish(first, ended())
    assert await live() == {first.conversation_id: None, other.conversation_id: "other"}


async def test_messages_are_oldest_first(history: History) -> None:
    first = await talk(history, content="0")
    for number in range(1, 12):
        await ask(history, first.conversation_id, str(number), at_root=number % 3 == 0)
    kept = await history.messages("", first.conversation_id)
    asked = [str(found.content) for found in kept if found.role == "user"]
    assert asked == [str(number) for number in range(12)]
    seen: set[str | None] = {None}
    for found in kept:
        assert found.parent_id in seen, "a parent comes before its children"
        seen.add(found.id)


async def test_a_rename_changes_the_title_and_moves_to_the_front(history: History) -> None:
    old, new = await history.create("", title="old"), await history.create("", title="new")
    renamed = await history.rename("", old.id, "renamed \x00")
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
    await history.ask_again(
        "", first.conversation_id, first.answer_id, run_id="r", model="some-model"
    )
    assert await everything(history, "") == [first.conversation_id, other.id]


async def test_a_deleted_conversation_is_gone_with_its_messages(history: History) -> None:
    turn, other = await talk(history, content="needle"), await talk(history, content="needle")
    await history.delete("", turn.conversation_id)
    with pytest.raises(ConversationNotFound):
        await history.delete("", turn.conversation_id)
    with pytest.raises(ConversationNotFound):
        await history.messages("", turn.conversation_id)
    assert await everything(history, "", "needle") == [other.conversation_id]
    with pytest.raises(MessageNotFound):
        await ask(history, other.conversation_id, parent_id=turn.answer_id)


async def refusals(history: History, owner: str, conversation_id: str, turn: Turn) -> list[str]:
    """What each method says of a conversation that does not exist for an owner."""
    said: list[str] = []
    for attempt in (
        history.get(owner, conversation_id),
        history.messages(owner, conversation_id),
        history.rename(owner, conversation_id, "mine now"),
        history.delete(owner, conversation_id),
        ask(history, conversation_id, owner=owner),
        ask(history, conversation_id, owner=owner, parent_id=turn.answer_id),
        ask(history, conversation_id, owner=owner, at_root=True),
        history.ask_again(owner, conversation_id, turn.answer_id, run_id="r", model="m"),
    ):
        with pytest.raises(ConversationNotFound) as refused:
            await attempt
        said.append(str(refused.value))
    return said


async def test_for_another_owner_a_conversation_does_not_exist(history: History) -> None:
    turn = await talk(history, content="secret plans", owner="alice")
    before = await history.messages("alice", turn.conversation_id)
    for stranger in ("bob", "", "Alice", "alice\x00"):
        foreign = await refusals(history, stranger, turn.conversation_id, turn)
        unknown = await refusals(history, stranger, "no-such-conversation", turn)
        assert foreign == unknown, "the two cannot be told apart"
        assert await everything(history, stranger) == []
        assert await everything(history, stranger, "secret") == []
    assert await history.messages("alice", turn.conversation_id) == before
    assert (await history.get("alice", turn.conversation_id)).title == "secret plans"
    assert await everything(history, "alice", "secret") == [turn.conversation_id]


async def test_a_parent_of_another_owner_does_not_exist(history: History) -> None:
    theirs = await talk(history, owner="alice")
    mine = await talk(history, owner="bob")
    with pytest.raises(MessageNotFound):
        await ask(history, mine.conversation_id, owner="bob", parent_id=theirs.answer_id)
    with pytest.raises(MessageNotFound):
        await history.ask_again(
            "bob", mine.conversation_id, theirs.answer_id, run_id="r", model="m"
        )


async def test_pages_are_full_newest_first_and_end(history: History) -> None:
    assert await history.list("", limit=3) == await history.list("", limit=3, query="x")
    made = [(await history.create("", title=str(number))).id for number in range(5)]
    await history.create("another")
    first = await history.list("", limit=3)
    assert [found.id for found in first.conversations] == made[:1:-1]
    assert first.next_cursor is not None
    second = await history.list("", limit=3, cursor=first.next_cursor)
    assert [found.id for found in second.conversations] == made[1::-1]
    assert second.next_cursor is None
    whole = await history.list("", limit=5)
    assert whole.next_cursor is None
    assert len(whole.conversations) == 5


async def test_paging_gives_what_does_not_change_once_whatever_else_does(
    history: History,
) -> None:
    made: list[Conversation] = [await history.create("", title=str(number)) for number in range(9)]
    seen: list[str] = []
    cursor = None
    for turn in range(9):
        page = await history.list("", limit=2, cursor=cursor)
        seen += [found.id for found in page.conversations]
        await history.create("", title="newer")
        await history.rename("", made[8].id, "read already, moved to the front")
        await history.rename("", made[0].id, f"not read yet, moved to the front {turn}")
        cursor = page.next_cursor
        if cursor is None:
            break
        if turn == 1:
            await history.delete("", seen[-1])  # the one that the cursor stands on
    assert seen == [found.id for found in made[:0:-1]]


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "%", "\x00", "\ud800", "é", "W10", "bnVsbA", "WzEsMl0=extra", "a" * 10_000),
        *(
            "WzEsMi41XQ",
            "WyIxIiwyXQ",
            "WzFlOTk5LDFd",
            "WzEsLTFd",
            "WzEsOTIyMzM3MjAzNjg1NDc3NTgwOF0",
        ),
    ],
)
async def test_a_cursor_that_no_page_gave_is_refused(history: History, cursor: str) -> None:
    await talk(history)
    with pytest.raises(BadCursor):
        await history.list("", limit=3, cursor=cursor)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("HELLO", "question"),
        ("hello w", "question"),
        ("because", "question answer title"),
        ("天空", "chinese"),
        ("为什么天空是蓝", "chinese"),
        ("100%", "percent"),
        ("%", "percent"),
        ("_", "underscore"),
        ("a_b", "underscore"),
        ('o\'clock "x"', "quotes"),
        ("\\", "quotes"),
        ("straße", "german"),
        ("STRASSE", "german"),
        ("ÄRGER", "german"),
        ("ПРИВЕТ", "russian"),
        ("plans", "title"),
        ("\x00", "nul"),
        ("\ud800", "nul"),
        ("no such text", ""),
        ("base64", ""),
        ("iVBORw", ""),
        ("image_url", ""),
    ],
)
async def test_a_search_finds_text_in_titles_and_messages(
    history: History, query: str, found: str
) -> None:
    image: dict[str, object] = {"url": "data:image/png;base64,iVBORw"}
    texts: dict[str, str | list[dict[str, object]]] = {
        "question": "Hello World",
        "answer": "x",
        "chinese": "请问为什么天空是蓝色的？",
        "percent": "I am 100% sure",
        "underscore": "call a_b",
        "quotes": 'five o\'clock "x" \\',
        "german": "Großer Ärger in der Straße",
        "russian": "привет",
        "nul": "a \x00 and a \ud800",
        "parts": [
            {"type": "image_url", "image_url": image},
            {"type": "text", "text": "an image"},
        ],
        "title": "y",
    }
    ids: dict[str, str] = {}
    for name, text in texts.items():
        turn = await ask(history, content=text)
        ids[turn.conversation_id] = name
        if "because" in query and name in found:
            await history.finish(turn, ended("It is so BECAUSE I say so"))
        if name == "title":
            await history.rename("", turn.conversation_id, "My Plans")
    names = {ids[at] for at in await everything(history, "", query)}
    assert names == set(found.split())


async def test_an_empty_search_is_none(history: History) -> None:
    turn = await talk(history)
    assert await everything(history, "", "") == [turn.conversation_id]


async def test_a_search_pages_as_a_list_does(history: History) -> None:
    wanted: list[str] = []
    for number in range(7):
        turn = await ask(history, content="needle" if number % 2 else "hay")
        if number % 2:
            wanted.append(turn.conversation_id)
    assert await everything(history, "", "NEEDLE") == wanted[::-1]


@pytest.mark.parametrize("text", NASTY)
async def test_any_text_comes_back_exactly(history: History, text: str) -> None:
    turn = await history.ask(
        text, None, text, parent_id=None, at_root=False, run_id=text, model=text
    )
    parts: list[dict[str, object]] = [{"type": "text", "text": text, text: [text]}]
    second = await ask(history, turn.conversation_id, parts, owner=text)
    answer = Answer(status=Status.FAILED, content=text, reasoning=text, error=text)
    await history.touch(turn, answer)
    await history.finish(turn, answer)
    kept = {found.id: found for found in await history.messages(text, turn.conversation_id)}
    assert kept[turn.user_message_id].content == text
    first = kept[turn.answer_id]
    assert (first.content, first.reasoning, first.error) == (text, text, text)
    assert (first.run_id, first.model) == (text, text)
    assert kept[second.user_message_id].content == parts
    assert (await history.rename(text, turn.conversation_id, text)).title == text


async def test_questions_to_one_conversation_at_once_are_all_kept_in_one_line(
    history: History,
) -> None:
    first = await talk(history)
    turns = await asyncio.gather(
        *(ask(history, first.conversation_id, str(number)) for number in range(20))
    )
    lengths = sorted(len(turn.path) for turn in turns)
    assert lengths == list(range(3, 43, 2)), "each hangs on the answer of the one before"
    kept = await history.messages("", first.conversation_id)
    assert len(kept) == 42
    asked = {str(at.content) for at in kept if at.role == "user"}
    assert asked == {"why?", *map(str, range(20))}


async def test_changes_of_all_kinds_at_once_do_not_get_in_each_others_way(place: Place) -> None:
    histories = [await place.history(), await place.history(), await place.history(lease=0.0)]
    turns = [await talk(histories[0]) for _ in range(3)]

    async def one(number: int) -> None:
        history, turn = histories[number % 3], turns[number % len(turns)]
        conversation = turn.conversation_id
        try:
            mine = await ask(history, conversation)
            await history.touch(mine, Answer(status=Status.GENERATING, content="x"))
            await history.sweep()
            await history.rename("", conversation, str(number))
            await history.finish(mine, ended())
            await history.ask_again("", conversation, mine.answer_id, run_id="r", model="m")
            if number in {7, 8}:
                await history.delete("", conversation)
        except (ConversationNotFound, MessageNotFound):
            assert number % 3 in {1, 2}, "only two of them are deleted"

    await asyncio.gather(*map(one, range(30)))
    assert await everything(histories[0], "") == [turns[0].conversation_id]
    assert len(await histories[1].messages("", turns[0].conversation_id)) == 2 + 10 * 3


async def test_a_conversation_may_be_long(history: History, place: Place) -> None:
    turn = await talk(history, content="first")
    await place.lengthen(turn, 2000)
    last = await ask(history, turn.conversation_id, "last")
    assert len(last.path) == 2003
    assert [at.content for at in last.path[2:-1]] == [str(number) for number in range(2000)]
    assert [at.parent_id for at in last.path] == [None, *(at.id for at in last.path[:-1])]
    assert len(await history.messages("", turn.conversation_id)) == 2004
    await history.delete("", turn.conversation_id)
    assert await everything(history, "") == []


async def test_it_can_be_reached(history: History) -> None:
    await history.check()


async def test_what_is_kept_is_there_after_closing_and_opening(place: Place) -> None:
    first = await place.history()
    turn = await talk(first)
    before = await first.messages("", turn.conversation_id)
    await first.close()
    await first.close()
    second = await place.history()
    assert await second.messages("", turn.conversation_id) == before
    await first.open()
    assert await first.messages("", turn.conversation_id) == before


@dataclasses.dataclass
class Node:
    """A message as the model knows it."""

    parent: str | None
    role: str
    status: Status
    content: str


class Model:
    """One conversation in memory, as it should be."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def path(self, at: str | None) -> list[str]:
        found: list[str] = []
        while at is not None:
            found.insert(0, at)
            at = self.nodes[at].parent
        return found

    def named(self, role: str | None = None) -> list[str]:
        return [at for at, node in self.nodes.items() if role in {None, node.role}]

    def add(self, turn: Turn, parent: str | None, content: str | None) -> None:
        if content is not None:
            self.nodes[turn.user_message_id] = Node(parent, "user", Status.COMPLETE, content)
        self.nodes[turn.answer_id] = Node(turn.user_message_id, "assistant", Status.GENERATING, "")
        assert [at.id for at in turn.path] == self.path(turn.user_message_id)


STEPS: Final = st.lists(
    st.tuples(
        st.sampled_from(["ask", "edit", "root", "again", "touch", "finish"]),
        st.integers(0, 1000),
        st.text(st.characters(), max_size=5),
        st.sampled_from(ENDS),
    ),
    max_size=12,
)


async def step(
    history: History, model: Model, turns: list[Turn], doing: tuple[str, int, str, Status]
) -> None:
    """Do one thing to both the history and the model."""
    what, number, text, status = doing
    conversation = turns[0].conversation_id
    answers = model.named("assistant")
    turn = turns[number % len(turns)]
    node = model.nodes[turn.answer_id]
    if what == "again":
        again = model.named()[number % len(model.nodes)]
        made = await history.ask_again("", conversation, again, run_id="r", model="m")
        turns.append(made)
        model.add(made, None, None)
    elif what == "touch":
        await history.touch(turn, ended(text, Status.GENERATING))
        if node.status is Status.GENERATING:
            node.content = text
    elif what == "finish":
        await history.finish(turn, ended(text, status))
        if node.status in {Status.GENERATING, Status.INTERRUPTED}:
            node.content, node.status = text, status
    else:
        edit = answers[number % len(answers)] if what == "edit" else None
        made = await ask(history, conversation, text, parent_id=edit, at_root=what == "root")
        turns.append(made)
        model.add(made, {"ask": answers[-1], "edit": edit, "root": None}[what], text)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
async def test_the_tree_is_what_was_done_to_it(history: History, steps: list[Any]) -> None:
    model = Model()
    turns = [await ask(history, content="root", run_id=secrets.token_hex(8))]
    model.add(turns[0], None, "root")
    for doing in steps:
        await step(history, model, turns, doing)
    kept = await history.messages("", turns[0].conversation_id)
    assert {
        at.id: Node(at.parent_id, at.role, at.status, str(at.content)) for at in kept
    } == model.nodes
    assert [at.id for at in kept] == list(model.nodes), "oldest first"
