"""Chunks that are not written as RFC 9112, 7.1, says: lines that end with LF alone, or have spaces.

How it works: the parser of bodies reads what is written by the rules, and is quick. The first line of a
body tells how it is written, as soon as it is whole: `reading` looks at it. What is unusual goes to
`ChunkReader`, since the parser would refuse it; so do chunks with extensions (7.1.1), in which the parser
does not take all that servers write.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Protocol

from stream_serve.producers.http1.base import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.producers.http1.base import Receiver

_MAX_LINE: Final = 16_384
_USUAL: Final = re.compile(rb"[0-9a-fA-F]+[ \t]*\r\n")
_SIZE: Final = re.compile(rb"[0-9a-fA-F]{1,15}")


class Body(Protocol):
    """What is told of a body; the names are those of httptools."""

    @property
    def on_body(self) -> Receiver:
        """Called with each piece."""
        ...

    def on_message_complete(self) -> None:
        """Called at the end."""
        ...

    def on_message_begin(self) -> None:
        """Called when something follows the end."""
        ...


class _Line(Enum):
    """What the next line is."""

    SIZE = auto()
    AFTER_DATA = auto()
    TRAILER = auto()
    NONE = auto()


class Channel(Protocol):
    """Where a body comes from."""

    def parse_with(self, parse: Callable[[bytes], None]) -> None:
        """Call `parse` with all that comes from now on."""
        ...


def reading(
    begin: bytes, usual: Callable[[bytes], None], body: Body, channel: Channel
) -> Callable[[bytes], None]:
    """Return what reads a body of chunks: `usual`, or a `ChunkReader` that tells `body` of them.

    `begin` is what has come of the body. As long as its first line is not whole, what is returned holds
    it back, and then lets `channel` call the right one.
    """
    if b"\n" in begin:
        return usual if _USUAL.match(begin) else ChunkReader(body).feed_data
    held = b""

    def hold(data: bytes) -> None:
        nonlocal held
        held += data
        if b"\n" in held:
            read = reading(held, usual, body, channel)
            channel.parse_with(read)
            read(held)
        elif len(held) > _MAX_LINE:
            raise ProtocolError("the first line of the body's chunks is too long")

    return hold


class ChunkReader:
    """Reads chunks however their lines end, and tells `body` of them."""

    __slots__ = ("_body", "_left", "_next", "_part")

    def __init__(self, body: Body) -> None:
        self._body = body
        self._left = 0
        self._next = _Line.SIZE
        self._part = b""

    def feed_data(self, data: bytes) -> None:
        """Take bytes. Raises `ProtocolError` for what are no chunks."""
        at = 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                self._left -= len(piece)
                at += len(piece)
                self._body.on_body(piece)
                continue
            end = data.find(b"\n", at)
            self._part += data[at:] if end < 0 else data[at:end]
            if len(self._part) > _MAX_LINE:
                raise ProtocolError("a line between the chunks of the body is too long")
            if end < 0:
                return
            at = end + 1
            line, self._part = self._part.strip(), b""
            self._read(line)

    def _read(self, line: bytes) -> None:
        match self._next:
            case _Line.SIZE:
                found = _SIZE.fullmatch(line.partition(b";")[0].strip())
                if found is None:
                    raise ProtocolError("the body is not cut into chunks, as its head says")
                self._left = int(found[0], 16)
                self._next = _Line.AFTER_DATA if self._left else _Line.TRAILER
            case _Line.AFTER_DATA:
                if line:
                    raise ProtocolError("a chunk of the body is longer than it says")
                self._next = _Line.SIZE
            case _Line.TRAILER:
                if not line:
                    self._next = _Line.NONE
                    self._body.on_message_complete()
            case _Line.NONE:
                if line:
                    self._body.on_message_begin()
