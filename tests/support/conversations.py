"""What the tests of conversations compare: ends, text that is hard to keep, and all that an owner has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from stream_serve.conversations.base import Status
from stream_serve.errors import ConversationNotFound
from stream_serve.events.types import Usage
from support.history import all_messages, ask, new_answer

if TYPE_CHECKING:
    from stream_serve.conversations.base import History, Message, Turn


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
    all_of_it = await all_messages(history, "", turn.conversation_id)
    return next(found for found in all_of_it if found.id == wanted)


async def refusals(history: History, owner: str, conversation_id: str, turn: Turn) -> list[str]:
    """What each method says of a conversation that does not exist for an owner."""
    said: list[str] = []
    for attempt in (
        history.get(owner, conversation_id),
        all_messages(history, owner, conversation_id),
        history.change(owner, conversation_id, title="mine now"),
        history.delete(owner, conversation_id),
        ask(history, conversation_id, owner=owner),
        ask(history, conversation_id, owner=owner, parent_id=turn.answer_id),
        ask(history, conversation_id, owner=owner, at_root=True),
        history.ask_again(owner, conversation_id, turn.answer_id, new_answer("r")),
    ):
        with pytest.raises(ConversationNotFound) as refused:
            await attempt
        said.append(str(refused.value))
    return said
