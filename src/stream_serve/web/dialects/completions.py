"""The dialect `completions`: OpenAI's older `POST /v1/completions`, as chunks or as one object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from stream_serve.events.types import Chunk, End, Error, Start
from stream_serve.web.dialects.chunked import Chunked, Chunks, base_of, encode, finish_of, usage_of

if TYPE_CHECKING:
    from stream_serve.events.types import Event

Json = dict[str, Any]

_PREFIX: Final = "cmpl"
_KIND: Final = "text_completion"
_TAIL: Final = b',"logprobs":null,"finish_reason":null}],"event_id":'


class Completions(Chunked):
    """The dialect."""

    name: ClassVar[str] = "completions"

    def translation(self, run_id: str) -> TextTranslation:
        """Return the translation of a run into chunks of text."""
        return TextTranslation(run_id, include_usage=self._include_usage)


class TextTranslation(Chunks):
    """The text of a run as the chunks of a completion."""

    __slots__ = ()

    id_prefix = _PREFIX
    kind = _KIND
    choice: ClassVar[Json] = {"index": 0, "text": "", "logprobs": None, "finish_reason": None}
    before_text = b'"text":'

    def add(self, number: int, event: Event) -> bytes:
        """Return the chunks for an event."""
        if isinstance(event, Chunk):
            return b"%b%b%b%d}\n\n" % (self._head, encode(event.content), _TAIL, number)
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
        return {
            **base_of(self._start, _PREFIX, _KIND),
            "choices": [choice],
            "usage": usage_of(end.usage),
        }
