"""`MemoryStore`: streams in this process, which are gone with it."""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING, Final

from stream_serve.streams.base import Totals, excess

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_serve.streams.base import Change, Quota
    from stream_serve.streams.state import Key, State

_NOTHING: Final = Totals()


class MemoryStore:
    """Streams in dictionaries. Nobody else can change them, so that nothing has to be watched.

    Of each stream there is at least one time in the heap; those that have been replaced are left out when
    their turn comes.
    """

    def __init__(self) -> None:
        self._states: dict[Key, State] = {}
        self._data: dict[str, bytearray] = {}
        self._totals: dict[str, Totals] = {}
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []

    async def open(self, changed: Callable[[Key | None], None]) -> None:
        """Do nothing: nobody else changes anything."""

    async def close(self) -> None:
        """Do nothing."""

    async def load(self, key: Key) -> State | None:
        """Return the state."""
        return self._states.get(key)

    def commit(self, changes: Sequence[Change], quota: Quota) -> asyncio.Future[bool]:
        """Make the changes now."""
        done = asyncio.get_running_loop().create_future()
        streams = size = 0
        for one in changes:
            found = self._states.get(one.key)
            if (0 if found is None else found.version) != one.version:
                done.set_result(False)
                return done
            streams += one.streams
            size += one.bytes
        owner = changes[0].key[0]
        totals = self._totals.get(owner, _NOTHING)
        full = excess(totals, quota, streams=streams, size=size)
        if full is not None:
            done.set_exception(full)
            return done
        self._totals[owner] = Totals(totals.streams + streams, totals.bytes + size)
        for one in changes:
            self._apply(one)
        done.set_result(True)
        return done

    async def read(self, data_id: str, start: int, end: int) -> bytes:
        """Return a copy of the bytes."""
        with memoryview(self._data.get(data_id, b"")) as data:
            return bytes(data[start:end])

    def watch(self, key: Key) -> None:
        """Do nothing."""

    def unwatch(self, key: Key) -> None:
        """Do nothing."""

    async def due(self, now: float, most: int) -> list[Key]:
        """Return what is due; it stays due until a change says otherwise."""
        found: list[Key] = []
        while self._heap and self._heap[0][0] <= now and len(found) < most:
            at, key = heapq.heappop(self._heap)
            if self._due.get(key) == at and key not in found:
                found.append(key)
        for key in found:
            heapq.heappush(self._heap, (self._due[key], key))
        return found

    async def totals(self, owner: str) -> Totals:
        """Return what an owner has."""
        return self._totals.get(owner, _NOTHING)

    def _apply(self, change: Change) -> None:
        if change.state is None:
            del self._states[change.key]
            self._data.pop(change.data_id, None)
            self._due.pop(change.key, None)
            return
        self._states[change.key] = change.state
        if change.data:
            data = self._data.get(change.data_id)
            if data is None:
                self._data[change.data_id] = bytearray(change.data)
            else:
                data += change.data
        if change.due is not None and self._due.get(change.key) != change.due:
            self._due[change.key] = change.due
            heapq.heappush(self._heap, (change.due, change.key))
