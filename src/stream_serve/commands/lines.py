"""`Lines`: the bytes that a program prints, as lines of text. No input, no output."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINE: Final = 65_536
"""Characters after which a line is divided: nobody reads more, and a program may never end one."""

_RETURN: Final = "\r"
_ENDS: Final = re.compile("\r\n|\n|\r(?=.)", re.DOTALL)


class Line(NamedTuple):
    """A line without its end; `partial` if it goes on in the next one."""

    text: str
    partial: bool = False


class Lines:
    """Divides what comes in pieces. What is no UTF-8 becomes U+FFFD; a lone `\\r` ends a line, too.

    So a bar of progress, which is written over and over, is a line each time.
    """

    def __init__(self) -> None:
        self._decode: Final = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._kept = ""

    @property
    def pending(self) -> bool:
        """Whether there is the beginning of a line."""
        return bool(self._kept)

    def feed(self, data: bytes, *, last: bool = False) -> Iterator[Line]:
        """Return the lines that are complete by these bytes; with `last` also what is left."""
        text = self._kept + self._decode(data, last)
        start = 0
        for end in _ENDS.finditer(text):
            line = text[start : end.start()]
            start = end.end()
            if line or end[0] != _RETURN:
                yield from _divided(line)
        self._kept = text[start:]
        while len(self._kept) > MAX_LINE:
            yield Line(self._kept[:MAX_LINE], partial=True)
            self._kept = self._kept[MAX_LINE:]
        if last and self._kept:
            yield Line(self._kept.removesuffix(_RETURN))
            self._kept = ""

    def rest(self) -> Iterator[Line]:
        """Return the beginning of a line for which nothing more has come for a while."""
        kept, self._kept = self._kept, ""
        if kept.endswith(_RETURN):
            yield Line(kept.removesuffix(_RETURN))
        elif kept:
            yield Line(kept, partial=True)


def _divided(line: str) -> Iterator[Line]:
    while len(line) > MAX_LINE:
        yield Line(line[:MAX_LINE], partial=True)
        line = line[MAX_LINE:]
    yield Line(line)
