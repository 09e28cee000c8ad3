"""The body of `POST /v1/responses`, read into a question.

How it works: each field is the provider's under another name, or ours (`store`, `background`, the chain),
or has no effect here; what is not known is ignored, and null is absent. Tools that only OpenAI has are
skipped, since clients send them beside their functions. Only what would make the answer one to another
question is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import structlog
from msgspec import Struct

from stream_serve.errors import InvalidFields
from stream_serve.web.body import invalid
from stream_serve.web.dialects import chat_request
from stream_serve.web.dialects.responses import input as input_items
from stream_serve.web.dialects.responses.object import Door
from stream_serve.web.question import Question

Json = dict[str, Any]

if TYPE_CHECKING:
    from collections.abc import Callable

_log: Final = structlog.stdlib.get_logger("stream_serve.web")

_REFUSED: Final = ("conversation", "prompt", "moderation")
_NUMBERS: Final = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
_TEXTS: Final = ("service_tier", "user", "safety_identifier", "prompt_cache_key")
_FORWARDED: Final = (*_NUMBERS, *_TEXTS, "enable_thinking", "thinking_budget")
_ECHOED: Final = (
    *_NUMBERS,
    *_TEXTS,
    *("max_output_tokens", "max_tool_calls", "parallel_tool_calls", "top_logprobs", "truncation"),
)
_KNOWN: Final = frozenset(
    (
        *_ECHOED,
        *_REFUSED,
        *_FORWARDED,
        *("background", "client_metadata", "context_management", "include", "input"),
        *("instructions", "metadata", "model", "on_disconnect", "previous_response_id"),
        *("prompt_cache_options", "prompt_cache_retention", "reasoning", "store", "stream"),
        *("background_options", "stream_options", "text", "tool_choice", "tools"),
    )
)
_LOGPROBS: Final = "message.output_text.logprobs"
_MAX_TOOLS: Final = 1000
_MAX_PAIRS: Final = 16
_MAX_KEY: Final = 64
_MAX_VALUE: Final = 512
_SPELLED: Final = {
    "system_prompt": "instructions",
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "extra_body": "body",
}


class Asked(Struct, frozen=True, kw_only=True):
    """What a body asks for. `fields` are those that are not null, `input` the new items."""

    fields: Json
    options: Json
    input: list[Json]
    echo: Json
    stream: bool
    background: bool
    store: bool
    previous_response_id: str | None

    @property
    def ignored(self) -> list[str]:
        """The names of the fields that are not known here."""
        return [name for name in self.fields if name not in _KNOWN]

    def question(self, items: list[Json]) -> Question:
        """Return the question, for all items: those of the chain, and the new ones.

        Raises `InvalidFields`.
        """
        return Question(
            model=self.fields.get("model") or None,
            messages=input_items.messages(items),
            options=self.options,
            system_prompt=self.fields.get("instructions"),
            bare=True,
            spelled=_SPELLED,
        )

    def door(self, items: list[Json]) -> Door:
        """Return what the start event keeps; `items` are the new ones that are kept with it."""
        return Door(
            echo=self.echo,
            background=self.background,
            store=self.store,
            previous_response_id=self.previous_response_id,
            input=items,
        )


def read(body: Json, run_id: str) -> Asked:
    """Return what a body asks for. Raises `InvalidFields`."""
    fields = {name: value for name, value in body.items() if value is not None}
    for name in _REFUSED:
        if name in fields:
            raise input_items.unsupported(name, "is not supported here: leave it out")
    _check_types(fields)
    echo: Json = {name: fields[name] for name in _ECHOED if name in fields}
    options: Json = {name: fields[name] for name in _FORWARDED if name in fields}
    if "max_output_tokens" in fields:
        options["max_tokens"] = fields["max_output_tokens"]
    for add in (_add_text, _add_reasoning, _add_logprobs, _add_tools, _add_metadata):
        add(fields, options, echo)
    if "instructions" in fields:
        echo["instructions"] = fields["instructions"]
    return Asked(
        fields=fields,
        options=options,
        input=_input(fields, run_id),
        echo=echo,
        stream=chat_request.flag(fields, "stream"),
        background=chat_request.flag(fields, "background"),
        store=chat_request.flag({"store": True, **fields}, "store"),
        previous_response_id=fields.get("previous_response_id"),
    )


def _input(fields: Json, run_id: str) -> list[Json]:
    items = input_items.read(fields.get("input", []), run_id)
    if not items and "previous_response_id" not in fields:
        message = "say what the model is to answer"
        code = "missing_required_parameter"
        raise InvalidFields(f"input: {message}", fields=(("input", message),), code=code)
    return items


def _check_types(fields: Json) -> None:
    texts = (*_TEXTS, "model", "instructions", "previous_response_id", "truncation")
    wholes = ("max_output_tokens", "max_tool_calls", "top_logprobs")
    checks: list[tuple[tuple[str, ...], Callable[[object], bool], str]] = [
        (texts, lambda value: isinstance(value, str), "should be a text"),
        (_NUMBERS, _is_number, "should be a number"),
        (wholes, _is_whole, "should be a whole number of at least 0"),
        (
            ("parallel_tool_calls",),
            lambda value: isinstance(value, bool),
            "should be true or false",
        ),
        (("text", "reasoning", "metadata"), _is_object, "should be an object"),
        (("tools", "include"), lambda value: isinstance(value, list), "should be a list"),
    ]
    for names, fits, message in checks:
        for name in names:
            if name in fields and not fits(fields[name]):
                raise invalid(name, message)
    if fields.get("max_output_tokens") == 0:
        raise invalid("max_output_tokens", "should be above 0")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _add_text(fields: Json, options: Json, echo: Json) -> None:
    text: Json = fields.get("text", {})
    if text.get("verbosity") is not None:
        options["verbosity"] = text["verbosity"]
    wanted: object = text.get("format") or {"type": "text"}
    kind = cast("Json", wanted).get("type") if isinstance(wanted, dict) else None
    if kind == "json_schema":
        schema = cast("Json", wanted)
        names = ("name", "schema", "strict", "description")
        given = {name: schema[name] for name in names if schema.get(name) is not None}
        options["response_format"] = {"type": kind, "json_schema": given}
    elif kind == "json_object":
        options["response_format"] = {"type": kind}
    elif kind != "text":
        raise invalid("text.format.type", "may be text, json_object or json_schema")
    if text:
        echo["text"] = {**text, "format": wanted}


def _add_reasoning(fields: Json, options: Json, echo: Json) -> None:
    reasoning: Json = fields.get("reasoning", {})
    if reasoning.get("effort") is not None:
        options["reasoning_effort"] = reasoning["effort"]
    if reasoning:
        echo["reasoning"] = {"effort": None, "summary": None, **reasoning}


def _add_logprobs(fields: Json, options: Json, echo: Json) -> None:
    del echo
    if "top_logprobs" in fields or _LOGPROBS in fields.get("include", []):
        options["logprobs"] = True
        if fields.get("top_logprobs"):
            options["top_logprobs"] = fields["top_logprobs"]


def _add_metadata(fields: Json, options: Json, echo: Json) -> None:
    """Keep the metadata, which is the caller's alone."""
    del options
    metadata: Json = fields.get("metadata", {})
    if len(metadata) > _MAX_PAIRS:
        raise invalid("metadata", f"may have at most {_MAX_PAIRS} pairs")
    for name, value in metadata.items():
        if len(name) > _MAX_KEY or not isinstance(value, str) or len(value) > _MAX_VALUE:
            raise invalid(
                "metadata",
                f"should have names of at most {_MAX_KEY} characters, and texts of at most {_MAX_VALUE}",
            )
    if metadata:
        echo["metadata"] = metadata


def _add_tools(fields: Json, options: Json, echo: Json) -> None:
    given = cast("list[object]", fields.get("tools", []))
    if len(given) > _MAX_TOOLS:
        raise invalid("tools", f"may be at most {_MAX_TOOLS}")
    tools: list[Json] = []
    skipped: list[str] = []
    for number, one in enumerate(given):
        tool = cast("Json", one) if isinstance(one, dict) else {}
        if tool.get("type") == "function":
            if not isinstance(tool.get("name"), str) or not tool["name"]:
                raise invalid(f"tools[{number}].name", "should be a text")
            tools.append({"description": None, "parameters": None, "strict": None, **tool})
        else:
            skipped.append(str(tool.get("type"))[:40])
    if skipped:
        _log.info("tools that only OpenAI has were left out", types=sorted(set(skipped))[:10])
    if tools:
        echo["tools"] = tools
    choice, allowed = _choice(fields.get("tool_choice"), [tool["name"] for tool in tools])
    if "tool_choice" in fields:
        echo["tool_choice"] = fields["tool_choice"]
    sent = [tool for tool in tools if allowed is None or tool["name"] in allowed]
    if not sent:
        return
    options["tools"] = [{"type": "function", "function": _function(tool)} for tool in sent]
    if choice is not None:
        options["tool_choice"] = choice
    if "parallel_tool_calls" in fields:
        options["parallel_tool_calls"] = fields["parallel_tool_calls"]


def _function(tool: Json) -> Json:
    names = ("name", "description", "parameters", "strict")
    return {name: tool[name] for name in names if tool.get(name) is not None}


def _choice(value: object, names: list[str]) -> tuple[object, set[str] | None]:
    """Return a choice of tools in a chat completion's words, and the tools that are allowed; None: all.

    Raises `InvalidFields`.
    """
    if value is None or value in ("none", "auto"):
        return value, None
    if value == "required":
        if not names:
            raise _no_such_tool("required needs a function among the tools")
        return value, None
    choice = cast("Json", value) if isinstance(value, dict) else {}
    kind = choice.get("type")
    if kind == "function" and _named(choice) in names:
        return {"type": kind, "function": {"name": choice["name"]}}, None
    if kind != "allowed_tools":
        raise _no_such_tool("should be none, auto, required, or a function of the tools")
    tools = choice.get("tools")
    allowed = {
        _named(one) for one in cast("list[object]", tools if isinstance(tools, list) else [])
    }
    if not allowed <= set(names):
        raise _no_such_tool("may only allow functions of the tools")
    mode = choice.get("mode", "auto")
    if mode not in ("none", "auto", "required"):
        raise _no_such_tool("should have the mode auto or required")
    return mode, allowed


def _named(value: object) -> str:
    """Return the function that a choice names; "" if it names none."""
    choice = cast("Json", value) if isinstance(value, dict) else {}
    name = choice.get("name")
    return name if choice.get("type") == "function" and isinstance(name, str) else ""


def _no_such_tool(message: str) -> Exception:
    return invalid("tool_choice", message)
