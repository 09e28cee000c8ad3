"""The content codings of a body, undone as its pieces arrive (RFC 9110, 8.4)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, Protocol

from stream_serve.producers.http1.base import IncompleteResponse, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.producers.http1.base import Receiver

_NAMED: Final = 47
_DEFLATE: Final = -15
_MAGIC: Final = b"\x1f\x8b"
_KNOWN: Final = {"gzip", "x-gzip", "deflate"}
_MAX_CODINGS: Final = 4
_MAX_INFLATED: Final = 2_097_152
_MAX_RATIO: Final = 16


def decoded(codings: Sequence[str], receive: Receiver) -> Receiver:
    """Return a receiver of the coded body, which calls `receive` with what was encoded.

    `codings` are in the order in which they were applied, without those that mean nothing; a body without
    one goes to `receive` itself. Raises `ProtocolError` for a coding that is not known.
    """
    if not codings:
        return receive
    for coding in codings:
        if coding not in _KNOWN:
            raise ProtocolError(
                f"its body is encoded as {_shown(coding)}, which nobody asked for and is not known"
            )
    if len(codings) > _MAX_CODINGS:
        raise ProtocolError(f"its body is encoded more than {_MAX_CODINGS} times")
    return Decoder([_Stage(coding) for coding in reversed(codings)], receive)


def _shown(coding: str) -> str:
    return coding if len(coding) <= 40 else f"{coding[:40]}…"


class Decoder:
    """A receiver that decodes each piece and calls another receiver with the result.

    Nobody asks for compressed bodies, so what a piece may grow to is bounded: 2 MiB, and 16 bytes for
    each of its own. A stream of events needs less, and a loop can do that at once.
    """

    __slots__ = ("_receive", "_stages")

    def __init__(self, stages: Sequence[_Stage], receive: Receiver) -> None:
        self._stages = stages
        self._receive = receive

    @property
    def complete(self) -> bool:
        """Whether the end of what was encoded has come."""
        return all(stage.complete for stage in self._stages)

    def __call__(self, piece: bytes) -> None:
        """Decode a piece.

        Raises `ProtocolError` when it grows too far, or the body never was what its head says, and
        `IncompleteResponse` when it goes on otherwise than it began.
        """
        bound = _MAX_INFLATED + _MAX_RATIO * len(piece)
        for stage in self._stages:
            piece = stage.decode(piece, bound)
        if piece:
            self._receive(piece)


class _Inflate(Protocol):
    """zlib's object that undoes one stream."""

    @property
    def eof(self) -> bool: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Stage:
    """One coding. Its streams may follow each other (RFC 1952, 2.2), one for each flush of a gateway.

    What a stream itself says counts more than its label. By the RFC `deflate` is zlib's format, but many
    servers send a bare deflate stream (RFC 1951), which says nothing. What follows a stream and is none
    is dropped.
    """

    __slots__ = ("_begun", "_coding", "_early", "_ended", "_inflate", "_named")

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._inflate: _Inflate | None = None
        self._early = b""
        self._begun = False
        self._named = False
        self._ended = False

    @property
    def complete(self) -> bool:
        return self._inflate is None and (self._begun or not self._early)

    def decode(self, data: bytes, bound: int) -> bytes:
        """Return what a piece encodes, at most `bound` bytes."""
        plain: list[bytes] = []
        left = bound
        while data and not self._ended:
            if self._inflate is None:
                data = self._early + data
                if self._begun:
                    data = data.lstrip(b"\0")  # zeros after the end of a stream are padding
                self._inflate = self._begin(data)
            if self._inflate is None:
                self._early = data
                break
            self._early = b""
            plain.append(self._inflated(self._inflate, data, left + 1))
            left -= len(plain[-1])
            if left < 0:
                raise ProtocolError(
                    "its body is compressed, which nobody asked for, and a piece of it grew to more "
                    f"than {bound} bytes"
                )
            data = self._inflate.unconsumed_tail
            if self._inflate.eof:
                data, self._inflate = self._inflate.unused_data, None
        return b"".join(plain)

    def _begin(self, data: bytes) -> _Inflate | None:
        """Return what inflates a stream that begins so; None as long as that cannot be said."""
        if len(data) < 2:
            return None
        named = _is_named(data)
        if self._begun and self._named and not named:
            self._ended = True
            return None
        self._named = named
        return zlib.decompressobj(_NAMED if named or self._coding != "deflate" else _DEFLATE)

    def _inflated(self, inflate: _Inflate, data: bytes, most: int) -> bytes:
        try:
            plain = inflate.decompress(data, most)
        except zlib.error as error:
            if self._begun:
                raise IncompleteResponse("the body cannot be decompressed") from error
            raise ProtocolError(
                f"its body cannot be decompressed: it is not {self._coding}, as its head says"
            ) from error
        self._begun = self._begun or inflate.eof or bool(plain)
        return plain


def _is_named(begin: bytes) -> bool:
    """Return whether a stream says what it is: gzip's format (RFC 1952), or zlib's (RFC 1950)."""
    zlibs = begin[0] & 0x0F == 8 and int.from_bytes(begin[:2], "big") % 31 == 0
    return zlibs or begin[:2] == _MAGIC
