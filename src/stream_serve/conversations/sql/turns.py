"""Writes questions and answers, with statements that are built once and as few as there can be.

How it works: a question is one transaction, the end of its answer another. To PostgreSQL each statement
goes twice over the network, and SQLAlchemy takes longer to build one than to execute it. So the
statements are built with the history, and what one has read is not read again. A conversation knows how
many messages and bytes it has, so that nothing has to be counted for a question; the end of an answer
counts both anew: the answer has grown, and an older version of this service, which still runs while a
new one is rolled out, does not keep the number of messages.
"""

from __future__ import annotations

import secrets
import zlib
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import Struct
from sqlalchemy import func, select

from stream_serve.conversations import prompt
from stream_serve.conversations.base import ASSISTANT, USER, Status, Turn
from stream_serve.conversations.sql.capacity import Used, check_room
from stream_serve.conversations.sql.incoming import door_size, unanswerable
from stream_serve.conversations.sql.rows import columns_of, message_of, size_of, title_of
from stream_serve.conversations.sql.schema import conversations, messages
from stream_serve.conversations.sql.search import (
    as_indexed,
    keep_in_sqlite,
    numbers_in,
    numbers_of,
)
from stream_serve.conversations.sql.writes import (
    ConversationWrites,
    MessageReads,
    MessageWrites,
)
from stream_serve.errors import ConversationNotFound, MessageNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

    from stream_serve.conversations.base import Answer, Capacity, NewAnswer
    from stream_serve.conversations.sql.database import Database
    from stream_serve.conversations.sql.incoming import Incoming
    from stream_serve.events.types import MessageRef

NAMES: Final = 0x73747266
"""The first part of the keys of PostgreSQL's advisory locks for the callers' own ids."""

SOME: Final = 500
"""How many ids are looked for in one statement: a database takes only so many parameters."""

ERASED: Final[dict[str, object]] = {
    **dict.fromkeys(("reasoning", "model", "usage", "first_token_ms", "run_id", "error")),
    **dict.fromkeys(("tool_calls", "sources", "tool_call_id", "name", "door", "lease_until")),
    **dict.fromkeys(("ending", "feedback")),
    "content": "",
    "search": "",
    "size": 0,
    "door_size": 0,
    "erased": True,
    "status": Status.STOPPED.value,
}
"""What is left of a message that is erased."""

c = conversations.c
m = messages.c


class Place(Struct, frozen=True, kw_only=True):
    """Where new messages belong, as `History.ask` is told."""

    parent_id: str | None = None
    at_root: bool = False
    caller_id: str | None = None


class Turns:
    """How questions and answers are written. `lease` and `reach` are those of `SQLHistory`."""

    def __init__(
        self, database: Database, capacity: Capacity, *, lease: float, reach: int | None
    ) -> None:
        now = database.now()
        self._sqlite = database.path is not None
        self._capacity = capacity
        self._lease = lease
        self._conversation = ConversationWrites(now)
        self._find = MessageReads(now, reach)
        self._write = MessageWrites(now, sqlite=self._sqlite)

    def lock(
        self, connection: Connection, owner: str, conversation_id: str
    ) -> Row[Any, Any, Any, Any, Any]:
        """Lock a conversation until the end of the transaction; return its id, title and size.

        Raises `ConversationNotFound`.
        """
        result = connection.execute(self._conversation.found, {"of": owner, "at": conversation_id})
        found = result.one_or_none()
        if found is None:
            raise not_found()
        return found

    def make(
        self,
        connection: Connection,
        owner: str,
        title: str,
        *,
        caller_id: str | None = None,
        count: int = 0,
        size: int = 0,
    ) -> str:
        """Make a conversation for that many messages and bytes; return its id. Raises `StorageFull`."""
        check_room(connection, self._capacity, owner, None, count=count, size=size)
        made = secrets.token_urlsafe(16)
        values = {"id": made, "owner": owner, "title": title, "search": title.casefold()}
        values |= {"caller_id": caller_id, "messages": count, "size": size}
        connection.execute(self._conversation.made, values)
        return made

    def name(self, connection: Connection, conversation_id: str, title: str) -> None:
        """Give a locked conversation another title."""
        values = {"at": conversation_id, "title": title, "search": title.casefold()}
        connection.execute(self._conversation.renamed, values)

    def keep(
        self,
        connection: Connection,
        owner: str,
        has: Row[Any, Any, Any, Any, Any],
        metadata: dict[str, Any],
    ) -> None:
        """Keep other metadata with a locked conversation. Raises `ConversationFull`, `StorageFull`."""
        size = size_of(metadata) if metadata else 0
        more = size - has.metadata_size
        if more > 0:
            used = Used(has.messages, has.bytes)
            check_room(connection, self._capacity, owner, used, size=more)
        values = {"at": has.id, "size": has.bytes + more, "metadata_size": size}
        connection.execute(self._conversation.changed, {**values, "metadata": metadata or None})

    def ask(
        self,
        connection: Connection,
        owner: str,
        conversation_id: str | None,
        new: Sequence[Incoming],
        answer: NewAnswer,
        place: Place,
    ) -> Turn:
        """Store messages and their new, empty answer; raises as `History.ask`."""
        at = conversation_id
        if at is None and place.caller_id is not None:
            at = self._called(connection, owner, place.caller_id)
        has = None if at is None else self.lock(connection, owner, at)
        parent = self._parent_of(connection, at, place)
        there = {} if at is None else self._present(connection, at, new)
        fresh = [one for one in new if one.message.id not in there]
        count, size = len(fresh) + 1, sum(one.size for one in fresh) + door_size(answer)
        title = title_of(next((one.words for one in new if one.message.role == USER), ""))
        if has is None:
            named = place.caller_id
            at = self.make(connection, owner, title, caller_id=named, count=count, size=size)
        else:
            at = self._grow(connection, owner, has, count=count, size=size, title=title)
        for one in new:
            known = None if one.message.id is None else there.get(one.message.id)
            parent = known or self._store(connection, owner, at, parent, one)
        return self._begin(connection, at, cast("str", parent), answer)

    def ask_again(
        self,
        connection: Connection,
        owner: str,
        conversation_id: str,
        message_id: str,
        answer: NewAnswer,
    ) -> Turn:
        """Store another new answer to a question; raises as `History.ask_again`."""
        has = self.lock(connection, owner, conversation_id)
        result = connection.execute(self._find.asked, {"at": conversation_id, "wanted": message_id})
        found = result.one_or_none()
        asked = None if found is None else found.parent_id if found.role == ASSISTANT else found.id
        if asked is None:
            raise MessageNotFound("there is no such message in this conversation")
        self._more(connection, owner, has, count=1, size=door_size(answer))
        return self._begin(connection, conversation_id, asked, answer)

    def erase(
        self, connection: Connection, owner: str, conversation_id: str, message_id: str
    ) -> None:
        """Erase what is in a message of a conversation."""
        self.lock(connection, owner, conversation_id)
        values = {**ERASED, **as_indexed([], sqlite=self._sqlite), "wanted": message_id}
        seq = connection.scalar(self._write.erased, values)
        keep_in_sqlite(connection, seq, [])
        connection.execute(self._conversation.ended, {"at": conversation_id})

    def touch(self, connection: Connection, ref: MessageRef, answer: Answer) -> None:
        """Renew the lease of an answer and store its text so far; do nothing if it has ended."""
        values = {**columns_of(answer), "answer": ref.answer_id, "lease": self._lease}
        connection.execute(self._write.touched, values)

    def finish(
        self, connection: Connection, ref: MessageRef, answer: Answer, pairs: set[str]
    ) -> bool:
        """Store the end of an answer, unless one is stored; return False if there is no such message.

        An answer that was interrupted may have been indexed as such; it is indexed anew.
        """
        at = {"at": ref.conversation_id}
        owner = connection.scalar(self._conversation.owner, at)
        if owner is None:
            return False
        kept = numbers_of(connection, owner, pairs)
        values = {**columns_of(answer), "status": answer.status.value, "answer": ref.answer_id}
        seq = connection.scalar(
            self._write.ended, {**values, **as_indexed(kept, sqlite=self._sqlite)}
        )
        if seq is None:
            return connection.scalar(self._find.seq, {"answer": ref.answer_id}) is not None
        keep_in_sqlite(connection, seq, kept)
        connection.execute(self._conversation.ended, at)
        return True

    def _called(self, connection: Connection, owner: str, caller_id: str) -> str | None:
        """Return the id of the conversation with the caller's own id.

        Where there is none, nobody else makes it before the end of this transaction.
        """
        at = {"of": owner, "called": caller_id}
        found = connection.scalar(self._conversation.named, at)
        if found is None and not self._sqlite:
            key = zlib.crc32(f"{owner}\0{caller_id}".encode("utf-8", "surrogatepass")) - 2**31
            connection.execute(select(func.pg_advisory_xact_lock(NAMES, key)))
            found = connection.scalar(self._conversation.named, at)
        return found

    def _present(
        self, connection: Connection, conversation_id: str, new: Sequence[Incoming]
    ) -> dict[str, str]:
        """Return the ids of the messages that are there already, by the ids that the caller gave."""
        given = [one.message.id for one in new if one.message.id is not None]
        found: dict[str, str] = {}
        for at in range(0, len(given), SOME):
            ids = given[at : at + SOME]
            for column in (m.caller_id, m.id):
                rows = connection.execute(
                    self._find.there.where(column.in_(ids)), {"at": conversation_id}
                )
                found |= {row.id if column is m.id else row.caller_id: row.id for row in rows}
        return found

    def _grow(
        self,
        connection: Connection,
        owner: str,
        has: Row[Any, Any, Any, Any, Any],
        *,
        count: int,
        size: int,
        title: str,
    ) -> str:
        """Make a locked conversation larger, and return its id.

        The first question of one without a title names it.
        """
        self._more(connection, owner, has, count=count, size=size)
        if has.title == "" and has.messages == 0:
            values = {"at": has.id, "title": title, "search": title.casefold()}
            connection.execute(self._conversation.changed, values)
        return cast("str", has.id)

    def _more(
        self,
        connection: Connection,
        owner: str,
        has: Row[Any, Any, Any, Any, Any],
        *,
        count: int,
        size: int = 0,
    ) -> None:
        """Make a locked conversation larger. Raises `ConversationFull`, `StorageFull`."""
        used = Used(has.messages, has.bytes)
        check_room(connection, self._capacity, owner, used, count=count, size=size)
        grown = {"at": has.id, "more_bytes": size, "more": count}
        connection.execute(self._conversation.grown, grown)

    def _parent_of(
        self, connection: Connection, conversation_id: str | None, place: Place
    ) -> str | None:
        """Return the id of the answer that is the parent of a new message; None for the root."""
        if conversation_id is None and place.parent_id is None:
            return None
        at = {"at": conversation_id}
        if place.parent_id is not None:
            found = connection.scalar(self._find.parent, {**at, "wanted": place.parent_id})
            if found is None:
                raise MessageNotFound("there is no such answer in this conversation")
            return found
        return None if place.at_root else connection.scalar(self._find.newest, at)

    def _store(
        self,
        connection: Connection,
        owner: str,
        conversation_id: str,
        parent: str | None,
        one: Incoming,
    ) -> str:
        kept = numbers_in(connection, owner, one.words.casefold())
        made = secrets.token_urlsafe(16)
        values = {
            **one.columns,
            "id": made,
            "conversation_id": conversation_id,
            "parent_id": parent,
            "status": Status.COMPLETE.value,
        }
        seq = connection.scalar(
            self._write.question, {**values, **as_indexed(kept, sqlite=self._sqlite)}
        )
        keep_in_sqlite(connection, seq, kept)
        return made

    def _begin(
        self, connection: Connection, conversation_id: str, question: str, new: NewAnswer
    ) -> Turn:
        """Store a new, empty answer, and return it with the path to its question.

        Raises `InvalidFields` if there is nothing on the path that can be answered.
        """
        answer = secrets.token_urlsafe(16)
        size = door_size(new)
        values = {
            "id": answer,
            "conversation_id": conversation_id,
            "parent_id": question,
            "role": ASSISTANT,
            "status": Status.GENERATING.value,
            "content": "",
            "search": "",
            "lease": self._lease,
            "model": new.model,
            "run_id": new.run_id,
            "caller_id": new.caller_id,
            "door": new.door,
            "door_size": size,
            "size": size,
        }
        connection.execute(self._write.answer, values)
        rows = connection.execute(self._find.path, {"asked": question})
        path = [message_of(row) for row in rows.mappings()]
        if not path or path[-1].id != question or not prompt.answerable(path):
            raise unanswerable()
        return Turn(
            conversation_id=conversation_id,
            user_message_id=question,
            answer_id=answer,
            path=path,
        )


def not_found() -> ConversationNotFound:
    """Return the error for a conversation that is not there, or not this owner's."""
    return ConversationNotFound("there is no such conversation")
