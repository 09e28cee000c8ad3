"""Runs that are read in another process than their own, over a real Redis."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, NamedTuple

import pytest

from stream_serve.backends import create_log
from stream_serve.errors import RunNotFound
from stream_serve.events.types import Chunk, Start
from stream_serve.runs.service import Runs
from stream_serve.runs.spec import OnDisconnect, Plan, RunSpec
from stream_serve.settings import Settings
from support.limits import limits
from support.patient import PATIENCE, PatientPeers
from support.redis import shared_server
from support.upstream import ToldProvider
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stream_serve.runs.subscription import Subscription


class Pair(NamedTuple):
    """Two processes, and who answers."""

    here: Runs
    there: Runs
    provider: ToldProvider

    def spec(self, *, ready: asyncio.Event | None = None) -> RunSpec:
        """Return a run that stops when nobody reads it; `ready` holds its start up."""

        async def prepare(run_id: str) -> Plan:
            del run_id
            if ready is not None:
                await ready.wait()
            return Plan(self.provider.ask())

        return RunSpec(
            prepare=prepare,
            run_id=secrets.token_urlsafe(16),
            fingerprint=b"f",
            on_disconnect=OnDisconnect.STOP,
        )

    async def elsewhere(self, run_id: str) -> Subscription:
        """Read a run in the other process."""
        subscription = await self.there.subscribe(run_id, owner=None)
        assert subscription is not None
        return subscription

    async def goes_on(self, run_id: str, reader: Subscription) -> None:
        """Check that a run goes on for its one reader elsewhere, and stops without it."""
        run = self.here.get(run_id, owner=None)
        async for event in reader.events():
            if isinstance(event, Start):
                self.provider.producers[-1].orders.put_nowait(1)
            else:
                assert event == Chunk("0 ")
                break
        reader.close()

        async def stopped() -> bool:
            return run.closed and run.finish_reason == "stopped"

        await until(stopped)


async def process() -> Runs:
    log, peers, quotas, _ = create_log(
        Settings.load(redis_url=shared_server().url, redis_timeout=PATIENCE, lease=10 * PATIENCE)
    )
    runs = Runs(log, PatientPeers(peers), quotas, limits())
    await runs.open()
    return runs


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = Pair(await process(), await process(), ToldProvider())
    yield made
    await asyncio.gather(made.here.close(), made.there.close())


async def test_a_run_goes_on_if_its_first_reader_leaves_when_one_elsewhere_begins(
    pair: Pair,
) -> None:
    spec = pair.spec()
    first = await pair.here.start(spec, owner=None)
    second = await pair.elsewhere(first.run_id)
    first.close()
    await pair.goes_on(first.run_id, second)


async def test_a_reader_elsewhere_counts_that_came_while_the_run_was_started(pair: Pair) -> None:
    ready = asyncio.Event()
    spec = pair.spec(ready=ready)
    starting = asyncio.create_task(pair.here.start(spec, owner=None))
    assert spec.run_id is not None

    async def claimed() -> bool:
        try:
            return await pair.there.live(spec.run_id or "", owner=None)
        except RunNotFound:
            return False

    await until(claimed)
    second = await pair.elsewhere(spec.run_id)
    ready.set()
    (await starting).close()
    await pair.goes_on(spec.run_id, second)
