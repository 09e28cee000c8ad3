"""Positions in a stream as the text that clients see: Durable Streams 1.0, section 8, "Offsets".

An offset is the position of a byte, in sixteen digits, so that offsets sort as text. Clients take them as
they are: nothing in an offset is promised.
"""

from __future__ import annotations

import re
from typing import Final

from stream_serve.errors import BadRequest

BEGINNING: Final = "-1"
NOW: Final = "now"
FORMAT: Final = "%016d"
_ZERO: Final = f"{0:016d}_{0:016d}"
"""The beginning as other servers write it; the conformance suite forks there."""

_OFFSET: Final = re.compile(r"[0-9]{16}", re.ASCII)


def text(position: int) -> str:
    """Return the offset of a position."""
    return FORMAT % position


def position(offset: str) -> int | None:
    """Return the position of an offset; None for `now`, the tail. Raises `BadRequest`."""
    if offset == NOW:
        return None
    if offset in {BEGINNING, _ZERO}:
        return 0
    if _OFFSET.fullmatch(offset) is None:
        raise BadRequest(
            "offset: this is none: take the one of an earlier response as it is, -1 for the "
            "beginning, or now for the end"
        )
    return int(offset)
