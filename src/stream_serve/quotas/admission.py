"""How many runs may go on at once in this process."""

from __future__ import annotations

from typing import Final

from stream_serve.errors import Full

RETRY: Final = (("Retry-After", "2"),)


class Admission:
    """Counts the runs of the process: at most `total` at once."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._count = 0

    @property
    def count(self) -> int:
        """How many are in."""
        return self._count

    def enter(self) -> None:
        """Let one in. Raises `Full`."""
        if self._count >= self._total:
            raise Full(
                f"{self._total} runs are going on, as many as this process may have "
                "(STREAM_SERVE_MAX_RUNS): try again",
                headers=RETRY,
            )
        self._count += 1

    def leave(self) -> None:
        """Let one out."""
        self._count -= 1
