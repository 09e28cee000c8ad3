"""How often and how long a client tries again, without a clock and without sleeping."""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.errors import StreamServeError


_MOST_DOUBLINGS: Final = 64
"""Of the first pause, which is longer than any pause then; a float has no room for a thousand of them."""


class Patience(Struct, frozen=True, kw_only=True):
    """When a client gives up: after `attempts` in a row that brought nothing new.

    The first pause is about `first` seconds, each later one twice the one before, at most `longest`. A
    service that names its own time (`Retry-After`, `retry:`) is asked not before it; is that more than
    `longest_asked`, the client gives up at once.
    """

    attempts: int = 10
    first: float = 0.25
    longest: float = 15.0
    longest_asked: float = 120.0


class Tries:
    """Counts the attempts in a row that brought nothing new, and says how long to wait after each."""

    def __init__(self, patience: Patience, chance: Callable[[], float] = random) -> None:
        self._patience: Final = patience
        self._chance: Final = chance
        self._failed = 0

    def succeed(self) -> None:
        """Begin to count anew: something new has come."""
        self._failed = 0

    def pause(self, why: StreamServeError, asked: float | None = None) -> float:
        """Return the seconds until the next attempt; raise `why` if there is to be none.

        No two clients come back at the same moment: a pause is shortened by up to a half, but never
        below the time that the service has `asked` for, to which some is added instead.
        """
        self._failed += 1
        patience = self._patience
        if self._failed > patience.attempts or (asked or 0) > patience.longest_asked:
            raise why
        doublings = min(self._failed - 1, _MOST_DOUBLINGS)
        pause = min(patience.longest, patience.first * 2.0**doublings)
        if asked is not None:
            return asked + pause * self._chance() / 2
        return pause * (1 - self._chance() / 2)
