"""TOML with line numbers: what a document says, and the line of each key and of each item.

How it works: `tomllib` reads the document and refuses a wrong one; it names the line of a syntax error,
but of nothing else. A second look at the text, which is then known to be right, finds where each key
stands. It understands no values: it steps over them.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from typing import Final

from msgspec import Struct

Path = tuple[str | int, ...]
"""The way to a value: keys, and numbers of items from 0."""

_BLANK: Final = re.compile(r"(?:[ \t\n]+|#[^\n]*)*")
_SPACE: Final = re.compile(r"[ \t]*")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_QUOTED: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'')
_LONG: Final = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}(?!")|\'\'\'.*?\'{3,5}(?!\')', re.DOTALL)
_SCALAR: Final = re.compile(r"[^,\]}#\n]*")


class Document(Struct, frozen=True):
    """A TOML document: its `values`, and the `lines` (from 1) of its keys and items."""

    values: dict[str, object]
    lines: dict[Path, int]

    def line(self, path: Path) -> int:
        """Return the line of a key, or of the nearest table around it; 1 for the document."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read(text: str) -> Document:
    """Return a document. Raises `tomllib.TOMLDecodeError`, which names the line, or `RecursionError`."""
    values = tomllib.loads(text)
    return Document(values, _Look(text.replace("\r\n", "\n")).lines)


class _Look:
    """One walk over the text of a document that is known to be right."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._text = text
        self._at = 0
        self._breaks = [found.start() for found in re.finditer("\n", text)]
        self._items: dict[Path, int] = {}
        """How many tables each array of tables has so far."""
        prefix: Path = ()
        while self._next():
            start = self._at
            if self._take("[["):
                prefix = self._resolve((), self._key(), item=True)
                self._take("]]")
            elif self._take("["):
                prefix = self._resolve((), self._key())
                self._take("]")
            else:
                self._pair(prefix)
                continue
            self._mark(prefix, start)

    def _pair(self, prefix: Path) -> None:
        """Walk over `key = value`."""
        start = self._at
        path = self._resolve(prefix, self._key())
        self._mark(path, start)
        self._take("=")
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Path) -> None:
        for pattern in (_LONG, _QUOTED):
            if (found := pattern.match(self._text, self._at)) is not None:
                self._at = found.end()
                return
        if self._take("["):
            number = 0
            while not self._take("]"):
                self._mark((*path, number), self._at)
                self._value((*path, number))
                self._take(",")
                number += 1
        elif self._take("{"):
            while not self._take("}"):
                self._pair(path)
                self._take(",")
        else:
            self._skip(_SCALAR)

    def _key(self) -> list[str]:
        """Return the parts of a key, which may be dotted."""
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            found = _QUOTED.match(self._text, self._at) or _BARE.match(self._text, self._at)
            if found is None:
                return parts
            self._at = found.end()
            bare = found[0][0] not in "\"'"
            parts.append(found[0] if bare else str(tomllib.loads(f"key = {found[0]}")["key"]))
            if not self._take("."):
                return parts

    def _resolve(self, prefix: Path, parts: list[str], *, item: bool = False) -> Path:
        """Return the path of a key: an array of tables on the way means its newest one.

        With `item` the key itself begins another table of its array.
        """
        path = prefix
        for number, part in enumerate(parts, start=1):
            path = (*path, part)
            if item and number == len(parts):
                self._items[path] = self._items.get(path, 0) + 1
            if path in self._items:
                self.lines.setdefault(path, self._line(self._at))
                path = (*path, self._items[path] - 1)
        return path

    def _mark(self, path: Path, at: int) -> None:
        """Record where a path is, and its tables that have no line of their own."""
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], self._line(at))

    def _line(self, at: int) -> int:
        return bisect_right(self._breaks, at - 1) + 1

    def _next(self) -> bool:
        """Walk to the next thing that is no blank and no comment; return whether there is one."""
        self._skip(_BLANK)
        return self._at < len(self._text)

    def _take(self, mark: str) -> bool:
        """Walk over blanks and a mark, if it comes next."""
        self._skip(_BLANK)
        if not self._text.startswith(mark, self._at):
            return False
        self._at += len(mark)
        self._skip(_BLANK)
        return True

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
