"""Single events of AG-UI, and the messages that a client makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream_serve.events.types import End, Error, Extra, Source, Usage

Json = dict[str, Any]

TERMINAL: Final = frozenset({"RUN_FINISHED", "RUN_ERROR"})
STOPPED: Final = "stopped"
_CUT: Final = {
    "length": "the answer was cut at its length, inside the arguments of a tool call",
    "content_filter": "the answer was cut by a filter, inside the arguments of a tool call",
}
_NOT_JSON: Final = "the arguments of a tool call are not JSON"


def finished(ids: Json, end: End, *, model: str, calls: Sequence[str]) -> Json:
    """Return the end of a run that ended well, or was stopped; `calls` wait for their results."""
    event: Json = {"type": "RUN_FINISHED", **ids, "usage": [_usage(end.usage, model)]}
    metadata: Json = {}
    if end.finish_reason == STOPPED:
        event["outcome"] = {"type": "cancelled"}
        metadata["finishReason"] = end.finish_reason
    else:
        pending: Json = {"pendingToolCallIds": [*calls]} if calls else {}
        event["outcome"] = {"type": "success", **pending}
        event["result"] = {"finishReason": end.finish_reason}
        if end.provider_finish_reason is not None:
            event["result"]["providerFinishReason"] = end.provider_finish_reason
    if end.usage.source == "estimated":
        metadata["usageSource"] = end.usage.source
    if end.saved is not None:
        metadata["saved"] = end.saved
    return {**event, "metadata": metadata} if metadata else event


def cut(end: End, *, model: str) -> Json:
    """Return the end of a run whose last tool call is not whole.

    It is an error, since a client would call the tool without arguments otherwise.
    """
    known = end.finish_reason in _CUT
    return {
        "type": "RUN_ERROR",
        "message": _CUT.get(end.finish_reason, _NOT_JSON),
        "code": end.finish_reason if known else "invalid_tool_arguments",
        "usage": [_usage(end.usage, model)],
        "metadata": {"retryable": not known, "finishReason": end.finish_reason},
    }


def failure(error: Error) -> Json:
    """Return the end of a run that failed; it is the last event, whatever is open."""
    more: Json = {
        "retryAfter": error.retry_after,
        "providerCode": error.provider_code,
        "requestId": error.request_id,
        "saved": error.saved,
    }
    known = {name: value for name, value in more.items() if value is not None}
    return {
        "type": "RUN_ERROR",
        "message": error.message,
        "code": error.code,
        "metadata": {"retryable": error.retryable, **known},
    }


def cited(source: Source) -> Json:
    """Return a page that the answer refers to. AG-UI has no event of its own for it."""
    value = {"url": source.url} | ({} if source.title is None else {"title": source.title})
    return {"type": "CUSTOM", "name": "source", "value": value}


def passed_on(extra: Extra) -> Json:
    """Return what the provider sent beside the answer's parts, in the place where it stood."""
    return {"type": "RAW", "source": "provider", "event": {extra.place: extra.fields}}


def is_json(text: str) -> bool:
    """Return whether arguments are whole; no arguments at all are."""
    try:
        msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        return False
    return True


def messages_of(told: Iterable[Json], *, empty: bool = False) -> list[Json]:
    """Return the messages that events make at a client, or with `empty` as they are when they begin."""
    found: dict[str, Json] = {}
    calls: dict[str, Json] = {}
    for event in told:
        message = _message(found, event)
        match event["type"]:
            case "TEXT_MESSAGE_START" | "REASONING_MESSAGE_START":
                message.setdefault("content", "")
            case "TEXT_MESSAGE_CONTENT" | "REASONING_MESSAGE_CONTENT" if not empty:
                message["content"] += event["delta"]
            case "TOOL_CALL_START" if not empty:
                call = {"name": event["toolCallName"], "arguments": ""}
                calls[event["toolCallId"]] = call
                message.setdefault("toolCalls", []).append(
                    {"id": event["toolCallId"], "type": "function", "function": call}
                )
            case "TOOL_CALL_ARGS" if not empty:
                calls[event["toolCallId"]]["arguments"] += event["delta"]
            case _:
                pass
    return list(found.values())


def _message(found: dict[str, Json], event: Json) -> Json:
    """Return the message that an event belongs to, which it may begin."""
    kind = event["type"]
    if kind.startswith("TEXT_MESSAGE"):
        message: Json = {"id": event["messageId"], "role": "assistant"}
    elif kind.startswith("REASONING_MESSAGE"):
        message = {"id": event["messageId"], "role": "reasoning"}
    elif kind == "TOOL_CALL_START":
        message = {"id": event["parentMessageId"], "role": "assistant"}
    else:
        return {}
    return found.setdefault(message["id"], message)


def _usage(usage: Usage, model: str) -> Json:
    """Return a usage; clients refuse a run for what is not known and not left out."""
    found: Json = {"model": model} if model else {}
    found["inputTokens"] = usage.prompt_tokens
    found["outputTokens"] = usage.completion_tokens
    found["totalTokens"] = usage.total_tokens
    if usage.reasoning_tokens is not None:
        found["reasoningTokens"] = usage.reasoning_tokens
    if usage.cached_tokens is not None:
        found["cachedInputTokens"] = usage.cached_tokens
    return found
