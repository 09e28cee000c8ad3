"""`Readers`: how many live readers an owner has at once in this process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from stream_serve.errors import TooManyReaders
from stream_serve.quotas.places import Places

if TYPE_CHECKING:
    from collections.abc import Callable


class Readers(Places):
    """Live readers of whatever there is to read: runs and streams."""

    def __init__(self, most: int = sys.maxsize) -> None:
        super().__init__(most)

    def admit(self, owner: str | None) -> Callable[[], None]:
        """Count one more reader; return what is to be called once when it leaves.

        Raises `TooManyReaders`.
        """
        owner = owner or None
        if not self.enter(owner):
            raise TooManyReaders(
                f"this key has {self.most} live readers in this process, as many as a key may have: "
                "close one, or try again",
                parameters=["Readers.most"],
            )
        return lambda: self.leave(owner)


def both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    """Return what calls one after the other: what is to be done when a reader leaves, and what else."""

    def call() -> None:
        first()
        second()

    return call
