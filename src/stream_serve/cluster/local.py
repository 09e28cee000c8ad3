"""`LocalPeers`: a service of a single process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_serve.errors import PeerUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.cluster.base import Respond


class LocalPeers:
    """The peers of a process that has none."""

    async def open(self, respond: Respond, *, gone: Callable[[str], None]) -> None:
        """Do nothing: nobody will ask."""
        del respond, gone

    async def close(self) -> None:
        """Do nothing."""

    async def ask(self, process: str, question: str, data: bytes = b"", *, timeout: float) -> bytes:
        """Raise `PeerUnreachable`: there is no other process."""
        del question, data, timeout
        raise PeerUnreachable(process)

    async def tell(self, process: str, statement: str, data: bytes = b"") -> None:
        """Do nothing: a process that is gone is no error."""
