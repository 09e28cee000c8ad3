"""Cursors of live responses, so that no cache repeats one for ever (Durable Streams 1.0, 10.1)."""

from __future__ import annotations

import random
from typing import Final

from stream_serve.errors import BadRequest

_EPOCH: Final = 1_728_432_000
"""2024-10-09T00:00:00Z, the protocol's default."""

_INTERVAL: Final = 20
_JITTER: Final = 180
"""Intervals in an hour, the most that a cursor is moved on."""

_DIGITS: Final = 18


def current(now: float) -> int:
    """Return the number of the interval that it is."""
    return int(now - _EPOCH) // _INTERVAL


def above(cursor: int | None, now: float) -> int:
    """Return the cursor of a response to a request that had this one: always a later one."""
    here = current(now)
    if cursor is None or cursor < here:
        return here
    return cursor + random.randint(1, _JITTER)  # noqa: S311 - not a secret


def parse(text: str) -> int | None:
    """Return the cursor of a request; None for an empty one. Raises `BadRequest`."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise BadRequest("cursor: this is none: take the one of an earlier response")
    return int(text)
