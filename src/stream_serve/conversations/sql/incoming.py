"""Messages on their way into the database: checked, and measured before the transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from stream_serve.conversations.base import ASSISTANT, MAX_ID, TOOL, USER
from stream_serve.conversations.sql.rows import called_words, size_of, visible_text
from stream_serve.errors import InvalidFields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.conversations.base import NewAnswer, NewMessage

MAX_DOOR: Final = 1_048_576
"""The most bytes that are kept for a door with an answer."""


class Incoming(Struct, frozen=True):
    """A message that is to be stored, with the text that searches find, and its bytes."""

    message: NewMessage
    words: str
    size: int

    @property
    def columns(self) -> dict[str, object]:
        """The columns that come from the caller, and what follows from them."""
        one = self.message
        return {
            "role": one.role,
            "content": one.content if isinstance(one.content, str) else list(one.content),
            "search": self.words.casefold(),
            "size": self.size,
            "tool_calls": msgspec.to_builtins(list(one.tool_calls)) if one.tool_calls else None,
            "tool_call_id": one.tool_call_id,
            "name": one.name,
            "caller_id": one.id,
        }


def incoming(new: Sequence[NewMessage]) -> list[Incoming]:
    """Return messages as they are stored; of those with the same id only the first.

    Raises `InvalidFields`.
    """
    seen: set[str] = set()
    found: list[Incoming] = []
    for one in new:
        _check(one)
        if one.id is None or one.id not in seen:
            found.append(_measured(one))
        if one.id is not None:
            seen.add(one.id)
    if not found or found[-1].message.role == ASSISTANT:
        raise unanswerable()
    return found


def door_size(answer: NewAnswer) -> int:
    """Return the bytes that are kept for a door. Raises `InvalidFields` for too many."""
    check_id(answer.caller_id)
    size = 0 if answer.door is None else size_of(answer.door)
    if size > MAX_DOOR:
        raise InvalidFields(
            f"what is kept with an answer, beside its messages, has {size} bytes, and may have "
            f"{MAX_DOOR}: send less of it"
        )
    return size


def check_id(own: str | None) -> None:
    """Check the length of a caller's own id. Raises `InvalidFields`."""
    if own is not None and not 0 < len(own) <= MAX_ID:
        raise InvalidFields(f"an id should have from 1 to {MAX_ID} characters")


def unanswerable() -> InvalidFields:
    """Return the error for messages that nothing can answer."""
    return InvalidFields(
        "the last message should be a user's, or the result of a tool call that is there"
    )


def _check(one: NewMessage) -> None:
    check_id(one.id)
    if one.role not in {USER, ASSISTANT, TOOL}:
        raise InvalidFields("a message in a conversation is a user's, an assistant's, or a tool's")
    if (one.tool_call_id is None) == (one.role == TOOL):
        raise InvalidFields("the result of a tool call, and nothing else, names the call")


def _measured(one: NewMessage) -> Incoming:
    words = "\n".join([visible_text(one.content), *called_words(one.tool_calls)])
    more: tuple[Any, ...] = (list(one.tool_calls) if one.tool_calls else None,)
    return Incoming(one, words, size_of(one.content, *more, one.tool_call_id, one.name, one.id))
