"""The article's endpoint: `POST /ai/chat/stream-sse`."""

from __future__ import annotations

from typing import Annotated, Literal, Self, cast

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, JsonValue, PlainValidator, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import WithJsonSchema

from stream_serve.runs import Runs
from stream_serve.settings import Settings
from stream_serve.upstream.base import ChatRequest
from stream_serve.web.body import read_json
from stream_serve.web.dependencies import runs_of, settings_of
from stream_serve.web.gate import cors_headers, owner_of
from stream_serve.web.stream import EventStream

router = APIRouter(tags=["chat"])


def _content(value: object) -> object:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(
        isinstance(part, dict) for part in cast("list[object]", value)
    ):
        return cast("list[object]", value)
    raise ValueError("should be text, or a list of content parts (objects)")


def _stop(value: object) -> object:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(
        isinstance(part, str) for part in cast("list[object]", value)
    ):
        return cast("list[object]", value)
    raise ValueError("should be text, or a list of texts")


class _Body(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", strict=True, allow_inf_nan=False
    )


class ChatMessage(_Body):
    """One message of a conversation; `content` goes to the provider as it is."""

    role: Literal["system", "user", "assistant", "developer"]
    content: Annotated[
        JsonValue,
        PlainValidator(_content),
        WithJsonSchema(
            {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}
        ),
    ]


class ChatBody(_Body):
    """What to ask. Either `message` or `messages` is needed; everything else is optional.

    What is not given is not sent to the provider.
    """

    message: str | None = Field(None, min_length=1, description="the user's message")
    system_prompt: str | None = Field(
        None, description="absent or empty: the service's own, STREAM_SERVE_SYSTEM_PROMPT"
    )
    messages: list[ChatMessage] | None = Field(
        None,
        min_length=1,
        description="a whole conversation instead of `message`; no system prompt is added to it "
        "but the one in `systemPrompt`",
    )
    model: str | None = Field(None, min_length=1, max_length=200)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    stop: Annotated[
        JsonValue,
        PlainValidator(lambda value: None if value is None else _stop(value)),
        WithJsonSchema(
            {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
        ),
    ] = None
    enable_thinking: bool | None = Field(None, description="let a thinking model think first")
    thinking_budget: int | None = Field(None, ge=1, description="tokens it may think")
    enable_search: bool | None = Field(None, description="let the provider search the web")

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.message is None) == (self.messages is None):
            raise ValueError("give either message or messages, one of the two")
        return self

    def request(self, *, model: str, system_prompt: str) -> ChatRequest:
        """Put it in the provider's words; the arguments stand in for what was not given."""
        messages: list[dict[str, object]] = []
        if self.messages is None:
            prompt = self.system_prompt or system_prompt
            messages.append({"role": "system", "content": prompt})
            messages.append({"role": "user", "content": self.message})
        else:
            if self.system_prompt:
                messages.append({"role": "system", "content": self.system_prompt})
            messages.extend({"role": m.role, "content": m.content} for m in self.messages)
        options = self.model_dump(
            include={
                "temperature",
                "top_p",
                "max_tokens",
                "stop",
                "enable_thinking",
                "thinking_budget",
                "enable_search",
            },
            exclude_none=True,
        )
        return ChatRequest(model=self.model or model, messages=messages, options=options)


@router.post("/ai/chat/stream-sse", response_class=EventStream, status_code=200)
async def stream_chat(
    request: Request,
    runs: Annotated[Runs, Depends(runs_of)],
    settings: Annotated[Settings, Depends(settings_of)],
) -> EventStream:
    """Ask the model and stream its answer.

    The answer is an event stream: one `start`, any number of `chunk` and `reasoning`, and one `end`
    or `error`, each with its number as `id:`. The header `X-Run-Id` names the run. Closing the
    connection stops the run and closes the connection to the provider.
    """
    body = await read_json(request, ChatBody, max_bytes=settings.max_body_bytes)
    asked = body.request(model=runs.model, system_prompt=settings.system_prompt)
    attachment = await runs.start(asked, owner=owner_of(request))
    return EventStream(
        attachment,
        heartbeat=settings.heartbeat_interval,
        headers=cors_headers(request.scope),
    )
