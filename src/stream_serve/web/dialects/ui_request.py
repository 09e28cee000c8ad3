"""The body of `useChat`: what it asks, and which message the answer goes on with.

How it works: the client sends its whole history as `messages`, or only the newest message as `message`
where the application is written so; the rest is then what the service has stored. A body that ends with
an assistant's message, such as one with the results of tools, asks for more of that message. The client
has no words for the model or its options: an application sends them as fields of its own, which are read
under the AI SDK's names. Other fields are the application's, and stay here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import Struct

from stream_serve.web.body import invalid
from stream_serve.web.dialects import chat_request, ui_history, ui_replay
from stream_serve.web.dialects.ui_messages import door_of
from stream_serve.web.question import Question

if TYPE_CHECKING:
    from collections.abc import Mapping


Json = dict[str, Any]

_MAX_MESSAGES: Final = 10_000
_OWN: Final = frozenset(
    (
        *("id", "messages", "message", "messageId", "trigger"),
        *("model", "system", "tools", "store", "onDisconnect"),
    )
)
_OPTIONS: Final = {
    "maxOutputTokens": "max_tokens",
    "maxTokens": "max_tokens",
    "temperature": "temperature",
    "topP": "top_p",
    "seed": "seed",
    "stopSequences": "stop",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "reasoningEffort": "reasoning_effort",
    "enableThinking": "enable_thinking",
    "thinkingBudget": "thinking_budget",
    "enableSearch": "enable_search",
    "responseFormat": "response_format",
    "toolChoice": "tool_choice",
    "parallelToolCalls": "parallel_tool_calls",
}
_SPELLED: Final = {"max_tokens": "maxOutputTokens", "system_prompt": "system"} | {
    option: name for name, option in _OPTIONS.items() if option != "max_tokens"
}
_TOKENS: Final = frozenset({"maxOutputTokens", "maxTokens", "thinkingBudget"})
_TRIGGERS: Final = ("regenerate-message", "submit-message")


class UIRequest(Struct, frozen=True, kw_only=True):
    """A body of `useChat`.

    `chat` is the chat's id, None for none. `messages` is the whole history, or the newest message alone
    where `alone` says so. `again` says that its last message may be stored already, with the same words
    or with others: it is edited, or answered again. `stored` is whether the chat is to be kept.
    """

    chat: str | None
    messages: list[Json]
    alone: bool
    again: bool
    stored: bool
    question: Question
    ignored: list[str]

    @property
    def door(self) -> Json | None:
        """What the run's start says of the message that it goes on with; None for a new message."""
        if not self.goes_on or not self.last["id"]:
            return None
        return door_of(self.last["id"], ui_replay.before(self.last["parts"]))

    @property
    def last(self) -> Json:
        """The last message."""
        return self.messages[-1]

    @property
    def goes_on(self) -> bool:
        """Whether the answer goes on with the last message, which is an assistant's."""
        return self.last["role"] == "assistant"

    @property
    def answerable(self) -> bool:
        """Whether the last message asks something: it is a user's, or has tools' results at its end."""
        if not self.goes_on:
            return self.last["role"] == "user"
        return bool(ui_history.answered(ui_history.steps(self.last["parts"])[-1]))


def read(fields: Json) -> UIRequest:
    """Return what a body asks. Raises `InvalidFields`."""
    messages, alone = _messages(fields)
    chat = _text(fields, "id") or None
    if alone and chat is None:
        raise invalid("id", "should be the chat's id, where the newest message comes alone")
    trigger = fields.get("trigger")
    if trigger is not None and trigger not in _TRIGGERS:
        raise invalid("trigger", f"should be one of {', '.join(_TRIGGERS)}")
    known = _OWN | _OPTIONS.keys()
    asked = UIRequest(
        chat=chat,
        messages=messages,
        alone=alone,
        again=trigger == "regenerate-message" or _text(fields, "messageId") is not None,
        stored=chat_request.flag(fields, "store", default=True) and chat is not None,
        question=_question(fields, messages, alone=alone),
        ignored=[name for name in fields if name not in known],
    )
    if alone and not asked.answerable:
        raise invalid("message", "should be a user's, or an assistant's with its tools' results")
    if alone and asked.goes_on and not asked.last["id"]:
        raise invalid("message.id", "should be the id of the message that the answer goes on with")
    return asked


def _question(fields: Json, messages: list[Json], *, alone: bool) -> Question:
    told = ui_history.messages(messages)
    if not alone and all(one["role"] == "system" for one in told):
        raise invalid("messages", "should have a user's message with a text or a file in it")
    options = _options(fields)
    if tools := _tools(fields.get("tools")):
        options["tools"] = tools
    return Question(
        model=_text(fields, "model") or None,
        messages=told,
        options=options,
        system_prompt=_text(fields, "system") or None,
        whole=not alone,
        bare=any(one["role"] == "system" for one in told),
        spelled=_SPELLED,
    )


def _options(fields: Json) -> dict[str, object]:
    options: dict[str, object] = {}
    for name, option in _OPTIONS.items():
        value = fields.get(name)
        if value is None or option in options:
            continue
        options[option] = chat_request.tokens(fields, name) if name in _TOKENS else value
    return options


def _tools(value: object) -> list[Json]:
    """Return tools as a provider takes them: as they are, or each under its name, as front ends have
    them. Raises `InvalidFields`."""
    if value is None:
        return []
    if isinstance(value, dict):
        tools = cast("Mapping[str, object]", value)
        return [_tool(name, tool) for name, tool in tools.items()]
    found = cast("list[object]", value) if isinstance(value, list) else [None]
    if not all(isinstance(one, dict) for one in found):
        raise invalid(
            "tools", "should be a list of tools, or an object with a tool under each name"
        )
    return cast("list[Json]", found)


def _tool(name: str, value: object) -> Json:
    tool = cast("Json", value) if isinstance(value, dict) else {}
    parameters = tool.get("parameters", tool.get("inputSchema"))
    if not isinstance(parameters, dict):
        raise invalid(f"tools.{name}", "should have parameters, which are a JSON Schema")
    function: Json = {"name": name, "parameters": parameters}
    if isinstance(tool.get("description"), str):
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def _messages(fields: Json) -> tuple[list[Json], bool]:
    """Return the messages, and whether it is only the newest one."""
    several, one = fields.get("messages"), fields.get("message")
    if several is None and one is not None:
        return _bounded("message", [_message("message", one)]), True
    found = cast("list[object]", several) if isinstance(several, list) else []
    if not 0 < len(found) <= _MAX_MESSAGES:
        raise invalid("messages", f"should be a list of 1 to {_MAX_MESSAGES} messages")
    read = [_message(f"messages[{number}]", each) for number, each in enumerate(found)]
    return _bounded("messages", read), False


def _bounded(where: str, messages: list[Json]) -> list[Json]:
    """Return the messages, if they are not too many for a conversation and a provider, where each step of
    an answer and each of its calls is one. Raises `InvalidFields`."""
    answers = [one["parts"] for one in messages if one["role"] == "assistant"]
    steps = sum(len(ui_history.steps(parts)) for parts in answers)
    calls = sum(ui_history.tool_of(part) is not None for parts in answers for part in parts)
    if len(messages) - len(answers) + steps + calls > _MAX_MESSAGES:
        raise invalid(where, f"should have at most {_MAX_MESSAGES} messages, steps and calls")
    return messages


def _message(where: str, value: object) -> Json:
    """Return a message with its id, its role and its parts. Raises `InvalidFields`."""
    message = cast("Json", value) if isinstance(value, dict) else {}
    role, parts = message.get("role"), message.get("parts")
    if role not in ui_history.ROLES:
        raise invalid(f"{where}.role", f"should be one of {', '.join(ui_history.ROLES)}")
    if parts is None and isinstance(message.get("content"), str):
        parts = [{"type": "text", "text": message["content"]}]
    found = cast("list[object]", parts) if isinstance(parts, list) else [None]
    if not all(isinstance(part, dict) for part in found):
        raise invalid(f"{where}.parts", "should be a list of parts")
    return {"id": _text(message, "id", where) or "", "role": role, "parts": found}


def _text(fields: Json, name: str, where: str = "") -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid(f"{where}.{name}" if where else name, "should be text")
    return value
