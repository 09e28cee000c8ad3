"""`Places`: how much of something each owner has at once in this process, and may have."""

from __future__ import annotations


class Places:
    """Counts for each owner, who may have `most` of it. None is whoever calls where nobody is known."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken: dict[str | None, int] = {}

    def enter(self, owner: str | None, amount: int = 1) -> bool:
        """Count so much more and return True; return False if the owner would have too much."""
        taken = self._taken.get(owner, 0) + amount
        if taken > self.most:
            return False
        self._taken[owner] = taken
        return True

    def leave(self, owner: str | None, amount: int = 1) -> None:
        """Count so much less."""
        left = self._taken[owner] - amount
        if left:
            self._taken[owner] = left
        else:
            del self._taken[owner]
