"""The chunks of a chat completion stream: decodes their JSON, and returns the deltas in them.

The format is OpenAI's `chat.completion.chunk`, in all the variants of compatible servers: `choices` may
be null or empty, `content` null, usage in a chunk of its own, thinking in `reasoning_content`
(DashScope, DeepSeek), `reasoning` (OpenRouter, vLLM), `reasoning_details` or parts of `content`
(Mistral), text in the same chunk as the finish_reason, and `message` or `text` in place of
`delta`. A whole `chat.completion` is a chunk, too.

- A chunk without choices is an error if it has one of the usual error formats (`reports`). Otherwise it
  is ignored, because servers add chunks of their own.
- What cannot be read is left out and counted (`odd`). If text may be lost with it, the answer is not
  whole.
- Tool calls are ignored: this service never asks for them.
- Every request asks for one answer. So a single choice in a chunk belongs to it, even if the server
  counts its `index` up from chunk to chunk. Of several choices in one chunk those with index 0 belong to
  it, and after such a chunk only those.
- A finish_reason (`endings`) ends only the text before it, because some servers send "stop" in every
  chunk. A "stop" directly after another one says nothing new: "length" stays "length". A finish_reason
  that means a failure is final, and so is an error object.
- A `message` after deltas repeats them as a whole: only what they did not bring is new (`repeats`).
"""

from __future__ import annotations

from typing import Final

from stream_serve.events.types import Chunk, Delta, Reasoning, Usage
from stream_serve.producers.openai import endings, figures, odd, reports, thinking
from stream_serve.producers.openai.repeats import Pieces, missing
from stream_serve.producers.openai.thinking import ThinkSplitter
from stream_serve.producers.openai.wire import (
    DONE,
    FAILED,
    WireChoice,
    WireChunk,
    WireDelta,
    decode,
)

_FIRST: Final = (0, "0", None)
_REPLACEMENT: Final = "\ufffd"
_LIKELY_REPEAT: Final = 16
_LIKELY_GROWTH: Final = 8
_MAX_COMPARED: Final = 67_108_864


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

    `split_thinking`: `<think>…</think>` at the beginning of the text is thinking.

    - `started` is true after the first choice, `done` after [DONE].
    - `finish_reason` is the newest one in OpenAI's words, `word` the provider's own if it differs.
    - `broken` is a finish_reason that means a failure, `error` a chunk with an error; both are final.
    - `unread` counts what could not be read.
    - `settled` is true while no part of the answer has come after the newest finish_reason. `doubtful`
      is true once a part did: after that a finish_reason alone does not prove that the answer ended.
    - `endings` counts the finish_reasons.
    """

    __slots__ = (
        "_answer",
        "_before",
        "_by_field",
        "_by_message",
        "_compared",
        "_figures",
        "_plain",
        "_several",
        "_splits",
        "_splitter",
        "_texts",
        "_thought",
        "_thoughts",
        "_timings",
        "broken",
        "done",
        "doubtful",
        "endings",
        "error",
        "finish_reason",
        "settled",
        "started",
        "unread",
        "word",
    )

    def __init__(self, *, split_thinking: bool = False) -> None:
        self._answer = SurrogateJoiner()
        self._thought = SurrogateJoiner()
        self._texts = Pieces()
        self._thoughts = Pieces()
        self._splits = split_thinking
        self._splitter = ThinkSplitter() if split_thinking else None
        self._plain = not split_thinking
        self._several = False
        self._by_field = False
        self._by_message = False
        self._before = ""
        self._compared = 0
        self.done = False
        self.started = False
        self.settled = False
        self.doubtful = False
        self.endings = 0
        self.finish_reason: str | None = None
        self.word: str | None = None
        self.broken: str | None = None
        self.error: WireChunk | None = None
        self.unread = odd.Unread()
        self._figures: object = None
        self._timings: object = None

    @property
    def usage(self) -> Usage | None:
        """The newest usage of the provider; None if it has sent none that can be read."""
        return figures.read(self._figures) or figures.from_timings(self._timings)

    @property
    def said(self) -> bool:
        """Whether any text or thinking has come."""
        return bool(self._texts or self._thoughts)

    def add(self, data: bytes, deltas: list[Delta]) -> None:
        """Decode the `data` of one SSE event and append its deltas to `deltas`.

        An error object ends the stream and is kept in `error`; deltas of the same chunk still count.
        """
        try:
            chunk = decode(data)
        except FAILED:
            self._add_odd(data, deltas)
        else:
            self._add_chunk(chunk, data, deltas)

    def _add_odd(self, data: bytes, deltas: list[Delta]) -> None:
        """Add an event that is not one usual chunk."""
        for value in odd.values(data, self.unread):
            if value is DONE:
                self.done = True
                return
            for chunk, fields in odd.chunks_of(value, self.unread):
                self._plain = False  # its text may have halves of surrogate pairs
                self._add_chunk(chunk, fields, deltas)
                self._plain = self._splitter is None and not self._answer.half
                if self.error is not None:
                    return

    def _add_chunk(
        self, chunk: WireChunk, source: bytes | reports.Fields, deltas: list[Delta]
    ) -> None:
        if chunk.usage:
            self._figures = figures.newer_usage(chunk.usage, self._figures)
        if chunk.timings:
            self._timings = figures.newer_timings(chunk.timings, self._timings)
        choices = chunk.choices
        if not choices:
            if self.unread.may_read():
                self._find_error(chunk, source)
            return
        if len(choices) > 1 or self._several:
            choices = self._ours(choices)
        self.started = True
        for choice in choices:
            delta = choice.delta
            if delta is not None:
                said = delta.content
                if (
                    self._plain
                    and type(said) is str
                    and said
                    and not (
                        delta.reasoning_content
                        or delta.reasoning
                        or delta.reasoning_details
                        or delta.refusal
                    )
                ):
                    self._texts.add(said)
                    deltas.append(Chunk(said))
                else:
                    self._add_delta(delta, deltas)
            if choice.message is not None or choice.text or choice.content:
                self._add_whole(choice, deltas)
            if choice.finish_reason or self.settled or choice.error:
                self._finish(choice, chunk.x_groq)
        if chunk.error or chunk.base_resp or chunk.x_groq:
            self._find_error(chunk, source)

    def _ours(self, choices: list[WireChoice]) -> list[WireChoice]:
        """Return the choices that belong to the one answer that was asked for."""
        if not self.unread.may_read(len(choices) - 1):
            return []
        first = [
            choice
            for choice in choices
            if choice.index in _FIRST or not isinstance(choice.index, int | str)
        ]
        if len(choices) == 1:
            return first
        self._several = self._several or 0 < len(first) < len(choices)
        return first or choices[:1]

    def _finish(self, choice: WireChoice, x_groq: object) -> None:
        """Record the finish_reason or the error of a choice, or that text came after a finish_reason."""
        if (inner := figures.in_choice(choice.usage, x_groq)) is not None:
            self._figures = figures.newer_usage(inner, self._figures)
        if choice.error:
            self.error = self.error or WireChunk(error=choice.error)
        if choice.delta is not None and _has_text(choice.delta):
            self._unsettle()
        reason = odd.word_of(choice.finish_reason, "finish_reason", self.unread)
        ending = endings.read(reason) if reason else None
        if ending is None:
            return
        if ending.reason is None:
            self.broken = self.broken or ending.word
        elif not (self.settled and self.finish_reason and ending.reason == "stop"):
            self.finish_reason, self.word = ending.reason, ending.word
        self.settled = True
        self.endings += 1

    def _unsettle(self) -> None:
        """Record that a part of the answer came, which takes a finish_reason before it back."""
        if self.settled:
            self.settled = False
            self.doubtful = True

    def _find_error(self, chunk: WireChunk, source: bytes | reports.Fields) -> None:
        """Record the error of a chunk, if it has one."""
        fields = odd.fields_of(source) if isinstance(source, bytes) else source
        found = reports.find({**(fields or {"error": chunk.error}), "choices": chunk.choices})
        if found is not None:
            self.error = WireChunk(error=found, request_id=chunk.request_id)

    def _add_delta(self, delta: WireDelta, deltas: list[Delta]) -> None:
        if delta.error and reports.find({"error": delta.error}) is not None:
            self.error = self.error or WireChunk(error=delta.error)
        thought, said = self._read(delta)
        if thought:
            self._think(self._thought.add(thought), deltas)
        if said:
            self._say(said, deltas)

    def _read(self, delta: WireDelta) -> tuple[str, str]:
        """Return the thoughts and the text of a delta."""
        thought = delta.reasoning_content or delta.reasoning
        if thought:
            self._by_field = True
        elif delta.reasoning_details and not self._by_field:
            thought = delta.reasoning_details
        if thought and type(thought) is not str:
            thought = odd.text_of(thought, "reasoning", self.unread, thought=True)
        thoughts, texts = str(thought or ""), ""
        for said in (delta.content or delta.text, delta.refusal):
            if said and type(said) is not str:
                more, text = odd.split(said, "content", self.unread)
                thoughts, texts = thoughts + more, texts + text
            else:
                texts += str(said or "")
        return thoughts, texts

    def _think(self, thought: str, deltas: list[Delta]) -> None:
        if thought:
            self._thoughts.add(thought)
            deltas.append(Reasoning(thought))

    def _say(self, said: str, deltas: list[Delta]) -> None:
        """Append a piece of the text, and of the thinking that it may begin with."""
        text = self._answer.add(said)
        if self._splitter is not None:
            thought, text = self._splitter.add(text)
            self._think(thought, deltas)
            if self._splitter.over:
                self._splitter = None
        self._plain = self._splitter is None and not self._answer.half
        if text:
            self._texts.add(text)
            deltas.append(Chunk(text))

    def _add_whole(self, choice: WireChoice, deltas: list[Delta]) -> None:
        """Append what the `message` or `text` of a choice brings.

        Without any delta before, it is a piece of the answer, or all of it. After deltas it repeats
        them; one beside a delta with text does so in each chunk, and only the last one counts.
        """
        if choice.delta is not None and _has_text(choice.delta) and not choice.finish_reason:
            return
        whole = choice.message or WireDelta(content=choice.text or choice.content)
        if not _has_text(whole):
            return
        if self._by_message or not (self._texts or self._thoughts):
            self._by_message = True
            self._look_for_growth(whole)
            if not self._is_grown(whole):
                if not (choice.finish_reason and self._is_repeat(whole)):
                    self._unsettle()
                    self._add_delta(whole, deltas)
                return
            self._by_message = False  # each is what came so far
        self._flush(deltas)
        thought, said = self._read(whole)
        if self._splits:
            more, said = thinking.split(said)
            thought += more
        self._add_missing(thought, self._thoughts, deltas)
        self._add_missing(said, self._texts, deltas)

    def _is_repeat(self, whole: WireDelta) -> bool:
        """Return whether the last of several pieces repeats all those before it."""
        content, texts = whole.content, self._texts
        return (
            isinstance(content, str)
            and len(content) == texts.size >= _LIKELY_REPEAT
            and texts.count > 1
            and content == texts.joined()
        )

    def _is_grown(self, whole: WireDelta) -> bool:
        """Return whether a piece repeats all those before it, and goes on."""
        content, texts = whole.content, self._texts
        return (
            isinstance(content, str)
            and _LIKELY_REPEAT <= texts.size < len(content)
            and content.startswith(texts.joined())
        )

    def _look_for_growth(self, whole: WireDelta) -> None:
        """Record text as unread that has been taken for pieces, and was the beginning of the next."""
        content, before = whole.content, self._before
        if isinstance(content, str):
            self._before = content
            if (
                len(content) >= _LIKELY_REPEAT
                and len(before) >= _LIKELY_GROWTH
                and content.startswith(before)
                and self._texts.size > len(before)
            ):
                self.unread.add("message", lost=True)

    def _add_missing(self, whole: str, before: Pieces, deltas: list[Delta]) -> None:
        """Append what a whole text has more than the pieces before.

        What is compared in one answer is bounded, since a server could send very many whole texts.
        """
        if not whole:
            return
        self._compared += before.size
        if self._compared > _MAX_COMPARED:
            self.unread.add("message", lost=True)
            return
        new = missing(whole, before.joined())
        if new is None:
            self.unread.add("message")
        elif new:
            self._unsettle()
            if before is self._texts:
                self._answer.half = ""
                self._say(new, deltas)
            else:
                self._think(self._thought.add(new), deltas)

    def _flush(self, deltas: list[Delta]) -> None:
        """Append what is held back because it could have been a tag."""
        if self._splitter is None:
            return
        thought, text = self._splitter.rest()
        self._splitter = None
        self._think(thought, deltas)
        if text:
            self._texts.add(text)
            deltas.append(Chunk(text))

    def rest(self) -> list[Delta]:
        """Return the deltas for text that is still held back at the end of the stream."""
        deltas: list[Delta] = []
        self._think(self._thought.rest(), deltas)
        if rest := self._answer.rest():
            self._say(rest, deltas)
        self._flush(deltas)
        return deltas


def _has_text(delta: WireDelta) -> bool:
    """Return whether a delta contains a part of the answer."""
    return bool(
        delta.content
        or delta.text
        or delta.refusal
        or delta.reasoning_content
        or delta.reasoning
        or delta.reasoning_details
    )
