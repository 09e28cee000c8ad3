"""The contract of the index: what any process can look up, by a name.

How it works: under a name texts are recorded, such as the ids of the runs of a chat. The newest few are
kept, for a time that the backend is made with. So a request finds what another one has begun, in
whichever process that was.

All methods are bounded in time, and raise `LogUnavailable` when the backend is slow, away or full. A
cancelled call may have done what it was called for.
"""

from __future__ import annotations

from typing import Final, Protocol

KEPT: Final = 8
"""How many values a name has: the newest ones."""


class Index(Protocol):
    """The newest values of each name."""

    async def record(self, name: str, value: str) -> None:
        """Record a value as the newest one of a name."""
        ...

    async def remove(self, name: str, value: str) -> None:
        """Take the newest record of a value back; a value that is not there is fine."""
        ...

    async def newest(self, name: str) -> list[str]:
        """Return the newest values of a name, the newest first; none for a name that is not known."""
        ...
