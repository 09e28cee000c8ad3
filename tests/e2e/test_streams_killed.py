"""A process that is killed while it appends: nothing acknowledged is missing, and nothing is doubled.

It is killed some ten times; more often by
`KILLS=1000 scripts/test -o faulthandler_timeout=5400 tests/e2e/test_streams_killed.py`.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from stream_serve.streams.decisions import Create
from support import streams_writer
from support.process import running, serving
from support.streams import SHARED, Place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import aiohttp

KILLS: Final = int(os.environ.get("KILLS", "20"))
PRODUCERS: Final = 8


async def write_until_killed(place: str, begins: Sequence[int], after: int) -> dict[int, int]:
    """Append from these numbers on, until `after` appends are acknowledged; kill; return the newest."""
    async with running(
        *(sys.executable, "-m", streams_writer.__name__, place, *map(str, begins)),
        cwd=Path(streams_writer.__file__).parents[1],
        stdout=asyncio.subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        newest: dict[int, int] = {}
        count = 0
        async for line in process.stdout:
            if not line.endswith(b"\n"):
                break
            producer, number = map(int, line.split())
            newest[producer] = number
            count += 1
            if count == after:
                process.send_signal(signal.SIGKILL)
        assert await process.wait() == -signal.SIGKILL
    return newest


@pytest.fixture(params=SHARED)
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """An empty place that processes share, of each kind."""
    place = Place(str(request.param), tmp_path)
    yield place
    await place.close()


@pytest.mark.timeout(60 + KILLS * 5)
async def test_of_a_process_that_is_killed_no_acknowledged_append_is_missing_and_none_is_doubled(
    kept: Place,
) -> None:
    streams = await kept.streams()
    await streams.create(streams_writer.KEY, Create(content_type="application/json"))
    begins = [0] * PRODUCERS
    for _ in range(KILLS):
        after = random.randint(1, 400)
        for producer, number in (await write_until_killed(kept.url, begins, after)).items():
            # What was not acknowledged is appended again, with its number.
            begins[producer] = number + 1
    state = await streams.describe(streams_writer.KEY)
    page = await streams.read(streams_writer.KEY, 0, state.tail)
    found: dict[int, list[int]] = {producer: [] for producer in range(PRODUCERS)}
    for line in page.data.splitlines():
        producer, number = map(int, line.strip(b'"').split(b":"))
        found[producer].append(number)
    for producer, numbers in found.items():
        assert numbers == list(range(len(numbers)))
        # At most the one that was being written is there without having been acknowledged.
        assert begins[producer] <= len(numbers) <= begins[producer] + 1


async def test_a_killed_service_has_all_that_it_has_acknowledged(
    kept: Place, client: aiohttp.ClientSession
) -> None:
    settings = {"STREAM_SERVE_STREAMS_URL": kept.url}
    acknowledged = 0
    for _ in range(2):
        async with serving(**settings) as server:
            url = f"{server.url}/v1/stream/job"
            headers = {"Content-Type": "text/plain"}
            await client.put(url, headers=headers)
            for _ in range(20):
                async with client.post(url, headers=headers, data=b"x") as response:
                    assert response.status == 204
                    acknowledged += 1
            await server.end(signal.SIGKILL)
    async with serving(**settings) as server, client.get(f"{server.url}/v1/stream/job") as response:
        assert await response.text() == "x" * acknowledged


async def test_two_services_with_one_place_are_one(
    kept: Place, client: aiohttp.ClientSession
) -> None:
    settings = {"STREAM_SERVE_STREAMS_URL": kept.url}
    headers = {"Content-Type": "text/plain"}
    async with serving(**settings) as one, serving(**settings) as other:
        urls = [f"{server.url}/v1/stream/job" for server in (one, other)]
        await client.put(urls[0], headers=headers)
        live = await client.get(urls[1], params={"offset": "now", "live": "sse"})
        for number in range(10):
            await client.post(urls[number % 2], headers=headers, data=f"{number}\n")
            async with client.get(urls[(number + 1) % 2]) as response:
                assert (await response.text()).endswith(f"{number}\n")
        seen = b""
        while b"data:9" not in seen:
            seen += await asyncio.wait_for(live.content.readany(), 30)
        assert [
            line for line in seen.split(b"\n") if line[:5] == b"data:" and line[5:].isdigit()
        ] == [b"data:%d" % number for number in range(10)]
        live.close()
        waiting = asyncio.create_task(
            client.get(urls[0], params={"offset": "now", "live": "long-poll"})
        )
        await asyncio.sleep(0)
        await client.post(urls[1], headers={**headers, "Stream-Closed": "true"})
        response = await waiting
        assert response.status == 204
        assert response.headers["Stream-Closed"] == "true"
        await client.delete(urls[1])
        assert (await client.get(urls[0])).status == 404
