"""Rows of the tables as our structs, our structs as rows, and the cursors of pages."""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Final, cast

import msgspec

from stream_serve.conversations.base import Answer, Conversation, Message, Status
from stream_serve.errors import BadCursor
from stream_serve.events.types import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import RowMapping

TITLE: Final = 80
"""The maximum length of a title that is made from the first message, in characters."""

Content = str | list[dict[str, object]]


def visible_text(content: str | Sequence[dict[str, object]]) -> str:
    """Return the text parts of a message's content, without images and files."""
    if isinstance(content, str):
        return content
    texts = (part.get("text") for part in content if part.get("type") == "text")
    return "\n".join(text for text in texts if isinstance(text, str))


def title_of(words: str) -> str:
    """Return the beginning of a text on one line, at most `TITLE` characters."""
    line = " ".join(words[: TITLE * 20].split())
    return line if len(line) <= TITLE else line[: TITLE - 1].rstrip() + "…"


def columns_of(answer: Answer) -> dict[str, object]:
    """Return the columns of an answer, except its status and lease."""
    return {
        "content": answer.content,
        "search": answer.content.casefold(),
        "reasoning": answer.reasoning,
        "usage": msgspec.to_builtins(answer.usage),
        "first_token_ms": answer.first_token_ms,
        "error": answer.error,
        "size": size_of(answer.content, answer.reasoning),
    }


def size_of(content: str | Sequence[dict[str, object]], reasoning: str | None = None) -> int:
    """Return the bytes of a message's text, or of its parts as JSON, and of its reasoning."""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return len((text + (reasoning or "")).encode("utf-8", "surrogatepass"))


def conversation_of(row: RowMapping) -> Conversation:
    """Return the conversation in a row, which has `live_run_id` besides the table's columns."""
    return Conversation(
        id=row["id"],
        title=row["title"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        live_run_id=row["live_run_id"],
    )


def message_of(row: RowMapping) -> Message:
    """Return the message in a row, which has `shown`, its status now, besides the table's columns."""
    usage = row["usage"]
    return Message(
        id=row["id"],
        parent_id=row["parent_id"],
        role=row["role"],
        content=cast("Content", row["content"]),
        status=Status(row["shown"]),
        created_at=row["created_at"],
        reasoning=row["reasoning"],
        model=row["model"],
        usage=None if usage is None else msgspec.convert(usage, Usage),
        first_token_ms=row["first_token_ms"],
        run_id=row["run_id"],
        error=row["error"],
    )


def cursor_after(updated_at: float, seq: int) -> str:
    """Return the cursor for the page after the conversation with these values."""
    place = msgspec.json.encode((updated_at, seq))
    return urlsafe_b64encode(place).decode().rstrip("=")


def position_of(cursor: str) -> tuple[float, int]:
    """Return the `updated_at` and `seq` in a cursor. Raises `BadCursor`."""
    try:
        text = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        updated_at, seq = msgspec.json.decode(text, type=tuple[float, int])
    except (UnicodeError, binascii.Error, msgspec.MsgspecError):
        raise BadCursor("the cursor is not one that a page gave") from None
    if cursor_after(updated_at, seq) != cursor or not 0 <= seq < 2**63:
        raise BadCursor("the cursor is not one that a page gave")
    return updated_at, seq
