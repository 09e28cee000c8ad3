"""UI messages of Vercel's AI SDK as those of a conversation, which are stored once.

How it works: the client sends the same messages again and again, so each is stored under the client's id
for it. A message that is there already is not stored again. The steps of an assistant's message are
answers of their own in a conversation, with the tools' results between them: the first has the message's
id, and the others have ids that are made of it. So the answer that a run adds to a message is found again
when the client sends the whole message.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream_serve.conversations.base import ASSISTANT, MAX_ID, TOOL, USER, NewMessage
from stream_serve.events.transcript import CalledTool
from stream_serve.web.dialects import ui_history

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stream_serve.web.dialects.ui_history import Answered

Json = dict[str, Any]

_BETWEEN: Final = "/"


def own_id(*parts: str) -> str:
    """Return the id of what is named by these parts; a digest where it would be too long."""
    name = _BETWEEN.join(parts)
    if 0 < len(name) <= MAX_ID:
        return name
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def edited_id(message_id: str, content: object) -> str:
    """Return the id of a user's message that has other words than the one with this id."""
    digest = hashlib.sha256(msgspec.json.encode(content)).hexdigest()
    return own_id(message_id, digest[:16])


def next_id(message: Json) -> str:
    """Return the id of the answer that a run adds to an assistant's message."""
    return _step_id(message["id"], len(ui_history.steps(message["parts"])))


def kept(messages: Sequence[Json]) -> list[NewMessage]:
    """Return messages as they are stored; those of the system are not."""
    found: list[NewMessage] = []
    for number, message in enumerate(messages):
        named = own_id(message["id"] or edited_id(f"{number}", message["parts"]))
        if message["role"] == ASSISTANT:
            found += _steps(named, message["parts"])
        elif message["role"] == USER and (content := ui_history.content("", message["parts"])):
            found.append(NewMessage(role=USER, content=content, id=named))
    return found


def _steps(message_id: str, parts: Sequence[Json]) -> Iterator[NewMessage]:
    taken: set[str] = set()
    for number, step in enumerate(ui_history.steps(parts)):
        answered = ui_history.answered(step)
        given = {one.id: _given(one, taken) for one in answered}
        taken |= set(given)
        yield NewMessage(
            role=ASSISTANT,
            content=ui_history.text(step),
            tool_calls=[CalledTool(given[one.id], one.name, one.arguments) for one in answered],
            id=_step_id(message_id, number),
        )
        for one in answered:
            yield NewMessage(
                role=TOOL,
                content=one.result,
                tool_call_id=given[one.id],
                name=one.name,
                id=own_id(message_id, "tool", one.id),
            )


def _step_id(message_id: str, number: int) -> str:
    return own_id(message_id, f"{number}") if number else own_id(message_id)


def _given(one: Answered, taken: set[str]) -> str:
    """Return the id that the provider gave to a call, if the message has another one for it: two calls
    of a message may not have the same."""
    given, _, number = one.id.rpartition(ui_history.AGAIN)
    return given if number.isdigit() and given in taken else one.id
