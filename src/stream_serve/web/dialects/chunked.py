"""What OpenAI's Chat Completions and its older Completions have in common: chunks, an end, a usage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from stream_serve.events import sse
from stream_serve.events.types import Start
from stream_serve.web.dialects import failures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_serve.events.types import End, Error, Usage

Json = dict[str, Any]

encode: Final = msgspec.json.Encoder().encode
_FINISH_REASONS: Final = frozenset({"stop", "length", "tool_calls", "content_filter"})


class Chunked:
    """A dialect whose streams are chunks. `include_usage`: the last one has the usage."""

    def __init__(self, *, include_usage: bool = True) -> None:
        self.headers: Mapping[str, str] = {}
        self._include_usage = include_usage


class Chunks:
    """The chunks of one run; what they have in common, and what is before each text, is encoded once.

    `id_prefix` and `kind` are the chunk's `id` and `object`, `choice` is one that says nothing, and
    `before_text` is how one with a text begins.
    """

    __slots__ = ("_base", "_head", "_include_usage")

    id_prefix: ClassVar[str]
    kind: ClassVar[str]
    choice: ClassVar[Json]
    before_text: ClassVar[bytes]

    def __init__(self, run_id: str, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._begin(Start(run_id, ""))

    def failed(self, error: Error) -> bytes:
        """Return the error; neither a finish_reason nor [DONE] follows it."""
        return sse.UNNUMBERED % encode(failures.of_run(error))

    def _begin(self, start: Start) -> None:
        self._base = base_of(start, self.id_prefix, self.kind)
        head = encode({**self._base, "choices": None}).removesuffix(b"null}")
        self._head = b'data: %b[{"index":0,%b' % (head, self.before_text)

    def _chunk(self, choice: Json, fields: Json) -> bytes:
        whole = {**self.choice, **choice}
        return sse.UNNUMBERED % encode({**self._base, "choices": [whole], **fields})

    def _end(self, number: int, end: End) -> bytes:
        last = self._chunk(finish_of(end), {"event_id": number})
        if self._include_usage:
            fields: Json = {**self._base, "choices": [], "usage": usage_of(end.usage)}
            last += sse.UNNUMBERED % encode(fields)
        return last + sse.DONE


def base_of(start: Start, id_prefix: str, kind: str) -> Json:
    """Return the fields that a chunk, or an answer in one piece, begins with."""
    return {
        "id": f"{id_prefix}-{start.run_id}",
        "object": kind,
        "created": start.created_at or 0,
        "model": start.model,
    }


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
    if usage.cached_tokens is not None:
        found["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.source == "estimated":
        found["source"] = usage.source
    return found
