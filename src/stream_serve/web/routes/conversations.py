"""The endpoints of conversations: list and search, create, show, rename, delete, export.

Messages are read in pages that are bounded in number and in bytes, so that no conversation, however
large, holds up the streams of others. An export is written page by page.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Depends, Request
from msgspec import Struct
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from stream_serve.conversations.base import Conversation, Message, MessagePage
from stream_serve.conversations.context import Conversations
from stream_serve.events.types import Usage
from stream_serve.settings import Settings
from stream_serve.web.body import Body, invalid, read_json
from stream_serve.web.dependencies import conversations_of, settings_of
from stream_serve.web.response import json_response
from stream_serve.web.security import API, check_origin_trusted, cors_headers, guarded, owner_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from stream_serve.conversations.base import History

router = APIRouter(tags=["conversations"])

_MAX_PAGE: Final = 100
_MAX_QUERY: Final = 200
_DETAIL: Final = 500
"""The number of messages that are shown with a conversation; the others come in pages."""
_PAGE_BYTES: Final = 1_048_576

Stored = Annotated[Conversations, Depends(conversations_of)]
Set = Annotated[Settings, Depends(settings_of)]


class TitleBody(Body):
    """A conversation's title."""

    title: str = Field(max_length=200)


class NewBody(TitleBody):
    """A new conversation; its title may be empty."""

    title: str = Field("", max_length=200)


class ConversationView(Struct, frozen=True, rename="camel"):
    """A conversation; times are ISO 8601. `liveRunId` is the run that is generating an answer in it.

    `callerId` is the caller's own id for it, where it came in by a door whose callers have such ids.
    """

    id: str
    title: str
    created_at: str
    updated_at: str
    live_run_id: str | None
    caller_id: str | None

    @classmethod
    def of(cls, conversation: Conversation) -> ConversationView:
        """Return the view of a conversation."""
        return cls(
            conversation.id,
            conversation.title,
            _time(conversation.created_at),
            _time(conversation.updated_at),
            conversation.live_run_id,
            conversation.caller_id,
        )


class ConversationPage(Struct, frozen=True, rename="camel"):
    """Some conversations, last changed first; `nextCursor` is for the next page, null on the last.

    `indexing` is true for a search that left out old messages, because they are not indexed yet.
    """

    conversations: list[ConversationView]
    next_cursor: str | None
    indexing: bool


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
    message has nothing left but its place.
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
    erased: bool

    @classmethod
    def of(cls, message: Message) -> MessageView:
        """Return the view of a message."""
        return cls(
            message.id,
            message.parent_id,
            message.role,
            message.content,
            _time(message.created_at),
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
            message.erased,
        )


class MessagesPage(Struct, frozen=True, rename="camel"):
    """Some messages, oldest first; `nextCursor` is `after` for the next page, null on the last."""

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


@router.get("/ai/conversations", response_class=Response)
@guarded(API)
async def list_conversations(
    request: Request,
    conversations: Stored,
    limit: int = 20,
    cursor: str | None = None,
    q: str | None = None,
) -> Response:
    """List conversations, last changed first; `q` searches titles and messages."""
    if not 1 <= limit <= _MAX_PAGE:
        raise invalid("limit", f"should be from 1 to {_MAX_PAGE}")
    if q is not None and len(q) > _MAX_QUERY:
        raise invalid("q", f"should have at most {_MAX_QUERY} characters")
    history = await conversations.history()
    page = await history.list(_owner(request), limit=limit, cursor=cursor, query=q or None)
    views = [ConversationView.of(conversation) for conversation in page.conversations]
    return json_response(request, ConversationPage(views, page.next_cursor, page.indexing))


@router.post("/ai/conversations", response_class=Response, status_code=201)
@guarded(API)
async def make_conversation(request: Request, conversations: Stored, settings: Set) -> Response:
    """Create an empty conversation."""
    check_origin_trusted(request)
    body = await read_json(request, NewBody, max_bytes=settings.max_body_bytes)
    history = await conversations.history()
    made = await history.create(_owner(request), title=body.title)
    return json_response(request, ConversationView.of(made), status=201)


@router.get("/ai/conversations/{conversation_id}", response_class=Response)
@guarded(API)
async def show_conversation(
    request: Request, conversation_id: str, conversations: Stored
) -> Response:
    """Show a conversation with its messages, and the run that is generating an answer in it.

    Of a large conversation the first 500 messages, or 1 MiB: `nextCursor` leads to the others.
    """
    history = await conversations.history()
    owner = _owner(request)
    shown = await history.get(owner, conversation_id)
    page = await history.messages(owner, conversation_id, limit=_DETAIL, max_bytes=_PAGE_BYTES)
    first = MessagesPage.of(page)
    view = ConversationView.of(shown)
    return json_response(request, ConversationDetail(view, first.messages, first.next_cursor))


@router.get("/ai/conversations/{conversation_id}/messages", response_class=Response)
@guarded(API)
async def list_messages(
    request: Request,
    conversation_id: str,
    conversations: Stored,
    limit: int = 50,
    after: str | None = None,
) -> Response:
    """List messages of the tree, oldest first, after the one with the id `after`.

    A page has at most `limit` messages, and ends earlier where they have more than 1 MiB.
    """
    if not 1 <= limit <= _MAX_PAGE:
        raise invalid("limit", f"should be from 1 to {_MAX_PAGE}")
    history = await conversations.history()
    page = await history.messages(
        _owner(request), conversation_id, limit=limit, after=after, max_bytes=_PAGE_BYTES
    )
    return json_response(request, MessagesPage.of(page))


@router.patch("/ai/conversations/{conversation_id}", response_class=Response)
@guarded(API)
async def rename_conversation(
    request: Request, conversation_id: str, conversations: Stored, settings: Set
) -> Response:
    """Change the title of a conversation."""
    body = await read_json(request, TitleBody, max_bytes=settings.max_body_bytes)
    history = await conversations.history()
    renamed = await history.rename(_owner(request), conversation_id, body.title)
    return json_response(request, ConversationView.of(renamed))


@router.delete("/ai/conversations/{conversation_id}", response_class=Response, status_code=204)
@guarded(API)
async def delete_conversation(
    request: Request, conversation_id: str, conversations: Stored
) -> Response:
    """Delete a conversation with its messages. A run that is generating in it is not stopped."""
    history = await conversations.history()
    await history.delete(_owner(request), conversation_id)
    return Response(status_code=204, headers=cors_headers(request.scope))


@router.get("/ai/conversations/{conversation_id}/export", response_class=Response)
@guarded(API)
async def export_conversation(
    request: Request,
    conversation_id: str,
    conversations: Stored,
    format: Literal["json", "markdown"] = "json",  # noqa: A002 - the query's own name
) -> Response:
    """Download a conversation as JSON or Markdown."""
    history = await conversations.history()
    owner = _owner(request)
    view = ConversationView.of(await history.get(owner, conversation_id))
    pages = _pages(history, owner, conversation_id)
    write, kind, name = (
        (_json, "application/json", "conversation.json")
        if format == "json"
        else (_markdown, "text/markdown", "conversation.md")
    )
    return StreamingResponse(
        write(view, pages),
        media_type=kind,
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Content-Type-Options": "nosniff",
            **cors_headers(request.scope),
        },
    )


def markdown(message: MessageView) -> str:
    """Return a message as Markdown; an answer that is not complete shows its status."""
    who = message.role if message.model is None else f"{message.role} ({message.model})"
    if message.tool_call_id is not None:
        who = f"{who} ({_line(message.tool_call_id)})"
    state = "erased" if message.erased else message.status
    ended = "" if state == "complete" else f" [{state}]"
    parts = [f"\n## {who}{ended}\n"]
    if message.reasoning:
        quoted = "\n".join(f"> {line}" for line in message.reasoning.split("\n"))
        parts.append(f"{quoted}\n")
    parts.append(f"{_plain(message.content)}\n")
    parts += [
        f"- calls {_line(call.name)} ({_line(call.id)}): {_code(call.arguments)}\n"
        for call in message.tool_calls or ()
    ]
    parts += [
        f"- source: {_line(source.title or '')} <{_line(source.url)}>\n"
        for source in message.sources or ()
    ]
    return "\n".join(parts)


async def _pages(
    history: History, owner: str, conversation_id: str
) -> AsyncGenerator[Sequence[MessageView]]:
    """Read all messages of a conversation, page by page."""
    after: str | None = None
    while True:
        page = await history.messages(
            owner, conversation_id, limit=_MAX_PAGE, after=after, max_bytes=_PAGE_BYTES
        )
        yield MessagesPage.of(page).messages
        after = page.next_cursor
        if after is None:
            return


async def _json(
    view: ConversationView, pages: AsyncGenerator[Sequence[MessageView]]
) -> AsyncGenerator[bytes]:
    """Write a conversation as the JSON of a `ConversationDetail` that has all messages."""
    yield b'{"conversation":' + msgspec.json.encode(view) + b',"messages":['
    before = b""
    async for page in pages:
        for message in page:
            yield before + msgspec.json.encode(message)
            before = b","
    yield b'],"nextCursor":null}'


async def _markdown(
    view: ConversationView, pages: AsyncGenerator[Sequence[MessageView]]
) -> AsyncGenerator[bytes]:
    """Write a conversation as Markdown, in the order of its messages."""
    yield f"# {' '.join(view.title.split()) or 'Conversation'}\n".encode()
    async for page in pages:
        for message in page:
            yield markdown(message).encode()


def _owner(request: Request) -> str:
    return owner_of(request) or ""


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _plain(content: str | list[dict[str, object]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", f"[{part.get('type')}]")) for part in content)


def _calls(message: Message) -> list[ToolCallView] | None:
    if message.tool_calls is None:
        return None
    return [ToolCallView(one.id, one.name, one.arguments) for one in message.tool_calls]


def _sources(message: Message) -> list[SourceView] | None:
    if message.sources is None:
        return None
    return [SourceView(one.url, one.title) for one in message.sources]


def _line(words: str) -> str:
    return " ".join(words.split())


def _code(words: str) -> str:
    """Return a text as code on one line, within more backticks than it has in a row."""
    fence = "`" * (1 + max(map(len, re.findall("`+", words)), default=0))
    return f"{fence} {_line(words)} {fence}"
