"""The endpoints of conversations: list and search, create, show, rename, delete, export.

Messages are read in pages that are bounded in number and in bytes, so that no conversation, however
large, holds up the streams of others. An export is written page by page.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse

from stream_serve.conversations.base import Feedback
from stream_serve.conversations.context import Conversations
from stream_serve.settings import Settings
from stream_serve.web.body import invalid, read_json
from stream_serve.web.conversations import (
    ConversationBody,
    ConversationDetail,
    ConversationPage,
    ConversationView,
    MessagesPage,
    MessageView,
    RatingBody,
)
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
_PICTURE: Final = re.compile(r"data:image/[a-z0-9.+-]+;base64,[A-Za-z0-9+/]+=*")

Stored = Annotated[Conversations, Depends(conversations_of)]
Set = Annotated[Settings, Depends(settings_of)]


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
    return json_response(request, ConversationPage.of(page))


@router.post("/ai/conversations", response_class=Response, status_code=201)
@guarded(API)
async def make_conversation(request: Request, conversations: Stored, settings: Set) -> Response:
    """Create an empty conversation."""
    check_origin_trusted(request)
    body = await read_json(request, ConversationBody, max_bytes=settings.max_body_bytes)
    history = await conversations.history()
    made = await history.create(_owner(request), title=body.title or "", metadata=body.metadata)
    return json_response(request, ConversationView.of(made), status=201)


@router.get("/ai/conversations/{conversation_id}", response_class=Response)
@guarded(API)
async def show_conversation(
    request: Request,
    conversation_id: str,
    conversations: Stored,
    messages: Annotated[bool, Query(strict=False)] = True,
) -> Response:
    """Show a conversation with its messages, and the run that is generating an answer in it.

    Of a large conversation the first 500 messages, or 1 MiB: `nextCursor` leads to the others. With
    `messages=0` none are read.
    """
    history = await conversations.history()
    owner = _owner(request)
    shown = await history.get(owner, conversation_id)
    if not messages:
        return json_response(request, ConversationDetail(ConversationView.of(shown), [], None))
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
    order: Literal["oldest", "newest"] = "oldest",
) -> Response:
    """List messages of the tree, the oldest or the newest first, after the one with the id `after`.

    A page has at most `limit` messages, and ends earlier where they have more than 1 MiB.
    """
    if not 1 <= limit <= _MAX_PAGE:
        raise invalid("limit", f"should be from 1 to {_MAX_PAGE}")
    history = await conversations.history()
    page = await history.messages(
        _owner(request),
        conversation_id,
        limit=limit,
        after=after,
        max_bytes=_PAGE_BYTES,
        newest_first=order == "newest",
    )
    return json_response(request, MessagesPage.of(page))


@router.patch("/ai/conversations/{conversation_id}", response_class=Response)
@guarded(API)
async def change_conversation(
    request: Request, conversation_id: str, conversations: Stored, settings: Set
) -> Response:
    """Change the title of a conversation, or what the caller keeps with it."""
    body = await read_json(request, ConversationBody, max_bytes=settings.max_body_bytes)
    if body.title is None and body.metadata is None:
        raise invalid("title", "should be there, or metadata")
    history = await conversations.history()
    changed = await history.change(
        _owner(request), conversation_id, title=body.title, metadata=body.metadata
    )
    return json_response(request, ConversationView.of(changed))


@router.patch("/ai/conversations/{conversation_id}/messages/{message_id}", response_class=Response)
@guarded(API)
async def rate_answer(
    request: Request,
    conversation_id: str,
    message_id: str,
    conversations: Stored,
    settings: Set,
) -> Response:
    """Keep what a reader thinks of an answer."""
    body = await read_json(request, RatingBody, max_bytes=settings.max_body_bytes)
    feedback = None if body.feedback is None else Feedback(body.feedback)
    history = await conversations.history()
    rated = await history.rate(_owner(request), conversation_id, message_id, feedback)
    return json_response(request, MessageView.of(rated))


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


def _plain(content: str | list[dict[str, object]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(map(_part, content))


def _part(part: dict[str, object]) -> str:
    """Return a part as text; a picture that is in the message itself stays one."""
    picture = part.get("image_url")
    url = cast("dict[str, object]", picture).get("url") if isinstance(picture, dict) else picture
    if isinstance(url, str) and _PICTURE.fullmatch(url):
        return f"![]({url})"
    return str(part.get("text", f"[{part.get('type')}]"))


def _line(words: str) -> str:
    return " ".join(words.split())


def _code(words: str) -> str:
    """Return a text as code on one line, within more backticks than it has in a row."""
    fence = "`" * (1 + max(map(len, re.findall("`+", words)), default=0))
    return f"{fence} {_line(words)} {fence}"
