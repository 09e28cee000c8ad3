"""`LocalQuotas`: the runs of each owner, counted in the memory of a single process."""

from __future__ import annotations

from collections import defaultdict


class LocalQuotas:
    """Counts for a service that has no other process."""

    def __init__(self) -> None:
        self._runs: defaultdict[str, set[str]] = defaultdict(set)

    async def open(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def enter(self, owner: str, name: str, most: int) -> bool:
        """Count a run of an owner, if it has fewer than `most`."""
        runs = self._runs[owner]
        if len(runs) >= most and name not in runs:
            return False
        runs.add(name)
        return True

    def leave(self, owner: str, name: str) -> None:
        """Stop counting a run."""
        runs = self._runs[owner]
        runs.discard(name)
        if not runs:
            del self._runs[owner]
