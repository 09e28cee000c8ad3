"""The content codings of a body, undone as its pieces arrive (RFC 9110, 8.4)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, Protocol

from stream_serve.producers.http1.base import IncompleteResponse, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.producers.http1.base import Receiver

_GZIP: Final = 31
_ZLIB: Final = 15
_DEFLATE: Final = -15
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
    """One coding. Its streams may follow each other (RFC 1952, 2.2), one for each flush of a gateway."""

    __slots__ = ("_begun", "_coding", "_early", "_inflate")

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._inflate: _Inflate | None = None
        self._early = b""
        self._begun = False

    @property
    def complete(self) -> bool:
        return self._inflate is None and not self._early

    def decode(self, data: bytes, bound: int) -> bytes:
        """Return what a piece encodes, at most `bound` bytes."""
        plain: list[bytes] = []
        left = bound
        while data:
            if self._inflate is None:
                # Zeros after the end of a stream are padding.
                data = self._early + (data.lstrip(b"\0") if self._begun else data)
                self._inflate = _begin(self._coding, data)
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


def _begin(coding: str, data: bytes) -> _Inflate | None:
    """Return what inflates a stream that begins so; None as long as that cannot be said."""
    if coding != "deflate":
        return zlib.decompressobj(_GZIP) if data else None
    if len(data) < 2:
        return None
    # zlib's format (RFC 1950) by the RFC, but many servers send a bare deflate stream (RFC 1951).
    zlibs = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
    return zlib.decompressobj(_ZLIB if zlibs else _DEFLATE)
