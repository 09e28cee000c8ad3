"""The body of a question to a model: its fields, and the request to a provider that they make."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import islice
from typing import Annotated, ClassVar, Final, Literal, cast

from pydantic import Field, JsonValue, PlainValidator, ValidationInfo
from pydantic.alias_generators import to_camel
from pydantic.json_schema import WithJsonSchema

from stream_serve.producers.provider import ChatRequest
from stream_serve.web.body import Body, OpenBody, check_size, check_values, invalid
from stream_serve.web.fields import RunId
from stream_serve.web.nearest import plain

NEW: Final = "new"
_MAX_MESSAGES: Final = 10_000
_MAX_PARTS: Final = 1_000
_MAX_STOPS: Final = 16
_MAX_OBJECT: Final = 65_536
_MAX_LEVELS: Final = 32
_MAX_TOKENS: Final = 2**31 - 1
_MAX_SEED: Final = 2**63 - 1
_OPTIONS: Final = (
    "temperature",
    "top_p",
    "max_tokens",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "response_format",
    "reasoning_effort",
    "enable_thinking",
    "thinking_budget",
    "enable_search",
)
"""The fields that are options of a provider, under the same names."""

LIMITS: Final = {
    **dict.fromkeys(("maxtokens", "maxcompletiontokens", "maxoutputtokens"), "maxTokens"),
    **dict.fromkeys(("maxnewtokens", "maxlength", "npredict", "numpredict"), "maxTokens"),
    **dict.fromkeys(("thinkingbudget", "thinkingtokenbudget", "budgettokens"), "thinkingBudget"),
    **dict.fromkeys(("thinkingbudgettokens", "maxthinkingtokens"), "thinkingBudget"),
    **dict.fromkeys(("reasoningbudget", "maxreasoningtokens"), "thinkingBudget"),
}
"""What servers call the limits on an answer's tokens, without `_` and in lower case, and our fields."""

ONE_ANSWER: Final = frozenset({"n", "bestof", "numreturnsequences"})
"""What servers call the number of answers to a question; a run has one."""

_RESERVED: Final = {
    **{plain(name): None for name in ("stream", "stream_options", *ONE_ANSWER)},
    **dict.fromkeys(("prompt", "input"), "message"),
    **dict.fromkeys(("model", "models"), "model"),
    "messages": "messages",
    **LIMITS,
    **{plain(name): to_camel(name) for name in _OPTIONS},
}
"""What `extraBody` cannot have, in the same spelling, and the fields that say it."""


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


def _object(value: object, info: ValidationInfo) -> dict[str, object] | None:
    """Return `value` if it is an object within the bounds, or null. Raises `ValueError`."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError("should be an object")  # noqa: TRY004 - pydantic knows only this one
    check_values(cast("object", value), info.context)
    check_size(cast("object", value), most=_MAX_OBJECT, levels=_MAX_LEVELS)
    return cast("dict[str, object]", value)


def _response_format(value: object, info: ValidationInfo) -> object:
    found = _object(value, info)
    if found is not None and not isinstance(found.get("type"), str):
        raise ValueError("should have a type, such as json_object")
    return found


def _extra(value: object, info: ValidationInfo) -> object:
    found = _object(value, info)
    for name in found or ():
        if plain(name) in _RESERVED:
            field = _RESERVED[plain(name)]
            remedy = f"use the field {field}" if field else "the service sets it itself"
            raise ValueError(f"cannot have {name[:40]}: {remedy}")
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


class ChatBody(OpenBody):
    """A chat request: one of `message`, `messages` and `regenerate`; all other fields are optional.

    Options that are absent or null are not sent to the provider. A field that is not listed here is
    ignored, and the response names it in the header X-Ignored-Fields; what looks like a misspelt one is
    refused.
    """

    synonyms: ClassVar[Mapping[str, str]] = {
        **LIMITS,
        **dict.fromkeys(("stopsequences", "stopsequence", "stopwords"), "stop"),
        **dict.fromkeys(("system", "systemmessage", "systeminstruction"), "systemPrompt"),
    }

    message: str | None = Field(None, min_length=1, description="the user's message")
    system_prompt: str | None = Field(
        None,
        description="absent or empty: the service's own, STREAM_SERVE_SYSTEM_PROMPT; null: none",
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
    max_tokens: int | None = Field(
        None,
        ge=1,
        le=_MAX_TOKENS,
        description="the most tokens of the answer, thinking included where the model thinks",
    )
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
    seed: int | None = Field(
        None,
        ge=-_MAX_SEED - 1,
        le=_MAX_SEED,
        description="the same seed makes the same answer likelier",
    )
    presence_penalty: float | None = Field(
        None, ge=-2, le=2, description="above 0: rather words that have not come yet"
    )
    frequency_penalty: float | None = Field(
        None, ge=-2, le=2, description="above 0: rather not the words that have come often"
    )
    response_format: Annotated[
        dict[str, object] | None,
        PlainValidator(_response_format),
        WithJsonSchema(
            {
                "type": "object",
                "properties": {"type": {"type": "string"}},
                "required": ["type"],
                "description": 'the form of the answer, such as {"type": "json_object"}, or '
                "json_schema with a schema; goes to the provider unchanged",
            }
        ),
    ] = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        Field(None, description="how hard a thinking model thinks; each knows some of these")
    )
    enable_thinking: bool | None = Field(
        None,
        description="let a thinking model think first, or not; refused where the provider cannot be told",
    )
    thinking_budget: int | None = Field(
        None,
        ge=1,
        le=_MAX_TOKENS,
        description="tokens it may think; refused where the provider cannot be told",
    )
    enable_search: bool | None = Field(None, description="let the provider search the web")
    extra_body: Annotated[
        dict[str, object] | None,
        PlainValidator(_extra),
        WithJsonSchema(
            {
                "type": "object",
                "description": "more fields for the provider, which gets them unchanged, such as "
                f'{{"top_k": 20}}; at most {_MAX_OBJECT} bytes, nested {_MAX_LEVELS} levels deep, and '
                "nothing that has a field here. The operator may allow only some, or none",
            }
        ),
    ] = None

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
    def unprompted(self) -> bool:
        """Whether the caller wants no system prompt, not even the service's own."""
        return self.system_prompt is None and "system_prompt" in self.model_fields_set

    def request(self, *, model: str, system_prompt: str | None) -> ChatRequest:
        """Return the request in OpenAI's words, which begins with `system_prompt` unless it is None."""
        messages: list[dict[str, object]] = []
        if system_prompt is not None:
            messages.append({"role": "system", "content": system_prompt})
        if self.messages is None:
            messages.append({"role": "user", "content": self.message})
        else:
            messages.extend({"role": m.role, "content": m.content} for m in self.messages)
        given = {name: getattr(self, name) for name in _OPTIONS}
        options = {name: value for name, value in given.items() if value is not None}
        return ChatRequest(model, messages, options, self.extra_body or {})

    def fingerprint(self) -> bytes:
        """Return a digest that differs for two different requests with the same run id."""
        text = self.model_dump_json(exclude={"run_id"}, exclude_unset=True)
        return hashlib.sha256(text.encode()).digest()
