"""How many runs may go on at once in this process."""

from __future__ import annotations

from stream_serve.errors import Full


class Admission:
    """Counts the runs of the process, and allows `total` at once."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._count = 0

    @property
    def count(self) -> int:
        """The number of runs that have entered and not left."""
        return self._count

    def enter(self) -> None:
        """Count one more run. Raises `Full`."""
        if self._count >= self._total:
            raise Full(
                f"{self._total} runs are going on, as many as this process may have: try again",
                parameters=["Limits.total"],
            )
        self._count += 1

    def leave(self) -> None:
        """Count one run less."""
        self._count -= 1
