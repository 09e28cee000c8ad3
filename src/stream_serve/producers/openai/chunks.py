"""The chunks of a chat completion stream: decodes their JSON, and returns the deltas in them.

The format is OpenAI's `chat.completion.chunk`, in all the variants of compatible servers: `choices` may
be null or empty, `content` null, usage in a chunk of its own, thinking in `reasoning_content`
(DashScope, DeepSeek) or `reasoning` (OpenRouter, vLLM), text in the same chunk as the finish_reason,
content as a list of parts, and `message` or `text` in place of `delta`.

- A chunk without choices is an error if it has one of the usual error formats (`reports`). Otherwise it
  is ignored, because servers add chunks of their own.
- Data that is not JSON, and choices that cannot be decoded, are errors, because they may contain text.
- Tool calls are ignored: this service never asks for them.
- Every request asks for one answer. So a single choice in a chunk belongs to it, even if the server
  counts its `index` up from chunk to chunk. Of several choices in one chunk those with index 0 belong to
  it, and after such a chunk only those.
- A finish_reason (`endings`) ends only the text before it, because some servers send "stop" in every
  chunk. A "stop" directly after another one says nothing new: "length" stays "length". A finish_reason
  that means a failure is final, and so is an error object.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from stream_serve.errors import UpstreamProtocol
from stream_serve.events.types import Chunk, Delta, Reasoning, Usage
from stream_serve.producers.openai import endings, figures, reports

DONE: Final = b"[DONE]"
_FIRST: Final = (0, "0", None)
_REPLACEMENT: Final = "\ufffd"


class WirePart(Struct, gc=False):
    """One part of a `content` that is a list; only its text is used."""

    text: str = ""


class WireDelta(Struct, gc=False):
    """`choices[0].delta`."""

    content: str | list[WirePart] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


class WireChoice(Struct, gc=False):
    """One of the `choices`. OpenRouter sends `error` with the finish_reason "error"."""

    delta: WireDelta | None = None
    error: Any = None
    finish_reason: str | None = None
    index: int | str | None = 0
    message: WireDelta | None = None
    text: str | None = None
    usage: object = None


class WireChunk(Struct, gc=False):
    """The `data` of one event. When the provider fails, `error` replaces the other fields.

    `base_resp` is MiniMax's status, which may be in every chunk, also when there is no error. What
    `figures` reads is `object`: an odd figure costs nothing else.
    """

    choices: list[WireChoice] | None = None
    usage: object = None
    error: Any = None
    base_resp: Any = None
    request_id: str | None = None
    timings: object = None
    x_groq: object = None


_decode: Final = msgspec.json.Decoder(WireChunk).decode


def decode(data: bytes) -> WireChunk | None:
    """Decode one chunk; return None for JSON that is not an object.

    Strings may contain lone surrogates, which `json` accepts and msgspec does not; `SurrogateJoiner`
    joins them. Raises `UpstreamProtocol` for data that is not JSON, and for choices that cannot be
    decoded.
    """
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _convert(data)
    except RecursionError:
        raise UpstreamProtocol("the provider sent JSON that is nested too deeply") from None


def _convert(data: bytes) -> WireChunk | None:
    """Decode each field for itself (slowly), so that one unusual field does not lose the others."""
    if not data.strip():
        return None
    parts = _fields(data)
    if parts is None:
        return None
    chunk = WireChunk(error=parts.get("error"), base_resp=parts.get("base_resp"))
    try:
        chunk.choices = msgspec.convert(parts.get("choices"), list[WireChoice] | None)
    except msgspec.ValidationError as error:
        if reports.find({**parts, "choices": None}) is None:
            why = f"the provider sent choices that cannot be read: {error}"
            raise UpstreamProtocol(why) from None
    chunk.usage, chunk.timings, chunk.x_groq = map(parts.get, ("usage", "timings", "x_groq"))
    with suppress(msgspec.ValidationError):
        chunk.request_id = msgspec.convert(parts.get("request_id"), str | None)
    return chunk


def _fields(data: bytes) -> reports.Fields | None:
    """Parse a chunk as a JSON object; return None for other JSON. Gemini sends an error in a list.

    Raises `UpstreamProtocol` for data that is not JSON.
    """
    try:
        parsed: object = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise UpstreamProtocol("the provider sent a chunk that is not JSON") from None
    if isinstance(parsed, list) and len(cast("list[object]", parsed)) == 1:
        parsed = cast("list[object]", parsed)[0]
    return cast("reports.Fields", parsed) if isinstance(parsed, dict) else None


class SurrogateJoiner:
    """Joins surrogate pairs that were split between two chunks.

    Some servers split their text by UTF-16 code units and write an emoji as `"\\ud83d"` in one chunk and
    `"\\ude00"` in the next. The first half is held back until the second comes. A half that stays alone
    becomes U+FFFD, so that the text can always be encoded as UTF-8.
    """

    __slots__ = ("half",)

    def __init__(self) -> None:
        self.half = ""

    def add(self, text: str) -> str:
        """Add the text of the next chunk; return all text that is complete now."""
        text = self.half + text
        self.half = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self.half = text[:-1], text[-1]
        try:
            text.encode()
        except UnicodeEncodeError:
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return text

    def rest(self) -> str:
        """Return the replacement for a half that is still held back at the end of the text, or ""."""
        half, self.half = self.half, ""
        return _REPLACEMENT if half else ""


class Reading:
    """The state of one stream of chunks: adds each chunk, and appends its deltas to a list.

    - `started` is true after the first choice, `done` after [DONE].
    - `finish_reason` is the newest one in OpenAI's words, `word` the provider's own if it differs.
    - `broken` is a finish_reason that means a failure, `error` a chunk with an error; both are final.
    - `settled` is true while no part of the answer has come after the newest finish_reason. `doubtful`
      is true once a part did: after that a finish_reason alone does not prove that the answer ended.
    - `endings` counts the finish_reasons.
    """

    __slots__ = (
        "_answer",
        "_figures",
        "_several",
        "_thought",
        "_timings",
        "broken",
        "done",
        "doubtful",
        "endings",
        "error",
        "finish_reason",
        "settled",
        "started",
        "word",
    )

    def __init__(self) -> None:
        self._answer = SurrogateJoiner()
        self._thought = SurrogateJoiner()
        self._several = False
        self.done = False
        self.started = False
        self.settled = False
        self.doubtful = False
        self.endings = 0
        self.finish_reason: str | None = None
        self.word: str | None = None
        self.broken: str | None = None
        self.error: WireChunk | None = None
        self._figures: object = None
        self._timings: object = None

    @property
    def usage(self) -> Usage | None:
        """The newest usage of the provider; None if it has sent none that can be read."""
        return figures.read(self._figures) or figures.from_timings(self._timings)

    def add(self, data: bytes, deltas: list[Delta]) -> None:
        """Decode the `data` of one SSE event and append its deltas to `deltas`.

        Raises `UpstreamProtocol` as `decode` does. An error object ends the stream and is kept in
        `error`; deltas of the same chunk still count.
        """
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if data.startswith(DONE):
                self.done = True
                return
            chunk = decode(data)
        if chunk is None:
            return
        self._figures = chunk.usage or self._figures
        self._timings = chunk.timings or self._timings
        choices = chunk.choices
        if not choices:
            self._find_error(chunk, data)
            return
        if len(choices) > 1 or self._several:
            choices = self._ours(choices)
        for choice in choices:
            self.started = True
            delta = choice.delta or choice.message
            if delta is not None:
                self._add_delta(delta, deltas)
            elif choice.text and (text := self._answer.add(choice.text)):
                deltas.append(Chunk(text))
            if choice.finish_reason or self.settled or choice.error:
                self._finish(choice, chunk.x_groq)
        if chunk.error or chunk.base_resp:
            self._find_error(chunk, data)

    def _ours(self, choices: list[WireChoice]) -> list[WireChoice]:
        """Return the choices that belong to the one answer that was asked for."""
        first = [choice for choice in choices if choice.index in _FIRST]
        if len(choices) == 1:
            return first
        self._several = self._several or 0 < len(first) < len(choices)
        return first or choices[:1]

    def _finish(self, choice: WireChoice, x_groq: object) -> None:
        """Record the finish_reason or the error of a choice, or that text came after a finish_reason."""
        self._figures = figures.in_choice(choice.usage, x_groq) or self._figures
        if choice.error:
            self.error = self.error or WireChunk(error=choice.error)
        if self.settled and _has_text(choice):
            self.settled = False
            self.doubtful = True
        ending = endings.read(choice.finish_reason) if choice.finish_reason else None
        if ending is None:
            return
        if ending.reason is None:
            self.broken = self.broken or ending.word
        elif not (self.settled and self.finish_reason and ending.reason == "stop"):
            self.finish_reason, self.word = ending.reason, ending.word
        self.settled = True
        self.endings += 1

    def _find_error(self, chunk: WireChunk, data: bytes) -> None:
        """Record the error of a chunk, if it has one."""
        try:
            fields = _fields(data) or {}
        except UpstreamProtocol:  # numbers or nesting that msgspec accepts and `json` does not
            fields = {"error": chunk.error}
        found = reports.find({**fields, "choices": chunk.choices})
        if found is not None:
            self.error = WireChunk(error=found, request_id=chunk.request_id)

    def _add_delta(self, delta: WireDelta, deltas: list[Delta]) -> None:
        thought = delta.reasoning_content or delta.reasoning
        if thought and (text := self._thought.add(thought)):
            deltas.append(Reasoning(text))
        said = delta.content or delta.refusal
        if isinstance(said, list):
            said = "".join(part.text for part in said)
        if said and said.isascii() and not self._answer.half:
            deltas.append(Chunk(said))
        elif said and (text := self._answer.add(said)):
            deltas.append(Chunk(text))

    def rest(self) -> list[Delta]:
        """Return the deltas for text that is still held back at the end of the stream."""
        deltas: list[Delta] = []
        if rest := self._thought.rest():
            deltas.append(Reasoning(rest))
        if rest := self._answer.rest():
            deltas.append(Chunk(rest))
        return deltas


def _has_text(choice: WireChoice) -> bool:
    """Return whether a choice contains a part of the answer."""
    delta = choice.delta or choice.message
    if delta is None:
        return bool(choice.text)
    return bool(delta.content or delta.refusal or delta.reasoning_content or delta.reasoning)
