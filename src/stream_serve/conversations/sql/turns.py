"""Writes questions and answers, with statements that are built once and as few as there can be.

How it works: a question is one transaction, the end of its answer another. To SQLite each statement goes
by another thread, to PostgreSQL twice over the network, and SQLAlchemy takes longer to build one than to
execute it. So the statements are built with the history, and what one has read is not read again. A
conversation knows how many messages and bytes it has, so that nothing has to be counted for a question;
the end of an answer counts both anew: the answer has grown, and an older version of this service, which
still runs while a new one is rolled out, does not keep the number of messages.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from sqlalchemy import bindparam, insert, select, tuple_, update

from stream_serve.conversations.base import Status, Turn
from stream_serve.conversations.sql.capacity import Used, check_room
from stream_serve.conversations.sql.rows import (
    columns_of,
    message_of,
    size_of,
    title_of,
    visible_text,
)
from stream_serve.conversations.sql.schema import conversations, messages
from stream_serve.conversations.sql.search import (
    as_indexed,
    found_pairs,
    keep_in_sqlite,
    messages_in_postgresql,
    numbers_of,
)
from stream_serve.conversations.sql.statements import has_now, path_at
from stream_serve.errors import ConversationNotFound, MessageNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from stream_serve.conversations.base import Answer, Capacity
    from stream_serve.conversations.sql.database import Database
    from stream_serve.events.types import MessageRef

USER: Final = "user"
ASSISTANT: Final = "assistant"
UNENDED: Final = (Status.GENERATING.value, Status.INTERRUPTED.value)

c = conversations.c
m = messages.c


class Question(Struct, frozen=True):
    """A question that is to be stored, and what can be known of it before the transaction."""

    content: str | list[dict[str, object]]
    words: str
    size: int
    pairs: set[str]

    @classmethod
    async def of(cls, content: str | Sequence[dict[str, object]]) -> Question:
        """Return the question with that content."""
        words = visible_text(content)
        kept = content if isinstance(content, str) else list(content)
        return cls(kept, words, size_of(content), await found_pairs(words.casefold()))


class Turns:
    """How questions and answers are written. `lease` and `reach` are those of `SQLHistory`."""

    def __init__(
        self, database: Database, capacity: Capacity, *, lease: float, reach: int | None
    ) -> None:
        now = database.now()
        sqlite = database.path is not None
        table = messages if sqlite else messages_in_postgresql
        self._sqlite = sqlite
        self._capacity = capacity
        self._lease = lease
        at = c.id == bindparam("at")
        of = bindparam("at", type_=c.id.type)
        here = m.conversation_id == bindparam("at")
        self._found = (
            select(c.id, c.title, c.messages, c.size.label("bytes"))
            .where(c.owner == bindparam("of"), at)
            .with_for_update(key_share=True)
        )
        self._owner = select(c.owner).where(at).with_for_update(key_share=True)
        self._conversation = insert(conversations).values(created_at=now, updated_at=now)
        self._titled = update(conversations).where(at)
        self._grown = (
            update(conversations)
            .where(at)
            .values(
                updated_at=now,
                size=c.size + bindparam("more_bytes"),
                messages=c.messages + bindparam("more"),
            )
        )
        self._ended = (
            update(conversations)
            .where(at)
            .values({c.updated_at: now, tuple_(c.size, c.messages): has_now(of)})
        )
        self._parent = select(m.id).where(here, m.role == ASSISTANT, m.id == bindparam("wanted"))
        newest = select(m.id).where(here, m.role == ASSISTANT)
        self._newest = newest.order_by(m.seq.desc()).limit(1)
        self._asked = select(m.id, m.role, m.parent_id).where(here, m.id == bindparam("wanted"))
        self._question = insert(table).values(created_at=now).returning(m.seq)
        self._answer = insert(messages).values(
            created_at=now, lease_until=now + bindparam("lease", type_=m.lease_until.type)
        )
        self._touched = (
            update(messages)
            .where(m.id == bindparam("answer"), m.status == Status.GENERATING.value)
            .values(lease_until=now + bindparam("lease", type_=m.lease_until.type))
        )
        self._end = (
            update(table)
            .where(table.c.id == bindparam("answer"), table.c.status.in_(UNENDED))
            .values(lease_until=None)
            .returning(table.c.seq)
        )
        self._seq = select(m.seq).where(m.id == bindparam("answer"))
        self._path = path_at(now, bindparam("asked", type_=m.id.type), reach)

    async def lock(
        self, connection: AsyncConnection, owner: str, conversation_id: str
    ) -> Row[Any, Any, Any, Any]:
        """Lock a conversation until the end of the transaction; return its id, title and size.

        Raises `ConversationNotFound`.
        """
        result = await connection.execute(self._found, {"of": owner, "at": conversation_id})
        found = result.one_or_none()
        if found is None:
            raise not_found()
        return found

    async def make(
        self, connection: AsyncConnection, owner: str, title: str, *, count: int = 0, size: int = 0
    ) -> str:
        """Make a conversation for that many messages and bytes; return its id. Raises `StorageFull`."""
        await check_room(connection, self._capacity, owner, None, count=count, size=size)
        made = secrets.token_urlsafe(16)
        values = {"id": made, "owner": owner, "title": title, "search": title.casefold()}
        await connection.execute(self._conversation, {**values, "messages": count, "size": size})
        return made

    async def ask(  # noqa: PLR0913 - each of them is stored
        self,
        connection: AsyncConnection,
        owner: str,
        conversation_id: str | None,
        question: Question,
        *,
        parent_id: str | None,
        at_root: bool,
        run_id: str,
        model: str,
    ) -> Turn:
        """Store a question and its new, empty answer; raises as `History.ask`."""
        title = title_of(question.words)
        if conversation_id is None:
            if parent_id is not None:
                raise MessageNotFound("there is no such answer in this conversation")
            at = await self.make(connection, owner, title, count=2, size=question.size)
            parent = None
        else:
            at = conversation_id
            await self._grow(connection, owner, at, count=2, size=question.size, title=title)
            parent = await self._parent_of(connection, at, parent_id, at_root=at_root)
        asked = await self._store(connection, owner, at, parent, question)
        return await self._begin(connection, at, asked, run_id, model)

    async def ask_again(
        self,
        connection: AsyncConnection,
        owner: str,
        conversation_id: str,
        message_id: str,
        *,
        run_id: str,
        model: str,
    ) -> Turn:
        """Store another new answer to a question; raises as `History.ask_again`."""
        has = await self.lock(connection, owner, conversation_id)
        result = await connection.execute(
            self._asked, {"at": conversation_id, "wanted": message_id}
        )
        found = result.one_or_none()
        if found is None:
            raise MessageNotFound("there is no such message in this conversation")
        await self._more(connection, owner, has, count=1)
        asked = found.id if found.role == USER else found.parent_id
        return await self._begin(connection, conversation_id, asked, run_id, model)

    async def touch(self, connection: AsyncConnection, ref: MessageRef, answer: Answer) -> None:
        """Renew the lease of an answer and store its text so far; do nothing if it has ended."""
        values = {**columns_of(answer), "answer": ref.answer_id, "lease": self._lease}
        await connection.execute(self._touched, values)

    async def finish(
        self, connection: AsyncConnection, ref: MessageRef, answer: Answer, pairs: set[str]
    ) -> bool:
        """Store the end of an answer, unless one is stored; return False if there is no such message.

        An answer that was interrupted may have been indexed as such; it is indexed anew.
        """
        at = {"at": ref.conversation_id}
        owner = await connection.scalar(self._owner, at)
        if owner is None:
            return False
        kept = await numbers_of(owner, pairs)
        values = {**columns_of(answer), "status": answer.status.value, "answer": ref.answer_id}
        seq = await connection.scalar(
            self._end, {**values, **as_indexed(kept, sqlite=self._sqlite)}
        )
        if seq is None:
            return await connection.scalar(self._seq, {"answer": ref.answer_id}) is not None
        await keep_in_sqlite(connection, seq, kept)
        await connection.execute(self._ended, at)
        return True

    async def _grow(
        self,
        connection: AsyncConnection,
        owner: str,
        conversation_id: str,
        *,
        count: int,
        size: int,
        title: str,
    ) -> None:
        """Lock a conversation, and make it larger; the first question of one without a title names it."""
        has = await self.lock(connection, owner, conversation_id)
        await self._more(connection, owner, has, count=count, size=size)
        if has.title == "" and has.messages == 0:
            values = {"at": has.id, "title": title, "search": title.casefold()}
            await connection.execute(self._titled, values)

    async def _more(
        self,
        connection: AsyncConnection,
        owner: str,
        has: Row[Any, Any, Any, Any],
        *,
        count: int,
        size: int = 0,
    ) -> None:
        """Make a locked conversation larger. Raises `ConversationFull`, `StorageFull`."""
        used = Used(has.messages, has.bytes)
        await check_room(connection, self._capacity, owner, used, count=count, size=size)
        grown = {"at": has.id, "more_bytes": size, "more": count}
        await connection.execute(self._grown, grown)

    async def _parent_of(
        self,
        connection: AsyncConnection,
        conversation_id: str,
        parent_id: str | None,
        *,
        at_root: bool,
    ) -> str | None:
        """Return the id of the answer that is the parent of a new question; None for the root."""
        at = {"at": conversation_id}
        if parent_id is not None:
            found = await connection.scalar(self._parent, {**at, "wanted": parent_id})
            if found is None:
                raise MessageNotFound("there is no such answer in this conversation")
            return found
        return None if at_root else await connection.scalar(self._newest, at)

    async def _store(
        self,
        connection: AsyncConnection,
        owner: str,
        conversation_id: str,
        parent: str | None,
        question: Question,
    ) -> str:
        kept = await numbers_of(owner, question.pairs)
        made = secrets.token_urlsafe(16)
        values = {
            "id": made,
            "conversation_id": conversation_id,
            "parent_id": parent,
            "role": USER,
            "status": Status.COMPLETE.value,
            "content": question.content,
            "search": question.words.casefold(),
            "size": question.size,
        }
        seq = await connection.scalar(
            self._question, {**values, **as_indexed(kept, sqlite=self._sqlite)}
        )
        await keep_in_sqlite(connection, seq, kept)
        return made

    async def _begin(
        self,
        connection: AsyncConnection,
        conversation_id: str,
        question: str,
        run_id: str,
        model: str,
    ) -> Turn:
        """Store a new, empty answer, and return it with the path to its question."""
        answer = secrets.token_urlsafe(16)
        values = {
            "id": answer,
            "conversation_id": conversation_id,
            "parent_id": question,
            "role": ASSISTANT,
            "status": Status.GENERATING.value,
            "content": "",
            "search": "",
            "lease": self._lease,
            "model": model,
            "run_id": run_id,
        }
        await connection.execute(self._answer, values)
        path = await connection.execute(self._path, {"asked": question})
        return Turn(
            conversation_id=conversation_id,
            user_message_id=question,
            answer_id=answer,
            path=[message_of(row) for row in path.mappings()],
        )


def not_found() -> ConversationNotFound:
    """Return the error for a conversation that is not there, or not this owner's."""
    return ConversationNotFound("there is no such conversation")
