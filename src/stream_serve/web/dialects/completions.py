"""The dialect `completions`: OpenAI's older `POST /v1/completions`, as chunks or as one object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from stream_serve.events import sse
from stream_serve.events.types import Chunk, End, Error, Start
from stream_serve.web.dialects import failures
from stream_serve.web.dialects.chat import finish_of, usage_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_serve.events.types import Event

Json = dict[str, Any]

_encode: Final = msgspec.json.Encoder().encode
_DONE: Final = b"data: [DONE]\n\n"
_TAIL: Final = b',"logprobs":null,"finish_reason":null}],"event_id":'


class Completions:
    """The dialect. `include_usage` says whether a stream ends with a chunk that has the usage."""

    name: ClassVar[str] = "completions"

    def __init__(self, *, include_usage: bool = True) -> None:
        self.headers: Mapping[str, str] = {}
        self._include_usage = include_usage

    def translation(self, run_id: str) -> TextTranslation:
        """Return the translation of a run into chunks of text."""
        return TextTranslation(run_id, include_usage=self._include_usage)


class TextTranslation:
    """The text of a run as the chunks of a completion."""

    __slots__ = ("_base", "_head", "_include_usage")

    def __init__(self, run_id: str, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._begin(Start(run_id, ""))

    def add(self, number: int, event: Event) -> bytes:
        """Return the chunks for an event."""
        if isinstance(event, Chunk):
            return b"%b%b%b%d}\n\n" % (self._head, _encode(event.content), _TAIL, number)
        match event:
            case Start():
                self._begin(event)
                return b""
            case End():
                return self._end(number, event)
            case Error():
                return self.failed(event)
            case _:
                return b""

    def joined(self) -> bytes:
        """Return nothing: each chunk stands for itself."""
        return b""

    def failed(self, error: Error) -> bytes:
        """Return the error; neither a finish_reason nor [DONE] follows it."""
        return sse.UNNUMBERED % _encode(failures.of_run(error))

    def _begin(self, start: Start) -> None:
        """Encode what is before the text in all chunks."""
        self._base = _base(start)
        head = _encode({**self._base, "choices": None}).removesuffix(b"null}")
        self._head = b'data: %b[{"index":0,"text":' % head

    def _chunk(self, choice: Json, fields: Json) -> bytes:
        whole: Json = {"index": 0, "text": "", "logprobs": None, "finish_reason": None, **choice}
        return sse.UNNUMBERED % _encode({**self._base, "choices": [whole], **fields})

    def _end(self, number: int, end: End) -> bytes:
        last = self._chunk(finish_of(end), {"event_id": number})
        if self._include_usage:
            fields: Json = {**self._base, "choices": [], "usage": usage_of(end.usage)}
            last += sse.UNNUMBERED % _encode(fields)
        return last + _DONE


class TextAnswer:
    """The text of a run as one `text_completion`, for a request without `stream`."""

    def __init__(self, run_id: str) -> None:
        self._start = Start(run_id, "")
        self._text: list[str] = []

    def add(self, event: Event) -> None:
        """Add an event of the answer."""
        if isinstance(event, Start):
            self._start = event
        elif isinstance(event, Chunk):
            self._text.append(event.content)

    def whole(self, end: End) -> Json:
        """Return the completion."""
        choice: Json = {"index": 0, "text": "".join(self._text), "logprobs": None, **finish_of(end)}
        return {**_base(self._start), "choices": [choice], "usage": usage_of(end.usage)}


def _base(start: Start) -> Json:
    return {
        "id": f"cmpl-{start.run_id}",
        "object": "text_completion",
        "created": start.created_at or 0,
        "model": start.model,
    }
