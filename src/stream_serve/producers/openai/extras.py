"""What a provider sends beside the answer's parts: sources, logprobs, and fields that are not known here.

How it works: a field of a choice or of its delta that has a meaning for the service is in one of the
lists below; every other one that says anything is passed on unchanged, as an `Extra`. Of the chunk itself
only some fields are, each when it changes. Pages that the provider names become a `Source`, once in an
answer. Thoughts that a caller has to send back are in `sealed`. A value that no event can carry is left
out and counted: half of a surrogate pair, a number that is not finite, lists within lists without end.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, Literal, cast

from stream_serve.events import plain
from stream_serve.events.types import Delta, Extra, Source
from stream_serve.producers.openai import odd, sealed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_serve.producers.openai.odd import Unread
    from stream_serve.producers.openai.reports import Fields

MAX_SOURCES: Final = 1000
MAX_URL: Final = 4096
MAX_TITLE: Final = 500
_MAX_DEPTH: Final = 32
_MAX_NUMBER: Final = 10**100
_DELTA: Final = {
    *("role", "name", "content", "reasoning_content", "reasoning", "reasoning_details", "refusal"),
    *("text", "error", "tool_calls", "function_call", "tool_call_id", "obfuscation", "usage"),
}
_CHOICE: Final = {
    *("delta", "error", "finish_reason", "index", "message", "text", "content", "usage"),
    "obfuscation",
}
_SOURCES: Final = ("search_results", "search_info", "citations")
_CHUNK: Final = {"system_fingerprint", "service_tier", "provider", *_SOURCES}
_STEADY: Final = {*_CHUNK, "content_filter_results"}
_NOTHING: Final[tuple[object, ...]] = ("", [], {})
_URL: Final = re.compile(r"https?://\S", re.IGNORECASE)


class Extras:
    """What came beside one answer so far; returns the events for what is new.

    `careful` says that the fields may have values that no event can carry.
    """

    __slots__ = ("_by_delta", "_newest", "_sealed", "_sources", "_unread", "careful")

    def __init__(self, unread: Unread) -> None:
        self._unread = unread
        self._sources: set[str] = set()
        self._newest: dict[str, object] = {}
        self._by_delta: set[str] = set()
        self._sealed = sealed.SealedThoughts()
        self.careful = False

    def of_delta(self, fields: Fields) -> list[Delta]:
        """Return the events for the fields of a delta."""
        found: Fields = {}
        if names := fields.keys() - _DELTA:
            found = self._found(fields, names)
            self._by_delta |= found.keys()
        if details := fields.get(sealed.WHERE):
            self._by_delta.add(sealed.WHERE)
            found |= self._details(self._sealed.add(details))
        return self._events("delta", found)

    def of_message(self, fields: Fields) -> list[Delta]:
        """Return the events for the fields of a message, unless deltas brought them already."""
        found = self._found(fields, fields.keys() - _DELTA - self._by_delta)
        if details := fields.get(sealed.WHERE):
            if sealed.WHERE in self._by_delta and not self._sealed.passed:
                self._by_delta.remove(sealed.WHERE)
                self._sealed = sealed.SealedThoughts()  # the message has them all
            if sealed.WHERE not in self._by_delta:
                found |= self._details(self._sealed.add(details))
        return self._events("delta", found)

    def rest(self) -> list[Delta]:
        """Return the events for what is held back at the end of the stream."""
        return self._events("delta", self._details(self._sealed.rest()))

    def of_choice(self, fields: Fields) -> list[Delta]:
        """Return the events for the fields of a choice."""
        names = fields.keys() - _CHOICE
        return self._events("choice", self._found(fields, names)) if names else []

    def of_chunk(self, fields: Fields) -> list[Delta]:
        """Return the events for the fields of a chunk."""
        names = fields.keys() & _CHUNK
        return self._events("chunk", self._found(fields, names)) if names else []

    def _found(self, fields: Fields, names: set[str]) -> Fields:
        """Return those of some fields that say anything new, in their order."""
        found: Fields = {}
        for name in names if len(names) == 1 else filter(names.__contains__, fields):
            value = fields[name]
            if value is None or value in _NOTHING or not self._is_new(name, value):
                continue
            if self.careful and not (is_fit(name) and is_fit(value)):
                self._unread.add(plain.line(name, 100))
                continue
            found[name] = odd.plain_numbers(value) if self.careful else value
        return found

    def _details(self, entries: list[Fields]) -> Fields:
        """Return the field for the entries of `reasoning_details` that an event can carry."""
        fit = [one for one in entries if is_fit(one)]
        if len(fit) < len(entries):
            self._unread.add(sealed.WHERE)
        return {sealed.WHERE: fit} if fit else {}

    def _is_new(self, name: str, value: object) -> bool:
        if name not in _STEADY:
            return True
        before, self._newest[name] = self._newest.get(name), value
        return before != value

    def _events(self, place: Literal["delta", "choice", "chunk"], found: Fields) -> list[Delta]:
        if not found:
            return []
        pages = [found["annotations"]] if "annotations" in found else []
        pages += [found[name] for name in _SOURCES if name in found]
        sources = [one for page in pages for one in self._new_sources(page)]
        return [Extra(place, found), *sources]

    def _new_sources(self, value: object) -> Iterator[Source]:
        for url, title in _pages(value):
            if url in self._sources:
                continue
            if len(url) > MAX_URL or len(self._sources) >= MAX_SOURCES:
                self._unread.add("a source")
                continue
            self._sources.add(url)
            yield Source(url, plain.line(title, MAX_TITLE) or None)


def fitting(fields: Fields, unread: Unread) -> Fields:
    """Return the fields that an event can carry; the others are counted."""
    fit = {
        name: odd.plain_numbers(one) for name, one in fields.items() if is_fit(name) and is_fit(one)
    }
    for name in fields.keys() - fit.keys():
        unread.add(plain.line(name, 100))
    return fit


def is_fit(value: object, depth: int = _MAX_DEPTH) -> bool:
    """Return whether a value of JSON can be written as it is, and read by everybody."""
    if isinstance(value, str):
        return value.isascii() or _is_whole(value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return -_MAX_NUMBER < value < _MAX_NUMBER
    if isinstance(value, list):
        return depth > 0 and all(is_fit(one, depth - 1) for one in cast("list[object]", value))
    if isinstance(value, dict):
        fields = cast("Fields", value)
        return depth > 0 and all(
            is_fit(name) and is_fit(one, depth - 1) for name, one in fields.items()
        )
    return True


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _pages(value: object) -> Iterator[tuple[str, str]]:
    """Yield the address and the title of each page in a field that names pages."""
    if isinstance(value, dict):
        fields = cast("Fields", value)
        yield from _pages(fields.get("search_results"))  # DashScope's search_info
    elif isinstance(value, list):
        for one in cast("list[object]", value):
            fields = cast("Fields", one) if isinstance(one, dict) else {"url": one}
            inner = fields.get("url_citation")
            page = cast("Fields", inner) if isinstance(inner, dict) else fields
            url, title = page.get("url"), page.get("title")
            if isinstance(url, str) and _URL.match(url):
                yield plain.line(url), title if isinstance(title, str) else ""
