"""The article's endpoint: `POST /ai/chat/stream-sse`."""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast

from fastapi import APIRouter, Depends, Request
from pydantic import Field, JsonValue, PlainValidator, ValidationInfo
from pydantic.json_schema import WithJsonSchema

from stream_serve.conversations.context import Conversations
from stream_serve.producers.provider import ChatRequest, Provider
from stream_serve.runs import names
from stream_serve.runs.service import Runs
from stream_serve.runs.spec import OnDisconnect, Plan, RunSpec
from stream_serve.settings import Settings
from stream_serve.web.body import Body, check_values, invalid, read_json
from stream_serve.web.dependencies import conversations_of, provider_of, runs_of, settings_of
from stream_serve.web.fields import RunId
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
    """Return `value` if it is a list of at most `most` items of `kind`. Raises `ValueError`."""
    found = cast("list[object]", value) if isinstance(value, list) else None
    if found is None or not all(isinstance(item, kind) for item in islice(found, most)):
        raise ValueError(wrong)
    if len(found) > most:
        raise ValueError(f"should have at most {most} items")
    return found


class ChatMessage(Body):
    """One message of a conversation; `content` goes to the provider unchanged."""

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
    """A chat request: one of `message`, `messages` and `regenerate`; all other fields are optional.

    Options that are absent are not sent to the provider.
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
        """Check the fields that depend on each other. Raises `InvalidFields`."""
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
        """The caller's system prompt; None if it is absent or empty."""
        return self.system_prompt or None

    def request(self, *, model: str, system_prompt: str) -> ChatRequest:
        """Return the request in OpenAI's format; `system_prompt` is used if the caller has none."""
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
        """Return a digest that differs for two different requests with the same run id."""
        text = self.model_dump_json(exclude={"run_id"}, exclude_unset=True)
        return hashlib.sha256(text.encode()).digest()


@router.post("/ai/chat/stream-sse", response_class=EventStream, status_code=200)
@guarded(ASK)
async def stream_chat(
    request: Request,
    runs: Annotated[Runs, Depends(runs_of)],
    provider: Annotated[Provider, Depends(provider_of)],
    conversations: Annotated[Conversations, Depends(conversations_of)],
    settings: Annotated[Settings, Depends(settings_of)],
) -> EventStream:
    """Ask the model and stream its answer.

    The response is an event stream: one `start`, any number of `chunk` and `reasoning`, and one `end`
    or `error`, each with its number as `id:`. The header `X-Run-Id` has the id of the run. Closing the
    connection stops the run and closes the connection to the provider, unless `onDisconnect` is
    `continue`.
    """
    body = await read_json(request, ChatBody, max_bytes=settings.max_body_bytes)
    body.check()
    if body.conversation_id is not None or body.on_disconnect == "continue":
        check_origin_trusted(request)
    owner = owner_of(request)

    async def prepare(run_id: str) -> Plan:
        model = provider.model_for(body.model)
        asked = body.request(model=model, system_prompt=settings.system_prompt)
        if body.conversation_id is None:
            return Plan(provider.ask(asked))
        turn = await _turn(body, await conversations.history(), owner, run_id, model)
        prompt = body.prompt or settings.system_prompt
        asked = conversations.request(turn, system_prompt=prompt, request=asked)
        return Plan(provider.ask(asked), turn.ref)

    spec = RunSpec(
        prepare=prepare,
        run_id=_run_id(request, body),
        fingerprint=body.fingerprint(),
        on_disconnect=OnDisconnect(body.on_disconnect),
    )
    headers = cors_headers(request.scope)
    subscription = await runs.start(spec, owner=owner)
    return EventStream(subscription, heartbeat=settings.heartbeat_interval, headers=headers)


async def _turn(
    body: ChatBody, history: History, owner: str | None, run_id: str, model: str
) -> Turn:
    """Store the user message and its new answer, or another answer to an old message."""
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
    """Return the caller's run id from the body or the header Idempotency-Key. Raises `InvalidFields`."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return body.run_id
    try:
        names.check(key)
    except ValueError as error:
        raise invalid("Idempotency-Key", str(error)) from None
    if body.run_id not in {None, key}:
        raise invalid("Idempotency-Key", "should be the runId of the body, where both are given")
    return key
