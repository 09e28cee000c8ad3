"""The body of `POST /ag-ui`, AG-UI's `RunAgentInput`, read into a question.

How it works: a client sends the whole thread each time. Its messages become those of Chat Completions.
A tool call is kept only with its result, which may stand anywhere in the thread: providers refuse a call
without one, and a run that was cut leaves such calls, with half of their arguments. Reasoning and
activities are left out, as models are not shown their old thoughts.

`threadId` and `runId` are the caller's, and any text. The run's own id is derived from them, so that the
same run is found again by the same two, in any process.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from msgspec import Struct, structs

from stream_serve.web.body import invalid
from stream_serve.web.dialects import ag_ui, ag_ui_parts, chat_request
from stream_serve.web.dialects.ag_ui_parts import text_of
from stream_serve.web.fields import disconnect_of
from stream_serve.web.question import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stream_serve.runs.spec import OnDisconnect
    from stream_serve.settings import Settings
    from stream_serve.web.question import Question

Json = dict[str, Any]

_MAX_ID: Final = 1_000
_UNUSED: Final = ("state", "resume")
_OWN: Final = frozenset({"messages", "tools", "functions", "function_call", "n", "stream"})
_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")
_DROPPED: Final = ("activity", "reasoning", "tool")
"""The roles of messages that stand nowhere of their own; a result stands behind its call."""

_SPELLED: Final = {
    "extra_body": "forwardedProps.extraBody",
    "model": "forwardedProps.model",
    "max_tokens": "forwardedProps.maxTokens",
    "thinking_budget": "forwardedProps.thinkingBudget",
}
_TOLD: Final = ("assistant", "reasoning")
"""The roles of what a run says."""


class Names(Struct, frozen=True):
    """What a caller calls a run."""

    thread_id: str
    run_id: str

    def derived(self, owner: str | None) -> str:
        """Return the run's own id, another one for each owner, thread and run."""
        return "agui-" + base64.urlsafe_b64encode(self._digest(owner or "")).decode().rstrip("=")

    @property
    def fingerprint(self) -> bytes:
        """What tells this run from others with its id.

        Messages are no part of it: those of a repetition have what has come of the answer.
        """
        return self._digest(ag_ui.NAME)

    def _digest(self, scope: str) -> bytes:
        return hashlib.sha256(msgspec.json.encode((scope, self.thread_id, self.run_id))).digest()


class Asked(Struct, frozen=True):
    """What a body asks: the question, the fields that are ignored, and what goes out with the start."""

    question: Question
    ignored: list[str]
    on_disconnect: OnDisconnect
    door: Json


def names_of(fields: Json) -> Names:
    """Return what the caller calls the run. Raises `InvalidFields`."""
    return Names(_name(fields, "threadId"), _name(fields, "runId"))


def has_answer(fields: Json, run_id: str) -> bool:
    """Return whether the messages have something that this run has said: it was started before."""
    found = fields.get("messages")
    messages = cast("list[object]", found) if isinstance(found, list) else []
    told = [cast("Json", one) for one in messages if isinstance(one, dict)]
    return any(one.get("role") in _TOLD and run_id in str(one.get("id")) for one in told)


def read(fields: Json, names: Names, settings: Settings, *, on_disconnect: OnDisconnect) -> Asked:
    """Return what a body asks; `on_disconnect` is what holds where it says nothing of that.

    Raises `InvalidFields`.
    """
    given = _objects(fields, "messages")
    forwarded, ignored = _forwarded(fields)
    on_disconnect = disconnect_of(
        forwarded.pop("on_disconnect", None), on_disconnect, name="forwardedProps.onDisconnect"
    )
    messages = list(_messages(given))
    spelled = {**_SPELLED, "system_prompt": "messages[0]"}
    prompt = _prompt(messages)
    if (context := _context(fields)) is not None:
        prompt = "\n\n".join(filter(None, (prompt or settings.system_prompt, context)))
        spelled["system_prompt"] = "context"
    asked = {**forwarded, "messages": messages, "tools": _tools(fields)}
    question, more = chat_request.question(asked, settings)
    parent = fields.get("parentRunId")
    door = ag_ui.door_of(
        thread_id=names.thread_id,
        run_id=names.run_id,
        parent=parent if isinstance(parent, str) else None,
        messages=[_present(one) for one in given],
    )
    return Asked(
        structs.replace(question, system_prompt=prompt, bare=False, spelled=spelled),
        [*(name for name in _UNUSED if fields.get(name)), *ignored, *more],
        on_disconnect,
        door,
    )


def _messages(given: list[Json]) -> Iterator[Json]:
    """Yield the messages of Chat Completions; each tool call is followed by its result."""
    results: dict[str, Json] = {}
    for number, message in enumerate(given):
        if message.get("role") == "tool":
            found = _result(message, f"messages[{number}]")
            results[found["tool_call_id"]] = found
    for number, message in enumerate(given):
        where = f"messages[{number}]"
        text_of(message, "id", where)
        role = message.get("role")
        if role == "assistant":
            yield from _answer(message, results, where)
        elif role in SYSTEM:
            yield {"role": role, "content": text_of(message, "content", where)}
        elif role == "user":
            yield _question(message, where)
        elif role not in _DROPPED:
            known = ", ".join(("assistant", "user", *sorted((*SYSTEM, *_DROPPED))))
            raise invalid(f"{where}.role", f"should be one of {known}")


def _question(message: Json, where: str) -> Json:
    content = ag_ui_parts.content_of(message.get("content"), f"{where}.content")
    if content is None:
        raise invalid(f"{where}.content", "should be text, or a list of content parts")
    asked: Json = {"role": "user", "content": content}
    if isinstance(message.get("name"), str):
        asked["name"] = message["name"]
    return asked


def _answer(message: Json, results: Mapping[str, Json], where: str) -> Iterator[Json]:
    """Yield an answer with those of its tool calls that have results, and the results."""
    calls = [
        _call(call, f"{where}.toolCalls[{number}]")
        for number, call in enumerate(_objects(message, "toolCalls", f"{where}."))
    ]
    kept = [call for call in calls if call["id"] in results]
    content = ag_ui_parts.content_of(message.get("content"), f"{where}.content") or None
    if content is None and not kept:
        return
    yield {"role": "assistant", "content": content, **({"tool_calls": kept} if kept else {})}
    yield from (results[call["id"]] for call in kept)


def _call(call: Json, where: str) -> Json:
    given = call.get("function")
    function = cast("Json", given) if isinstance(given, dict) else {}
    return {
        "id": text_of(call, "id", where),
        "type": "function",
        "function": {
            name: text_of(function, name, f"{where}.function") for name in ("name", "arguments")
        },
    }


def _result(message: Json, where: str) -> Json:
    name = text_of(message, "toolCallId", where)
    content = ag_ui_parts.content_of(message.get("content"), f"{where}.content")
    if not content and isinstance(message.get("error"), str):
        content = message["error"]
    return {"role": "tool", "tool_call_id": name, "content": content or ""}


def _prompt(messages: list[Json]) -> str | None:
    """Take the system prompt, with which messages may begin, out of them."""
    if messages and messages[0]["role"] in SYSTEM:
        return messages.pop(0)["content"]
    return None


def _context(fields: Json) -> str | None:
    """Return what the page tells the model of itself, as a part of the system prompt."""
    given = _objects(fields, "context")
    lines = [
        ": ".join(text_of(one, name, f"context[{number}]") for name in ("description", "value"))
        for number, one in enumerate(given)
    ]
    return "\n".join(("Context:", *lines)) if lines else None


def _tools(fields: Json) -> list[Json] | None:
    """Return the tools as functions; None for none."""
    tools: list[Json] = []
    for number, tool in enumerate(_objects(fields, "tools")):
        function: Json = {"name": text_of(tool, "name", f"tools[{number}]")}
        for name in ("description", "parameters"):
            if tool.get(name) is not None:
                function[name] = tool[name]
        tools.append({"type": "function", "function": function})
    return tools or None


def _forwarded(fields: Json) -> tuple[Json, list[str]]:
    """Return the options of Chat Completions in `forwardedProps`, and the names of what else is there."""
    given = fields.get("forwardedProps")
    props = cast("Json", given) if isinstance(given, dict) else {}
    options: Json = {}
    ignored: list[str] = []
    for spelled, value in props.items():
        name = _CAPITAL.sub(r"_\1", spelled).lower()
        if name == "extra_body" and isinstance(value, dict):
            more = cast("Json", value)
            options.update((one, more[one]) for one in more if one not in _OWN)
        elif name == "on_disconnect" or (name not in _OWN and chat_request.takes(name)):
            options[name] = value
        else:
            ignored.append(f"forwardedProps.{spelled}")
    return options, ignored


def _name(fields: Json, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_ID:
        raise invalid(name, f"should be text of 1 to {_MAX_ID} characters")
    return value


def _objects(fields: Json, name: str, where: str = "") -> list[Json]:
    """Return a list of objects; an absent one is empty. Raises `InvalidFields`."""
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid(f"{where}{name}", "should be a list")
    for number, one in enumerate(cast("list[object]", value)):
        if not isinstance(one, dict):
            raise invalid(f"{where}{name}[{number}]", "should be an object")
    return cast("list[Json]", value)


def _present(value: Any) -> Any:
    """Return JSON without what is null: clients refuse a null where a field may be absent."""
    if isinstance(value, list):
        return [_present(one) for one in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    return {
        name: inner if name == "metadata" else _present(inner)
        for name, inner in cast("Json", value).items()
        if inner is not None
    }
