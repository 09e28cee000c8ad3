"""The contract of a `Store`: where streams are kept.

How it works: a store keeps for each stream its `State`, and for each data id a growing string of bytes.
It understands neither. All that changes is a `commit`: of one or more streams, all or nothing, and only
if each has the version on which the change was decided. So any number of processes may share a store; who
loses the race loads and decides again.

`commit` may be called without waiting for the one before. A store may write what waits as one. When its
future is done, the change survives what the store promises to survive. A cancelled future undoes nothing.
All methods are bounded in time, and raise `StreamsUnavailable` when the backend is slow, away or full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from stream_serve.streams.errors import StreamsFull
from stream_serve.streams.state import Key, State  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence


class Quota(Struct, frozen=True):
    """How many streams an owner may have, and how many bytes in all of them."""

    streams: int
    bytes: int


FREE: Final = Quota(2**53, 2**53)
"""Of what the service itself writes: the end of a stream has its place also where an owner is full."""


class Totals(Struct, frozen=True):
    """How many streams an owner has, and how many bytes in all of them."""

    streams: int = 0
    bytes: int = 0


class Change(Struct, frozen=True, kw_only=True):
    """What becomes of one stream.

    `version` is the version that it must have, 0 for none. `state` is what it is then, whose version is
    another one; None: it is removed, and the data `data_id` with it. `data` is added at the end of that
    data, which begins with the first bytes that are added to it. `due` is when `due` is to name the
    stream; None: as before. `streams` and `bytes` are what the owner's totals grow by.
    """

    key: Key
    version: int
    state: State | None
    data_id: str
    data: bytes = b""
    due: float | None = None
    streams: int = 0
    bytes: int = 0


class Store(Protocol):
    """A place that keeps streams."""

    async def open(self, changed: Callable[[Key | None], None]) -> None:
        """Begin. `changed` is called, in the event loop, when another user of the same place has changed
        a stream that is watched, soon after the commit; it may be called for nothing. None stands for
        every stream, also for those that are not watched: the place may have lost its newest data."""
        ...

    async def close(self) -> None:
        """Finish what was begun, within a bounded time, and let go. Twice is fine."""
        ...

    async def load(self, key: Key) -> State | None:
        """Return the newest state of a stream; None if there is none. Nobody changes a state in place.

        Raises `StreamUnreadable`.
        """
        ...

    def commit(self, changes: Sequence[Change], quota: Quota) -> asyncio.Future[bool]:
        """Make all changes, or none of them. The future's result is False if a version was another one.

        The future raises `StreamsFull` if a total that grows would be above the quota; the changes are of
        one owner. It may be done already when this returns.
        """
        ...

    async def read(self, data_id: str, start: int, end: int) -> bytes:
        """Return the bytes of a data from `start` to `end`; fewer where it has been removed."""
        ...

    def watch(self, key: Key) -> None:
        """Tell `changed` of this stream from now on: of all that a later `load` does not show yet."""
        ...

    def unwatch(self, key: Key) -> None:
        """Tell of it no more."""
        ...

    async def due(self, now: float, most: int) -> list[Key]:
        """Return streams that are due, the most overdue first."""
        ...

    async def totals(self, owner: str) -> Totals:
        """Return what an owner has."""
        ...


def excess(totals: Totals, quota: Quota, *, streams: int, size: int) -> StreamsFull | None:
    """Return the error if a growth of the totals would exceed the quota; None if not."""
    if streams > 0 and totals.streams + streams > quota.streams:
        return StreamsFull(
            f"there are {quota.streams} streams of this key already: delete one, or let some expire",
            parameters=["Quota.streams"],
        )
    if size > 0 and totals.bytes + size > quota.bytes:
        return StreamsFull(
            f"the streams of this key have {totals.bytes} of {quota.bytes} bytes: delete one, or let "
            "some expire",
            parameters=["Quota.bytes"],
        )
    return None
