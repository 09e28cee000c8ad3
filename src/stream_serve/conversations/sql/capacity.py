"""Quotas: whether there is room for a question and its answer.

On PostgreSQL the questions of an owner go on at the same time, and none sees what the others are about to
store. So close to a quota they wait for a lock of their owner's, and look again.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from stream_serve.conversations.sql.statements import used
from stream_serve.errors import ConversationFull, StorageFull

if TYPE_CHECKING:
    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from stream_serve.conversations.base import Capacity

LOCK: Final = 0x73747265
"""The first part of the keys of PostgreSQL's advisory locks for owners."""

NEAR: Final = 100
"""How many conversations less than an owner may have are close to the quota."""

NEAR_BYTES: Final = 104_857_600
"""How many bytes less than an owner may have are close to the quota."""


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
    if connection.dialect.name == "postgresql" and _near(has, may):
        key = zlib.crc32(owner.encode("utf-8", "surrogatepass")) - 2**31
        await connection.execute(select(func.pg_advisory_xact_lock(LOCK, key)))
        has = (await connection.execute(used(owner, conversation_id))).one()
    if has.messages + count > may.messages or has.bytes + size > may.bytes:
        raise ConversationFull(
            f"the conversation has {has.messages} messages with {has.bytes} bytes, and one may have "
            f"{may.messages} with {may.bytes}: begin a new one",
            parameters=["Capacity.messages", "Capacity.bytes"],
        )
    many = conversation_id is None and has.conversations >= may.conversations
    if many or has.all_bytes + size > may.all_bytes:
        raise StorageFull(
            f"there are {has.conversations} conversations with {has.all_bytes} bytes, and there may be "
            f"{may.conversations} with {may.all_bytes}: delete some",
            parameters=["Capacity.conversations", "Capacity.all_bytes"],
        )


def _near(has: Row[Any], may: Capacity) -> bool:
    return (
        has.conversations + NEAR > may.conversations or has.all_bytes + NEAR_BYTES > may.all_bytes
    )
