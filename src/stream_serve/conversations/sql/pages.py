"""Pages of a conversation's messages, bounded in number and in bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from stream_serve.conversations.base import MessagePage
from stream_serve.conversations.sql.rows import message_of
from stream_serve.conversations.sql.schema import messages
from stream_serve.conversations.sql.statements import messages_at, sizes_after
from stream_serve.errors import BadCursor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

m = messages.c


async def message_page(
    connection: AsyncConnection,
    now: ColumnElement[float],
    conversation_id: str,
    limit: int,
    after: str | None,
    max_bytes: int | None,
) -> MessagePage:
    """Return the page after the message `after`. Raises `BadCursor`."""
    seq = 0 if after is None else await _position(connection, conversation_id, after)
    statement = sizes_after(conversation_id, seq, limit + 1)
    sizes = [(row.seq, row.size) for row in await connection.execute(statement)]
    kept = _fitting(sizes[:limit], max_bytes)
    if not kept:
        return MessagePage(messages=[], next_cursor=None)
    wanted = messages_at(now).where(
        m.conversation_id == conversation_id, m.seq.between(kept[0], kept[-1])
    )
    rows = (await connection.execute(wanted.order_by(m.seq))).mappings()
    found = [message_of(row) for row in rows]
    more = len(kept) < len(sizes)
    return MessagePage(messages=found, next_cursor=found[-1].id if more and found else None)


async def _position(connection: AsyncConnection, conversation_id: str, message_id: str) -> int:
    """Return the `seq` of a message. Raises `BadCursor`."""
    statement = select(m.seq).where(m.id == message_id, m.conversation_id == conversation_id)
    found = await connection.scalar(statement)
    if found is None:
        raise BadCursor("there is no such message in this conversation to go on after")
    return found


def _fitting(sizes: Iterable[tuple[int, int]], most: int | None) -> list[int]:
    """Return the `seq` of the first messages that fit into `most` bytes together; at least one."""
    kept: list[int] = []
    total = 0
    for seq, size in sizes:
        total += size
        if most is not None and kept and total > most:
            break
        kept.append(seq)
    return kept
