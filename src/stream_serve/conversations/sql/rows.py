"""Rows of the tables as our structs, our structs as rows, and the cursors of pages."""

from __future__ import annotations

import binascii
import json
import re
import unicodedata
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Final, cast

import msgspec

from stream_serve.conversations.base import (
    Answer,
    Conversation,
    Feedback,
    Kept,
    Message,
    Status,
)
from stream_serve.errors import BadCursor
from stream_serve.events.transcript import CalledTool
from stream_serve.events.types import End, Error, Source, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import RowMapping

TITLE: Final = 60
"""The maximum length of a title that is made from the first message, in characters."""

_BLANKS: Final = r"\s\x1c-\x1f\x85\ufeff"
_LINE: Final = re.compile(rf"[^{_BLANKS}][^\r\n]{{0,2000}}")
_BLANK: Final = re.compile(rf"[{_BLANKS}]+")
_JOINER: Final = "\u200d"

Content = str | list[dict[str, object]]


def visible_text(content: str | Sequence[dict[str, object]]) -> str:
    """Return the text parts of a message's content, without images and files."""
    if isinstance(content, str):
        return content
    texts = (part.get("text") for part in content if part.get("type") == "text")
    return "\n".join(text for text in texts if isinstance(text, str))


def title_of(words: str) -> str:
    """Return the first line of a text, at most `TITLE` characters, as the chat page does."""
    found = _LINE.search(words)
    line = _BLANK.sub(" ", found[0]).strip(" ") if found else ""
    if len(line) <= TITLE:
        return line
    ends = (at for at in range(TITLE - 1, 0, -1) if not _parts(line, at))
    return line[: next(ends, TITLE - 1)].rstrip(" ") + "…"


def _parts(line: str, at: int) -> bool:
    """Return whether a cut there would part what people see as one character."""
    before, after = line[at - 1 : at + 1]
    if _JOINER in {before, after} or unicodedata.category(after).startswith("M"):
        return True
    return "\U0001f3fb" <= after <= "\U0001f3ff" or (_is_flag(before) and _is_flag(after))


def _is_flag(letter: str) -> bool:
    return "\U0001f1e6" <= letter <= "\U0001f1ff"


def columns_of(answer: Answer) -> dict[str, object]:
    """Return the columns of an answer, except its status, its lease, and `size`, of which only a part."""
    return {
        "content": answer.content,
        "search": searchable(answer).casefold(),
        "reasoning": answer.reasoning,
        "usage": msgspec.to_builtins(answer.usage),
        "first_token_ms": answer.first_token_ms,
        "error": answer.error,
        "tool_calls": msgspec.to_builtins(answer.tool_calls or None),
        "sources": msgspec.to_builtins(answer.sources or None),
        "ending": msgspec.to_builtins(answer.ending),
        "own_size": size_of(
            answer.content, answer.reasoning, answer.tool_calls or None, answer.sources or None
        ),
    }


def searchable(answer: Answer) -> str:
    """Return what searches find in an answer: its text, its tool calls, and its sources."""
    sources = [text for one in answer.sources or () for text in (one.title, one.url) if text]
    return "\n".join([answer.content, *called_words(answer.tool_calls), *sources])


def called_words(calls: Sequence[CalledTool] | None) -> list[str]:
    """Return what searches find in tool calls: names, and arguments without the escapes of JSON."""
    return [text for call in calls or () for text in (call.name, _unescaped(call.arguments))]


def size_of(*parts: object) -> int:
    """Return the bytes of the parts of a message together: of texts, and of anything else as JSON."""
    return sum(_size(part) for part in parts if part is not None)


def _size(part: object) -> int:
    text = part if isinstance(part, str) else json.dumps(_plain(part), ensure_ascii=False)
    return len(text.encode("utf-8", "surrogatepass"))


def _plain(part: object) -> object:
    return msgspec.to_builtins(part)


def _unescaped(arguments: str) -> str:
    if "\\" not in arguments:
        return arguments
    try:
        return json.dumps(json.loads(arguments), ensure_ascii=False)
    except (ValueError, RecursionError):
        return arguments


def conversation_of(row: RowMapping) -> Conversation:
    """Return the conversation in a row, which has `live_run_id` besides the table's columns."""
    return Conversation(
        id=row["id"],
        title=row["title"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        live_run_id=row["live_run_id"],
        caller_id=row["caller_id"],
        metadata=row["metadata"],
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
        tool_calls=msgspec.convert(row["tool_calls"], list[CalledTool] | None),
        sources=msgspec.convert(row["sources"], list[Source] | None),
        tool_call_id=row["tool_call_id"],
        name=row["name"],
        caller_id=row["caller_id"],
        feedback=None if row["feedback"] is None else Feedback(row["feedback"]),
        erased=row["erased"],
    )


def kept_of(row: RowMapping) -> Kept:
    """Return the message in a row, which also has `conversation_id`, `door` and `ending`."""
    return Kept(
        conversation_id=row["conversation_id"],
        message=message_of(row),
        door=row["door"],
        ending=msgspec.convert(row["ending"], End | Error | None),
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
