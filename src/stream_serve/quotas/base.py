"""The contract of the quotas: how many runs an owner has at once, counted over all processes.

How it works: a run enters before it starts and leaves when it is over. A run is known by its name, so
entering twice counts once. The count survives the process of a run, but not for longer than a run may
take: a run that nobody takes out ends its place by itself.
"""

from __future__ import annotations

from typing import Protocol


class Quotas(Protocol):
    """The places that the owners' runs take."""

    async def open(self) -> None:
        """Begin to keep the counts. If the backend is away, it is tried again later.

        Call it before the lease of the process is opened.
        """
        ...

    async def close(self) -> None:
        """Send what is still unsent, within a bounded time, and end. Closing twice is fine."""
        ...

    async def enter(self, owner: str, name: str, most: int) -> bool:
        """Count a run of an owner and return True; return False if the owner has `most` runs already.

        Entering again under the same name returns True and counts once. Raises `LogUnavailable` when
        the backend is slow, away or full. An `enter` that was cancelled or failed may have counted the
        run: call `leave`.
        """
        ...

    def leave(self, owner: str, name: str) -> None:
        """Stop counting a run. Never waits and never fails: the backend is told as soon as it can be.

        A run that is not counted is fine.
        """
        ...
