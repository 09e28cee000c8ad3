"""Finds where the first object or list of a JSON text ends, which comes in pieces; reads each once."""

from __future__ import annotations

import re
from typing import Final

_MARKS: Final = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)


class Brackets:
    """The brackets of a text so far. `closed` says that the first one has met its end."""

    __slots__ = ("_depth", "_escaped", "_quoted", "closed")

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = False
        self._escaped = False
        self.closed = False

    def read(self, text: str) -> None:
        """Read the next piece, which is not empty."""
        if self._escaped:
            self._escaped = False
            text = text[1:]
        for mark in _MARKS.findall(text):
            if mark.startswith("\\"):
                self._escaped = len(mark) == 1
            elif mark == '"':
                self._quoted = not self._quoted
            elif not self._quoted:
                self._depth += 1 if mark in "{[" else -1
                if self._depth <= 0:
                    self.closed = True
                    return
