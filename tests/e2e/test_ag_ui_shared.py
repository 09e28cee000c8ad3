"""AG-UI's door in a service of two processes over one Redis: each joins and stops any run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stream_serve.testing import ANSWER
from support.ag_ui import HISTORY, Client, body, run
from support.client import show, stop
from support.cluster import cluster, unpooled
from support.redis import shared_server
from support.service import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from stream_serve.testing import ScriptedUpstream

SLOW = "answer?interval=0.01"
Pair = tuple[Service, Service]


@pytest.fixture
async def pair(upstream: ScriptedUpstream) -> AsyncIterator[Pair]:
    url = shared_server().url
    async with (
        Service(redis_url=url, upstream_url=upstream.url) as here,
        Service(redis_url=url, upstream_url=upstream.url) as there,
    ):
        yield here, there


@pytest.fixture
def thread(request: pytest.FixtureRequest) -> str:
    """A thread of this test's own: all tests share one Redis."""
    return f"thread of {request.node.name} {id(request)}"


async def readers(client: aiohttp.ClientSession, service: Service, run_id: str, count: int) -> None:
    """Wait until the run has so many readers."""

    async def found() -> bool:
        return (await show(client, service.url, run_id))["readers"] == count

    await until(found)


async def test_a_run_is_joined_in_the_other_process_live_and_ended(
    pair: Pair, client: aiohttp.ClientSession, upstream: ScriptedUpstream, thread: str
) -> None:
    here, there = pair
    async with run(client, here.url, model=SLOW, threadId=thread) as first:
        await first.until("TEXT_MESSAGE_CONTENT")
        async with run(client, there.url, model="other", threadId=thread) as second:
            ends = [await second.rest(), await first.rest()]
        assert second.run_id == first.run_id
    async with run(client, there.url, Client(), threadId=thread, messages=[]) as late:
        ends.append(await late.rest())
    for found in ends:
        assert found.messages == [*HISTORY, {**found.messages[-1], "content": ANSWER}]
        assert found.messages == ends[0].messages
        assert found.last == ends[0].last
    assert len(upstream.requests) == 1


async def test_two_requests_at_the_same_time_are_one_run_in_both_processes(
    pair: Pair, client: aiohttp.ClientSession, upstream: ScriptedUpstream, thread: str
) -> None:
    async def whole(service: Service) -> Client:
        async with run(client, service.url, model=SLOW, threadId=thread) as reading:
            return await reading.rest()

    found = await asyncio.gather(*(whole(one) for one in pair * 4))
    assert len(upstream.requests) == 1
    assert all(one.messages == found[0].messages for one in found)


async def test_a_cut_reader_goes_on_with_the_tail_in_the_other_process(
    pair: Pair, client: aiohttp.ClientSession, thread: str
) -> None:
    here, there = pair
    same = Client(HISTORY)
    async with run(
        client, here.url, same, model=SLOW, onDisconnect="continue", threadId=thread
    ) as first:
        await first.until("TEXT_MESSAGE_CONTENT")
        first.drop()
    async with run(client, there.url, same, cursor=same.cursor, threadId=thread) as tail:
        found = await tail.rest()
    assert [one["type"] for one in found.events].count("RUN_STARTED") == 1
    assert found.messages[-1]["content"] == ANSWER


async def test_a_stop_in_the_other_process_stops_the_provider_and_is_told_to_both(
    pair: Pair, client: aiohttp.ClientSession, upstream: ScriptedUpstream, thread: str
) -> None:
    here, there = pair
    async with (
        run(client, here.url, model="hang-mid", threadId=thread) as first,
        run(client, there.url, threadId=thread) as second,
    ):
        for reading in (first, second):
            await reading.until("TEXT_MESSAGE_CONTENT")
        receipt = await stop(client, there.url, first.run_id)
        await upstream.wait_for(lambda record: record.closed_by == "peer")
        ends = [await reading.rest() for reading in (first, second)]
    assert (receipt["outcome"], receipt["upstreamClosed"]) == ("stopped", True)
    for found in ends:
        assert found.last["outcome"] == {"type": "cancelled"}


async def test_the_run_stops_when_its_last_reader_leaves_the_other_process(
    pair: Pair, client: aiohttp.ClientSession, upstream: ScriptedUpstream, thread: str
) -> None:
    here, there = pair
    async with run(client, here.url, model="hang-mid", threadId=thread) as first:
        await first.until("TEXT_MESSAGE_CONTENT")
        async with run(client, there.url, threadId=thread) as second:
            await second.until("TEXT_MESSAGE_CONTENT")
            await readers(client, here, first.run_id, 2)
            first.drop()
            await readers(client, there, first.run_id, 1)
            assert upstream.open_connections == 1
            second.drop()
        await upstream.wait_for(lambda record: record.closed_by == "peer")


async def test_a_run_whose_process_is_gone_ends_with_an_error_for_whoever_asks(
    upstream: ScriptedUpstream, thread: str
) -> None:
    async with (
        unpooled() as client,
        cluster(client, upstream, shared_server()) as (here, there),
        run(client, there.url, Client(HISTORY), threadId=thread, model="hang-mid") as first,
    ):
        await first.until("TEXT_MESSAGE_CONTENT")
        async with run(client, here.url, threadId=thread) as second:
            await second.until("TEXT_MESSAGE_CONTENT")
            await there.kill()
            found = await second.rest()
        assert found.last["type"] == "RUN_ERROR"
        assert found.last["metadata"]["retryable"] is True
        sent = body(threadId=thread, messages=[])
        async with client.post(f"{here.url}/ag-ui", json=sent) as response:
            late = Client()
            late.feed(await response.read())
        assert late.messages == found.messages
        assert late.last == found.last
