"""After the storm everything is back where it was: tasks, sockets, descriptors, runs."""

from __future__ import annotations

import asyncio
import gc
import random
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from support.client import ask, stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.testing import ScriptedUpstream
    from support.service import Service

MODELS = (
    "answer?tokens=5",
    "silent",
    "silent-after-headers",
    "hang-mid",
    "forever?interval=0.001",
    "reset-mid",
    "http-500",
    "flood?tokens=200",
)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def settle(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.both_loops
async def test_five_hundred_starts_and_stops_leave_nothing_behind(
    service: Service, upstream: ScriptedUpstream
) -> None:
    async def one(client: aiohttp.ClientSession, turn: int) -> None:
        dice = random.Random(turn)
        model = dice.choice(MODELS)
        async with ask(client, service.url, model=model) as stream:
            for _ in range(dice.randrange(2 if model.startswith("silent") else 4)):
                await stream.next()
            match dice.randrange(3):
                case 0:
                    stream.drop()
                case 1:
                    await stop(client, service.url, stream.run_id)
                case _:
                    await asyncio.gather(
                        stop(client, service.url, stream.run_id),
                        stop(client, service.url, stream.run_id),
                    )
                    await stream.rest()

    async def round_of(turns: range) -> None:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as client:
            for start in range(turns.start, turns.stop, 20):
                await asyncio.gather(*(one(client, turn) for turn in range(start, start + 20)))
        await settle(lambda: service.runs.running == 0)

    await round_of(range(40))
    gc.collect()
    tasks, files = len(asyncio.all_tasks()), descriptors()
    pooled = upstream.open_connections
    await round_of(range(1000, 1500))
    gc.collect()
    await settle(lambda: len(asyncio.all_tasks()) <= tasks)
    await settle(lambda: descriptors() - upstream.open_connections * 2 <= files - pooled * 2)


async def test_a_reader_that_does_not_read_slows_nobody_down_and_is_caught_up(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with ask(client, service.url, model="flood?tokens=20000&size=40") as slow:
        await slow.next()
        async with ask(client, service.url, model="answer") as other:
            await other.rest()
        await upstream.wait_for(lambda record: record.id == 1 and record.closed_by == "script")
        events = await slow.rest()
    assert events[-1]["type"] == "end"
    assert [event["id"] for event in events] == list(range(2, len(events) + 2))
    assert len(events) > 20_000


async def test_a_hundred_runs_at_once_do_not_mix(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async def one(number: int) -> None:
        async with ask(client, service.url, model="echo", message=f"message {number}") as stream:
            events = await stream.rest()
        assert "".join(e["content"] for e in events if e["type"] == "chunk") == f"message {number}"

    await asyncio.gather(*(one(number) for number in range(100)))
