"""The native dialect's request: the body of the article's endpoint, and the question that it makes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import islice
from typing import Annotated, ClassVar, Final, Literal, cast

from pydantic import Field, JsonValue, PlainValidator, ValidationInfo, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import WithJsonSchema

from stream_serve.web.body import Body, OpenBody, check_size, check_values, invalid
from stream_serve.web.fields import RunId
from stream_serve.web.nearest import plain
from stream_serve.web.question import LIMITS, ONE_ANSWER, Question

NEW: Final = "new"
_MAX_MESSAGES: Final = 10_000
_MAX_PARTS: Final = 1_000
_MAX_STOPS: Final = 16
_MAX_TOOLS: Final = 1_000
_MAX_CALLS: Final = 1_000
_MAX_NAME: Final = 256
_CAMEL: Final = {
    name: to_camel(name) for name in ("tool_calls", "tool_call_id", "name", "reasoning_content")
}
_MAX_OBJECT: Final = 65_536
_MAX_LEVELS: Final = 32
_MAX_TOKENS: Final = 2**31 - 1
_MAX_SEED: Final = 2**63 - 1
MAX_MODEL: Final = 200
_RESULTS: Final = {"messages": "toolResults"}
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
    "tools",
    "tool_choice",
    "parallel_tool_calls",
)
"""The fields that are options of a provider, under the same names."""

SPELLED: Final = {name: to_camel(name) for name in ("system_prompt", "extra_body", *_OPTIONS)}
"""What errors call the options of a question."""

_LIMITS: Final = {name: to_camel(option) for name, option in LIMITS.items()}
_RESERVED: Final = {
    **{plain(name): None for name in ("stream", "stream_options", *ONE_ANSWER)},
    **dict.fromkeys(("prompt", "input"), "message"),
    **dict.fromkeys(("model", "models"), "model"),
    "messages": "messages",
    "toolresults": "toolResults",
    **_LIMITS,
    **{plain(name): to_camel(name) for name in _OPTIONS},
}
"""What `extraBody` cannot have, in the same spelling, and the fields that say it."""


_CONTENT: Final[dict[str, list[dict[str, object]]]] = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "object"}, "maxItems": _MAX_PARTS},
    ]
}
"""The schema of a message's content."""


def _asked(value: object, info: ValidationInfo) -> object:
    if value is None:
        return None
    if value in ("", []):
        raise ValueError("should have something in it")
    return _content(value, info)


def _content(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str) or (value is None and info.data.get("role") == "assistant"):
        return value
    parts = _listed(value, dict, "should be text, or a list of content parts (objects)", _MAX_PARTS)
    check_values(parts, info.context)
    return parts


def _tool_calls(value: object, info: ValidationInfo) -> object:
    if value is None:
        return None
    calls = _listed(value, dict, "should be a list of tool calls (objects)", _MAX_CALLS)
    check_values(calls, info.context)
    for call in cast("list[dict[str, object]]", calls):
        function = call.get("function")
        if not isinstance(function, dict) or not isinstance(call.get("id"), str):
            raise ValueError("each should have an id and a function with a name and arguments")  # noqa: TRY004
    return calls


def _tools(value: object, info: ValidationInfo) -> object:
    if value is None:
        return None
    tools = _listed(value, dict, "should be a list of tools (objects)", _MAX_TOOLS)
    check_values(tools, info.context)
    return tools


def _tool_choice(value: object, info: ValidationInfo) -> object:
    return value if isinstance(value, str) else _object(value, info)


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
    check_values(cast("object", value), info.context, levels=_MAX_LEVELS)
    check_size(cast("object", value), _MAX_OBJECT)
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
    """One message of a conversation, in OpenAI's words; `content` goes to the provider unchanged.

    An assistant's message may have `tool_calls`, and no content then; a message with the role `tool` has
    the result of the call that `tool_call_id` names. Both may be written in camel case, too.
    """

    role: Literal["system", "user", "assistant", "developer", "tool"]
    content: Annotated[
        JsonValue,
        PlainValidator(_content),
        WithJsonSchema({"anyOf": [{"type": "null"}, *_CONTENT["anyOf"]]}),
    ]
    tool_calls: Annotated[
        JsonValue,
        PlainValidator(_tool_calls),
        WithJsonSchema({"type": "array", "items": {"type": "object"}, "maxItems": _MAX_CALLS}),
    ] = None
    tool_call_id: str | None = Field(None, min_length=1, max_length=_MAX_NAME)
    name: str | None = Field(None, min_length=1, max_length=_MAX_NAME)
    reasoning_content: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _in_camel_case(cls, data: object) -> object:
        """Take OpenAI's own spelling of the fields, and no content beside tool calls."""
        if not isinstance(data, dict):
            return data
        fields = cast("dict[str, object]", data)
        if {"tool_calls", "toolCalls"} & fields.keys():
            fields = {"content": None, **fields}
        return {_CAMEL.get(name, name): value for name, value in fields.items()}

    @model_validator(mode="after")
    def _has_something(self) -> ChatMessage:
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError(
                "should have content; only an assistant's message with tool_calls may have none"
            )
        if self.tool_calls and self.role != "assistant":
            raise ValueError("only an assistant's message may have tool_calls")
        if (self.tool_call_id is None) == (self.role == "tool"):
            raise ValueError(
                "a message with the role tool, and no other, should have a tool_call_id"
            )
        return self

    def sent(self) -> dict[str, object]:
        """Return the message as a provider takes it."""
        more = {name: getattr(self, name) for name in _CAMEL}
        return {
            "role": self.role,
            "content": self.content,
            **{name: value for name, value in more.items() if value is not None},
        }


class ToolResult(Body):
    """The result of a tool call that an answer in a conversation has made."""

    tool_call_id: str = Field(min_length=1, max_length=_MAX_NAME)
    content: Annotated[
        JsonValue,
        PlainValidator(_content),
        WithJsonSchema(_CONTENT),
    ]

    def sent(self) -> dict[str, object]:
        """Return it as a message, as a provider takes it."""
        return {"role": "tool", "tool_call_id": self.tool_call_id, "content": self.content}


class ChatBody(OpenBody):
    """A chat request: one of `message`, `messages` and `regenerate`; all other fields are optional.

    In a conversation `toolResults` may stand in place of `message`, or beside it.

    Options that are absent or null are not sent to the provider. A field that is not listed here is
    ignored, and the response names it in the header X-Ignored-Fields; what looks like a misspelt one is
    refused.
    """

    synonyms: ClassVar[Mapping[str, str]] = {
        **_LIMITS,
        **dict.fromkeys(("stopsequences", "stopsequence", "stopwords"), "stop"),
        **dict.fromkeys(("system", "systemmessage", "systeminstruction"), "systemPrompt"),
    }

    message: Annotated[
        JsonValue,
        PlainValidator(_asked),
        WithJsonSchema(
            {"description": "the user's message: text, or content parts, such as pictures"}
            | _CONTENT
        ),
    ] = None
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
    model: str | None = Field(None, min_length=1, max_length=MAX_MODEL)
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
    tools: Annotated[
        JsonValue,
        PlainValidator(_tools),
        WithJsonSchema(
            {
                "type": "array",
                "items": {"type": "object"},
                "maxItems": _MAX_TOOLS,
                "description": "the tools that the model may call, in OpenAI's words; the service itself "
                "calls none",
            }
        ),
    ] = None
    tool_choice: Annotated[
        str | dict[str, object] | None,
        PlainValidator(_tool_choice),
        WithJsonSchema(
            {
                "anyOf": [{"type": "string"}, {"type": "object"}],
                "description": "none, auto, required, or the tool that is to be called",
            }
        ),
    ] = None
    parallel_tool_calls: bool | None = Field(
        None, description="whether the model may call several tools at once"
    )
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

    tool_results: list[ToolResult] | None = Field(
        None,
        min_length=1,
        max_length=_MAX_CALLS,
        fail_fast=True,
        description="in a conversation, instead of a message or before it: the results of all tool calls "
        "of the answer that it replies to",
    )

    def check(self) -> None:
        """Check the fields that depend on each other. Raises `InvalidFields`."""
        asked = [self.message, self.messages, self.regenerate]
        given = sum(one is not None for one in asked)
        if given > 1 or (given == 0 and self.tool_results is None):
            raise invalid("message", "give one of message, messages and regenerate, or toolResults")
        if self.tool_results is not None:
            self._check_results()
        if self.conversation_id is None:
            if self.regenerate is not None or "parent_id" in self.model_fields_set:
                raise invalid("conversationId", "regenerate and parentId need it")
        elif self.messages is not None:
            raise invalid("messages", "a conversation has its own messages: give message")
        elif self.conversation_id == NEW and self.message is None:
            raise invalid("message", "a new conversation begins with one")

    def _check_results(self) -> None:
        """Check that tool results stand where there can be calls. Raises `InvalidFields`."""
        if self.messages is not None:
            raise invalid("toolResults", "with messages, give them as messages with the role tool")
        if self.regenerate is not None:
            raise invalid("toolResults", "regenerate answers once more what is there already")
        if self.conversation_id in {None, NEW} or self.at_root:
            raise invalid("toolResults", "need a conversationId with an answer that called tools")

    @property
    def at_root(self) -> bool:
        """Whether the message begins the conversation anew."""
        return "parent_id" in self.model_fields_set and self.parent_id is None

    @property
    def unprompted(self) -> bool:
        """Whether the caller wants no system prompt, not even the service's own."""
        return self.system_prompt is None and "system_prompt" in self.model_fields_set

    def question(self) -> Question:
        """Return what is asked. The messages of a conversation are not in it but the new one."""
        given = {name: getattr(self, name) for name in _OPTIONS}
        asked = {} if self.messages is not None else {self._place: "message"}
        results = {} if self.tool_results is None else _RESULTS
        return Question(
            model=self.model,
            messages=self._messages(),
            options={name: value for name, value in given.items() if value is not None},
            extra=self.extra_body or {},
            system_prompt="" if self.unprompted else self.system_prompt or None,
            bare=self.unprompted or self.messages is not None,
            spelled=SPELLED | results | asked,
        )

    @property
    def _place(self) -> str:
        """Where the message is in the question, behind the results."""
        return f"messages[{len(self.tool_results or ())}].content"

    def _messages(self) -> list[dict[str, object]]:
        if self.messages is not None:
            return [one.sent() for one in self.messages]
        told = [one.sent() for one in self.tool_results or ()]
        asked: list[dict[str, object]] = (
            [] if self.message is None else [{"role": "user", "content": self.message}]
        )
        return [*told, *asked]

    def fingerprint(self) -> bytes:
        """Return a digest that differs for two different requests with the same run id."""
        text = self.model_dump_json(exclude={"run_id"}, exclude_unset=True)
        return hashlib.sha256(text.encode()).digest()
