"""The contract of the peers: the processes that are one service, and what they ask each other.

How it works: each process has an id that is new at every start. A process asks another one a question
and waits for the answer, or tells it something. What is asked and told arrives in order, at most once,
and only while the other process renews its lease. The peers also count together how many runs an
owner has.

Every method is bounded in time and raises `LogUnavailable` when what lies between the processes is
slow, away or full. A cancelled `ask` may have been heard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Answer = Callable[[str, str, bytes], Awaitable[bytes]]
    """Answers a question: the asking process, the question, what belongs to it."""


class Peers(Protocol):
    """The processes of a service, seen from one of them."""

    async def open(self, answer: Answer, *, gone: Callable[[str], None]) -> None:
        """Begin to listen. `answer` is called in a task of its own for each question and each thing
        told (then what it gives is dropped); `gone` with the id of a process that has ended or let
        its lease run out."""
        ...

    async def close(self) -> None:
        """Listen no more; answers that are being made are cancelled."""
        ...

    async def ask(self, process: str, question: str, data: bytes = b"", *, timeout: float) -> bytes:
        """Ask a process and give its answer. Raises `PeerUnreachable` when the process is gone or
        does not answer within `timeout` seconds; the question may still reach it."""
        ...

    async def tell(self, process: str, statement: str, data: bytes = b"") -> None:
        """Tell a process something. No error when it is gone."""
        ...

    async def enter(self, owner: str, name: str, most: int) -> bool:
        """Count a run of an owner's; False, and not counted, when it has `most` already.

        A cancelled or failed `enter` may have counted: `leave`.
        """
        ...

    def leave(self, owner: str, name: str) -> None:
        """Count a run no more. Never waits and never fails: it is tried again. Unknown is fine."""
        ...
