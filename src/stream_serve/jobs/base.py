"""The contract of a `Place`: where a job writes.

How it works: a place is one stream, in a store of this machine or at a service. Each method asks it once
and raises what it answered; whoever calls tries again where an error is `retryable`. An append that was
sent before, with the same epoch and number, is known by them and not doubled. Every await can be
cancelled: then the stream has it or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from stream_serve.jobs.outbox import Batch

PRODUCER: Final = "job"
"""The name by which all workers of a job write, so that a later one shuts out those before it."""


class Found(Struct, frozen=True):
    """A stream that is there already."""

    json: bool
    closed: bool = False
    lost: bool = False


class Place(Protocol):
    """One stream. Its methods raise `StreamServeError`."""

    async def find(self) -> Found | None:
        """Return what is there; None if nothing is."""
        ...

    async def create(self) -> None:
        """Make the stream, of JSON. Raises `StreamConflict` where there is another one meanwhile."""
        ...

    async def remove(self) -> None:
        """Remove the stream if it is closed. Raises `StreamConflict` if it is not, `StreamNotFound`."""
        ...

    async def append(self, batch: Batch) -> bool:
        """Append, and return whether somebody has asked the job to stop.

        Raises `StaleProducer`, `ProducerGap`, `StreamClosed`, `StreamNotFound`, `StreamConflict`,
        `StreamsFull`, and `BodyTooLarge` for one that has to be divided.
        """
        ...

    async def stopped(self) -> None:
        """Return as soon as somebody has asked the job to stop; wait until then, also for the place.

        Raises `StreamError` once nobody can ask for it any more.
        """
        ...


if TYPE_CHECKING:
    Connect = Callable[[], AbstractAsyncContextManager[Place]]
    """What gives a place for as long as a job is open."""
