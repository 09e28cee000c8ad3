"""The body of a request to a provider: the only place that knows what each kind of server wants.

How it works: a `ChatRequest` says what is asked in OpenAI's words. `Traits` say what a server calls it,
and what it does not know. What the operator adds to every request (`Endpoint.extra_body`) comes first,
then what the caller adds (`ChatRequest.extra`), then the options; the later ones win. Model, messages and
the stream come last, so that nothing replaces them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from stream_serve.producers.openai.endpoint import Endpoint, Traits
    from stream_serve.producers.provider import ChatRequest

Message = dict[str, object]

_SYSTEM: Final = {"system", "developer"}
_THINKING: Final = ("enable_thinking", "thinking_budget")


def build(request: ChatRequest, endpoint: Endpoint) -> dict[str, object]:
    """Return the JSON body for `request`. Options that the server cannot be told are left out."""
    traits = endpoint.traits
    body = merge(merge(endpoint.extra_body, request.extra), _options(request, traits))
    body["model"] = request.model
    body["messages"] = arrange(request.messages, traits.system_role)
    body["stream"] = True
    if traits.stream_options:
        body["stream_options"] = {"include_usage": True}
        if traits.continuous_usage is True:
            body["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
    if traits.continuous_usage == "timings_per_token":
        body["timings_per_token"] = True
    return body


def unsupported(request: ChatRequest, traits: Traits) -> dict[str, str]:
    """Return the options that the server cannot be told, each with the reason in words."""
    given = request.options.keys()
    found: dict[str, str] = {}
    if "enable_thinking" in given and traits.thinking is None:
        found["enable_thinking"] = "this provider cannot be told whether to think: leave it out"
    if "thinking_budget" in given and traits.thinking != "enable_thinking":
        found["thinking_budget"] = "this provider cannot be told how long to think: leave it out"
    return found


def merge(below: dict[str, object], above: dict[str, object]) -> dict[str, object]:
    """Return both in one: objects of the same name are merged, of other values that `above` is taken."""
    merged = {**below, **above}
    for name in below.keys() & above.keys():
        low, high = below[name], above[name]
        if isinstance(low, dict) and isinstance(high, dict):
            merged[name] = merge(cast("dict[str, object]", low), cast("dict[str, object]", high))
    return merged


def arrange(messages: list[Message], role: str) -> list[Message]:
    """Return the messages with `role` for every system prompt.

    For a server without such a role (`user`) a system prompt becomes the beginning of the question that
    follows it; where none follows, the end of the last message, or a question of its own.
    """
    others = _SYSTEM - {role}
    if others.isdisjoint([message.get("role") for message in messages]):
        return messages
    if role != "user":
        return [
            {**message, "role": role} if message.get("role") in _SYSTEM else message
            for message in messages
        ]
    arranged: list[Message] = []
    waiting: list[object] = []
    for message in messages:
        if message.get("role") in _SYSTEM:
            waiting.append(message.get("content"))
        elif message.get("role") == "user" and waiting:
            arranged.append({**message, "content": _joined([*waiting, message.get("content")])})
            waiting = []
        else:
            arranged.append(message)
    if waiting and arranged and arranged[-1].get("role") == "user":
        last = arranged.pop()
        arranged.append({**last, "content": _joined([last.get("content"), *waiting])})
    elif waiting:
        arranged.append({"role": "user", "content": _joined(waiting)})
    return arranged


def _options(request: ChatRequest, traits: Traits) -> dict[str, object]:
    """Return the options in the server's words."""
    options = {name: value for name, value in request.options.items() if name not in _THINKING}
    if "max_tokens" in options:
        options[traits.max_tokens] = options.pop("max_tokens")
    thinking = {name: request.options[name] for name in _THINKING if name in request.options}
    if traits.thinking == "enable_thinking":
        options |= thinking
    elif traits.thinking == "chat_template_kwargs" and "enable_thinking" in thinking:
        options["chat_template_kwargs"] = {"enable_thinking": thinking["enable_thinking"]}
    return options


def _joined(contents: list[object]) -> object:
    """Return one content for several: text if all are text, otherwise a list of parts."""
    if all(isinstance(content, str) for content in contents):
        return "\n\n".join(cast("list[str]", contents))
    parts: list[object] = []
    for content in contents:
        if isinstance(content, list):
            parts.extend(cast("list[object]", content))
        elif content:
            parts.append({"type": "text", "text": content})
    return parts
