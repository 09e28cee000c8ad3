"""The statements that read conversations, the same for both databases.

How it works: a path is read from its question upwards, message by message, with a recursive query, so
that other branches cost nothing. Sizes come from an index that has them, so that nobody has to read a
text to know how long it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, case, func, literal, select

from stream_serve.conversations.base import Message, Status
from stream_serve.conversations.sql.schema import Words, conversations, messages

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select

MESSAGE: Final = 32
"""What a message counts beside its characters where a path is cut: even an empty one costs time."""

c = conversations.c
m = messages.c

SHOWN: Final = tuple(messages.c[name] for name in Message.__struct_fields__ if name != "status")
"""The columns of a message that are read: the others would make it twice as long."""


def owned(owner: str, conversation_id: str) -> ColumnElement[bool]:
    """Return the condition that a conversation is this owner's."""
    return and_(c.owner == owner, c.id == conversation_id)


def conversations_at(now: ColumnElement[float]) -> Select[Any]:
    """Select conversations with `live_run_id`, the newest run that generates in each."""
    live = (
        select(m.run_id)
        .where(m.conversation_id == c.id, m.lease_until > now)
        .order_by(m.seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    return select(conversations, live.label("live_run_id"))


def messages_at(now: ColumnElement[float]) -> Select[Any]:
    """Select messages with `shown`, the status that each of them has now."""
    stale = m.lease_until <= now
    status = case((stale, literal(Status.INTERRUPTED.value, Words)), else_=m.status)
    return select(*SHOWN, status.label("shown"))


def path_at(
    now: ColumnElement[float], question: str | ColumnElement[str], reach: int | None
) -> Select[Any]:
    """Select the messages from the root to a question, oldest first.

    With `reach` only the newest of them: those after that many characters are left out.
    """
    older = messages.alias("older")
    path = (
        select(m.seq, m.parent_id, (func.length(m.content) + MESSAGE).label("length"))
        .where(m.id == question)
        .cte("path", recursive=True)
    )
    length = path.c.length + func.length(older.c.content) + MESSAGE
    step = select(older.c.seq, older.c.parent_id, length)
    step = step.where(older.c.id == path.c.parent_id)
    if reach is not None:
        step = step.where(path.c.length < reach)
    path = path.union_all(step)
    return messages_at(now).where(m.seq.in_(select(path.c.seq))).order_by(m.seq)


def sizes_after(conversation_id: str, seq: int, limit: int) -> Select[Any, Any]:
    """Select `seq` and `size` of the messages of a conversation after one of them, oldest first."""
    statement = select(m.seq, m.size).where(m.conversation_id == conversation_id, m.seq > seq)
    return statement.order_by(m.seq).limit(limit)


def has_now(conversation_id: str | ColumnElement[str]) -> ColumnElement[Any]:
    """Return the size and the number of a conversation's messages, as a part of a statement."""
    statement = select(func.coalesce(func.sum(m.size), 0), func.count())
    return statement.where(m.conversation_id == conversation_id).scalar_subquery()
