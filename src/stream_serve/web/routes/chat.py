"""The article's endpoint: `POST /ai/chat/stream-sse`."""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast

from fastapi import APIRouter, Depends, Request
from pydantic import Field, JsonValue, PlainValidator, ValidationInfo
from pydantic.json_schema import WithJsonSchema

from stream_serve.conversations.context import Conversations
from stream_serve.producers.base import ChatRequest
from stream_serve.runs import runid
from stream_serve.runs.run import OnDisconnect, Order, Task
from stream_serve.runs.runid import RunId
from stream_serve.runs.service import Runs
from stream_serve.settings import Settings
from stream_serve.web.body import Body, check_values, invalid, read_json
from stream_serve.web.dependencies import conversations_of, runs_of, settings_of
from stream_serve.web.security import ASK, check_origin_trusted, cors_headers, guarded, owner_of
from stream_serve.web.stream import EventStream

if TYPE_CHECKING:
    from stream_serve.conversations.base import History, Turn

NEW: Final = "new"
_MAX_MESSAGES: Final = 10_000
_MAX_PARTS: Final = 1_000
_MAX_STOPS: Final = 16
_OPTIONS: Final = {
    "temperature",
    "top_p",
    "max_tokens",
    "stop",
    "enable_thinking",
    "thinking_budget",
    "enable_search",
}

router = APIRouter(tags=["chat"])


def _content(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str):
        return value
    parts = _listed(value, dict, "should be text, or a list of content parts (objects)", _MAX_PARTS)
    check_values(parts, info.context)
    return parts


def _stop(value: object) -> object:
    if value is None or isinstance(value, str):
        return value
    return _listed(value, str, "should be text, or a list of texts", _MAX_STOPS)


def _listed(value: object, kind: type, wrong: str, most: int) -> list[object]:
    """Return a list of one kind of items. Raises `ValueError`."""
    found = cast("list[object]", value) if isinstance(value, list) else None
    if found is None or not all(isinstance(item, kind) for item in islice(found, most)):
        raise ValueError(wrong)
    if len(found) > most:
        raise ValueError(f"should have at most {most} items")
    return found


class ChatMessage(Body):
    """One message of a conversation; `content` goes to the provider as it is."""

    role: Literal["system", "user", "assistant", "developer"]
    content: Annotated[
        JsonValue,
        PlainValidator(_content),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": "object"}, "maxItems": _MAX_PARTS},
                ]
            }
        ),
    ]


class ChatBody(Body):
    """What to ask: `message`, `messages` or `regenerate`; everything else is optional.

    What is not given is not sent to the provider.
    """

    message: str | None = Field(None, min_length=1, description="the user's message")
    system_prompt: str | None = Field(
        None, description="absent or empty: the service's own, STREAM_SERVE_SYSTEM_PROMPT"
    )
    messages: list[ChatMessage] | None = Field(
        None,
        min_length=1,
        max_length=_MAX_MESSAGES,
        fail_fast=True,
        description="a whole conversation instead of `message`; no system prompt is added to it "
        "but the one in `systemPrompt`",
    )
    model: str | None = Field(None, min_length=1, max_length=200)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    stop: Annotated[
        JsonValue,
        PlainValidator(_stop),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": "string"}, "maxItems": _MAX_STOPS},
                ]
            }
        ),
    ] = None
    enable_thinking: bool | None = Field(None, description="let a thinking model think first")
    thinking_budget: int | None = Field(None, ge=1, description="tokens it may think")
    enable_search: bool | None = Field(None, description="let the provider search the web")

    run_id: RunId | None = Field(
        None,
        description="an id of the caller's own for the run; the same request again under the same id "
        "joins the run. The header Idempotency-Key says the same",
    )
    on_disconnect: Literal["stop", "continue"] = Field(
        "stop", description="what becomes of the run when nobody reads it any more"
    )
    conversation_id: str | None = Field(
        None, description='the conversation to go on with, or "new"; absent: nothing is stored'
    )
    parent_id: str | None = Field(
        None,
        description="the answer that the message replies to; absent: the newest; null: none, the "
        "message begins the conversation anew",
    )
    regenerate: str | None = Field(
        None, description="instead of a message: the message in the conversation to answer again"
    )

    def check(self) -> None:
        """Check what belongs together. Raises `InvalidFields`."""
        asked = [self.message, self.messages, self.regenerate]
        if sum(one is not None for one in asked) != 1:
            raise invalid("message", "give one of message, messages and regenerate")
        if self.conversation_id is None:
            if self.regenerate is not None or "parent_id" in self.model_fields_set:
                raise invalid("conversationId", "regenerate and parentId need it")
        elif self.messages is not None:
            raise invalid("messages", "a conversation has its own messages: give message")
        elif self.conversation_id == NEW and self.message is None:
            raise invalid("message", "a new conversation begins with one")

    @property
    def prompt(self) -> str | None:
        """The system prompt that the caller gave."""
        return self.system_prompt or None

    def request(self, *, model: str, system_prompt: str) -> ChatRequest:
        """Put it in the provider's words; the arguments stand in for what was not given."""
        messages: list[dict[str, object]] = []
        if self.messages is None:
            messages.append({"role": "system", "content": self.prompt or system_prompt})
            messages.append({"role": "user", "content": self.message})
        else:
            if self.prompt:
                messages.append({"role": "system", "content": self.prompt})
            messages.extend({"role": m.role, "content": m.content} for m in self.messages)
        options = self.model_dump(include=_OPTIONS, exclude_none=True)
        return ChatRequest(model=model, messages=messages, options=options)

    def fingerprint(self) -> bytes:
        """Give what tells this request from another one under the same run id."""
        text = self.model_dump_json(exclude={"run_id"}, exclude_unset=True)
        return hashlib.sha256(text.encode()).digest()


@router.post("/ai/chat/stream-sse", response_class=EventStream, status_code=200)
@guarded(ASK)
async def stream_chat(
    request: Request,
    runs: Annotated[Runs, Depends(runs_of)],
    conversations: Annotated[Conversations, Depends(conversations_of)],
    settings: Annotated[Settings, Depends(settings_of)],
) -> EventStream:
    """Ask the model and stream its answer.

    The answer is an event stream: one `start`, any number of `chunk` and `reasoning`, and one `end`
    or `error`, each with its number as `id:`. The header `X-Run-Id` names the run. Closing the
    connection stops the run and closes the connection to the provider, unless `onDisconnect` says
    `continue`.
    """
    body = await read_json(request, ChatBody, max_bytes=settings.max_body_bytes)
    body.check()
    if body.conversation_id is not None or body.on_disconnect == "continue":
        check_origin_trusted(request)
    owner = owner_of(request)

    async def prepare(run_id: str) -> Task:
        asked = body.request(model=runs.model_for(body.model), system_prompt=settings.system_prompt)
        if body.conversation_id is None:
            return Task(asked)
        turn = await _turn(body, await conversations.history(), owner, run_id, asked.model)
        prompt = body.prompt or settings.system_prompt
        return conversations.task(turn, system_prompt=prompt, request=asked)

    order = Order(
        prepare=prepare,
        run_id=_run_id(request, body),
        fingerprint=body.fingerprint(),
        on_disconnect=OnDisconnect(body.on_disconnect),
    )
    headers = cors_headers(request.scope)
    attachment = await runs.start(order, owner=owner)
    return EventStream(attachment, heartbeat=settings.heartbeat_interval, headers=headers)


async def _turn(
    body: ChatBody, history: History, owner: str | None, run_id: str, model: str
) -> Turn:
    """Store the question and the beginning of its answer."""
    conversation_id = body.conversation_id if body.conversation_id != NEW else None
    if body.regenerate is not None and conversation_id is not None:
        return await history.ask_again(
            owner or "", conversation_id, body.regenerate, run_id=run_id, model=model
        )
    return await history.ask(
        owner or "",
        conversation_id,
        body.message or "",
        parent_id=body.parent_id,
        at_root="parent_id" in body.model_fields_set and body.parent_id is None,
        run_id=run_id,
        model=model,
    )


def _run_id(request: Request, body: ChatBody) -> str | None:
    """Give the id that the caller chose, in the body or in the header."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return body.run_id
    try:
        runid.check(key)
    except ValueError as error:
        raise invalid("Idempotency-Key", str(error)) from None
    if body.run_id not in {None, key}:
        raise invalid("Idempotency-Key", "should be the runId of the body, where both are given")
    return key
