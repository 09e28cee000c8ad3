"""`NoPeers`: a service of a single process."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from stream_serve.errors import PeerUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.cluster.base import Answer


class NoPeers:
    """There is no other process; the runs of each owner are counted here."""

    def __init__(self) -> None:
        self._runs: defaultdict[str, set[str]] = defaultdict(set)

    async def open(self, answer: Answer, *, gone: Callable[[str], None]) -> None:
        """Do nothing: nobody will ask."""
        del answer, gone

    async def close(self) -> None:
        """Do nothing."""

    async def ask(self, process: str, question: str, data: bytes = b"", *, timeout: float) -> bytes:
        """Find nobody."""
        del question, data, timeout
        raise PeerUnreachable(process)

    async def tell(self, process: str, statement: str, data: bytes = b"") -> None:
        """Tell nobody."""

    async def enter(self, owner: str, name: str, most: int) -> bool:
        """Count a run of an owner's."""
        runs = self._runs[owner]
        if len(runs) >= most and name not in runs:
            return False
        runs.add(name)
        return True

    def leave(self, owner: str, name: str) -> None:
        """Count a run no more."""
        runs = self._runs[owner]
        runs.discard(name)
        if not runs:
            del self._runs[owner]
