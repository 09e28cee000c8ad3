"""The dialect `ai-sdk`: the UI message stream of Vercel's AI SDK, which `useChat` reads.

How it works: an event becomes none, one or several parts, each a Server-Sent Event; the last of them has
the event's number as its `id:`. A text or a stretch of reasoning is open from its first piece until
something else comes, and has an id of its own. A tool's input is open until the run ends well: only then
is it known to be whole. The input of a call that was cut stays open, since clients take a failed one for
answered, and ask again by themselves.

A run that goes on with an earlier message has that message's id. What the message had before is in the
start event (`door`), as parts; a reader that begins anew gets it first, and one that has the message does
not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import msgspec

from stream_serve.events import sse
from stream_serve.events.types import (
    Chunk,
    End,
    Error,
    Reasoning,
    Source,
    Start,
    ToolArguments,
    ToolCall,
)
from stream_serve.web.dialects.ui_history import AGAIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_serve.events.types import Event, Usage

Json = dict[str, Any]

NAME: Final = "ai-sdk"
_TEXT: Final = "text"
_REASONING: Final = "reasoning"
_STOPPED: Final = "stopped"
_REASONS: Final = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
}
_WELL: Final = frozenset({"tool_calls", "stop", "unknown"})
"""The ends after which a call's arguments are whole; some servers say `stop` after a call that was asked
for by name."""

_encode: Final = msgspec.json.Encoder().encode


def door_of(message_id: str, before: Sequence[Json]) -> Json:
    """Return the `door` of a run that goes on with a message, which has these parts already."""
    return {"name": NAME, "messageId": message_id, "before": [*before]}


class UIMessages:
    """The dialect. `whole` says whether readers get what the message had before the run, too."""

    name: ClassVar[str] = NAME

    def __init__(self, *, whole: bool = True) -> None:
        self.headers: Mapping[str, str] = {"x-vercel-ai-ui-message-stream": "v1"}
        self._whole = whole

    def translation(self, run_id: str) -> UITranslation:
        """Return the translation of a run into the parts of a message."""
        return UITranslation(run_id, whole=self._whole)


class UITranslation:
    """A run as the parts of an assistant's message."""

    __slots__ = (
        "_arguments",
        "_calls",
        "_head",
        "_kind",
        "_message_id",
        "_run_id",
        "_sources",
        "_stretches",
        "_taken",
        "_whole",
    )

    def __init__(self, run_id: str, *, whole: bool) -> None:
        self._run_id = run_id
        self._whole = whole
        self._message_id = f"msg-{run_id}"
        self._taken: set[str] = set()
        self._calls: dict[int, Json] = {}
        self._arguments: dict[int, list[str]] = {}
        self._kind: str | None = None
        self._head = b""
        self._stretches = 0
        self._sources = 0

    def add(self, number: int, event: Event) -> bytes:
        """Return the parts for an event."""
        if isinstance(event, Chunk) and self._kind is _TEXT:
            return b"id: %d\n%b%b}\n\n" % (number, self._head, _encode(event.content))
        frames = _frames(number, self._parts(event))
        return frames + sse.DONE if isinstance(event, End | Error) else frames

    def joined(self) -> bytes:
        """Return the beginning of the message, and of what is open in it."""
        parts: list[Json] = [{"type": "start", "messageId": self._message_id}]
        parts.append({"type": "start-step"})
        if self._kind is not None:
            parts.append({"type": f"{self._kind}-start", "id": self._stretch})
        for index, call in self._calls.items():
            parts.append({"type": "tool-input-start", **call})
            if said := "".join(self._arguments[index]):
                parts.append(_input(call, said))
        return _frames(None, parts)

    def failed(self, error: Error) -> bytes:
        """Return the error, without a number: it is the reader's, and not the run's."""
        return _frames(None, _failure(error)) + sse.DONE

    @property
    def _stretch(self) -> str:
        return f"{self._kind}-{self._stretches}"

    def _parts(self, event: Event) -> list[Json]:
        parts: list[Json] = []
        match event:
            case Start():
                parts = self._start(event)
            case Chunk(content):
                parts = self._say(_TEXT, content)
            case Reasoning(content):
                parts = self._say(_REASONING, content)
            case ToolCall():
                parts = self._call(event)
            case ToolArguments(index, content):
                parts = self._argue(index, content)
            case Source():
                parts = [self._cite(event)]
            case End():
                parts = self._end(event)
            case Error():
                parts = _failure(event)
            case _:
                pass
        return parts

    def _start(self, start: Start) -> list[Json]:
        door = start.door if start.door and start.door.get("name") == NAME else {}
        before = cast("list[Json]", door.get("before") or [])
        self._message_id = door.get("messageId") or start.message_id or self._message_id
        self._taken.update(one["toolCallId"] for one in before if "toolCallId" in one)
        begun: list[Json] = [{"type": "start", "messageId": self._message_id}]
        if self._whole:
            begun += before
        return [*begun, {"type": "start-step"}]

    def _say(self, kind: str, content: str) -> list[Json]:
        """Return a piece of a text or of reasoning, after its beginning where it is the first one."""
        parts: list[Json] = []
        if self._kind is not kind:
            parts = self._close()
            self._kind = kind
            self._stretches += 1
            parts.append({"type": f"{kind}-start", "id": self._stretch})
            head = _encode({"type": f"{kind}-delta", "id": self._stretch})
            self._head = b'data: %b,"delta":' % head.removesuffix(b"}")
        parts.append({"type": f"{kind}-delta", "id": self._stretch, "delta": content})
        return parts

    def _close(self) -> list[Json]:
        """End what is open, if anything is."""
        if self._kind is None:
            return []
        part = {"type": f"{self._kind}-end", "id": self._stretch}
        self._kind = None
        return [part]

    def _call(self, event: ToolCall) -> list[Json]:
        call = {"toolCallId": self._fresh(event.id), "toolName": event.name}
        self._calls[event.index] = call
        self._arguments[event.index] = []
        return [*self._close(), {"type": "tool-input-start", **call}]

    def _fresh(self, call_id: str) -> str:
        """Return the id of a call, made another one if the message has it already."""
        fresh, number = call_id, 1
        while fresh in self._taken:
            number += 1
            fresh = f"{call_id}{AGAIN}{number}"
        self._taken.add(fresh)
        return fresh

    def _argue(self, index: int, content: str) -> list[Json]:
        if index not in self._calls:
            return []
        self._arguments[index].append(content)
        return [_input(self._calls[index], content)]

    def _cite(self, source: Source) -> Json:
        self._sources += 1
        cited = {"type": "source-url", "sourceId": f"{self._run_id}-{self._sources}"}
        title = {} if source.title is None else {"title": source.title}
        return {**cited, "url": source.url, **title}

    def _end(self, end: End) -> list[Json]:
        parts = self._close()
        if end.finish_reason in _WELL:
            parts += self._called()
        parts.append({"type": "finish-step"})
        if end.finish_reason == _STOPPED:
            parts.append({"type": "abort", "reason": _STOPPED})
        finish = {"type": "finish", "finishReason": _REASONS.get(end.finish_reason, "other")}
        return [*parts, {**finish, "messageMetadata": self._about(end)}]

    def _called(self) -> list[Json]:
        """Return the inputs that are whole."""
        parts: list[Json] = []
        for index, call in self._calls.items():
            value = _value("".join(self._arguments[index]))
            if value is not None:
                parts.append({"type": "tool-input-available", **call, "input": value})
        return parts

    def _about(self, end: End) -> Json:
        """Return what the message's metadata has of its run."""
        about: Json = {"runId": self._run_id, "finishReason": end.finish_reason}
        about["usage"] = _usage(end.usage)
        return about if end.saved is None else {**about, "saved": end.saved}


def _frames(number: int | None, parts: Sequence[Json]) -> bytes:
    """Return parts as Server-Sent Events, of which the last one has the number."""
    if not parts:
        return b""
    *first, last = map(_encode, parts)
    frames = [sse.UNNUMBERED % part for part in first]
    frames.append(sse.UNNUMBERED % last if number is None else sse.FRAME % (number, last))
    return b"".join(frames)


def _input(call: Json, content: str) -> Json:
    return {
        "type": "tool-input-delta",
        "toolCallId": call["toolCallId"],
        "inputTextDelta": content,
    }


def _value(arguments: str) -> msgspec.Raw | None:
    """Return the arguments of a call as JSON of one line, as they are; None for what is no JSON."""
    # A line end outside of a JSON text's strings is only a blank, and inside of them it cannot be.
    line = arguments.replace("\r", " ").replace("\n", " ").strip() or "{}"
    try:
        msgspec.json.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        return None
    return msgspec.Raw(line.encode())


def _failure(error: Error) -> list[Json]:
    """Return a failure: what programs read of it, and then the words, which end the message."""
    data: Json = {"code": error.code, "retryable": error.retryable}
    if error.retry_after is not None:
        data["retryAfter"] = error.retry_after
    return [
        {"type": "data-error", "data": data, "transient": True},
        {"type": "error", "errorText": error.message},
    ]


def _usage(usage: Usage) -> Json:
    """Return a usage in the AI SDK's words; an estimated one says so."""
    found: Json = {
        "inputTokens": usage.prompt_tokens,
        "outputTokens": usage.completion_tokens,
        "totalTokens": usage.total_tokens,
    }
    if usage.reasoning_tokens is not None:
        found["reasoningTokens"] = usage.reasoning_tokens
    if usage.cached_tokens is not None:
        found["cachedInputTokens"] = usage.cached_tokens
    if usage.source == "estimated":
        found["source"] = usage.source
    return found
