"""What every place that keeps conversations promises of lists, pages and searches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_serve.errors import BadCursor
from support.conversations import everything
from support.history import ask, ended, talk

if TYPE_CHECKING:
    from stream_serve.conversations.base import Conversation, History


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
        await history.change("", made[8].id, title="read already, moved to the front")
        await history.change("", made[0].id, title=f"not read yet, moved to the front {turn}")
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
            await history.change("", turn.conversation_id, title="My Plans")
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
