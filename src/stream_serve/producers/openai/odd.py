"""What a provider sends in a form that is not the usual one: read as far as it can be, else counted.

How it works: a value that cannot be read is left out, and `Unread` counts it. If it may have been text of
the answer, `Unread.lost` says where: then the answer is not whole, however it ends.

- Text is a string, a number as it is written, an object with `text`, `content` or the like, and a list of
  these. A part of a list with a `type` that is not text (an image, a citation) has no text.
- Text that is lost: a string in a place where text belongs, in a form that is not known; an event that
  looks like a piece of JSON and is not whole.
- Anything else costs nothing: an odd index, an odd role, a word between the chunks.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, Self, TypeGuard, cast

from stream_serve.producers.openai.wire import (
    DONE,
    WireChoice,
    WireChunk,
    WireDelta,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_serve.producers.openai.reports import Fields

_DATA: Final = "data:"
_TEXTS: Final = ("text", "content", "value", "output_text")
_THOUGHTS: Final = ("thinking", "reasoning", "summary", "reasoning_content")
_THINKING: Final = re.compile("think|thought|reason", re.IGNORECASE)
_TEXT_TYPE: Final = re.compile("(.*[._-])?(text|string|content|refusal|markdown)", re.IGNORECASE)
_BROKEN: Final = re.compile(r'[{\[}\]]\s*\Z|"\s?:')
_WORDS: Final = re.compile(r"\S")
_MARK: Final = re.compile(r"\[[ \t]*[A-Za-z][\w \t-]{0,40}\](?=\s|\Z)")
_SECRET: Final = re.compile("encrypted|redacted|signature", re.IGNORECASE)
_SAID: Final = ("content", "text", "reasoning_content", "reasoning", "refusal")
_MAX_DEPTH: Final = 8
_MAX_DIGITS: Final = 4000
_MAX_SPENT: Final = 10_000
_VALUE: Final = 10
_DELTA_FIELDS: Final = WireDelta.__struct_fields__


class Unread:
    """Counts what was left out. `first` and `lost` say where: the first of all, and of lost text.

    What is read in vain is bounded, since tiny values cost far more than their bytes: in a part of a
    stream (`Receiver.receive`) there may be a thousand values that are no chunk of text, or ten thousand
    parts of one text. Of a stream with more (`flooded`) nothing more is read, and its text is not whole.
    `spent` counts both, and is set to 0 for each part.
    """

    __slots__ = ("count", "first", "flooded", "lost", "spent")

    def __init__(self) -> None:
        self.count = 0
        self.first: str | None = None
        self.lost: str | None = None
        self.spent = 0
        self.flooded = False

    def may_read(self, cost: int = _VALUE) -> bool:
        """Count a value, or with a cost of 1 a part of a text; return False where it is one too many."""
        self.spent += cost
        if self.spent > _MAX_SPENT and not self.flooded:
            self.flooded = True
            self.add("too many small values at once", lost=True)
        return not self.flooded

    def add(self, where: str, *, lost: bool = False) -> None:
        """Count a part."""
        self.count += 1
        self.first = self.first or where
        if lost:
            self.lost = self.lost or where


def text_of(value: object, where: str, unread: Unread, *, thought: bool = False) -> str:
    """Return the text in a value of any type; "" if there is none.

    `thought`: the value is what a model thinks, which is no text of the answer.
    """
    thoughts, text = split(value, where, unread, thought=thought)
    return thoughts + text


def split(value: object, where: str, unread: Unread, *, thought: bool = False) -> tuple[str, str]:
    """Return the thoughts and the text in a value of any type, such as a list of parts."""
    thoughts: list[str] = []
    texts: list[str] = []
    for is_thought, said in _said(value, where, unread, thought=thought, depth=_MAX_DEPTH):
        (thoughts if is_thought else texts).append(said)
    return "".join(thoughts), "".join(texts)


def _said(
    value: object, where: str, unread: Unread, *, thought: bool, depth: int
) -> Iterator[tuple[bool, str]]:
    """Yield each text in a value, and whether it is a thought."""
    if isinstance(value, str):
        yield thought, value
    elif _is_number(value):
        yield thought, _written(value)
    elif isinstance(value, list) and depth:
        for one in cast("list[object]", value):
            if not unread.may_read(1):
                return
            yield from _said(one, where, unread, thought=thought, depth=depth - 1)
    elif isinstance(value, dict) and depth:
        part = cast("Fields", value)
        kind = part.get("type")
        thought = thought or (isinstance(kind, str) and _THINKING.search(kind) is not None)
        names = (*_THOUGHTS, *_TEXTS) if thought else _TEXTS
        inner = next((one for name in names if (one := part.get(name)) or _is_number(one)), None)
        if inner is not None:
            yield from _said(inner, where, unread, thought=thought, depth=depth - 1)
        elif part:
            _leave_out_part(part, where, unread, thought=thought)
    elif value:
        unread.add(where, lost=not thought and has_words(cast("object", value)))


def _leave_out_part(part: Fields, where: str, unread: Unread, *, thought: bool) -> None:
    """Count a part without text, unless its text is empty; it is lost if it may have had some."""
    kind = part.get("type")
    if thought and isinstance(kind, str) and _SECRET.search(kind):
        return
    textual = not isinstance(kind, str) or _TEXT_TYPE.fullmatch(kind) is not None
    if (textual or thought) and any(name in part for name in (*_TEXTS, *_THOUGHTS)):
        return
    rest = {name: value for name, value in part.items() if name not in {"type", "id"}}
    unread.add(where, lost=textual and not thought and has_words(rest))


def word_of(value: object, where: str, unread: Unread) -> str:
    """Return the word in a value that should be one, such as a finish_reason; "" if there is none.

    It may be in an object, and alone in a list. Several words, a number or a truth value say nothing
    that can be relied on.
    """
    if isinstance(value, list) and len(words := cast("list[object]", value)) == 1:
        value = words[0]
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        fields = cast("Fields", value)
        for name in ("type", "reason", "finish_reason", "value", "name"):
            if isinstance(word := fields.get(name), str):
                return word
    if value:
        unread.add(where)
    return ""


def values(data: bytes, unread: Unread) -> Iterator[object]:
    """Yield the JSON values in the data of an event that is not one usual chunk, and `DONE`.

    Several values may follow each other. Words between them are counted; what looks like a piece of
    JSON is lost, and so is what comes after too many of all these.
    """
    text = data.decode("utf-8", "replace").rstrip()
    at, done = 0, DONE.decode()
    decoder = _strict if "\n" in text else _decoder  # a line end in a string can be where it is cut
    while (found := _WORDS.search(text, at)) is not None:
        at = found.start()
        if text.startswith(done, at):
            yield DONE
            return
        elif (len(text) - at < len(done) and done.startswith(text[at:])) or not unread.may_read():
            return
        else:
            if text.startswith(_DATA, at):  # written twice
                at += len(_DATA)
                continue
            mark = _MARK.match(text, at)  # a word as [DONE] is one: [PING], [done]
            if mark is not None:
                unread.add("a word in brackets")
                at = mark.end()
                continue
            try:
                value, at = decoder.raw_decode(text, at)
            except (ValueError, RecursionError):
                end = len(text) if text[at] in "{[" else (text.find("\n", at) + 1 or len(text))
                lost = text[at] in "{[" or _BROKEN.search(text, at, end) is not None
                unread.add("an event that is not whole JSON", lost=lost)
                at = end
            else:
                yield value


def chunks_of(value: object, unread: Unread) -> Iterator[tuple[WireChunk, Fields]]:
    """Yield the chunks in a JSON value, each with its fields. Gemini sends an error in a list."""
    if isinstance(value, list):
        for one in cast("list[object]", value):
            if not unread.may_read():
                return
            if isinstance(one, dict):
                yield from chunks_of(cast("object", one), unread)
    elif isinstance(value, dict):
        fields = cast("Fields", value)
        yield chunk_of(fields, unread), fields
    elif value is not None:
        unread.add("an event that is not an object")


def chunk_of(fields: Fields, unread: Unread) -> WireChunk:
    """Return the chunk that has some fields."""
    get = fields.get
    request_id = get("request_id")
    return WireChunk(
        choices=list(_choices(get("choices"), unread)),
        usage=get("usage"),
        error=get("error"),
        base_resp=get("base_resp"),
        request_id=request_id if isinstance(request_id, str) else None,
        timings=get("timings"),
        x_groq=get("x_groq"),
    )


def _choices(value: object, unread: Unread) -> Iterator[WireChoice]:
    if isinstance(value, dict):
        fields = cast("Fields", value)
        known = any(name in fields for name in WireChoice.__struct_fields__)
        value = [fields] if known else [*fields.values()]  # by their index: {"0": {…}}
    if isinstance(value, list):
        for number, one in enumerate(cast("list[object]", value)):
            if number and not unread.may_read():
                return
            if isinstance(one, dict):
                yield _choice(cast("Fields", one), unread)
            elif one is not None:
                unread.add("choices[0]", lost=has_words(one))
    elif value is not None:
        unread.add("choices", lost=has_words(value))


def _choice(fields: Fields, unread: Unread) -> WireChoice:
    get = fields.get
    delta, message = get("delta"), get("message")
    return WireChoice(
        delta=None if delta is None else _delta(delta, "delta", unread),
        error=get("error"),
        finish_reason=get("finish_reason"),
        index=get("index", 0),
        message=None if message is None else _delta(message, "message", unread),
        text=_text(get("text")),
        content=_text(get("content")),
        usage=get("usage"),
        fields=fields,
    )


def _delta(value: object, where: str, unread: Unread) -> WireDelta | None:
    if isinstance(value, dict):
        delta = WireDelta(*map(cast("Fields", value).get, _DELTA_FIELDS))
        delta.content = _text(delta.content)  # a server may make the token "0" a number
        return delta
    if isinstance(value, str):
        return WireDelta(content=value)
    unread.add(where, lost=has_words(value))
    return None


def has_numeral(fields: Fields) -> bool:
    """Return whether a chunk has a number in the place of a text, which counts as it is written."""
    choices = fields.get("choices")
    for choice in cast("list[object]", choices) if isinstance(choices, list) else ():
        inner = cast("Fields", choice) if isinstance(choice, dict) else {}
        for one in (inner, inner.get("delta"), inner.get("message")):
            if isinstance(one, dict):
                part = cast("Fields", one)
                if any(_is_number(part.get(name)) for name in _SAID):
                    return True
    return False


def has_words(value: object) -> bool:
    """Return whether any string in a value is not empty."""
    left: list[object] = [value]
    while left:
        one = left.pop()
        if isinstance(one, str) and one.strip():
            return True
        if isinstance(one, dict):
            left += cast("dict[str, object]", one).values()
        elif isinstance(one, list):
            left += cast("list[object]", one)
    return False


def plain_numbers(value: Any) -> Any:
    """Return a value as events carry it: a number that keeps how it was written is one like others."""
    if isinstance(value, _Numeral):
        return float(value)
    if isinstance(value, list):
        return [plain_numbers(one) for one in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {name: plain_numbers(one) for name, one in cast("dict[str, Any]", value).items()}
    return value


class _Numeral(float):
    """A number that keeps how it was written: `1e999`, `-0`, one of a million digits, `NaN`."""

    __slots__ = ("written",)

    def __new__(cls, written: str) -> Self:
        number = super().__new__(cls, written)
        number.written = written
        return number

    written: str


def _integer(digits: str) -> int | float:
    """Return an integer; Python takes only so many digits, and has no -0."""
    return int(digits) if len(digits) < _MAX_DIGITS and digits != "-0" else _Numeral(digits)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _written(number: float) -> str:
    return number.written if isinstance(number, _Numeral) else json.dumps(number)


def _text(value: Any) -> Any:
    """Return a value in the place of a text; a number is the text that it is written as."""
    return _written(value) if _is_number(value) else value


def _decoder_of(*, strict: bool) -> json.JSONDecoder:
    return json.JSONDecoder(
        parse_int=_integer, parse_float=_Numeral, parse_constant=_Numeral, strict=strict
    )


_strict: Final = _decoder_of(strict=True)
_decoder: Final = _decoder_of(strict=False)
