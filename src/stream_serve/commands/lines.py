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
        self._begun = False
        """Whether the beginning of a line has been taken, which its end has to follow."""
        self._returned = False
        """Whether a `\\r` has ended a line before it was seen whether a `\\n` belongs to it."""

    @property
    def pending(self) -> bool:
        """Whether there is the beginning of a line to be taken."""
        return self._kept != "" and (self._begun or self._kept != _RETURN)

    def feed(self, data: bytes, *, last: bool = False) -> Iterator[Line]:
        """Return the lines that are complete by these bytes; with `last` also what is left."""
        come = self._decode(data, last)
        if come and self._returned:
            come, self._returned = come.removeprefix("\n"), False
        text = self._kept + come
        start = 0
        for end in _ENDS.finditer(text):
            line = text[start : end.start()]
            start = end.end()
            if line or self._begun or end[0] != _RETURN:
                yield from self._divided(line)
        self._kept = text[start:]
        while len(self._kept) > MAX_LINE:
            yield self._partial(self._kept[:MAX_LINE])
            self._kept = self._kept[MAX_LINE:]
        if last:
            yield from self.rest(last=True)

    def rest(self, *, last: bool = False) -> Iterator[Line]:
        """Return the beginning of a line for which nothing more has come for a while.

        With `last` nothing more will come: it is the whole line.
        """
        if not self.pending:
            return
        kept, self._kept = self._kept, ""
        self._returned = kept.endswith(_RETURN)
        if self._returned or last:
            yield self._whole(kept.removesuffix(_RETURN))
        else:
            yield self._partial(kept)

    def _divided(self, line: str) -> Iterator[Line]:
        while len(line) > MAX_LINE:
            yield self._partial(line[:MAX_LINE])
            line = line[MAX_LINE:]
        yield self._whole(line)

    def _partial(self, text: str) -> Line:
        self._begun = True
        return Line(text, partial=True)

    def _whole(self, text: str) -> Line:
        self._begun = False
        return Line(text)
