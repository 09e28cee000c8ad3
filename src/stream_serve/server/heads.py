"""Heads of requests and responses that come again: what is known of them is not worked out once more.

How it works: whoever appends to a stream sends the same head each time, but for the length of the body.
So data that begins as before, has any length in its place, goes on as before, and then has a body of just
that length, is a whole request, and its head says what it has said before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from stream_serve.web.streams.response import written

if TYPE_CHECKING:
    from collections.abc import Sequence

_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)\r\n", re.IGNORECASE)
_MAX_DIGITS: Final = 9
_MAX_KEPT: Final = 1_000
"""Bytes of a head that is kept with its connection: with a longer length, too, it is below any limit for
heads (STREAM_SERVE_MAX_HEAD_BYTES)."""

_Said = TypeVar("_Said")


class KnownHead(Generic[_Said]):
    """A head without the length of its body, and what it `says`."""

    __slots__ = ("_after", "_before", "says")

    def __init__(self, before: bytes, after: bytes, says: _Said) -> None:
        self._before = before
        self._after = after
        self.says = says

    def body_of(self, data: bytes) -> bytes:
        """Return the body of a request that is all of `data` and has this head; nothing for any other."""
        before, after = self._before, self._after
        if not data.startswith(before):
            return b""
        start = len(before)
        end = data.find(b"\r", start, start + _MAX_DIGITS + 1)
        length = data[start:end]
        if end < 0 or not length.isdigit() or not data.startswith(after, end):
            return b""
        begin = end + len(after)
        return data[begin:] if len(data) - begin == int(length) else b""


def known(data: bytes, says: _Said) -> KnownHead[_Said] | None:
    """Return the head of a request; None where `data` is not the whole of one that has a length, or its
    head is too long to be kept."""
    size = data.find(_END, 0, _MAX_KEPT) + len(_END)
    found = _LENGTH.search(data, 0, size)
    if found is None or int(found[1]) != len(data) - size:
        return None
    return KnownHead(data[: found.start(1)], data[found.end(1) : size], says)


class HeaderLines:
    """The lines of headers that stay the same for a while, such as the date."""

    __slots__ = ("_headers", "_lines")

    def __init__(self) -> None:
        self._headers: Sequence[tuple[bytes, bytes]] = ()
        self._lines = b""

    def of(self, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Return the lines of a sequence that nobody changes."""
        if headers is not self._headers:
            self._headers, self._lines = headers, written(headers)
        return self._lines
