"""Peers that are waited for as long as it takes: for tests which a busy machine must not decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.cluster.base import Answer, Peers

PATIENCE: Final = 90.0
"""Seconds that only something that hangs takes; less than pytest gives a test."""


class PatientPeers:
    """The peers given, but that a question has `PATIENCE` seconds to be answered."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def open(self, answer: Answer, *, gone: Callable[[str], None]) -> None:
        """Begin to listen."""
        await self._peers.open(answer, gone=gone)

    async def close(self) -> None:
        """Listen no more."""
        await self._peers.close()

    async def ask(self, process: str, question: str, data: bytes = b"", *, timeout: float) -> bytes:
        """Ask, and wait for the answer for `PATIENCE` seconds whatever `timeout` says."""
        return await self._peers.ask(process, question, data, timeout=max(timeout, PATIENCE))

    async def tell(self, process: str, statement: str, data: bytes = b"") -> None:
        """Tell a process something."""
        await self._peers.tell(process, statement, data)

    async def enter(self, owner: str, name: str, most: int) -> bool:
        """Count a run."""
        return await self._peers.enter(owner, name, most)

    def leave(self, owner: str, name: str) -> None:
        """Count a run no more."""
        self._peers.leave(owner, name)
