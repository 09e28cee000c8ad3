"""The items of a response's input, and what a provider is told of them: messages of chat completions.

How it works: `read` looks at the items of a body, once, so that what is kept of them is whole and has
ids. `messages` makes messages of kept items: those of a chain of responses, and the new ones. All that an
assistant has said in a row becomes one message, since providers want the results of tools right after the
message with the calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from stream_serve.conversations.base import ASSISTANT, TOOL, USER, NewMessage
from stream_serve.errors import InvalidFields
from stream_serve.events.transcript import CalledTool
from stream_serve.web.body import invalid
from stream_serve.web.dialects.responses import ids

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

REFERENCE: Final = "item_reference"
MESSAGE: Final = "message"
REASONING: Final = "reasoning"
CALL: Final = "function_call"
OUTPUT: Final = "function_call_output"
NO_CODE: Final = ""
"""The code of errors for which OpenAI's API has none."""

MAX_ITEMS: Final = 10_000
_MAX_ID: Final = 200
_PREFIXES: Final = {MESSAGE: "msg", REASONING: "rs", CALL: "fc", OUTPUT: "fco"}
_SKIPPED: Final = ("additional_tools", "configuration_update")
_ROLES: Final = ("user", "system", "developer", "assistant")
_TEXTS: Final = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
"""The parts that are only text, and the field with it."""


def read(value: object, run_id: str) -> list[Json]:
    """Return the items of an input, each with an id, those of a text as a user's message.

    Raises `InvalidFields`.
    """
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list) or len(cast("list[object]", value)) > MAX_ITEMS:
        raise invalid("input", f"should be a text, or a list of at most {MAX_ITEMS} items")
    found: list[Json] = []
    for number, one in enumerate(cast("list[object]", value)):
        where = f"input[{number}]"
        item = cast("Json", one) if isinstance(one, dict) else {}
        kind = _kind(item)
        if kind in _SKIPPED:
            continue
        if kind == REFERENCE:
            found.append({"type": REFERENCE, "id": _text(item, "id", where)})
        else:
            found.append(_identified(_item(kind, item, where), item, run_id, number))
    return found


def new_messages(items: list[Json]) -> list[NewMessage]:
    """Return the messages of new items for a conversation, which has no system prompts."""
    found: list[NewMessage] = []
    for item in items:
        kind, role = item["type"], item.get("role")
        before = found[-1] if found and found[-1].role == ASSISTANT else None
        if kind == OUTPUT:
            found.append(
                NewMessage(role=TOOL, content=_output_of(item), tool_call_id=item["call_id"])
            )
        elif kind == CALL or role == ASSISTANT:
            if before is not None:
                found.pop()
            found.append(
                _said(before or NewMessage(role=ASSISTANT, content="", tool_calls=[]), item)
            )
        elif role == USER:
            found.append(NewMessage(role=USER, content=_contents(item["content"])))
    return found


def messages(items: list[Json]) -> list[Json]:
    """Return what a provider is told. Raises `InvalidFields` for a call without its output, or an
    output without its call."""
    said: list[Json] = []
    answer: Json | None = None
    shown: list[Json] = []
    open_: set[str] = set()
    for item in items:
        kind = item["type"]
        if kind == REASONING:
            continue
        if kind == CALL or item.get("role") == "assistant":
            if answer is None:
                _check_answered(open_)
                _put_shown(said, shown)
                answer = {"role": "assistant", "content": None}
                said.append(answer)
            _add_to_answer(answer, item, open_)
        elif kind == OUTPUT:
            answer = None
            said.append(_result(item, open_, shown))
        else:
            answer = None
            _check_answered(open_)
            _put_shown(said, shown)
            said.append({"role": item["role"], "content": _contents(item["content"])})
    _check_answered(open_)
    _put_shown(said, shown)
    return said


def _kind(item: Json) -> str | None:
    kind = item.get("type") or (MESSAGE if "role" in item else None)
    return kind if isinstance(kind, str) else None


def _identified(item: Json, given: Json, run_id: str, number: int) -> Json:
    """Return an item with its client's id, or with one of ours."""
    id_ = given.get("id")
    if not isinstance(id_, str) or not 0 < len(id_) <= _MAX_ID:
        id_ = ids.input_id(_PREFIXES[item["type"]], run_id, number)
    return {"id": id_, "status": "completed", **item}


def _item(kind: str | None, item: Json, where: str) -> Json:
    """Return what is kept of an item. Raises `InvalidFields`."""
    if kind == MESSAGE:
        return _message(item, where)
    if kind == CALL:
        arguments = item.get("arguments")
        if not isinstance(arguments, str):
            raise invalid(f"{where}.arguments", "should be a text, which is a JSON object")
        call_id, name = _text(item, "call_id", where), _text(item, "name", where)
        return {"type": CALL, "call_id": call_id, "name": name, "arguments": arguments}
    if kind == OUTPUT:
        output = item.get("output")
        parts = output if isinstance(output, str) else _parts(output, f"{where}.output", "user")
        return {"type": OUTPUT, "call_id": _text(item, "call_id", where), "output": parts}
    if kind == REASONING:
        summary = item.get("summary")
        kept = cast("list[Json]", summary) if isinstance(summary, list) else []
        return {"type": REASONING, "summary": kept}
    if kind is None:
        raise invalid(where, "should be an item, with its type")
    raise unsupported(where, f"items of the type {kind[:60]!r} are not supported here")


def _message(item: Json, where: str) -> Json:
    role = item.get("role")
    if role not in _ROLES:
        raise invalid(f"{where}.role", f"should be one of {', '.join(_ROLES)}")
    content = item.get("content")
    if isinstance(content, str):
        kind = "output_text" if role == "assistant" else "input_text"
        content = [{"type": kind, "text": content}]
    parts = _parts(content, f"{where}.content", str(role))
    return {"type": MESSAGE, "role": role, "content": parts}


def _parts(value: object, where: str, role: str) -> list[Json]:
    if not isinstance(value, list):
        raise invalid(where, "should be a text, or a list of content parts")
    found: list[Json] = []
    for number, one in enumerate(cast("list[object]", value)):
        part = cast("Json", one) if isinstance(one, dict) else {}
        _check_part(part, f"{where}[{number}]", role)
        found.append(part)
    return found


def _check_part(part: Json, where: str, role: str) -> None:
    kind = _kind(part)
    if kind in _TEXTS:
        _text(part, _TEXTS[kind], where, empty=True)
    elif kind == "input_image" and role != "assistant":
        if not isinstance(part.get("image_url"), str):
            raise unsupported(where, "an image needs image_url: files are not kept here")
    elif kind == "input_file" and role != "assistant":
        if not isinstance(part.get("file_data"), str):
            raise unsupported(where, "a file needs file_data: files are not kept here")
    elif kind != "input_audio" or not isinstance(part.get("input_audio"), dict):
        raise unsupported(where, "this content part is not supported here")


def unsupported(where: str, message: str) -> InvalidFields:
    """Return the error for what OpenAI has and this service has not."""
    code = "unsupported_parameter"
    return InvalidFields(f"{where}: {message}", fields=((where, message),), code=code)


def _text(fields: Json, name: str, where: str, *, empty: bool = False) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not (value or empty):
        raise invalid(f"{where}.{name}", "should be a text")
    return value


def _add_to_answer(answer: Json, item: Json, open_: set[str]) -> None:
    """Add a text or a call to an assistant's message."""
    if item["type"] == CALL:
        function = {"name": item["name"], "arguments": item["arguments"]}
        call = {"id": item["call_id"], "type": "function", "function": function}
        answer.setdefault("tool_calls", []).append(call)
        open_.add(item["call_id"])
        return
    text = "".join(str(part.get(_TEXTS.get(part["type"], ""), "")) for part in item["content"])
    answer["content"] = (answer["content"] or "") + text


def _said(message: NewMessage, item: Json) -> NewMessage:
    """Return an assistant's message with one item more."""
    if item["type"] == CALL:
        call = CalledTool(item["call_id"], item["name"], item["arguments"])
        return msgspec.structs.replace(message, tool_calls=[*(message.tool_calls or ()), call])
    text = f"{message.content}{_contents(item['content'])}"
    return msgspec.structs.replace(message, content=text)


def _output_of(item: Json) -> str | list[Json]:
    output: str | list[Json] = item["output"]
    return output if isinstance(output, str) else _contents(output)


def _result(item: Json, open_: set[str], shown: list[Json]) -> Json:
    """Return the message with a tool's output; its images go into `shown`."""
    call_id = item["call_id"]
    if call_id not in open_:
        raise InvalidFields(
            f"No tool call found for function call output with call_id {call_id[:100]}.",
            fields=(("input", "has an output without its call"),),
            code=NO_CODE,
        )
    open_.discard(call_id)
    output = item["output"]
    if not isinstance(output, str):
        parts = cast("list[Json]", output)
        shown += [part for part in _converted(parts) if part["type"] != "text"]
        output = "\n".join(part["text"] for part in _converted(parts) if part["type"] == "text")
    return {"role": "tool", "tool_call_id": call_id, "content": output}


def _put_shown(said: list[Json], shown: list[Json]) -> None:
    """Put what tools have shown into a user's message: a tool's message may only have text."""
    if shown:
        said.append({"role": "user", "content": [*shown]})
        shown.clear()


def _check_answered(open_: set[str]) -> None:
    if open_:
        raise InvalidFields(
            f"No tool output found for function call {min(open_)[:100]}.",
            fields=(("input", "has a call without its output"),),
            code=NO_CODE,
        )


def _contents(parts: list[Json]) -> str | list[Json]:
    """Return the contents of a message: one text if all of them are texts."""
    found = list(_converted(parts))
    if all(part["type"] == "text" for part in found):
        return "".join(part["text"] for part in found)
    return found


def _converted(parts: list[Json]) -> Iterator[Json]:
    """Return content parts as chat completions have them."""
    for part in parts:
        kind = part["type"]
        if kind in _TEXTS:
            yield {"type": "text", "text": part[_TEXTS[kind]]}
        elif kind == "input_image":
            url: Json = {"url": part["image_url"]}
            if isinstance(part.get("detail"), str):
                url["detail"] = part["detail"]
            yield {"type": "image_url", "image_url": url}
        elif kind == "input_file":
            kept = {name: part[name] for name in ("filename", "file_data") if name in part}
            yield {"type": "file", "file": kept}
        else:
            yield {"type": "input_audio", "input_audio": part["input_audio"]}


def size_of(items: list[Json]) -> int:
    """Return how many bytes items have as JSON."""
    return len(msgspec.json.encode(items))
