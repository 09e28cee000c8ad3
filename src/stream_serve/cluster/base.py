"""The contract of the peers: the processes that are one service, and what they ask each other.

How it works: each process has an id that is new at every start. A process asks another one a question
and waits for the reply, or tells it a statement. Questions and statements arrive in order, at most once,
and only while the other process renews its lease.

Every method is bounded in time. `ask` and `tell` raise `LogUnavailable` when the backend between the
processes is slow, away or full. A cancelled `ask` may have reached the other process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Respond = Callable[[str, str, bytes], Awaitable[bytes]]
    """Returns the reply to a question. Takes the id of the asking process, the question and its data."""


class Peers(Protocol):
    """The processes of a service, seen from one of them."""

    async def open(self, respond: Respond, *, gone: Callable[[str], None]) -> None:
        """Begin to listen. If the backend is away, it is tried again later.

        Each question and each statement calls `respond` in a task of its own; what it returns for a
        statement is ignored. `gone` is called with the id of a process that has ended or whose lease
        has run out. Call this before the lease of the process is opened.
        """
        ...

    async def close(self) -> None:
        """Stop listening. Questions that are being worked on are cancelled, and our own fail."""
        ...

    async def ask(self, process: str, question: str, data: bytes = b"", *, timeout: float) -> bytes:
        """Ask a process and return its reply.

        Raises `PeerUnreachable` when the process is gone, fails, or does not reply within `timeout`
        seconds; the question may still reach it.
        """
        ...

    async def tell(self, process: str, statement: str, data: bytes = b"") -> None:
        """Tell a process a statement. It is no error when the process is gone."""
        ...
