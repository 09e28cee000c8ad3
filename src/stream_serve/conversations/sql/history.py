"""`SQLHistory`: conversations in SQLite or PostgreSQL, with one schema.

How it works: `database.py` runs transactions, `schema.py` defines the tables. Every change locks the row
of its conversation first. So two questions in one conversation, or a question and a deletion, run one
after the other. Messages are ordered by `seq`, which does not depend on a clock.

An answer is `generating` while it has a lease that has not expired. After that it is read as
`interrupted` at once, and `sweep` stores that status. Until the sweep, a `touch` by its process, which
may only have been slow, renews the lease.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy import delete, exists, insert, literal, or_, select, tuple_, update

from stream_serve.conversations.base import (
    Answer,
    Capacity,
    Conversation,
    MessagePage,
    Page,
    Status,
    Turn,
)
from stream_serve.conversations.sql import migrate
from stream_serve.conversations.sql.capacity import make_room
from stream_serve.conversations.sql.database import Database
from stream_serve.conversations.sql.pages import message_page
from stream_serve.conversations.sql.rows import (
    columns_of,
    conversation_of,
    cursor_after,
    message_of,
    position_of,
    size_of,
    title_of,
    visible_text,
)
from stream_serve.conversations.sql.schema import conversations, messages
from stream_serve.conversations.sql.search import found_pairs, index, index_some, mentions
from stream_serve.conversations.sql.statements import (
    conversations_at,
    owned,
    path_at,
    size_now,
)
from stream_serve.errors import (
    ConversationNotFound,
    HistoryError,
    HistoryUnavailable,
    MessageNotFound,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

    from stream_serve.events.types import MessageRef

_log = structlog.stdlib.get_logger("stream_serve.conversations")

USER: Final = "user"
ASSISTANT: Final = "assistant"

c = conversations.c
m = messages.c


class SQLHistory:
    """Conversations in the database at `url`, in one of the forms for `database_url`.

    `lease` is how many seconds an answer counts as being generated after its beginning and after each
    `touch`. `timeout` is the limit of every call in seconds, also of a cancelled one. `reach` is how many
    characters of a path are read, the newest ones, rounded up to whole messages; None reads all.
    Methods raise as the contract `History` says.
    """

    def __init__(
        self,
        url: str,
        *,
        lease: float = 15.0,
        timeout: float = 5.0,
        reach: int | None = None,
        capacity: Capacity = Capacity(),  # noqa: B008 - it never changes
    ) -> None:
        self._database = Database(url, timeout=timeout)
        self._lease = lease
        self._reach = reach
        self._capacity = capacity
        self._timeout = timeout
        self._migration: asyncio.Task[None] | None = None
        self._indexing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Check the schema; on SQLite create the file and migrate the schema.

        If that fails or is cancelled, no connection stays open. A migration that takes longer than a
        call may raises `HistoryUnavailable` and goes on; the next `open` waits for it again.
        """
        try:
            await self._database.prepare()
            if self._database.path is None:
                await migrate.require(self._database)
            else:
                await self._upgrade()
        except (HistoryError, asyncio.CancelledError):
            await self.close()
            raise
        if self._migration is not None:
            raise HistoryUnavailable("the database is being migrated; a large one takes its time")
        self._indexing = asyncio.create_task(self._index_all(), name="index messages")

    async def close(self, patience: float | None = None) -> None:
        """Wait for running transactions, at most `patience` seconds, and close the connections."""
        for task in (self._migration, self._indexing):
            if task is not None:
                task.cancel()
        self._migration = None
        await self._database.close(patience)

    async def check(self) -> None:
        """Check that the database responds."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(select(literal(1)))

        await self._database.run(work, write=False)

    async def create(self, owner: str, *, title: str = "") -> Conversation:
        """Create an empty conversation and return it."""

        async def work(connection: AsyncConnection) -> Conversation:
            await make_room(connection, self._capacity, owner, None)
            made = await self._make(connection, owner, title)
            return await self._conversation(connection, made)

        return await self._database.run(work, write=True)

    async def list(
        self, owner: str, *, limit: int, cursor: str | None = None, query: str | None = None
    ) -> Page:
        """Return a page; only conversations that change between two pages can be missed."""
        statement = conversations_at(self._database.now()).where(c.owner == owner)
        if cursor is not None:
            updated_at, seq = position_of(cursor)
            statement = statement.where(tuple_(c.updated_at, c.seq) < tuple_(updated_at, seq))
        if query:
            statement = statement.where(self._mentions(owner, query.casefold()))
        statement = statement.order_by(c.updated_at.desc(), c.seq.desc()).limit(limit + 1)

        async def work(connection: AsyncConnection) -> Page:
            rows = (await connection.execute(statement)).mappings().all()
            more = len(rows) > limit
            rows = rows[:limit]
            return Page(
                conversations=[conversation_of(row) for row in rows],
                next_cursor=cursor_after(rows[-1]["updated_at"], rows[-1]["seq"])
                if more and rows
                else None,
            )

        return await self._database.run(work, write=False)

    async def get(self, owner: str, conversation_id: str) -> Conversation:
        """Return one conversation."""

        async def work(connection: AsyncConnection) -> Conversation:
            statement = conversations_at(self._database.now()).where(owned(owner, conversation_id))
            row = (await connection.execute(statement)).mappings().one_or_none()
            if row is None:
                raise _not_found()
            return conversation_of(row)

        return await self._database.run(work, write=False)

    async def messages(
        self,
        owner: str,
        conversation_id: str,
        *,
        limit: int,
        after: str | None = None,
        max_bytes: int | None = None,
    ) -> MessagePage:
        """Return a page of the messages of the tree, oldest first."""

        async def work(connection: AsyncConnection) -> MessagePage:
            if await connection.scalar(select(c.seq).where(owned(owner, conversation_id))) is None:
                raise _not_found()
            now = self._database.now()
            return await message_page(connection, now, conversation_id, limit, after, max_bytes)

        return await self._database.run(work, write=False)

    async def rename(self, owner: str, conversation_id: str, title: str) -> Conversation:
        """Change the title, and return the conversation."""

        async def work(connection: AsyncConnection) -> Conversation:
            await self._lock(connection, owner, conversation_id)
            await connection.execute(
                update(conversations)
                .where(c.id == conversation_id)
                .values(title=title, search=title.casefold(), updated_at=self._database.now())
            )
            return await self._conversation(connection, conversation_id)

        return await self._database.run(work, write=True)

    async def delete(self, owner: str, conversation_id: str) -> None:
        """Delete a conversation with its messages."""

        async def work(connection: AsyncConnection) -> None:
            statement = delete(conversations).where(owned(owner, conversation_id))
            if (await connection.execute(statement)).rowcount == 0:
                raise _not_found()

        await self._database.run(work, write=True)

    async def ask(  # noqa: PLR0913 - the contract's
        self,
        owner: str,
        conversation_id: str | None,
        content: str | Sequence[dict[str, object]],
        *,
        parent_id: str | None,
        at_root: bool,
        run_id: str,
        model: str,
    ) -> Turn:
        """Store a user message and its new, empty answer; return both.

        The parent has to be an answer. The first message of a conversation without a title becomes
        its title.
        """
        words, size = visible_text(content), size_of(content)
        pairs = await found_pairs(words.casefold())

        async def work(connection: AsyncConnection) -> Turn:
            if conversation_id is None:
                await make_room(connection, self._capacity, owner, None, count=2, size=size)
                conversation = await self._make(connection, owner, title_of(words))
            else:
                conversation = await self._lock(connection, owner, conversation_id)
                await make_room(connection, self._capacity, owner, conversation, count=2, size=size)
                await self._set_title(connection, conversation, title_of(words))
            parent = await self._parent(connection, conversation, parent_id, at_root=at_root)
            question = secrets.token_urlsafe(16)
            seq = await connection.scalar(
                insert(messages)
                .returning(m.seq)
                .values(
                    id=question,
                    conversation_id=conversation,
                    parent_id=parent,
                    role=USER,
                    status=Status.COMPLETE.value,
                    content=content if isinstance(content, str) else list(content),
                    search=words.casefold(),
                    size=size,
                    created_at=self._database.now(),
                )
            )
            if seq is not None:
                await index(connection, owner, seq, pairs)
            return await self._begin(connection, conversation, question, run_id, model)

        return await self._database.run(work, write=True)

    async def ask_again(
        self, owner: str, conversation_id: str, message_id: str, *, run_id: str, model: str
    ) -> Turn:
        """Store another new answer to the same user message; return both."""

        async def work(connection: AsyncConnection) -> Turn:
            await self._lock(connection, owner, conversation_id)
            statement = select(m.id, m.role, m.parent_id).where(
                m.id == message_id, m.conversation_id == conversation_id
            )
            found = (await connection.execute(statement)).one_or_none()
            if found is None:
                raise MessageNotFound("there is no such message in this conversation")
            await make_room(connection, self._capacity, owner, conversation_id, count=1)
            question = found.id if found.role == USER else found.parent_id
            return await self._begin(connection, conversation_id, question, run_id, model)

        return await self._database.run(work, write=True)

    async def touch(self, ref: MessageRef, answer: Answer) -> None:
        """Renew the lease of an answer and store its text so far; do nothing if it has ended."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(
                update(messages)
                .where(m.id == ref.answer_id, m.status == Status.GENERATING.value)
                .values(**columns_of(answer), lease_until=self._database.now() + self._lease)
            )

        await self._database.run(work, write=True)

    async def finish(self, ref: MessageRef, answer: Answer) -> bool:
        """Store the end of an answer, unless one is stored; return False if there is no such message.

        Raises `ValueError` for the status `GENERATING`, which is no end.
        """
        if answer.status is Status.GENERATING:
            raise ValueError("an answer cannot end as one that is being generated")
        statement = (
            update(messages)
            .where(
                m.id == ref.answer_id,
                m.status.in_([Status.GENERATING.value, Status.INTERRUPTED.value]),
            )
            .values(**columns_of(answer), status=answer.status.value, lease_until=None)
        )

        pairs = await found_pairs(answer.content.casefold())

        async def work(connection: AsyncConnection) -> bool:
            row = select(c.owner).where(c.id == ref.conversation_id)
            owner = await connection.scalar(row.with_for_update(key_share=True))
            if owner is None:
                return False
            if (await connection.execute(statement)).rowcount == 0:
                row = select(m.seq).where(m.id == ref.answer_id)
                return await connection.scalar(row) is not None
            await self._index_answer(connection, owner, ref, pairs)
            await self._set_updated(connection, ref.conversation_id)
            return True

        return await self._database.run(work, write=True)

    async def sweep(self) -> int:
        """Mark answers with an expired lease as `interrupted`; return how many.

        A row that another transaction has locked is left to the next sweep.
        """
        candidates = messages.alias()
        stale = select(candidates.c.seq).where(candidates.c.lease_until <= self._database.now())
        statement = (
            update(messages)
            .where(m.seq.in_(stale.with_for_update(skip_locked=True)))
            .values(status=Status.INTERRUPTED.value, lease_until=None)
        )

        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(statement)).rowcount

        return await self._database.run(work, write=True)

    def _mentions(self, owner: str, words: str) -> ColumnElement[bool]:
        found = self._database.found
        sqlite = self._database.path is not None
        inside = mentions(found(m.search, words), owner, words, sqlite=sqlite)
        return or_(found(c.search, words), inside)

    async def _index_answer(
        self, connection: AsyncConnection, owner: str, ref: MessageRef, pairs: set[str]
    ) -> None:
        """Index an answer that has ended; one that was interrupted may have been indexed as such."""
        seq = await connection.scalar(select(m.seq).where(m.id == ref.answer_id))
        if seq is not None:
            await index(connection, owner, seq, pairs)

    async def _upgrade(self) -> None:
        """Migrate the file; after `timeout` seconds that goes on in `_migration`."""
        if self._migration is None:
            self._migration = asyncio.create_task(migrate.upgrade(self._database), name="migrate")
        task = self._migration
        await asyncio.wait({task}, timeout=self._timeout)
        if task.cancelled():
            raise HistoryUnavailable("the database was closed before it was migrated")
        if task.done():
            self._migration = None
            await task

    async def _index_all(self) -> None:
        """Index what is not indexed yet: after a migration, or written by an older version."""
        try:
            while await self._database.run(index_some, write=True):
                pass
        except HistoryError as error:
            _log.warning("messages are not indexed yet, searches are slower", error=str(error))

    async def _make(self, connection: AsyncConnection, owner: str, title: str) -> str:
        made = secrets.token_urlsafe(16)
        now = self._database.now()
        await connection.execute(
            insert(conversations).values(
                id=made,
                owner=owner,
                title=title,
                search=title.casefold(),
                created_at=now,
                updated_at=now,
            )
        )
        return made

    async def _conversation(
        self, connection: AsyncConnection, conversation_id: str
    ) -> Conversation:
        statement = conversations_at(self._database.now()).where(c.id == conversation_id)
        return conversation_of((await connection.execute(statement)).mappings().one())

    async def _lock(self, connection: AsyncConnection, owner: str, conversation_id: str) -> str:
        """Lock a conversation until the end of the transaction, and return its id.

        Raises `ConversationNotFound`.
        """
        statement = select(c.id).where(owned(owner, conversation_id))
        found = await connection.scalar(statement.with_for_update(key_share=True))
        if found is None:
            raise _not_found()
        return found

    async def _set_title(
        self, connection: AsyncConnection, conversation_id: str, title: str
    ) -> None:
        """Set the title of a conversation that has neither a title nor a message."""
        empty = ~exists().where(m.conversation_id == conversation_id)
        await connection.execute(
            update(conversations)
            .where(c.id == conversation_id, c.title == "", empty)
            .values(title=title, search=title.casefold())
        )

    async def _parent(
        self,
        connection: AsyncConnection,
        conversation_id: str,
        parent_id: str | None,
        *,
        at_root: bool,
    ) -> str | None:
        """Return the id of the answer that is the parent of a new user message; None for the root."""
        answers = select(m.id).where(m.conversation_id == conversation_id, m.role == ASSISTANT)
        if parent_id is not None:
            found = await connection.scalar(answers.where(m.id == parent_id))
            if found is None:
                raise MessageNotFound("there is no such answer in this conversation")
            return found
        if at_root:
            return None
        return await connection.scalar(answers.order_by(m.seq.desc()).limit(1))

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
        now = self._database.now()
        await connection.execute(
            insert(messages).values(
                id=answer,
                conversation_id=conversation_id,
                parent_id=question,
                role=ASSISTANT,
                status=Status.GENERATING.value,
                content="",
                search="",
                created_at=now,
                lease_until=now + self._lease,
                model=model,
                run_id=run_id,
            )
        )
        await self._set_updated(connection, conversation_id)
        path = await connection.execute(path_at(self._database.now(), question, self._reach))
        return Turn(
            conversation_id=conversation_id,
            user_message_id=question,
            answer_id=answer,
            path=[message_of(row) for row in path.mappings()],
        )

    async def _set_updated(self, connection: AsyncConnection, conversation_id: str) -> None:
        await connection.execute(
            update(conversations)
            .where(c.id == conversation_id)
            .values(updated_at=self._database.now(), size=size_now(conversation_id))
        )


def _not_found() -> ConversationNotFound:
    return ConversationNotFound("there is no such conversation")
