"""Pages of a conversation's messages, bounded in number and in bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from stream_serve.conversations.base import MessagePage
from stream_serve.conversations.sql.rows import message_of
from stream_serve.conversations.sql.schema import messages
from stream_serve.conversations.sql.statements import messages_at, sizes_from
from stream_serve.errors import BadCursor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement, Connection

m = messages.c


def message_page(  # noqa: PLR0913 - where it begins, and how large it may be
    connection: Connection,
    now: ColumnElement[float],
    conversation_id: str,
    limit: int,
    *,
    after: str | None,
    max_bytes: int | None,
    newest_first: bool,
) -> MessagePage:
    """Return the page after the message `after`, in the order that is asked for. Raises `BadCursor`."""
    seq = None if after is None else _position(connection, conversation_id, after)
    statement = sizes_from(conversation_id, seq, limit + 1, newest_first=newest_first)
    sizes = [(row.seq, row.size) for row in connection.execute(statement)]
    kept = _fitting(sizes[:limit], max_bytes)
    if not kept:
        return MessagePage(messages=[], next_cursor=None)
    first, last = min(kept), max(kept)
    wanted = messages_at(now).where(
        m.conversation_id == conversation_id, m.seq.between(first, last)
    )
    wanted = wanted.order_by(m.seq.desc() if newest_first else m.seq)
    rows = connection.execute(wanted).mappings()
    found = [message_of(row) for row in rows]
    more = len(kept) < len(sizes)
    return MessagePage(messages=found, next_cursor=found[-1].id if more and found else None)


def _position(connection: Connection, conversation_id: str, message_id: str) -> int:
    """Return the `seq` of a message. Raises `BadCursor`."""
    statement = select(m.seq).where(m.id == message_id, m.conversation_id == conversation_id)
    found = connection.scalar(statement)
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
