"""The contract for the storage of conversations: what it stores, and who may read it.

How it works: a conversation is a tree of messages. The parent of a user message is the answer that it
replies to, or nothing at the root; the parent of an answer is the user message that it answers. An
edited user message or another answer is a new sibling, so that nothing is overwritten. A provider gets
the path from the root to the newest user message.

An answer may call tools. The result of each call is a message with the role `tool`: the first is the
child of the answer, each further one that of the result before it, and the answer that the model then
gives is the child of the last.

Callers may have ids of their own, of any text, for conversations and for messages. They are kept beside
ours: a conversation's is unique for its owner, a message's in its conversation.

An answer is always stored twice: when it begins (status `generating`, with a lease), and when it ends,
with its text and its final status. Between the two, `touch` renews the lease and stores the text so far,
every few seconds and never for each token. If a process dies, the leases of its answers expire, and
readers see these answers as `interrupted`, with the text stored last.

Every conversation belongs to an owner and does not exist for other owners. All methods raise
`HistoryError`, and its subclass `HistoryUnavailable` when the database is slow or cannot be reached; the
time of every call is bounded. After a cancelled call either the whole change is stored or nothing of it.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from stream_serve.events.types import MessageRef

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.events.transcript import CalledTool
    from stream_serve.events.types import End, Error, Source, Usage

MAX_ID: Final = 512
"""The most characters of a caller's own id."""

USER: Final = "user"
ASSISTANT: Final = "assistant"
TOOL: Final = "tool"


class Status(Enum):
    """The status of a message; a user message is always `complete`."""

    GENERATING = "generating"
    COMPLETE = "complete"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Feedback(Enum):
    """What a reader thinks of an answer."""

    UP = "up"
    DOWN = "down"


class Message(Struct, frozen=True, rename="camel", kw_only=True):
    """One message. Times are epoch seconds, `first_token_ms` is in milliseconds.

    The `content` of a user message or of a tool's result is text or a list of content parts in the
    provider's format; that of an answer is text. Only answers have the fields from `reasoning` to
    `sources`, and only results a `tool_call_id`. `error` is the code of the run's `error` event.
    `caller_id` is the caller's own id, and `feedback` what a reader thinks of an answer. A message that
    is `erased` has nothing left but its place.
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
    tool_calls: list[CalledTool] | None = None
    sources: list[Source] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    caller_id: str | None = None
    feedback: Feedback | None = None
    erased: bool = False


class Kept(Struct, frozen=True, kw_only=True):
    """A message and where it is.

    `door` is what was given for the door when it was asked for, `ending` the end of an answer's run as it
    was told; None where nobody could tell it.
    """

    conversation_id: str
    message: Message
    door: dict[str, Any] | None = None
    ending: End | Error | None = None


class NewMessage(Struct, frozen=True, kw_only=True):
    """A message that is to be stored: a user's, a tool's result, or an answer that a caller brings.

    `id` is the caller's own. If the conversation has a message with this id, or if it is the id that we
    gave to one, that message is meant, and nothing is stored.
    """

    role: str
    content: str | Sequence[dict[str, object]]
    tool_calls: Sequence[CalledTool] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    id: str | None = None


class NewAnswer(Struct, frozen=True, kw_only=True):
    """An answer that begins: its run, its model, and what its caller wants to be kept with it.

    `caller_id` is the caller's own id for it. `door` is free JSON for the door that it came in by.
    """

    run_id: str
    model: str
    caller_id: str | None = None
    door: dict[str, Any] | None = None


class Match(Struct, frozen=True, rename="camel", kw_only=True):
    """Where a search has found its text: the message, and the text with some of what is around it."""

    message_id: str
    before: str
    text: str
    after: str


class Conversation(Struct, frozen=True, rename="camel", kw_only=True):
    """A conversation without its messages. Times are epoch seconds.

    `live_run_id` is the newest run that is generating an answer in it; None if there is none.
    `caller_id` is the caller's own id, and `metadata` what the caller keeps with it.
    """

    id: str
    title: str
    created_at: float
    updated_at: float
    live_run_id: str | None = None
    caller_id: str | None = None
    metadata: dict[str, Any] | None = None


class Page(Struct, frozen=True, rename="camel", kw_only=True):
    """Some conversations, last changed first; `next_cursor` is for the next page, None on the last.

    A search has `matches`: for the id of a conversation its newest message with the text. A conversation
    has none if only its title has the text, or only a message that is too far back to be looked for.
    `indexing` is True for a search that left out old messages, because they are not indexed yet.
    """

    conversations: list[Conversation]
    next_cursor: str | None
    matches: dict[str, Match] = {}
    indexing: bool = False


class MessagePage(Struct, frozen=True, rename="camel", kw_only=True):
    """Some messages in their order; `next_cursor` is the id of the last one, None on the last page."""

    messages: list[Message]
    next_cursor: str | None


class Capacity(Struct, frozen=True, kw_only=True):
    """How much may be kept: of a conversation `messages` and `bytes`, of an owner `conversations` and
    `all_bytes`.

    Bytes are those of questions, answers, reasoning, tool calls, sources, of what is kept for a door, and
    of a conversation's metadata.
    A question that does not fit any more is refused; an answer is stored whole, however long it is.
    """

    messages: int = 10_000
    bytes: int = 67_108_864
    conversations: int = 100_000
    all_bytes: int = 10_737_418_240


class Turn(MessageRef, frozen=True, kw_only=True):
    """A user message and its new answer: their ids, and the path from the root to the user message.

    Where tools' results are sent alone, the last of them stands for the user message. `path` includes
    the user message, but neither the new answer nor messages that are erased. An older answer in it that
    is still being generated has the text stored so far. A history may be told to read only the newest
    part of a path.
    """

    path: list[Message]

    @property
    def ref(self) -> MessageRef:
        """Only the ids."""
        return MessageRef(
            conversation_id=self.conversation_id,
            user_message_id=self.user_message_id,
            answer_id=self.answer_id,
        )


class Answer(Struct, frozen=True, kw_only=True):
    """The stored fields of an answer at its end or, with the status `GENERATING`, so far.

    `ending` is the terminal event of its run.
    """

    status: Status
    content: str
    reasoning: str | None = None
    usage: Usage | None = None
    first_token_ms: float | None = None
    error: str | None = None
    tool_calls: list[CalledTool] | None = None
    sources: list[Source] | None = None
    ending: End | Error | None = None


class History(Protocol):
    """Stores conversations. `owner` is "" if no API keys are set."""

    async def open(self) -> None:
        """Connect, and migrate the schema if this backend does that automatically.

        Raises `HistorySchemaError` for a schema that is newer or half-migrated, or that has to be
        migrated with `stream-serve migrate`; its message says what to do.
        """
        ...

    async def close(self, patience: float | None = None) -> None:
        """Close the connections.

        Calls that still go on are waited for, at most `patience` seconds, and without it as long as a
        call may take.
        """
        ...

    async def check(self) -> None:
        """Check that the database responds. Raises `HistoryUnavailable`."""
        ...

    async def create(
        self, owner: str, *, title: str = "", metadata: dict[str, Any] | None = None
    ) -> Conversation:
        """Create an empty conversation and return it. Raises `ConversationFull`, `StorageFull`."""
        ...

    async def list(
        self, owner: str, *, limit: int, cursor: str | None = None, query: str | None = None
    ) -> Page:
        """Return a page of at most `limit` conversations, last changed first.

        `cursor` is the `next_cursor` of the page before. With `query` the page has only conversations
        with that text in their title or in a message, ignoring case; `%` and `_` are no wildcards. A
        large database that is still being indexed is searched as far as it is, and its newest messages.
        Raises `BadCursor`.
        """
        ...

    async def get(self, owner: str, conversation_id: str) -> Conversation:
        """Return one conversation. Raises `ConversationNotFound`."""
        ...

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
        """Return a page of at most `limit` messages of the tree, oldest or newest first.

        `after` is the `next_cursor` of the page before, or the id of any message. With `max_bytes` a
        page ends before the message that makes it larger, but has at least one. Raises
        `ConversationNotFound`, `BadCursor`.
        """
        ...

    async def change(
        self,
        owner: str,
        conversation_id: str,
        *,
        title: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Conversation:
        """Change what is not None, and return the conversation; new metadata replaces all there was.

        A new title makes it the one that changed last, new metadata does not. Raises
        `ConversationNotFound`, `ConversationFull`, `StorageFull`.
        """
        ...

    async def rate(
        self, owner: str, conversation_id: str, message_id: str, feedback: Feedback | None
    ) -> Message:
        """Keep what a reader thinks of an answer, None for nothing, and return it.

        Raises `MessageNotFound`, also for what is no answer.
        """
        ...

    async def delete(self, owner: str, conversation_id: str) -> None:
        """Delete a conversation with its messages. Raises `ConversationNotFound`."""
        ...

    async def named(self, owner: str, caller_id: str) -> Conversation:
        """Return the conversation with that id of the caller's. Raises `ConversationNotFound`."""
        ...

    async def message(
        self, owner: str, message_id: str, *, conversation_id: str | None = None
    ) -> Kept:
        """Return one message.

        With a `conversation_id` the message is looked for only there, and its id may be the caller's.
        Raises `MessageNotFound`, also for one that is erased.
        """
        ...

    async def answer(self, owner: str, run_id: str) -> Kept:
        """Return the answer of a run, the newest if there are several. Raises `MessageNotFound`."""
        ...

    async def newest(self, owner: str, conversation_id: str) -> Kept:
        """Return the newest answer of a conversation, to which a new message replies by default.

        Raises `ConversationNotFound`, `MessageNotFound` if there is none.
        """
        ...

    async def answers(self, owner: str, message_id: str, *, max_bytes: int) -> Sequence[Kept]:
        """Return the answers of runs on the path from the root to one message, without erased ones.

        The oldest is the first. Those before the newest `max_bytes` of the path are left out.
        Raises `MessageNotFound`.
        """
        ...

    async def turn(self, owner: str, answer_id: str) -> Sequence[str]:
        """Return the ids of an answer and of the messages that it answers, up to the answer before.

        Raises `MessageNotFound`.
        """
        ...

    async def ask(  # noqa: PLR0913 - each of them says where the messages belong
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
        """Store new messages and their new, empty answer in one transaction.

        The messages follow one another, and the answer follows the last, which is a user message or a
        tool's result. Without a `conversation_id` a conversation is created, and the beginning of the
        first user message becomes its title; but if there is one with the caller's own id `caller_id`,
        it is gone on with. The parent of the first message is the answer `parent_id`, without one the
        newest answer, and with `at_root` nothing. Where a message is there already, the next one
        follows it.

        Raises `ConversationNotFound`, `MessageNotFound` if there is no such parent in the conversation,
        `InvalidFields` for messages that nothing can answer and for what is kept beside them and too
        long, and `ConversationFull` or `StorageFull` if there is no room for all.
        """
        ...

    async def ask_again(
        self, owner: str, conversation_id: str, message_id: str, answer: NewAnswer
    ) -> Turn:
        """Store another new answer to a user message, or to tools' results, that are stored; return both.

        `message_id` names the message or one of its answers; it may be the caller's. Raises
        `ConversationNotFound`, `MessageNotFound`, `ConversationFull`, `StorageFull`.
        """
        ...

    async def erase(self, owner: str, message_id: str) -> None:
        """Erase all that is in a message; its place in the tree stays, with the messages after it.

        It is gone from paths, from searches, and from reads by its id or its run. An answer that is
        being generated is not stored any more. Raises `MessageNotFound`.
        """
        ...

    async def touch(self, ref: MessageRef, answer: Answer) -> None:
        """Renew the lease of an answer that is being generated, and store its text so far.

        Does nothing to an answer that has ended, was erased or was deleted.
        """
        ...

    async def finish(self, ref: MessageRef, answer: Answer) -> bool:
        """Store the end of an answer; return False if it was erased, or deleted with its conversation.

        A second call changes nothing. The end of an answer that was marked `interrupted` meanwhile
        replaces that mark.
        """
        ...

    async def sweep(self) -> int:
        """Mark answers with an expired lease as `interrupted`; return how many."""
        ...
