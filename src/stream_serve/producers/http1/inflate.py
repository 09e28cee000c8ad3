"""The content codings of a body, undone as its pieces arrive (RFC 9110, 8.4)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from stream_serve.producers.http1.base import IncompleteResponse, ProtocolError

if TYPE_CHECKING:
    from stream_serve.producers.http1.base import Receiver

_MAX_INFLATED: Final = 65_536
_WINDOWS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""zlib's `wbits` of a coding: gzip is RFC 1952, deflate the zlib format of RFC 1950."""


def decoded(coding: str, receive: Receiver) -> Receiver:
    """Return a receiver of the coded body, which calls `receive` with what was encoded.

    `coding` is the value of Content-Encoding; a body without a coding goes to `receive` itself. Raises
    `ProtocolError` for a coding that is not known.
    """
    coding = coding.strip().lower()
    if coding in {"", "identity"}:
        return receive
    if coding not in _WINDOWS:
        raise ProtocolError(f"the body's encoding is not known: {coding[:40]}")
    return Inflater(_WINDOWS[coding], receive)


class Inflater:
    """A receiver that inflates each piece and calls another receiver with the result.

    It passes on pieces of a bounded size, however far a small piece inflates.
    """

    __slots__ = ("_inflate", "_receive")

    def __init__(self, window: int, receive: Receiver) -> None:
        self._inflate = zlib.decompressobj(window)
        self._receive = receive

    @property
    def complete(self) -> bool:
        """Whether the end of what was encoded has come."""
        return self._inflate.eof

    def __call__(self, piece: bytes) -> None:
        """Inflate a piece. Raises `IncompleteResponse` when the body is not coded as its head says."""
        full = True
        while piece or full:
            try:
                plain = self._inflate.decompress(piece, _MAX_INFLATED)
            except zlib.error as error:
                raise IncompleteResponse("the body cannot be decompressed") from error
            piece, full = self._inflate.unconsumed_tail, len(plain) == _MAX_INFLATED
            if plain:
                self._receive(plain)
