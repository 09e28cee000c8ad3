"""UI messages of Vercel's AI SDK as messages for a provider, in OpenAI's words.

How it works: an assistant's message has the steps of an answer. Each step becomes one message, and the
result of each tool one more. A call whose result is not there is left out: a provider refuses calls
that nobody has answered. What providers cannot read is left out, too: sources, data, metadata. Then the
messages get the form that all providers take: a question first, questions that follow each other as one,
and none without anything in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from stream_serve.conversations.prompt import joined
from stream_serve.web.body import invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Json = dict[str, Any]

ROLES: Final = ("assistant", "system", "user")
_SAID: Final = ("text", "reasoning")
_DYNAMIC: Final = "dynamic-tool"
_TOOL: Final = "tool-"
AGAIN: Final = "~"
"""What is between the id of a call and a number, where a message has the same id twice."""

_DENIED: Final = "The user has denied this call."
_AUDIO: Final = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
_FILES: Final = "may be an image, a PDF, or audio as wav or mp3"


class Answered(msgspec.Struct, frozen=True):
    """A tool part whose call has a result: what was asked, and the result as text."""

    id: str
    name: str
    arguments: str
    result: str

    @property
    def call(self) -> Json:
        """The call, as a message of the assistant has it."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}

    @property
    def message(self) -> Json:
        """The message with the result."""
        return {"role": "tool", "tool_call_id": self.id, "content": self.result}


def messages(given: Sequence[Json]) -> list[Json]:
    """Return what a provider gets of UI messages. Raises `InvalidFields`."""
    last = max((n for n, one in enumerate(given) if one["role"] == "user"), default=-1)
    told: list[Json] = []
    for number, message in enumerate(given):
        where = f"messages[{number}].parts"
        match message["role"]:
            case "assistant":
                told += _answer(message["parts"], with_reasoning=number > last)
            case "user":
                said = content(where, message["parts"])
                if not said and number == len(given) - 1:
                    raise invalid(where, "should have a text or a file in it: it is what is asked")
                told.append({"role": "user", "content": said})
            case _:
                told.append({"role": "system", "content": text(message["parts"])})
    return _strict(told)


def tool_of(part: Json) -> str | None:
    """Return the tool's name of a tool part; None for a part of another kind."""
    kind = str(part.get("type"))
    if kind == _DYNAMIC:
        return str(part.get("toolName"))
    return kind.removeprefix(_TOOL) if kind.startswith(_TOOL) else None


def result_of(part: Json) -> tuple[str, object] | None:
    """Return the result of a tool part: the field that says it, and its value; None for no result."""
    match part.get("state"):
        case "output-available":
            return "output", part.get("output")
        case "output-error":
            return "errorText", str(part.get("errorText") or "the tool failed")
        case "output-denied":
            return "errorText", _reason(part)
        case "approval-responded" if not _approval(part).get("approved"):
            return "errorText", _reason(part)
        case _:
            return None


def text_of(value: object) -> str:
    """Return what a tool was given or gave, as text: a text as it is, the rest as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def input_of(part: Json) -> str:
    """Return what a tool was given, as JSON."""
    value = part.get("input", part.get("rawInput"))
    return "{}" if value is None else msgspec.json.encode(value).decode()


def _answer(parts: Sequence[Json], *, with_reasoning: bool) -> Iterator[Json]:
    """Return the messages of an answer, step by step.

    The reasoning goes back only while the model still works on the question: models that call tools
    while they think want it then, and others refuse it.
    """
    for step in steps(parts):
        said, calls = text(step), answered(step)
        if not (said.strip() or calls):
            continue
        message: Json = {"role": "assistant", "content": said or None}
        if calls:
            reasoning = _text(step, "reasoning")
            if reasoning and with_reasoning:
                message["reasoning_content"] = reasoning
            message["tool_calls"] = [one.call for one in calls]
        yield message
        yield from (one.message for one in calls)


def steps(parts: Iterable[Json]) -> list[list[Json]]:
    """Return the parts of each step of an assistant's message that says, thinks or calls something; of a
    message without any, one step."""
    found: list[list[Json]] = [[]]
    for part in parts:
        if part.get("type") == "step-start":
            found.append([])
        else:
            found[-1].append(part)
    # Any number of the others cost a client nothing: they are not stored, and no id counts them.
    return [step for step in found if any(map(_says, step))] or found[-1:]


def _says(part: Json) -> bool:
    """Return whether a step with this part is one: an answer that was stored had something of that."""
    said = part.get("type") in _SAID and part.get("text")
    return bool(said) or tool_of(part) is not None


def answered(step: Iterable[Json]) -> list[Answered]:
    """Return the calls of a step that have a result."""
    return [one for part in step if (one := _answered(part)) is not None]


def text(step: Iterable[Json]) -> str:
    """Return the text of a step."""
    return _text(step, "text")


def _answered(part: Json) -> Answered | None:
    name = tool_of(part)
    result = None if name is None else result_of(part)
    call_id = part.get("toolCallId")
    if name is None or result is None or not isinstance(call_id, str):
        return None
    return Answered(call_id, name, input_of(part), text_of(result[1]))


def _approval(part: Json) -> Json:
    approval = part.get("approval")
    return cast("Json", approval) if isinstance(approval, dict) else {}


def _reason(part: Json) -> str:
    return str(_approval(part).get("reason") or _DENIED)


def _text(parts: Iterable[Json], kind: str) -> str:
    return "".join(str(part.get("text", "")) for part in parts if part.get("type") == kind)


def content(where: str, parts: Sequence[Json]) -> str | list[Json]:
    """Return what a user says: a text alone as it is, else a list of content parts.

    Raises `InvalidFields`, which names the parts as `where`.
    """
    found: list[Json] = []
    for number, part in enumerate(parts):
        if part.get("type") == "text":
            found.append({"type": "text", "text": str(part.get("text", ""))})
        elif part.get("type") == "file":
            found.append(_file(f"{where}[{number}]", part))
    filled = [one for one in found if one["type"] != "text" or one["text"].strip()]
    if len(filled) == 1 and filled[0]["type"] == "text":
        return filled[0]["text"]
    return filled or ""


def _file(where: str, part: Json) -> Json:
    """Return a file as a content part. Raises `InvalidFields` for one that models do not read."""
    media_type, url = part.get("mediaType"), part.get("url")
    if not isinstance(media_type, str) or not isinstance(url, str):
        raise invalid(where, "should have a mediaType and a url")
    if media_type.partition("/")[0] == "image":
        return {"type": "image_url", "image_url": {"url": url}}
    data = url.partition(";base64,")[2] if url.startswith("data:") else ""
    if media_type in _AUDIO and data:
        audio = {"data": data, "format": _AUDIO[media_type]}
        return {"type": "input_audio", "input_audio": audio}
    if media_type == "application/pdf":
        name = str(part.get("filename") or "document.pdf")
        return {"type": "file", "file": {"filename": name, "file_data": url}}
    raise invalid(f"{where}.mediaType", _FILES)


def _strict(told: Iterable[Json]) -> list[Json]:
    """Return messages in the form that all providers take: from the first question on, without those in
    which there is nothing, and never two of one role after each other."""
    found: list[Json] = []
    asked = False
    for message in told:
        role = message["role"]
        empty = not message["content"] and "tool_calls" not in message and role != "tool"
        asked = asked or (role == "user" and not empty)
        if empty or not (asked or role == "system"):
            continue
        before = found[-1] if found else {"role": None}
        if role == before["role"] != "tool" and "tool_calls" not in before:
            found[-1] = {**message, "content": _both(before["content"], message["content"])}
        else:
            found.append(message)
    return found


def _both(before: Any, after: Any) -> Any:
    return joined([one for one in (before, after) if one])
