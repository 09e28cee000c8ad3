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
from typing import TYPE_CHECKING, Any, Final

import structlog
from msgspec import structs
from sqlalchemy import delete, literal, select, update

from stream_serve.conversations.base import (
    ASSISTANT,
    Answer,
    Capacity,
    Conversation,
    Kept,
    MessagePage,
    Page,
    Status,
    Turn,
)
from stream_serve.conversations.sql import migrate
from stream_serve.conversations.sql.database import Database
from stream_serve.conversations.sql.incoming import check_id, incoming
from stream_serve.conversations.sql.lists import Lists
from stream_serve.conversations.sql.pages import message_page
from stream_serve.conversations.sql.rows import (
    conversation_of,
    kept_of,
    message_of,
    position_of,
    searchable,
)
from stream_serve.conversations.sql.schema import conversations, messages
from stream_serve.conversations.sql.search import found_pairs, index_some
from stream_serve.conversations.sql.statements import (
    answers_at,
    conversations_at,
    has_id,
    kept_at,
    owned,
    turn_of,
)
from stream_serve.conversations.sql.turns import Place, Turns, not_found
from stream_serve.errors import HistoryError, HistoryUnavailable, MessageNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection

    from stream_serve.conversations.base import Feedback, Message, NewAnswer, NewMessage
    from stream_serve.events.types import MessageRef

_log = structlog.stdlib.get_logger("stream_serve.conversations")

INDEXING: Final = (1.0, 300.0)
"""Seconds until indexing is tried again after a failure: at first, and at most."""

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
        self._turns = Turns(self._database, capacity, lease=lease, reach=reach)
        self._lists = Lists(self._database)
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
        if self._indexing is None or self._indexing.done():
            self._indexing = asyncio.create_task(self._index_all(), name="index messages")

    async def close(self, patience: float | None = None) -> None:
        """Wait for running transactions, at most `patience` seconds, and close the connections."""
        for task in (self._migration, self._indexing):
            if task is not None:
                task.cancel()
        self._migration = self._indexing = None
        await self._database.close(patience)

    async def check(self) -> None:
        """Check that the database responds."""

        def work(connection: Connection) -> None:
            connection.execute(select(literal(1)))

        await self._database.run(work, write=False)

    async def create(
        self, owner: str, *, title: str = "", metadata: dict[str, Any] | None = None
    ) -> Conversation:
        """Create an empty conversation and return it."""

        def work(connection: Connection) -> Conversation:
            made = self._turns.make(connection, owner, title)
            if metadata:
                has = self._turns.lock(connection, owner, made)
                self._turns.keep(connection, owner, has, metadata)
            return self._conversation(connection, made)

        return await self._database.run(work, write=True)

    async def list(
        self, owner: str, *, limit: int, cursor: str | None = None, query: str | None = None
    ) -> Page:
        """Return a page; only conversations that change between two pages can be missed."""
        place = None if cursor is None else position_of(cursor)

        def work(connection: Connection) -> Page:
            return self._lists.page(connection, owner, limit, place, query or "")

        return await self._database.run(work, write=False)

    async def get(self, owner: str, conversation_id: str) -> Conversation:
        """Return one conversation."""
        return await self._shown(owned(owner, conversation_id))

    async def messages(
        self,
        owner: str,
        conversation_id: str,
        *,
        limit: int,
        after: str | None = None,
        max_bytes: int | None = None,
        newest_first: bool = False,
    ) -> MessagePage:
        """Return a page of the messages of the tree."""

        def work(connection: Connection) -> MessagePage:
            if connection.scalar(select(c.seq).where(owned(owner, conversation_id))) is None:
                raise not_found()
            return message_page(
                connection,
                self._database.now(),
                conversation_id,
                limit,
                after=after,
                max_bytes=max_bytes,
                newest_first=newest_first,
            )

        return await self._database.run(work, write=False)

    async def change(
        self,
        owner: str,
        conversation_id: str,
        *,
        title: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Conversation:
        """Change the title, the metadata, or both; return the conversation."""

        def work(connection: Connection) -> Conversation:
            has = self._turns.lock(connection, owner, conversation_id)
            if metadata is not None:
                self._turns.keep(connection, owner, has, metadata)
            if title is not None:
                self._turns.name(connection, conversation_id, title)
            return self._conversation(connection, conversation_id)

        return await self._database.run(work, write=True)

    async def rate(
        self, owner: str, conversation_id: str, message_id: str, feedback: Feedback | None
    ) -> Message:
        """Keep what a reader thinks of an answer, and return it."""
        wanted = kept_at(
            self._database.now(),
            owner,
            m.conversation_id == conversation_id,
            m.role == ASSISTANT,
            has_id(message_id),
        )

        def work(connection: Connection) -> Message:
            row = connection.execute(wanted).mappings().one_or_none()
            if row is None:
                raise MessageNotFound("there is no such answer in this conversation")
            value = None if feedback is None else feedback.value
            rated = update(messages).where(m.id == row["id"]).values(feedback=value)
            connection.execute(rated)
            return structs.replace(message_of(row), feedback=feedback)

        return await self._database.run(work, write=True)

    async def delete(self, owner: str, conversation_id: str) -> None:
        """Delete a conversation with its messages."""

        def work(connection: Connection) -> None:
            statement = delete(conversations).where(owned(owner, conversation_id))
            if connection.execute(statement).rowcount == 0:
                raise not_found()

        await self._database.run(work, write=True)

    async def named(self, owner: str, caller_id: str) -> Conversation:
        """Return the conversation with that id of the caller's."""
        return await self._shown(c.owner == owner, c.caller_id == caller_id)

    async def message(
        self, owner: str, message_id: str, *, conversation_id: str | None = None
    ) -> Kept:
        """Return one message."""
        if conversation_id is None:
            return await self._kept(owner, m.id == message_id)
        return await self._kept(owner, m.conversation_id == conversation_id, has_id(message_id))

    async def answer(self, owner: str, run_id: str) -> Kept:
        """Return the answer of a run."""
        return await self._kept(owner, m.run_id == run_id)

    async def newest(self, owner: str, conversation_id: str) -> Kept:
        """Return the newest answer of a conversation."""
        await self.get(owner, conversation_id)
        return await self._kept(owner, m.conversation_id == conversation_id, m.role == ASSISTANT)

    async def answers(self, owner: str, message_id: str, *, max_bytes: int) -> Sequence[Kept]:
        """Return the newest answers of runs on the path to one message."""
        await self.message(owner, message_id)
        statement = answers_at(self._database.now(), message_id, max_bytes)

        def work(connection: Connection) -> Sequence[Kept]:
            return [kept_of(row) for row in connection.execute(statement).mappings()]

        return await self._database.run(work, write=False)

    async def turn(self, owner: str, answer_id: str) -> Sequence[str]:
        """Return the ids of an answer and of the messages that it answers."""
        await self.message(owner, answer_id)
        statement = turn_of(answer_id)

        def work(connection: Connection) -> Sequence[str]:
            return connection.execute(statement).scalars().all()

        return await self._database.run(work, write=False)

    async def ask(  # noqa: PLR0913 - the contract's
        self,
        owner: str,
        conversation_id: str | None,
        new: Sequence[NewMessage],
        answer: NewAnswer,
        *,
        parent_id: str | None = None,
        at_root: bool = False,
        caller_id: str | None = None,
    ) -> Turn:
        """Store messages and their new, empty answer; return the turn.

        The parent has to be an answer. The first message of a conversation without a title becomes
        its title.
        """
        check_id(caller_id)
        brought = incoming(new)
        place = Place(parent_id=parent_id, at_root=at_root, caller_id=caller_id)

        def work(connection: Connection) -> Turn:
            return self._turns.ask(connection, owner, conversation_id, brought, answer, place)

        return await self._database.run(work, write=True)

    async def ask_again(
        self, owner: str, conversation_id: str, message_id: str, answer: NewAnswer
    ) -> Turn:
        """Store another new answer to the same user message; return both."""

        def work(connection: Connection) -> Turn:
            return self._turns.ask_again(connection, owner, conversation_id, message_id, answer)

        return await self._database.run(work, write=True)

    async def erase(self, owner: str, message_id: str) -> None:
        """Erase what is in a message."""

        def work(connection: Connection) -> None:
            statement = kept_at(self._database.now(), owner, m.id == message_id)
            row = connection.execute(statement).mappings().one_or_none()
            if row is None:
                raise MessageNotFound("there is no such message")
            self._turns.erase(connection, owner, row["conversation_id"], message_id)

        await self._database.run(work, write=True)

    async def touch(self, ref: MessageRef, answer: Answer) -> None:
        """Renew the lease of an answer and store its text so far; do nothing if it has ended."""

        def work(connection: Connection) -> None:
            self._turns.touch(connection, ref, answer)

        await self._database.run(work, write=True)

    async def finish(self, ref: MessageRef, answer: Answer) -> bool:
        """Store the end of an answer, unless one is stored; return False if there is no such message.

        Raises `ValueError` for the status `GENERATING`, which is no end.
        """
        if answer.status is Status.GENERATING:
            raise ValueError("an answer cannot end as one that is being generated")
        pairs = await found_pairs(searchable(answer).casefold())

        def work(connection: Connection) -> bool:
            return self._turns.finish(connection, ref, answer, pairs)

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

        def work(connection: Connection) -> int:
            return connection.execute(statement).rowcount

        return await self._database.run(work, write=True)

    async def _shown(self, *where: ColumnElement[bool]) -> Conversation:
        def work(connection: Connection) -> Conversation:
            statement = conversations_at(self._database.now()).where(*where)
            row = connection.execute(statement).mappings().one_or_none()
            if row is None:
                raise not_found()
            return conversation_of(row)

        return await self._database.run(work, write=False)

    async def _kept(self, owner: str, *where: ColumnElement[bool]) -> Kept:
        def work(connection: Connection) -> Kept:
            statement = kept_at(self._database.now(), owner, *where)
            row = connection.execute(statement).mappings().one_or_none()
            if row is None:
                raise MessageNotFound("there is no such message")
            return kept_of(row)

        return await self._database.run(work, write=False)

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
        """Index what is not indexed yet: after a migration, or written by an older version.

        A failure is tried again, after pauses that grow until something is indexed.
        """
        pause, longest = INDEXING
        while True:
            try:
                while await self._database.run(index_some, write=True):
                    pause = INDEXING[0]
            except HistoryError as error:
                _log.warning(
                    "some messages are not indexed yet, and searches are slower until they are",
                    error=str(error),
                    next_attempt_seconds=pause,
                )
            else:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)

    def _conversation(self, connection: Connection, conversation_id: str) -> Conversation:
        statement = conversations_at(self._database.now()).where(c.id == conversation_id)
        return conversation_of(connection.execute(statement).mappings().one())
