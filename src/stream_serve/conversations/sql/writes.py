"""The statements with which questions and answers are written, built once for each database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, insert, select, tuple_, update

from stream_serve.conversations.base import ASSISTANT, Status
from stream_serve.conversations.sql.schema import conversations, messages
from stream_serve.conversations.sql.search import messages_in_postgresql
from stream_serve.conversations.sql.statements import has_id, has_now, path_at

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

UNENDED: Final = (Status.GENERATING.value, Status.INTERRUPTED.value)

c = conversations.c
m = messages.c


class ConversationWrites:
    """Statements about a conversation: `at` is its id, `of` its owner, `called` the caller's own id."""

    def __init__(self, now: ColumnElement[float]) -> None:
        at = c.id == bindparam("at")
        of = bindparam("at", type_=c.id.type)
        self.named = select(c.id).where(
            c.owner == bindparam("of"), c.caller_id == bindparam("called")
        )
        self.found = (
            select(c.id, c.title, c.messages, c.size.label("bytes"), c.metadata_size)
            .where(c.owner == bindparam("of"), at)
            .with_for_update(key_share=True)
        )
        self.owner = select(c.owner).where(at).with_for_update(key_share=True)
        self.made = insert(conversations).values(created_at=now, updated_at=now)
        self.changed = update(conversations).where(at)
        self.renamed = self.changed.values(updated_at=now)
        self.grown = self.changed.values(
            updated_at=now,
            size=c.size + bindparam("more_bytes"),
            messages=c.messages + bindparam("more"),
        )
        self.ended = self.changed.values(
            {c.updated_at: now, tuple_(c.size, c.messages): has_now(of)}
        )


class MessageReads:
    """Statements that find messages: `at` is their conversation, `wanted` an id, `asked` a question."""

    def __init__(self, now: ColumnElement[float], reach: int | None) -> None:
        here = m.conversation_id == bindparam("at")
        wanted = has_id(bindparam("wanted", type_=m.id.type))
        answers = select(m.id).where(here, m.role == ASSISTANT, ~m.erased)
        self.newest = answers.order_by(m.seq.desc()).limit(1)
        self.parent = self.newest.where(wanted)
        asked = select(m.id, m.role, m.parent_id).where(here, ~m.erased, wanted)
        self.asked = asked.order_by(m.seq.desc()).limit(1)
        self.there = select(m.id, m.caller_id).where(here).order_by(m.seq)
        self.seq = select(m.seq).where(m.id == bindparam("answer"), ~m.erased)
        self.path = path_at(now, bindparam("asked", type_=m.id.type), reach)


class MessageWrites:
    """Statements that write messages: `answer` is an answer's id, `wanted` any message's."""

    def __init__(self, now: ColumnElement[float], *, sqlite: bool) -> None:
        table = messages if sqlite else messages_in_postgresql
        lease = now + bindparam("lease", type_=m.lease_until.type)
        own_size = bindparam("own_size", type_=m.size.type)
        self.question = insert(table).values(created_at=now).returning(m.seq)
        self.answer = insert(messages).values(created_at=now, lease_until=lease)
        self.touched = (
            update(messages)
            .where(m.id == bindparam("answer"), m.status == Status.GENERATING.value)
            .values(lease_until=lease, size=own_size + m.door_size)
        )
        self.ended = (
            update(table)
            .where(table.c.id == bindparam("answer"), table.c.status.in_(UNENDED), ~table.c.erased)
            .values(lease_until=None, size=own_size + table.c.door_size)
            .returning(table.c.seq)
        )
        self.erased = update(table).where(table.c.id == bindparam("wanted")).returning(table.c.seq)
