"""Addresses that a provider would fetch: where a question names one.

How it works: whatever stands in a question may be fetched by some provider, except what is listed here:
the texts, the names, and what a schema or a citation says. So a field that nobody has thought of is
refused. An address inside of a longer text is only text, and is not looked for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_serve.web.question import Question

Json = dict[str, Any]

_MESSAGE: Final = frozenset(
    {"role", "name", "tool_call_id", "reasoning", "reasoning_content", "reasoning_details"}
)
"""Fields of messages that are only read."""
_ANSWER: Final = _MESSAGE | {
    *("annotations", "citations", "search_results", "search_info"),
    *("id", "refusal", "thinking", "tool_calls", "function_call"),
}
"""Fields of an assistant's message that are only read: what it has said and cited."""
_TEXTS: Final = {
    None: "text",
    **dict.fromkeys(("text", "input_text", "output_text"), "text"),
    **{name: name for name in ("refusal", "thinking")},
}
"""Types of content parts that are text, with the field that has it; None where a part has no type."""
_NAMES: Final = frozenset({"filename", "title"})
"""Fields whose texts may look like an address (`notes:old.pdf`), but have no slash then."""
_DIALECT: Final = "$schema"
"""What names the language of a schema; it is known by its name, and not fetched."""
_OPTIONS: Final = frozenset(
    {"stop", "user", "metadata", "safety_identifier", "prompt_cache_key", "model"}
)
"""Options that are only read."""
_SCHEMAS: Final = frozenset({"functions", "response_format"})
"""Options that are schemas."""
_REFERENCES: Final = frozenset({"$ref", "$dynamicRef"})
"""What in a schema would be fetched."""
_ADDRESS: Final = re.compile(
    r"[\s\x00-\x20\x7f-\x9f\u200b-\u200f\u2060\ufeff]*(?!data:)[a-z][a-z0-9+.\-\t\r\n]{1,40}:[^ ]",
    re.IGNORECASE,
)
"""The beginning of an address, as lenient as servers that read it: spaces before, line ends inside. A
space after the colon makes it a text (`Note: …`)."""


def named(asked: Question) -> str | None:
    """Return the first field of a question that names an address; None if there is none."""
    for number, message in enumerate(asked.messages):
        read = _ANSWER if message["role"] == "assistant" else _MESSAGE
        for name, value in message.items():
            if name in read or (name == "content" and isinstance(value, str)):
                continue
            if _in_content(value, text=name == "content"):
                return f"messages[{number}].{name}"
    for name, value in asked.options.items():
        if _in_option(name, value):
            return name
    return "extra_body" if asked.extra and _inside(asked.extra) else None


def values(value: object) -> Iterator[tuple[str, object]]:
    """Return all values inside free-form JSON, each with the name of its field, "" in a list."""
    waiting: list[tuple[str, object]] = [("", value)]
    while waiting:
        name, inner = waiting.pop()
        yield name, inner
        if isinstance(inner, dict):
            waiting.extend(cast("Json", inner).items())
        elif isinstance(inner, list):
            waiting.extend(("", part) for part in cast("list[object]", inner))


def _in_option(name: str, value: object) -> bool:
    if name in _OPTIONS:
        return False
    if name in _SCHEMAS:
        return _in_schema(value)
    if name == "tools":
        return any(_in_tool(tool) for tool in _listed(value))
    if name == "prediction" and isinstance(value, dict):
        expected = cast("Json", value).items()
        return any(_in_content(inner, text=field == "content") for field, inner in expected)
    return _inside(value)


def _in_content(value: object, *, text: bool) -> bool:
    """Return whether a content has an address; `text`: one that is no list of parts is only read."""
    if isinstance(value, str):
        return not text and _inside(value)
    return any(_in_part(part) for part in _listed(value))


def _in_part(part: object) -> bool:
    if not isinstance(part, dict):
        return _inside(part)
    fields = cast("Json", part)
    kind = fields.get("type")
    text = _TEXTS.get(kind) if kind is None or isinstance(kind, str) else None
    return any(
        _inside({name: value})
        for name, value in fields.items()
        if name != text or not isinstance(value, str)
    )


def _in_tool(tool: object) -> bool:
    """Return whether a tool has an address; what says how a function is called is only read."""
    if not isinstance(tool, dict):
        return _inside(tool)
    fields = dict(cast("Json", tool))
    function = fields.pop("function", None)
    return _in_schema(function) or _inside(fields)


def _in_schema(value: object) -> bool:
    return any(name in _REFERENCES and _is_address(inner) for name, inner in values(value))


def _inside(value: object) -> bool:
    return any(
        _is_address(inner)
        for name, inner in values(value)
        if name != _DIALECT and not (name in _NAMES and "/" not in str(inner))
    )


def _is_address(value: object) -> bool:
    return isinstance(value, str) and _ADDRESS.match(value) is not None


def _listed(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else [value]
