"""Stores what a chat of the AI SDK asks, and the answer that begins, in the conversation with its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from stream_serve.conversations.base import NewAnswer
from stream_serve.errors import ConversationNotFound, MessageNotFound
from stream_serve.web.dialects import ui_kept

if TYPE_CHECKING:
    from stream_serve.conversations.base import History, Message, NewMessage, Turn
    from stream_serve.web.dialects.ui_request import UIRequest


async def store(history: History, owner: str, asked: UIRequest, *, run_id: str, model: str) -> Turn:
    """Store the messages that are not there yet, and the new answer; raises as `History.ask`.

    A user's message that is there with other words was edited: the new words are a message beside it.
    """
    chat = ui_kept.chat_id(asked.chat or "")
    new = ui_kept.kept(asked.messages)
    answer = NewAnswer(
        run_id=run_id,
        model=model,
        caller_id=ui_kept.next_id(asked.messages) if asked.goes_on else None,
    )
    if asked.alone and not asked.last["id"]:
        # Its place and its words do not tell it from an earlier one.
        new[-1] = replace(new[-1], id=None)
    at_root, parent = not asked.alone, None
    if asked.again and not asked.goes_on:
        old = await _old(history, owner, chat, new[-1])
        if old is not None and old.content != new[-1].content:
            own = ui_kept.edited_id(new[-1].id or "", new[-1].content)
            new[-1] = replace(new[-1], id=own)
            if asked.alone:
                at_root, parent = old.parent_id is None, old.parent_id
    return await history.ask(
        owner, None, new, answer, parent_id=parent, at_root=at_root, caller_id=chat
    )


async def _old(history: History, owner: str, chat: str, asked: NewMessage) -> Message | None:
    """Return the message of a chat with the id of this one; None for none."""
    try:
        conversation = await history.named(owner, chat)
        kept = await history.message(owner, asked.id or "", conversation_id=conversation.id)
    except (ConversationNotFound, MessageNotFound):
        return None
    return kept.message
