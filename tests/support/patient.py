"""Peers that are waited for as long as it takes: for tests which a busy machine must not decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.cluster.base import Peers, Respond

PATIENCE: Final = 90.0
"""Seconds that only something that hangs takes; less than pytest gives a test."""


class PatientPeers:
    """The peers given, but that a question has `PATIENCE` seconds for its reply."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def open(self, respond: Respond, *, gone: Callable[[str], None]) -> None:
        """Begin to listen."""
        await self._peers.open(respond, gone=gone)

    async def close(self) -> None:
        """Listen no more."""
        await self._peers.close()

    async def ask(self, process: str, question: str, data: bytes = b"", *, timeout: float) -> bytes:
        """Ask, and wait for the reply for `PATIENCE` seconds whatever `timeout` says."""
        return await self._peers.ask(process, question, data, timeout=max(timeout, PATIENCE))

    async def tell(self, process: str, statement: str, data: bytes = b"") -> None:
        """Tell a process something."""
        await self._peers.tell(process, statement, data)
