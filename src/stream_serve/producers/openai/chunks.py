"""The chunks of a chat completion stream, from JSON bytes to what they bring.

The shape is OpenAI's `chat.completion.chunk`, read as widely as the compatible servers write it:
`choices` may be null or empty, `content` null, usage in a chunk of its own, thinking in
`reasoning_content` (DashScope, DeepSeek) or `reasoning` (OpenRouter, vLLM), text in the chunk that
carries the finish_reason, content as a list of parts, `message` or `text` where others have `delta`.
JSON that has no choices is an error where it carries one in any of the usual shapes (`reports`); else
it is ignored, since servers add chunks of their own. What is not JSON, and choices that cannot be read,
are errors: text could be lost with them. Tool calls cannot be asked for through this service and are
left out.

One answer is asked for. So a choice that comes alone is ours, also where a server counts its `index` up
from chunk to chunk. Of several in one chunk those with index 0 are ours, and from then on only those.

A finish_reason is read by `endings`. It is the end only of what came up to it: some servers write "stop"
into every chunk. One that means a failure, like an error object, is never taken back.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from stream_serve.errors import UpstreamProtocol
from stream_serve.events.types import Chunk, Delta, Reasoning, Usage
from stream_serve.producers.openai import endings, reports

DONE: Final = b"[DONE]"
_FIRST: Final = (0, "0", None)
_REPLACEMENT: Final = "\ufffd"


class WirePart(Struct, gc=False):
    """A part of a `content` that is a list; only text matters here."""

    text: str = ""


class WireDelta(Struct, gc=False):
    """`choices[0].delta`."""

    content: str | list[WirePart] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


class WireChoice(Struct, gc=False):
    """One of `choices`. `error` comes with the finish_reason "error" (OpenRouter)."""

    delta: WireDelta | None = None
    error: Any = None
    finish_reason: str | None = None
    index: int | str | None = 0
    message: WireDelta | None = None
    text: str | None = None


class WireTokenDetails(Struct, gc=False):
    """`usage.completion_tokens_details`; its parts may overlap and are never added up."""

    reasoning_tokens: int | None = None


class WireUsage(Struct, gc=False):
    """`usage`, in the last chunk or, from some servers, in every one."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    completion_tokens_details: WireTokenDetails | None = None


class WireChunk(Struct, gc=False):
    """One `data:` of the stream. `error` stands instead of the rest when the provider failed.

    `base_resp` is MiniMax's: it may stand in every chunk and say that all is well.
    """

    choices: list[WireChoice] | None = None
    usage: WireUsage | None = None
    error: Any = None
    base_resp: Any = None
    request_id: str | None = None


_decode: Final = msgspec.json.Decoder(WireChunk).decode


def decode(data: bytes) -> WireChunk | None:
    """Decode one chunk; None for JSON that is not an object.

    Strings may hold lone surrogates (`json` allows them, the fast decoder does not): see `Mender`.
    Raises `UpstreamProtocol` for what is not JSON, and for choices that cannot be read.
    """
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _convert(data)
    except RecursionError:
        raise UpstreamProtocol("the provider sent JSON that is nested too deeply") from None


def _convert(data: bytes) -> WireChunk | None:
    """Take the slow way: each part for itself, so that one odd part does not hide the others."""
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
    with suppress(msgspec.ValidationError):
        chunk.usage = msgspec.convert(parts.get("usage"), WireUsage | None)
    with suppress(msgspec.ValidationError):
        chunk.request_id = msgspec.convert(parts.get("request_id"), str | None)
    return chunk


def _fields(data: bytes) -> reports.Fields | None:
    """Parse a chunk as an object; None for other JSON. Gemini sends an error in a list.

    Raises `UpstreamProtocol` for what is not JSON.
    """
    try:
        parsed: object = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise UpstreamProtocol("the provider sent a chunk that is not JSON") from None
    if isinstance(parsed, list) and len(cast("list[object]", parsed)) == 1:
        parsed = cast("list[object]", parsed)[0]
    return cast("reports.Fields", parsed) if isinstance(parsed, dict) else None


class Mender:
    """Makes text whole that was cut inside a surrogate pair, chunk by chunk.

    Some servers cut their text by UTF-16 units and write an emoji as `"\\ud83d"` in one chunk and
    `"\\ude00"` in the next. The first half is held back until the second comes; what stays alone is
    replaced by U+FFFD. The result can always be encoded as UTF-8.
    """

    __slots__ = ("half",)

    def __init__(self) -> None:
        self.half = ""

    def mend(self, text: str) -> str:
        """Give the text that is whole by now."""
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
        """Give what is still held back, at the end of the text."""
        half, self.half = self.half, ""
        return _REPLACEMENT if half else ""


class Reading:
    """What a stream of chunks has brought so far: takes each chunk, gives its deltas.

    `finish_reason` is the newest documented word, `word` the provider's own where it is another one.
    `broken` is a word that means a failure, `error` a chunk that carries an error: neither is taken back.
    `settled` is true while nothing of the answer came after the newest finish_reason. `doubtful` is
    true when something once did: then a finish_reason alone proves nothing. `endings` counts the
    finish_reasons.
    """

    __slots__ = (
        "_answer",
        "_several",
        "_thought",
        "broken",
        "done",
        "doubtful",
        "endings",
        "error",
        "finish_reason",
        "settled",
        "started",
        "usage",
        "word",
    )

    def __init__(self) -> None:
        self._answer = Mender()
        self._thought = Mender()
        self._several = False
        self.done = False
        self.started = False
        self.settled = False
        self.doubtful = False
        self.endings = 0
        self.finish_reason: str | None = None
        self.word: str | None = None
        self.broken: str | None = None
        self.usage: Usage | None = None
        self.error: WireChunk | None = None

    def take(self, data: bytes, deltas: list[Delta]) -> None:
        """Take the data of one SSE event and append its deltas.

        Raises `UpstreamProtocol` for what is not JSON. An error object ends the stream: it stays in
        `error`, and what came with it counts.
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
        if chunk.usage is not None:
            self.usage = _usage(chunk.usage) or self.usage
        choices = chunk.choices
        if not choices:
            self._look(chunk, data)
            return
        if len(choices) > 1 or self._several:
            choices = self._ours(choices)
        for choice in choices:
            self.started = True
            delta = choice.delta or choice.message
            if delta is not None:
                self._take_delta(delta, deltas)
            elif choice.text and (text := self._answer.mend(choice.text)):
                deltas.append(Chunk(text))
            if choice.finish_reason or self.settled or choice.error:
                self._end(choice)
        if chunk.error or chunk.base_resp:
            self._look(chunk, data)

    def _ours(self, choices: list[WireChoice]) -> list[WireChoice]:
        """Choose among several answers, of which one was asked for."""
        first = [choice for choice in choices if choice.index in _FIRST]
        if len(choices) == 1:
            return first
        self._several = self._several or 0 < len(first) < len(choices)
        return first or choices[:1]

    def _end(self, choice: WireChoice) -> None:
        """Take what a choice says of the end, or that more came after an end."""
        if choice.error:
            self.error = self.error or WireChunk(error=choice.error)
        if self.settled and _says_more(choice):
            self.settled = False
            self.doubtful = True
        ending = endings.read(choice.finish_reason) if choice.finish_reason else None
        if ending is None:
            return
        if ending.reason is None:
            self.broken = self.broken or ending.word
        else:
            self.finish_reason, self.word = ending.reason, ending.word
        self.settled = True
        self.endings += 1

    def _look(self, chunk: WireChunk, data: bytes) -> None:
        """Look for an error in a chunk; what has none is ignored."""
        try:
            fields = _fields(data) or {}
        except UpstreamProtocol:  # some numbers and depths are too much for this parser alone
            fields = {"error": chunk.error}
        found = reports.find({**fields, "choices": chunk.choices})
        if found is not None:
            self.error = WireChunk(error=found, request_id=chunk.request_id)

    def _take_delta(self, delta: WireDelta, deltas: list[Delta]) -> None:
        thought = delta.reasoning_content or delta.reasoning
        if thought and (text := self._thought.mend(thought)):
            deltas.append(Reasoning(text))
        said = delta.content or delta.refusal
        if isinstance(said, list):
            said = "".join(part.text for part in said)
        if said and said.isascii() and not self._answer.half:
            deltas.append(Chunk(said))
        elif said and (text := self._answer.mend(said)):
            deltas.append(Chunk(text))

    def rest(self) -> list[Delta]:
        """Give what was held back, at the end of the stream."""
        deltas: list[Delta] = []
        if rest := self._thought.rest():
            deltas.append(Reasoning(rest))
        if rest := self._answer.rest():
            deltas.append(Chunk(rest))
        return deltas


def _says_more(choice: WireChoice) -> bool:
    """Whether a choice brings more of the answer."""
    delta = choice.delta or choice.message
    if delta is None:
        return bool(choice.text)
    return bool(delta.content or delta.refusal or delta.reasoning_content or delta.reasoning)


def _usage(wire: WireUsage) -> Usage | None:
    """Give what the provider counted; None where it did not say both numbers."""
    if wire.prompt_tokens is None or wire.completion_tokens is None:
        return None
    details = wire.completion_tokens_details
    return Usage(
        prompt_tokens=wire.prompt_tokens,
        completion_tokens=wire.completion_tokens,
        total_tokens=wire.total_tokens or wire.prompt_tokens + wire.completion_tokens,
        source="provider",
        reasoning_tokens=details.reasoning_tokens if details is not None else None,
    )
