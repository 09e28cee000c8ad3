"""The dialect `chat-completions`: OpenAI's `POST /v1/chat/completions`, as chunks or as one object.

The format is OpenAI's reference "Chat completions, streaming". There are no `id:` lines: together with
comments they break OpenAI's Python client. Each chunk has its cursor in the field `event_id`. What a
provider sent beside the answer's parts goes on in the place where it stood.

A run that was stopped has the finish_reason `stop`, since no client knows another word for it;
`native_finish_reason` says `stopped`, or the provider's own word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

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
from stream_serve.web.dialects.chunked import Chunked, Chunks, base_of, encode, finish_of, usage_of

if TYPE_CHECKING:
    from stream_serve.events.types import Event

Json = dict[str, Any]

_PREFIX: Final = "chatcmpl"
_TAIL: Final = b'},"finish_reason":null}],"event_id":'
_NAMES_SOURCES: Final = frozenset({"annotations", "citations", "search_results", "search_info"})


class ChatCompletions(Chunked):
    """The dialect."""

    name: ClassVar[str] = "chat-completions"

    def translation(self, run_id: str) -> ChatTranslation:
        """Return the translation of a run into chunks."""
        return ChatTranslation(run_id, include_usage=self._include_usage)


class ChatTranslation(Chunks):
    """A run as the chunks of a chat completion."""

    __slots__ = ("_counts", "_named")

    id_prefix = _PREFIX
    kind = "chat.completion.chunk"
    choice: ClassVar[Json] = {"index": 0, "delta": {}, "finish_reason": None}
    before_text = b'"delta":{"content":'

    def __init__(self, run_id: str, *, include_usage: bool) -> None:
        super().__init__(run_id, include_usage=include_usage)
        self._named = False
        self._counts: dict[str, int] = {}

    def add(self, number: int, event: Event) -> bytes:
        """Return the chunks for an event."""
        if isinstance(event, Chunk):
            return b"%b%b%b%d}\n\n" % (self._head, encode(event.content), _TAIL, number)
        if isinstance(event, Error):
            return self.failed(event)
        if isinstance(event, End):
            return self._end(number, event)
        return self._rare(number, event)

    def joined(self) -> bytes:
        """Return a chunk with the role, which helpers of clients need first."""
        return self._chunk({"delta": {"role": "assistant", "content": ""}}, {})

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
                delta = self._indexed({"annotations": [_cited(event)]})
            case Extra():
                return self._extra(number, event)
        return self._chunk({"delta": delta}, {"event_id": number})

    def _extra(self, number: int, extra: Extra) -> bytes:
        self._named = self._named or not _NAMES_SOURCES.isdisjoint(extra.fields)
        if extra.place == "delta":
            return self._chunk({"delta": self._indexed(extra.fields)}, {"event_id": number})
        if extra.place == "choice":
            return self._chunk(dict(extra.fields), {"event_id": number})
        return self._chunk({}, {**extra.fields, "event_id": number})

    def _indexed(self, fields: Json) -> Json:
        """Return fields whose lists of objects have an `index` in each entry.

        OpenAI's Python helper for streams joins lists by it, and fails for an entry without one.
        """
        return {name: self._numbered(name, value) for name, value in fields.items()}

    def _numbered(self, name: str, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        numbered: list[Any] = []
        for one in cast("list[Any]", value):
            place = self._counts.get(name, 0)
            self._counts[name] = place + 1
            lacks = isinstance(one, dict) and "index" not in one
            numbered.append({**cast("Json", one), "index": place} if lacks else one)
        return numbered


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
            case ToolArguments(index, content) if index in self._calls:
                self._calls[index]["function"]["arguments"] += content
            case Extra("delta", fields) if "tool_calls" in fields:
                for piece in cast("list[Json]", fields["tool_calls"]):
                    gather(self._calls.setdefault(piece["index"], {}), piece)
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
            **base_of(self._start, _PREFIX, "chat.completion"),
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
