"""The contract of the conversations: what is kept of them, and who may see it.

How it works: a conversation is a tree of messages. A user message hangs on the answer that it replies
to (or on nothing), an answer on the user message that it answers. To edit a user message or to ask
for another answer makes a sibling; nothing is overwritten. The path from a message up to the root is
what a provider is told.

An answer is stored twice by statement: when it begins (status `generating`, with a lease) and when it
ends, with its text and how it ended. Between, `touch` renews the lease and stores the text so far,
every few seconds and never for a token. A process that dies lets its leases run out: whoever looks
next finds the answer `interrupted`, with the text that was stored last.

Everything belongs to an owner: for another owner it does not exist. All methods raise `HistoryError`
(`HistoryUnavailable` when the database is slow or away; every call is bounded) and may be cancelled:
then either the whole change is stored or nothing of it.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.events.types import Usage


class Status(Enum):
    """How a message stands; a user message is always `complete`."""

    GENERATING = "generating"
    COMPLETE = "complete"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Message(Struct, frozen=True, rename="camel", kw_only=True):
    """One message. Times are epoch seconds, `first_token_ms` milliseconds.

    `content` of a user message is text or a list of content parts, in the provider's own words; of
    an answer it is text. What follows `created_at` is an answer's only. `error` is the code of the
    run's `error` event.
    """

    id: str
    parent_id: str | None
    role: str
    content: str | list[dict[str, object]]
    status: Status
    created_at: float
    reasoning: str | None = None
    model: str | None = None
    usage: Usage | None = None
    first_token_ms: float | None = None
    run_id: str | None = None
    error: str | None = None


class Conversation(Struct, frozen=True, rename="camel", kw_only=True):
    """A conversation without its messages. Times are epoch seconds.

    `live_run_id` is the run whose answer is being generated in it, the newest if there are several.
    """

    id: str
    title: str
    created_at: float
    updated_at: float
    live_run_id: str | None = None


class Page(Struct, frozen=True, rename="camel", kw_only=True):
    """Some conversations, newest change first; `next_cursor` asks for those that follow."""

    conversations: list[Conversation]
    next_cursor: str | None


class Turn(Struct, frozen=True, kw_only=True):
    """A question and the answer that has begun: their ids, and the path that leads to them.

    `path` is from the root to the user message, that one included; it has no message that is still
    being generated but what it has of text.
    """

    conversation_id: str
    user_message_id: str
    answer_id: str
    path: list[Message]


class Answer(Struct, frozen=True, kw_only=True):
    """What is stored of an answer when it ends (or, with `GENERATING`, so far)."""

    status: Status
    content: str
    reasoning: str | None = None
    usage: Usage | None = None
    first_token_ms: float | None = None
    error: str | None = None


class History(Protocol):
    """A place that keeps conversations. `owner` is "" where no keys are set."""

    async def open(self) -> None:
        """Connect, and bring the schema up to date where that is done by itself.

        Raises `HistorySchemaError` for a schema that is newer, half-migrated, or has to be migrated
        by hand; the message says what to do.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...

    async def check(self) -> None:
        """Reach the database. Raises `HistoryUnavailable`."""
        ...

    async def create(self, owner: str, *, title: str = "") -> Conversation:
        """Make an empty conversation."""
        ...

    async def list(
        self, owner: str, *, limit: int, cursor: str | None = None, query: str | None = None
    ) -> Page:
        """Give a page, newest change first; with `query`, those with that text in the title or in
        a message (case-insensitive; `%` and `_` are ordinary characters).

        Raises `BadCursor`.
        """
        ...

    async def get(self, owner: str, conversation_id: str) -> Conversation:
        """Give one conversation. Raises `ConversationNotFound`."""
        ...

    async def messages(self, owner: str, conversation_id: str) -> list[Message]:
        """Give all messages of the tree, oldest first. Raises `ConversationNotFound`."""
        ...

    async def rename(self, owner: str, conversation_id: str, title: str) -> Conversation:
        """Change the title. Raises `ConversationNotFound`."""
        ...

    async def delete(self, owner: str, conversation_id: str) -> None:
        """Delete a conversation with its messages. Raises `ConversationNotFound`."""
        ...

    async def ask(  # noqa: PLR0913 - each of them is stored
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
        """Store a user message and the beginning of its answer, in one transaction.

        `conversation_id` None makes a conversation, whose title is the beginning of the message. The
        message hangs on `parent_id`; without one on the newest answer, or, `at_root`, on nothing.
        Raises `ConversationNotFound`, `MessageNotFound` (no such parent in this conversation).
        """
        ...

    async def ask_again(
        self, owner: str, conversation_id: str, message_id: str, *, run_id: str, model: str
    ) -> Turn:
        """Begin another answer to the same question: a sibling of an answer, or a child of a user
        message, whichever `message_id` names. Raises `ConversationNotFound`, `MessageNotFound`.
        """
        ...

    async def touch(self, turn: Turn, answer: Answer) -> None:
        """Renew the lease of an answer that is being generated, and store its text so far."""
        ...

    async def finish(self, turn: Turn, answer: Answer) -> bool:
        """Store an answer as it ended; False when its message is gone, with its conversation.

        Repeating it is harmless. An answer that had been marked `interrupted` meanwhile gets its true
        end.
        """
        ...

    async def sweep(self) -> int:
        """Mark answers whose lease has run out as `interrupted`; give how many."""
        ...
