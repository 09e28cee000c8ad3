"""Runs in one process, whose event log can be read without being a reader of a run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from stream_serve.cluster.local import LocalPeers
from stream_serve.eventlog.memory import MemoryEventLog
from stream_serve.events import codec
from stream_serve.quotas.local import LocalQuotas
from stream_serve.runs.service import Runs
from stream_serve.runs.spec import OnDisconnect, Plan, RunSpec
from support.limits import limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.events.types import Event
    from stream_serve.runs.observers import Observer
    from stream_serve.runs.run import Run
    from stream_serve.runs.subscription import Subscription
    from support.upstream import StepProvider, ToldProvider


class Harness:
    """The runs, and the provider whose answers they are."""

    def __init__(
        self,
        provider: StepProvider | ToldProvider,
        *,
        observers: Sequence[Observer] = (),
        **changes: Any,
    ) -> None:
        self.provider = provider
        self.log = MemoryEventLog()
        self.runs = Runs(
            *(self.log, LocalPeers(), LocalQuotas(), limits(**changes)), observers=observers
        )

    def spec(
        self,
        run_id: str | None = None,
        *,
        fingerprint: bytes = b"f",
        on_disconnect: OnDisconnect = OnDisconnect.STOP,
        turns_to_prepare: int = 0,
    ) -> RunSpec:
        """Return the spec of a run that asks the provider when it is prepared."""

        async def prepare(run_id: str) -> Plan:
            del run_id
            await turns(turns_to_prepare)
            return Plan(self.provider.ask())

        return RunSpec(
            prepare=prepare, run_id=run_id, fingerprint=fingerprint, on_disconnect=on_disconnect
        )

    async def start(self, owner: str | None = None) -> Subscription:
        return await self.runs.start(self.spec(), owner=owner)

    def run(self, run_id: str, owner: str | None = None) -> Run:
        return self.runs.get(run_id, owner=owner)

    async def subscribe(self, run_id: str, after: int = 0) -> Subscription:
        subscription = await self.runs.subscribe(run_id, owner=None, after=after)
        assert subscription is not None
        return subscription

    async def events(self, run_id: str) -> list[Event]:
        """Read the whole log of a run."""
        reader, frames = await self.log.read(run_id), b""
        while (data := await reader.read()) is not None:
            frames += data
        return [event for _, event in codec.read(frames)]


async def turns(count: int) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


async def read(subscription: Subscription) -> list[Event]:
    """Read a subscription to its end."""
    return [event async for event in subscription.events()]
