"""UI messages of Vercel's AI SDK as those of a conversation, which are stored once.

How it works: the client sends the same messages again and again, so each is stored under the client's id
for it. A message that is there already is not stored again. The steps of an assistant's message are
answers of their own in a conversation, with the tools' results between them: the first has the message's
id, and the others have ids that are made of it. So the answer that a run adds to a message is found again
when the client sends the whole message.

The client's ids are any text. One with a slash in it could be one that is made of another; so it
becomes a digest, as one that is too long does. A message without an id is known by its place and its
first step, which the steps that follow leave as it is.
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


def chat_id(chat: str) -> str:
    """Return the id of a chat's conversation: the chat's, or a digest where that would be too long."""
    return chat if len(chat) <= MAX_ID else _digest(chat)


def edited_id(message_id: str, content: object) -> str:
    """Return the id of a user's message that has other words than the stored one with this id."""
    return _made(message_id, _digest(content)[:16])


def next_id(messages: Sequence[Json]) -> str:
    """Return the id of the answer that a run adds to the last message, which is an assistant's."""
    last = messages[-1]
    own = _own_id(len(messages) - 1, last)
    return _step_id(own, len(ui_history.steps(last["parts"])))


def kept(messages: Sequence[Json]) -> list[NewMessage]:
    """Return messages as they are stored; those of the system are not."""
    found: list[NewMessage] = []
    for number, message in enumerate(messages):
        named = _own_id(number, message)
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
                id=_made(message_id, "tool", one.id),
            )


def _own_id(number: int, message: Json) -> str:
    """Return the id under which the message at this place of a request is stored."""
    given: str = message["id"]
    if not given:
        return _made("", f"{number}", _digest(ui_history.steps(message["parts"])[0]))
    return _digest(given) if len(given) > MAX_ID or _BETWEEN in given else given


def _step_id(message_id: str, number: int) -> str:
    return _made(message_id, f"{number}") if number else message_id


def _made(message_id: str, *parts: str) -> str:
    """Return an id that is made of a stored message's."""
    name = _BETWEEN.join((message_id, *parts))
    return name if len(name) <= MAX_ID else _digest(name)


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()


def _given(one: Answered, taken: set[str]) -> str:
    """Return the id that the provider gave to a call, if the message has another one for it: two calls
    of a message may not have the same."""
    given, _, number = one.id.rpartition(ui_history.AGAIN)
    return given if number.isdigit() and given in taken else one.id
