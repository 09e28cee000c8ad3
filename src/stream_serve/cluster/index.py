"""The contract of the index: what any process can look up, by a name.

How it works: under a name texts are recorded, such as the ids of the runs of a chat. A name is forgotten
some time after its newest value; the backend is made with that time. So a request finds what another one
has begun, in whichever process that was. Only who records a value knows whether it still means anything:
`record` returns the older values of the name, and the caller removes those that do not. A backend that
has to make room asks before it forgets a name.

All methods are bounded in time, and raise `LogUnavailable` when the backend is slow, away or full. A
cancelled call may have done what it was called for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Lasts = Callable[[Sequence[str]], bool]
    """Returns whether any of a name's values still means something, as far as that is known at once."""

KEPT: Final = 8
"""How many values of a name are new: nobody has to ask whether they still mean anything."""


def never(values: Sequence[str]) -> bool:
    """Return that none of a name's values has to last longer than there is room."""
    del values
    return False


class Index(Protocol):
    """The values of each name."""

    async def record(self, name: str, value: str, *, lasts: Lasts = never) -> list[str]:
        """Record a value as the newest one of a name; return those older than the newest `KEPT`.

        While `lasts` says so, the name is not forgotten to make room for others.
        """
        ...

    async def remove(self, name: str, value: str) -> None:
        """Take the newest record of a value back; a value that is not there is fine."""
        ...

    async def newest(self, name: str) -> list[str]:
        """Return the values of a name, the newest first; none for a name that is not known."""
        ...
