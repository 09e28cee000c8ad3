"""The thoughts of an answer that a caller has to send back as they came: signed or encrypted ones.

How it works: `reasoning_details` (OpenRouter) is a list of entries. The text in them is thinking, and is
passed on as such. An entry that says anything else (`data`, `signature`) is needed again in the next
request, together with all the others of its answer and in their order. So entries of plain text are kept
and joined, piece by piece, until one comes that is more; from then on each is passed on. Of an answer
that has none like that, nothing is passed on: its thoughts are known already.

Entries are not joined by their `index`, which is 0 in each for some providers: an entry continues the one
before it if nothing tells them apart, and is the end of its text if it has none of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from stream_serve.producers.openai.reports import Fields

WHERE: Final = "reasoning_details"
MAX_KEPT: Final = 1_048_576
"""Characters and entries that are kept at most: more are passed on, where the limits of a run count."""
_ENTRY: Final = 64
_TEXTS: Final = ("text", "summary", "content")
_MARKS: Final = frozenset({"type", "id", "index", "format"})
_NOTHING: Final[tuple[object, ...]] = (None, "", [], {})


class SealedThoughts:
    """The entries of one answer; returns those that are to be passed on.

    `passed` is true once an entry has been.
    """

    __slots__ = ("_kept", "_size", "_texts", "passed")

    def __init__(self) -> None:
        self._kept: list[Fields] = []
        self._texts: list[str] = []
        self._size = 0
        self.passed = False

    def add(self, value: object) -> list[Fields]:
        """Add a value of `reasoning_details`; return the entries that are whole by now."""
        released: list[Fields] = []
        for one in cast("list[object]", value) if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                released += self._add(cast("Fields", one))
        return released

    def rest(self) -> list[Fields]:
        """Return the entries that are left at the end of the answer."""
        return self._release() if self.passed else []

    def _add(self, entry: Fields) -> list[Fields]:
        more = {name for name, one in entry.items() if one not in _NOTHING} - _MARKS
        if not more:
            return []
        name = next((name for name in _TEXTS if isinstance(entry.get(name), str)), None)
        released: list[Fields] = []
        if self._kept and _continues(self._kept[-1], entry, name):
            kept = {mark: one for mark, one in entry.items() if mark != name and one is not None}
            self._kept[-1] |= kept
        else:
            released = self.rest()
            self._join()
            self._kept.append({**entry})
        if name is not None:
            self._texts.append(cast("str", entry[name]))
        self._size += _ENTRY + (len(self._texts[-1]) if name else 0)
        if more != {name} or self._size > MAX_KEPT:
            self.passed = True
            released += self._release()
        return released

    def _join(self) -> None:
        """Write the pieces of the newest text as one."""
        if self._texts:
            last = self._kept[-1]
            last[_text_name(last)] = "".join(self._texts)
            self._texts = []

    def _release(self) -> list[Fields]:
        self._join()
        released, self._kept, self._size = self._kept, [], 0
        return released


def _text_name(entry: Fields) -> str:
    return next(name for name in _TEXTS if isinstance(entry.get(name), str))


def _continues(before: Fields, entry: Fields, name: str | None) -> bool:
    """Return whether an entry is the next piece of a text, or what belongs to the text before it."""
    if name != _text_name(before) and (name or before.get("type") != entry.get("type")):
        return False
    return all(
        before.get(mark) is None or entry.get(mark) is None or before[mark] == entry[mark]
        for mark in _MARKS
    )
