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
- Tool calls come in fragments, or whole (`tool_calls`). What is none of these parts comes beside them
  (`extras`): that of a choice or a chunk waits for the first part of the answer, which it cannot be.
- Every request asks for one answer. So a single choice in a chunk belongs to it, even if the server
  counts its `index` up from chunk to chunk. Of several choices in one chunk those with index 0 belong to
  it, and after such a chunk only those.
- A finish_reason (`endings`) ends only the text before it, because some servers send "stop" in every
  chunk. A "stop" directly after another one says nothing new: "length" stays "length". A finish_reason
  that means a failure is final, and so is an error object.
- A `message` after deltas repeats them as a whole: only what they did not bring is new (`repeats`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, cast

from stream_serve.events.types import Chunk, Delta, Reasoning, Usage
from stream_serve.producers.openai import endings, figures, odd, reports, thinking
from stream_serve.producers.openai.rare import RareParts
from stream_serve.producers.openai.repeats import Pieces, grows, missing
from stream_serve.producers.openai.surrogates import SurrogateJoiner
from stream_serve.producers.openai.thinking import ThinkSplitter
from stream_serve.producers.openai.wire import (
    DONE,
    FAILED,
    AnyDelta,
    PlainChoice,
    WireChoice,
    WireChunk,
    WireDelta,
    decode_any,
    decode_plain,
    decode_usual,
    has_text,
    is_beside,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST: Final = (0, "0", None)
_MAX_COMPARED: Final = 67_108_864
_UNUSUAL: Final = 16
_FIRST_CHUNKS: Final = 2
_MANY_BRACKETS: Final = 100


class Reading:
    """The state of one stream of chunks: adds each chunk, and appends its deltas to a list.

    `split_thinking`: `<think>…</think>` at the beginning of the text is thinking.

    - `started` is true after the first choice, `done` after [DONE].
    - `finish_reason` is the newest one in OpenAI's words, `word` the provider's own if it differs.
    - `broken` is a finish_reason that means a failure, `error` a chunk with an error; both are final.
    - `settled` is true while no part of the answer has come after the newest finish_reason. `doubtful`
      is true once a part did: after that a finish_reason alone does not prove that the answer ended.
    - `unread` counts what could not be read, `endings` the finish_reasons.

    How it works: a chunk is decoded as a usual one, after a finish_reason as a plain one first. After one
    that is neither, some are not tried so, since a stream with logprobs or tool calls has one at each
    token (`_unusual` counts them). While it is below 0, chunks may be about the answer as a whole.
    """

    __slots__ = (
        "_answer",
        "_before",
        "_by_field",
        "_by_message",
        "_compared",
        "_figures",
        "_plain",
        "_rare",
        "_several",
        "_splits",
        "_splitter",
        "_texts",
        "_thought",
        "_thoughts",
        "_timings",
        "_unusual",
        "_waiting",
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
        self._rare = RareParts(self.unread)
        self._waiting: list[Delta] = []
        self._unusual = -_FIRST_CHUNKS
        self._figures: object = None
        self._timings: object = None

    @property
    def usage(self) -> Usage | None:
        """The newest usage of the provider; None if it has sent none that can be read."""
        return figures.read(self._figures) or figures.from_timings(self._timings)

    @property
    def said(self) -> bool:
        """Whether any part of the answer has come."""
        return bool(self._texts or self._thoughts or self._rare.called)

    @property
    def ending(self) -> tuple[str | None, str | None]:
        """The finish_reason, and the provider's word for it if that is another one.

        An answer with tool calls ends with them, also where the provider says that it just stopped.
        """
        if self.finish_reason == "stop" and self._rare.called:
            return "tool_calls", self.word or "stop"
        return self.finish_reason, self.word

    @property
    def over(self) -> bool:
        """Whether nothing more is to be read."""
        return self.done or self.error is not None or self.unread.flooded

    def add(self, data: bytes, deltas: list[Delta]) -> bool:
        """Decode the `data` of one SSE event, append its deltas, and return whether to read on.

        An error object ends the stream and is kept in `error`; deltas of the same chunk still count.
        """
        if self._unusual:
            self._add_unusual(data, deltas)
            return not self.over
        if self.settled and self._add_plain(data, deltas):
            return not self.over
        try:
            chunk = decode_usual(data)
        except FAILED:
            if not self._add_plain(data, deltas):
                self._unusual = _UNUSUAL
                self._add_any(data, deltas)
            return not self.over
        if chunk.usage:
            self._figures = figures.newer_usage(chunk.usage, self._figures)
        if chunk.timings:
            self._timings = figures.newer_timings(chunk.timings, self._timings)
        self.started = True
        delta = chunk.choices[0].delta
        if delta is not None:
            said = delta.content
            if (
                self._plain
                and type(said) is str
                and said
                and not (delta.reasoning_content or delta.reasoning or delta.tool_calls)
            ):
                self._texts.add(said)
                deltas.append(Chunk(said))
            else:
                self._add_delta(delta, deltas)
            if self.settled and has_text(delta):
                self._unsettle()
        return not self.unread.flooded

    def _add_unusual(self, data: bytes, deltas: list[Delta]) -> None:
        """Add an event where one that is not usual is likely."""
        first = self._unusual < 0
        self._unusual += 1 if first else -1
        if not (first and self._add_plain(data, deltas)):
            self._add_any(data, deltas)

    def _add_plain(self, data: bytes, deltas: list[Delta]) -> bool:
        """Add an event as it usually stands at a stream's beginning or end; False: it is another one."""
        if self._waiting:
            return False
        if data == DONE:
            self.done = True
            return True
        try:
            chunk = decode_plain(data)
        except FAILED:
            return False
        if chunk.usage:
            self._figures = figures.newer_usage(chunk.usage, self._figures)
        for choice in chunk.choices:
            self.started = True
            if (delta := choice.delta) is not None and (has_text(delta) or delta.tool_calls):
                self._add_delta(delta, deltas)
            if choice.finish_reason or self.settled:
                self._finish(choice, None)
        return True

    def _add_any(self, data: bytes, deltas: list[Delta]) -> None:
        """Add an event, whatever it is."""
        if data == DONE:
            self.done = True
            return
        try:
            value = decode_any(data)
        except FAILED:
            value = None
        fields = cast("reports.Fields", value) if type(value) is dict else None
        if fields is None or odd.has_numeral(fields):
            self._add_odd(data, deltas)
            return
        self._rare.extras.careful = data.count(b"[") + data.count(b"{") > _MANY_BRACKETS
        self._add_fields(odd.chunk_of(fields, self.unread), fields, deltas)

    def _add_odd(self, data: bytes, deltas: list[Delta]) -> None:
        """Add an event that is not one JSON object."""
        self._rare.extras.careful = True
        for value in odd.values(data, self.unread):
            if value is DONE:
                self.done = True
                return
            for chunk, fields in odd.chunks_of(value, self.unread):
                self._add_fields(chunk, fields, deltas)
                if self.error is not None:
                    return

    def _add_fields(self, chunk: WireChunk, fields: reports.Fields, deltas: list[Delta]) -> None:
        self._add_chunk(chunk, fields, deltas)
        self._set_aside(self._rare.extras.of_chunk(fields), deltas)
        if self._waiting:
            if deltas or self.said:
                deltas += self._waiting
                self._waiting.clear()
            else:
                self._unusual = max(self._unusual, 1)  # until the first part comes

    def _add_chunk(self, chunk: WireChunk, fields: reports.Fields, deltas: list[Delta]) -> None:
        if chunk.usage:
            self._figures = figures.newer_usage(chunk.usage, self._figures)
        if chunk.timings:
            self._timings = figures.newer_timings(chunk.timings, self._timings)
        choices = chunk.choices
        if not choices:
            if self.unread.may_read():
                self._find_error(chunk, fields)
            return
        if len(choices) > 1 or self._several:
            choices = self._ours(choices)
        self.started = True
        for choice in choices:
            if choice.delta is not None:
                self._add_delta(choice.delta, deltas)
            self._add_beside(choice, deltas)
            if choice.finish_reason or self.settled or choice.error:
                self._finish(choice, chunk.x_groq)
        if chunk.error or chunk.base_resp or chunk.x_groq:
            self._find_error(chunk, fields)

    def _add_beside(self, choice: WireChoice, deltas: list[Delta]) -> None:
        """Append what a choice has beside text and thoughts in its delta."""
        fields: dict[str, Any] = choice.fields or {}
        if choice.delta is not None and type(inner := fields["delta"]) is dict:
            deltas += self._rare.extras.of_delta(cast("reports.Fields", inner))
        text = choice.text or choice.content
        if (choice.message is not None or text) and not is_beside(choice):
            self._add_whole(choice.message or WireDelta(content=text), choice, deltas)
            if type(inner := fields.get("message")) is dict:
                deltas += self._rare.extras.of_message(cast("reports.Fields", inner))
        if extras := self._rare.extras.of_choice(fields):
            self._set_aside(extras, deltas)

    def _add_calls(
        self, add: Callable[[object, list[Delta]], bool], value: object, deltas: list[Delta]
    ) -> None:
        """Append what tool calls bring; text that could still become a tag is none, and comes before."""
        if self._splitter is not None and (text := self._splitter.interrupt()):
            self._texts.add(text)
            deltas.append(Chunk(text))
        if add(value, deltas):
            self._unsettle()

    def _set_aside(self, extras: list[Delta], deltas: list[Delta]) -> None:
        """Append what came beside the answer, or keep it until the answer has a part."""
        if extras:
            (deltas if deltas or self.said else self._waiting).extend(extras)

    def _ours(self, choices: list[WireChoice]) -> list[WireChoice]:
        """Return the choices that belong to the one answer that was asked for."""
        if not self.unread.may_read(len(choices) - 1):
            return []
        first = [
            one for one in choices if one.index in _FIRST or not isinstance(one.index, int | str)
        ]
        if len(choices) == 1:
            return first
        self._several = self._several or 0 < len(first) < len(choices)
        if self._several:
            self._unusual = sys.maxsize
        return first or choices[:1]

    def _finish(self, choice: WireChoice | PlainChoice, x_groq: object) -> None:
        """Record the finish_reason or the error of a choice, or that text came after a finish_reason."""
        if (inner := figures.in_choice(choice.usage, x_groq)) is not None:
            self._figures = figures.newer_usage(inner, self._figures)
        if choice.error:
            self.error = self.error or WireChunk(error=choice.error)
        if choice.delta is not None and has_text(choice.delta):
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

    def _find_error(self, chunk: WireChunk, fields: reports.Fields) -> None:
        """Record the error of a chunk, if it has one."""
        if (found := reports.find({**fields, "choices": chunk.choices})) is not None:
            self.error = WireChunk(error=found, request_id=chunk.request_id)

    def _add_delta(self, delta: AnyDelta, deltas: list[Delta]) -> None:
        if delta.error and reports.find({"error": delta.error}) is not None:
            self.error = self.error or WireChunk(error=delta.error)
        self._add_words(delta, deltas)
        if delta.tool_calls:
            self._add_calls(self._rare.calls.add, delta.tool_calls, deltas)
        if delta.function_call:
            self._add_calls(self._rare.calls.add_function, delta.function_call, deltas)

    def _add_words(self, delta: AnyDelta, deltas: list[Delta]) -> None:
        thought, said = self._read(delta)
        if thought:
            self._think(self._thought.add(thought), deltas)
        if said:
            self._say(said, deltas)

    def _read(self, delta: AnyDelta) -> tuple[str, str]:
        """Return the thoughts and the text of a delta."""
        thought, text = delta.reasoning_content or delta.reasoning, delta.content
        others = thought or delta.reasoning_details or delta.refusal or delta.text
        if not others and (text is None or type(text) is str):
            return "", text or ""
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

    def _add_whole(self, whole: WireDelta, choice: WireChoice, deltas: list[Delta]) -> None:
        """Append what the `message` or `text` of a choice brings.

        Without any delta before, it is a piece of the answer, or all of it. After deltas it repeats
        them; one beside a delta with text does so in each chunk, and only the last one counts.
        """
        if has_text(whole):
            self._add_whole_text(whole, choice, deltas)
        if whole.tool_calls:
            self._add_calls(self._rare.calls.add_whole, whole.tool_calls, deltas)
        elif whole.function_call and not self._rare.called:
            self._add_calls(self._rare.calls.add_function, whole.function_call, deltas)

    def _add_whole_text(self, whole: WireDelta, choice: WireChoice, deltas: list[Delta]) -> None:
        if self._by_message or not (self._texts or self._thoughts):
            self._by_message = True
            self._look_for_growth(whole)
            if not self._texts.grown(whole.content):
                if not (choice.finish_reason and self._texts.repeated(whole.content)):
                    self._unsettle()
                    self._add_words(whole, deltas)
                return
            self._by_message = False  # each is what came so far
        self._flush(deltas)
        thought, said = self._read(whole)
        if self._splits:
            more, said = thinking.split(said)
            thought += more
        self._add_missing(thought, self._thoughts, deltas)
        self._add_missing(said, self._texts, deltas)

    def _look_for_growth(self, whole: WireDelta) -> None:
        """Record text as unread that has been taken for pieces, and was the beginning of the next."""
        content, before = whole.content, self._before
        if isinstance(content, str):
            self._before = content
            if self._texts.size > len(before) and grows(content, before):
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
        """Return the deltas for what is still held back at the end of the stream."""
        deltas: list[Delta] = []
        self._think(self._thought.rest(), deltas)
        if rest := self._answer.rest():
            self._say(rest, deltas)
        self._flush(deltas)
        self._rare.rest(deltas)
        deltas += self._waiting
        self._waiting.clear()
        return deltas
