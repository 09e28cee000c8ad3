"""Conversations and their messages as callers send and see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast

from msgspec import Struct
from pydantic import BeforeValidator, Field, ValidationInfo

from stream_serve.events.types import Usage  # noqa: TC001 - the schema of a view reads it
from stream_serve.runs.view import moment
from stream_serve.web.body import Body, check_size, check_values

if TYPE_CHECKING:
    from stream_serve.conversations.base import Conversation, Message, MessagePage, Page

_MAX_METADATA: Final = 16_384
_MAX_LEVELS: Final = 32


def _metadata(value: object, info: ValidationInfo) -> object:
    """Check free-form JSON. Raises `ValueError`."""
    if isinstance(value, dict):
        check_values(cast("object", value), info.context, levels=_MAX_LEVELS)
        check_size(cast("object", value), _MAX_METADATA)
    return cast("object", value)


class ConversationBody(Body):
    """A new conversation, or what is to be changed of one: what is absent stays, or is empty at first.

    `metadata` is the caller's own, an object of at most 16 KiB; it replaces all there was.
    """

    title: str | None = Field(None, max_length=200)
    metadata: Annotated[dict[str, Any] | None, BeforeValidator(_metadata)] = None


class RatingBody(Body):
    """What a reader thinks of an answer; null takes it back."""

    feedback: Literal["up", "down"] | None


class ConversationView(Struct, frozen=True, rename="camel"):
    """A conversation; times are ISO 8601. `liveRunId` is the run that is generating an answer in it.

    `callerId` is the caller's own id for it, where it came in by a door whose callers have such ids, and
    `metadata` what a caller keeps with it.
    """

    id: str
    title: str
    created_at: str
    updated_at: str
    live_run_id: str | None
    caller_id: str | None
    metadata: dict[str, Any] | None

    @classmethod
    def of(cls, conversation: Conversation) -> ConversationView:
        """Return the view of a conversation."""
        return cls(
            conversation.id,
            conversation.title,
            moment(conversation.created_at),
            moment(conversation.updated_at),
            conversation.live_run_id,
            conversation.caller_id,
            conversation.metadata,
        )


class MatchView(Struct, frozen=True, rename="camel"):
    """Where a search has found its text: the message, and the text with some of what is around it."""

    message_id: str
    before: str
    text: str
    after: str


class ConversationPage(Struct, frozen=True, rename="camel"):
    """Some conversations, last changed first; `nextCursor` is for the next page, null on the last.

    A search has `matches`: for the id of a conversation its newest message with the text. A conversation
    has none if only its title has it, or only a message that is too far back to be looked for.
    `indexing` is true for a search that left out old messages, because they are not indexed yet.
    """

    conversations: list[ConversationView]
    next_cursor: str | None
    matches: dict[str, MatchView]
    indexing: bool

    @classmethod
    def of(cls, page: Page) -> ConversationPage:
        """Return the view of a page."""
        views = [ConversationView.of(one) for one in page.conversations]
        matches = {
            at: MatchView(one.message_id, one.before, one.text, one.after)
            for at, one in page.matches.items()
        }
        return cls(views, page.next_cursor, matches, page.indexing)


class ToolCallView(Struct, frozen=True, rename="camel"):
    """A tool call of an answer; `arguments` is the text of a JSON object, unless it was cut."""

    id: str
    name: str
    arguments: str


class SourceView(Struct, frozen=True, rename="camel"):
    """A page that an answer refers to."""

    url: str
    title: str | None


class MessageView(Struct, frozen=True, rename="camel"):
    """A message of the tree.

    Only answers have the fields from `reasoning` to `sources`; else they are null. A message with the
    role `tool` is the result of the call `toolCallId`. `callerId` is the caller's own id. An `erased`
    message has nothing left but its place. `feedback` is what a reader thinks of an answer: `up`, `down`,
    or null.
    """

    id: str
    parent_id: str | None
    role: str
    content: str | list[dict[str, Any]]
    created_at: str
    status: str
    reasoning: str | None
    model: str | None
    usage: Usage | None
    first_token_ms: float | None
    run_id: str | None
    error: str | None
    tool_calls: list[ToolCallView] | None
    sources: list[SourceView] | None
    tool_call_id: str | None
    name: str | None
    caller_id: str | None
    feedback: str | None
    erased: bool

    @classmethod
    def of(cls, message: Message) -> MessageView:
        """Return the view of a message."""
        return cls(
            message.id,
            message.parent_id,
            message.role,
            message.content,
            moment(message.created_at),
            message.status.value,
            message.reasoning,
            message.model,
            message.usage,
            message.first_token_ms,
            message.run_id,
            message.error,
            _calls(message),
            _sources(message),
            message.tool_call_id,
            message.name,
            message.caller_id,
            None if message.feedback is None else message.feedback.value,
            message.erased,
        )


class MessagesPage(Struct, frozen=True, rename="camel"):
    """Some messages in their order; `nextCursor` is `after` for the next page, null on the last."""

    messages: list[MessageView]
    next_cursor: str | None

    @classmethod
    def of(cls, page: MessagePage) -> MessagesPage:
        """Return the view of a page."""
        return cls([MessageView.of(message) for message in page.messages], page.next_cursor)


class ConversationDetail(Struct, frozen=True, rename="camel"):
    """A conversation with its messages, oldest first.

    Of a large one only the first messages: `nextCursor` is then `after` for the next page of them.
    """

    conversation: ConversationView
    messages: list[MessageView]
    next_cursor: str | None


def _calls(message: Message) -> list[ToolCallView] | None:
    if message.tool_calls is None:
        return None
    return [ToolCallView(one.id, one.name, one.arguments) for one in message.tool_calls]


def _sources(message: Message) -> list[SourceView] | None:
    if message.sources is None:
        return None
    return [SourceView(one.url, one.title) for one in message.sources]
