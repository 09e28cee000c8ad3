"""Quotas: whether there is room for a question and its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_serve.conversations.sql.statements import used
from stream_serve.errors import ConversationFull, StorageFull

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from stream_serve.conversations.base import Capacity


async def make_room(
    connection: AsyncConnection,
    may: Capacity,
    owner: str,
    conversation_id: str | None,
    *,
    count: int = 0,
    size: int = 0,
) -> None:
    """Check that `count` messages of `size` bytes may be added to a conversation; None: to a new one.

    Raises `ConversationFull`, `StorageFull`.
    """
    has = (await connection.execute(used(owner, conversation_id))).one()
    if has.messages + count > may.messages or has.bytes + size > may.bytes:
        raise ConversationFull(
            f"the conversation has {has.messages} messages with {has.bytes} bytes, and one may have "
            f"{may.messages} with {may.bytes}: begin a new one",
            parameters=["Capacity.messages", "Capacity.bytes"],
        )
    new = conversation_id is None
    if has.conversations + new > may.conversations or has.all_bytes + size > may.all_bytes:
        raise StorageFull(
            f"there are {has.conversations} conversations with {has.all_bytes} bytes, and there may be "
            f"{may.conversations} with {may.all_bytes}: delete some",
            parameters=["Capacity.conversations", "Capacity.all_bytes"],
        )
