"""The dialect `chat-completions`: OpenAI's `POST /v1/chat/completions`, as chunks or as one object.

The format is OpenAI's reference "Chat completions, streaming". There are no `id:` lines: together with
comments they break OpenAI's Python client. Each chunk has its cursor in the field `event_id`. What a
provider sent beside the answer's parts goes on in the place where it stood.

A run that was stopped has the finish_reason `stop`, since no client knows another word for it;
`native_finish_reason` says `stopped`, or the provider's own word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import msgspec

from stream_serve.events import sse
from stream_serve.events.types import (
    Chunk,
    End,
    Error,
    Extra,
    Reasoning,
    Source,
    Start,
    ToolArguments,
    ToolCall,
)
from stream_serve.web.dialects import failures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_serve.events.types import Event, Usage

Json = dict[str, Any]

_encode: Final = msgspec.json.Encoder().encode
_DONE: Final = b"data: [DONE]\n\n"
_FINISH_REASONS: Final = frozenset({"stop", "length", "tool_calls", "content_filter"})
_NAMES_SOURCES: Final = frozenset({"annotations", "citations", "search_results", "search_info"})


class ChatCompletions:
    """The dialect. `include_usage` says whether a stream ends with a chunk that has the usage."""

    name: ClassVar[str] = "chat-completions"

    def __init__(self, *, include_usage: bool = True) -> None:
        self.headers: Mapping[str, str] = {}
        self._include_usage = include_usage

    def translation(self, run_id: str) -> ChatTranslation:
        """Return the translation of a run into chunks."""
        return ChatTranslation(run_id, include_usage=self._include_usage)


class ChatTranslation:
    """A run as the chunks of a chat completion."""

    __slots__ = ("_base", "_head", "_include_usage", "_named", "_tail")

    def __init__(self, run_id: str, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._named = False
        self._begin(Start(run_id, ""))

    def add(self, number: int, event: Event) -> bytes:
        """Return the chunks for an event."""
        if isinstance(event, Chunk):
            return b"%b%b%b%d}\n\n" % (self._head, _encode(event.content), self._tail, number)
        if isinstance(event, Error):
            return self.failed(event)
        if isinstance(event, End):
            return self._end(number, event)
        return self._rare(number, event)

    def joined(self) -> bytes:
        """Return a chunk with the role, which helpers of clients need first."""
        return self._chunk({"delta": {"role": "assistant", "content": ""}}, {})

    def failed(self, error: Error) -> bytes:
        """Return the error; neither a finish_reason nor [DONE] follows it."""
        return sse.UNNUMBERED % _encode(failures.of_run(error))

    def _begin(self, start: Start) -> None:
        """Encode what all chunks have in common, and what all chunks with a text have."""
        self._base: Json = {
            "id": f"chatcmpl-{start.run_id}",
            "object": "chat.completion.chunk",
            "created": start.created_at or 0,
            "model": start.model,
        }
        head = _encode({**self._base, "choices": None}).removesuffix(b"null}")
        self._head = b'data: %b[{"index":0,"delta":{"content":' % head
        self._tail = b'},"finish_reason":null}],"event_id":'

    def _rare(
        self, number: int, event: Start | Reasoning | ToolCall | ToolArguments | Source | Extra
    ) -> bytes:
        match event:
            case Start():
                self._begin(event)
                delta: Json = {"role": "assistant", "content": ""}
            case Reasoning(content):
                delta = {"reasoning_content": content}
            case ToolCall() | ToolArguments():
                delta = {"tool_calls": [_called(event)]}
            case Source():
                if self._named:
                    return b""
                delta = {"annotations": [_cited(event)]}
            case Extra():
                return self._extra(number, event)
        return self._chunk({"delta": delta}, {"event_id": number})

    def _chunk(self, choice: Json, fields: Json) -> bytes:
        whole: Json = {"index": 0, "delta": {}, "finish_reason": None, **choice}
        return sse.UNNUMBERED % _encode({**self._base, "choices": [whole], **fields})

    def _extra(self, number: int, extra: Extra) -> bytes:
        self._named = self._named or not _NAMES_SOURCES.isdisjoint(extra.fields)
        if extra.place == "delta":
            return self._chunk({"delta": extra.fields}, {"event_id": number})
        if extra.place == "choice":
            return self._chunk(dict(extra.fields), {"event_id": number})
        return self._chunk({}, {**extra.fields, "event_id": number})

    def _end(self, number: int, end: End) -> bytes:
        last = self._chunk(finish_of(end), {"event_id": number})
        if self._include_usage:
            fields: Json = {**self._base, "choices": [], "usage": usage_of(end.usage)}
            last += sse.UNNUMBERED % _encode(fields)
        return last + _DONE


class ChatAnswer:
    """A run as one `chat.completion`, for a request without `stream`."""

    def __init__(self, run_id: str) -> None:
        self._start = Start(run_id, "")
        self._message: Json = {"role": "assistant", "content": None}
        self._calls: dict[int, Json] = {}
        self._choice: Json = {}
        self._fields: Json = {}

    def add(self, event: Event) -> None:
        """Add an event of the answer."""
        match event:
            case Start():
                self._start = event
            case Chunk(content):
                self._append("content", content)
            case Reasoning(content):
                self._append("reasoning_content", content)
            case ToolCall():
                self._calls[event.index] = {**_called(event)}
            case ToolArguments(index, content):
                self._calls[index]["function"]["arguments"] += content
            case Extra(place, fields):
                below = {"delta": self._message, "choice": self._choice, "chunk": self._fields}
                gather(below[place], fields)
            case _:
                pass

    def whole(self, end: End) -> Json:
        """Return the completion."""
        message = dict(self._message)
        if self._calls:
            message["tool_calls"] = [
                {name: value for name, value in call.items() if name != "index"}
                for call in self._calls.values()
            ]
        elif message["content"] is None:
            message["content"] = ""
        choice = {"index": 0, "message": message, "logprobs": None, **self._choice}
        return {
            "id": f"chatcmpl-{self._start.run_id}",
            "object": "chat.completion",
            "created": self._start.created_at or 0,
            "model": self._start.model,
            **self._fields,
            "choices": [{**choice, **finish_of(end)}],
            "usage": usage_of(end.usage),
        }

    def _append(self, name: str, text: str) -> None:
        self._message[name] = (self._message.get(name) or "") + text


def gather(below: Json, fields: Json) -> None:
    """Add fields that came in pieces: lists grow, also inside of objects; of others the newest counts."""
    for name, value in fields.items():
        old = below.get(name)
        if isinstance(old, list) and isinstance(value, list):
            below[name] = cast("list[Any]", old) + cast("list[Any]", value)
        elif isinstance(old, dict) and isinstance(value, dict):
            inner = dict(cast("Json", old))
            gather(inner, cast("Json", value))
            below[name] = inner
        else:
            below[name] = value


def finish_of(end: End) -> Json:
    """Return the fields of a choice that say how the answer ended."""
    reason = end.finish_reason if end.finish_reason in _FINISH_REASONS else "stop"
    native = end.provider_finish_reason or end.finish_reason
    return {"finish_reason": reason} | (
        {} if native == reason else {"native_finish_reason": native}
    )


def usage_of(usage: Usage) -> Json:
    """Return a usage; an estimated one says so."""
    found: Json = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.reasoning_tokens is not None:
        found["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    if usage.source == "estimated":
        found["source"] = usage.source
    return found


def _called(event: ToolCall | ToolArguments) -> Json:
    if isinstance(event, ToolArguments):
        return {"index": event.index, "function": {"arguments": event.content}}
    function = {"name": event.name, "arguments": ""}
    return {"index": event.index, "id": event.id, "type": "function", "function": function}


def _cited(source: Source) -> Json:
    return {
        "type": "url_citation",
        "url_citation": {"url": source.url, "title": source.title or source.url},
    }
