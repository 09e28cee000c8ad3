"""The article's endpoint: `POST /ai/chat/stream-sse`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, cast

from fastapi import APIRouter, Depends, Request

from stream_serve.conversations import prompt
from stream_serve.conversations.base import ASSISTANT, TOOL, USER, NewAnswer, NewMessage
from stream_serve.events import plain
from stream_serve.producers.provider import named
from stream_serve.runs.spec import OnDisconnect
from stream_serve.web.asking import Asking, asking_of, run_id_of
from stream_serve.web.body import invalid, read_bytes
from stream_serve.web.dialects import plain_chat
from stream_serve.web.dialects.native import NEW
from stream_serve.web.response import ignored_fields
from stream_serve.web.security import ASK, cors_headers, guarded
from stream_serve.web.stream import EventStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.conversations.base import History, Message, Turn
    from stream_serve.web.dialects.native import ChatBody, ToolResult
    from stream_serve.web.dialects.plain_chat import PlainChat

router = APIRouter(tags=["chat"])

Content = str | list[dict[str, object]]

_SHOWN: Final = 100
"""How much of a call's id is shown in an error."""


@router.post("/ai/chat/stream-sse", response_class=EventStream, status_code=200)
@guarded(ASK)
async def stream_chat(
    request: Request, asking: Annotated[Asking, Depends(asking_of)]
) -> EventStream:
    """Ask the model and stream its answer.

    The response is an event stream: one `start`, any number of `chunk`, `reasoning`, `tool_call`,
    `tool_arguments`, `source` and `extra`, and one `end` or `error`, each with its number as `id:`. The
    header `X-Run-Id` has the id of the run, and `X-Ignored-Fields` the fields of the body that are not
    known here. Closing the connection stops the run and closes the connection to the provider, unless
    `onDisconnect` is `continue`.
    """
    settings = asking.settings
    body = plain_chat.read(await read_bytes(request, max_bytes=settings.max_body_bytes))
    body.check()

    async def converse(run_id: str, model: str) -> Turn:
        history = await asking.conversations.history()
        return await _turn(body, history, asking.owner, run_id, model)

    subscription = await asking.start(
        body.question(),
        run_id=run_id_of(request, body.run_id),
        fingerprint=body.fingerprint(),
        on_disconnect=OnDisconnect(body.on_disconnect),
        converse=None if body.conversation_id is None else converse,
    )
    headers = {**cors_headers(request.scope), **ignored_fields(body.ignored)}
    return EventStream(subscription, heartbeat=settings.heartbeat_interval, headers=headers)


async def _turn(
    body: ChatBody | PlainChat, history: History, owner: str | None, run_id: str, model: str
) -> Turn:
    """Store what is new, and its new answer, or another answer to an old message."""
    conversation_id = body.conversation_id if body.conversation_id != NEW else None
    answer = NewAnswer(run_id=run_id, model=model)
    if body.regenerate is not None and conversation_id is not None:
        return await history.ask_again(owner or "", conversation_id, body.regenerate, answer)
    new: list[NewMessage] = []
    parent_id = body.parent_id
    if body.tool_results is not None and conversation_id is not None:
        called = await _calling(history, owner or "", conversation_id, parent_id)
        new += results(called, body.tool_results)
        parent_id = called.id
    if body.message is not None:
        new.append(NewMessage(role=USER, content=cast("Content", body.message)))
    return await history.ask(
        owner or "",
        conversation_id,
        new,
        answer,
        parent_id=parent_id,
        at_root=body.at_root,
    )


async def _calling(
    history: History, owner: str, conversation_id: str, parent_id: str | None
) -> Message:
    """Return the answer whose calls have results. Raises `ConversationNotFound`, `MessageNotFound`."""
    if parent_id is None:
        return (await history.newest(owner, conversation_id)).message
    await history.get(owner, conversation_id)
    return (await history.message(owner, parent_id, conversation_id=conversation_id)).message


def results(called: Message, given: Sequence[ToolResult]) -> list[NewMessage]:
    """Return the results of an answer's calls as messages, in the order of the calls.

    Raises `InvalidFields` unless there is one for each call.
    """
    calls = [call.id for call in prompt.open_calls(called)] if called.role == ASSISTANT else []
    found: dict[str, ToolResult] = {}
    for at, one in enumerate(given):
        if one.tool_call_id not in calls:
            raise invalid(
                f"toolResults[{at}].toolCallId",
                f"the answer {called.id} has no such call that waits for a result; {_waiting(calls)}",
            )
        if one.tool_call_id in found:
            raise invalid(f"toolResults[{at}].toolCallId", "this call has a result already")
        found[one.tool_call_id] = one
    missing = [call for call in calls if call not in found]
    if missing:
        raise invalid("toolResults", f"results are missing: {_waiting(missing)}")
    return [
        NewMessage(
            role=TOOL,
            content=cast("Content", found[call].content),
            tool_call_id=call,
        )
        for call in calls
    ]


def _waiting(calls: Sequence[str]) -> str:
    """Say which calls wait for a result."""
    if not calls:
        return "none does: it is still being generated, or called no tool with whole arguments"
    shown = [plain.line(call, _SHOWN) for call in calls]
    return f"those that wait are {named(shown)}"
