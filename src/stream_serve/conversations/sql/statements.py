"""The statements that read conversations, the same for both databases.

How it works: a path is read from its question upwards, message by message, with a recursive query, so
that other branches cost nothing. Sizes come from an index that has them, so that nobody has to read a
text to know how long it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Integer, and_, case, func, literal, or_, select

from stream_serve.conversations import tokens
from stream_serve.conversations.base import USER, Message, Status
from stream_serve.conversations.sql.schema import Words, conversations, messages

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.sql.base import ReadOnlyColumnCollection

MESSAGE: Final = 32
"""What a message counts beside its characters where a path is cut: even an empty one costs time."""

PICTURE: Final = tokens.PICTURE * tokens.CHARACTERS
"""What a picture counts there."""

DATA: Final = tokens.DATA // tokens.CHARACTERS
"""How many characters of other data count as one there."""

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
    """Select the messages from the root to a question, oldest first, without those that are erased.

    With `reach` only the newest of them: those after that many characters are left out, but a user
    message, and what came after it, is always there.
    """
    older = messages.alias("older")
    path = (
        select(m.seq, m.parent_id, _length(m).label("length"), _asked(m).label("asked"))
        .where(m.id == question)
        .cte("path", recursive=True)
    )
    step = select(
        older.c.seq,
        older.c.parent_id,
        path.c.length + _length(older.c),
        path.c.asked + _asked(older.c),
    )
    step = step.where(older.c.id == path.c.parent_id)
    if reach is not None:
        step = step.where(or_(path.c.length < reach, path.c.asked == 0))
    path = path.union_all(step)
    wanted = messages_at(now).where(m.seq.in_(select(path.c.seq)), ~m.erased)
    return wanted.order_by(m.seq)


def turn_of(answer_id: str) -> Select[Any]:
    """Select the ids of an answer and of the messages before it, up to the answer of another run."""
    turn = select(m.id, m.parent_id).where(m.id == answer_id).cte("turn", recursive=True)
    older = messages.alias("older")
    step = select(older.c.id, older.c.parent_id).where(
        older.c.id == turn.c.parent_id, older.c.run_id.is_(None), ~older.c.erased
    )
    return select(turn.union_all(step).c.id)


def answers_at(now: ColumnElement[float], message_id: str, max_bytes: int) -> Select[Any]:
    """Select the newest answers of runs on the path to a message, with `door` and `ending`.

    Those before the one with which the path has `max_bytes` are left out.
    """
    path = select(m.seq, m.parent_id, m.size.label("bytes"))
    path = path.where(m.id == message_id).cte("path", recursive=True)
    older = messages.alias("older")
    step = select(older.c.seq, older.c.parent_id, path.c.bytes + older.c.size)
    step = step.where(older.c.id == path.c.parent_id, path.c.bytes < max_bytes)
    path = path.union_all(step)
    wanted = m.seq.in_(select(path.c.seq))
    statement = messages_at(now).where(wanted, ~m.erased, m.run_id.is_not(None)).order_by(m.seq)
    return statement.add_columns(m.conversation_id, m.door, m.ending)


def kept_at(now: ColumnElement[float], owner: str, *where: ColumnElement[bool]) -> Select[Any]:
    """Select the newest message of an owner for which all of that holds, with `door` and `ending`."""
    statement = messages_at(now).add_columns(m.conversation_id, m.door, m.ending)
    statement = statement.join(conversations, c.id == m.conversation_id)
    statement = statement.where(c.owner == owner, ~m.erased, *where)
    return statement.order_by(m.seq.desc()).limit(1)


def has_id(message_id: str | ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that a message has that id, ours or the caller's."""
    return or_(m.id == message_id, m.caller_id == message_id)


def _length(of: ReadOnlyColumnCollection[str, Any]) -> ColumnElement[int]:
    """Return the characters of a message that a provider may be told, and its place."""
    in_parts = func.substr(of.content, 1, 1) == literal("[", Words)
    content = case((in_parts, _long(of.search) + _beside_text(of)), else_=_long(of.content))
    beside = [func.coalesce(_long(one), 0) for one in (of.tool_calls, of.tool_call_id, of.name)]
    return sum(beside, content) + MESSAGE


def _beside_text(of: ReadOnlyColumnCollection[str, Any]) -> ColumnElement[int]:
    """Return what the parts of a message that are no text count.

    That is what they are to a model, and of pictures not the characters of their data. Beside a picture
    another part counts as one, since the length of each is not known.
    """
    pictures = _times(of.content, '"type":"image')
    parts = _times(of.content, '"type":"') - _times(of.content, '"type":"text"')
    data = _long(of.content) - _long(of.search)
    return case((pictures > 0, parts * PICTURE), (data > 0, data // DATA), else_=0)


def _times(of: ColumnElement[Any], words: str) -> ColumnElement[int]:
    """Return how often something is in a column. No text has it: there its marks are escaped."""
    without = func.replace(of, literal(words, Words), literal("", Words))
    return (_long(of) - _long(without)) // len(words)


def _long(of: ColumnElement[Any]) -> ColumnElement[int]:
    return func.length(of, type_=Integer)


def _asked(of: ReadOnlyColumnCollection[str, Any]) -> ColumnElement[int]:
    return case((of.role == USER, 1), else_=0)


def sizes_from(
    conversation_id: str, seq: int | None, limit: int, *, newest_first: bool
) -> Select[Any, Any]:
    """Select `seq` and `size` of the messages of a conversation beyond one of them, in that order."""
    statement = select(m.seq, m.size).where(m.conversation_id == conversation_id)
    if seq is not None:
        statement = statement.where(m.seq < seq if newest_first else m.seq > seq)
    return statement.order_by(m.seq.desc() if newest_first else m.seq).limit(limit)


def has_now(conversation_id: str | ColumnElement[str]) -> ColumnElement[Any]:
    """Return the size of a conversation and the number of its messages, as a part of its update."""
    statement = select(func.coalesce(func.sum(m.size), 0) + c.metadata_size, func.count(m.seq))
    statement = statement.where(m.conversation_id == conversation_id)
    return statement.correlate(conversations).scalar_subquery()
