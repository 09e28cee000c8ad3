"""Two processes are one service: start on one, resume on the other, stop from either.

Each `Service` here has its own runs, its own connections to Redis and its own listening socket; only
the Python process is the same. Real processes, their death and their freezing: `test_cluster.py`.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from support.client import Json, Stream, ask, show, stop, text
from support.eventsource import read_raw
from support.redis import shared_server
from support.service import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import aiohttp

    from stream_serve.testing import ScriptedUpstream

    Pair = tuple[Service, Service]

SLOW = "answer?tokens=100&interval=0.01"
KEYS = "key-of-anna-0123456789,key-of-bert-0123456789"
ANNA, BERT = KEYS.split(",")


@pytest.fixture
async def make(upstream: ScriptedUpstream) -> AsyncIterator[Callable[..., Awaitable[Pair]]]:
    """Return a function that starts two services over one Redis."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> Pair:
            settings = {"redis_url": shared_server().url, "upstream_url": upstream.url} | settings
            one = await stack.enter_async_context(Service(**settings))
            return one, await stack.enter_async_context(Service(**settings))

        yield start


@pytest.fixture
async def pair(make: Callable[..., Awaitable[Pair]]) -> Pair:
    return await make()


async def test_a_run_is_resumed_on_another_process_byte_for_byte(
    pair: Pair, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    here, there = pair
    async with ask(client, here.url, model=SLOW) as stream:
        await stream.until("chunk")
        raws = await asyncio.gather(
            *(read_raw(client, there.url, stream.run_id, after=number) for number in range(3))
        )
        await stream.rest()
    whole = (await read_raw(client, here.url, stream.run_id))[1]
    frames = [frame + b"\n\n" for frame in whole.split(b"\n\n")[:-1]]
    for number, (status, raw) in enumerate(raws):
        assert status == 200
        assert raw == b"".join(frames[number:])
    assert len(upstream.requests) == 1


async def test_a_finished_run_is_read_elsewhere_from_any_cursor_and_then_gets_204(
    pair: Pair, client: aiohttp.ClientSession
) -> None:
    here, there = pair
    async with ask(client, here.url, model="answer?tokens=30") as stream:
        events = await stream.rest()
    last = len(events)

    async def flushed() -> bool:
        status, _ = await read_raw(client, there.url, stream.run_id, after=last)
        return status == 204

    await until(flushed)
    whole = await read_raw(client, here.url, stream.run_id)
    assert await read_raw(client, there.url, stream.run_id) == whole
    for after in range(last):
        mine = await read_raw(client, here.url, stream.run_id, after=after)
        assert await read_raw(client, there.url, stream.run_id, after=after) == mine
    url = f"{there.url}/ai/runs/{stream.run_id}/events"
    async with client.get(url, headers={"Last-Event-ID": str(last + 1)}) as response:
        assert response.status == 409
        assert (await response.json(content_type=None))["code"] == "cursor_beyond_log"


async def test_a_stop_from_another_process_closes_the_provider_with_a_true_receipt(
    pair: Pair, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    here, there = pair
    async with ask(client, here.url, model="hang-mid") as stream:
        await stream.until("chunk")
        receipt = await stop(client, there.url, stream.run_id)
        assert receipt["outcome"] == "stopped"
        assert receipt["upstreamClosed"] is True
        assert receipt["finishReason"] == "stopped"
        record = await upstream.wait_for(lambda record: record.closed_by == "peer")
        assert record.closed_by == "peer"
        end = (await stream.rest())[-1]
        assert (end["type"], end["finishReason"]) == ("end", "stopped")
    assert await stop(client, there.url, stream.run_id) == receipt
    assert await stop(client, here.url, stream.run_id) == receipt


async def test_a_stop_from_another_process_is_quick(
    pair: Pair, client: aiohttp.ClientSession
) -> None:
    here, there = pair
    loop = asyncio.get_running_loop()
    taken: list[float] = []
    for _ in range(15):
        async with ask(client, here.url, model="hang-mid") as stream:
            await stream.until("chunk")
            began = loop.time()
            receipt = await stop(client, there.url, stream.run_id)
            taken.append(loop.time() - began)
            assert receipt["upstreamClosed"] is True
    assert min(taken) < 0.05, "what a busy machine adds is not always there"


async def test_stops_from_everywhere_at_once_give_one_end_and_one_receipt(
    pair: Pair, client: aiohttp.ClientSession
) -> None:
    async with ask(client, pair[0].url, model=SLOW) as stream:
        await stream.until("chunk")
        receipts = await asyncio.gather(
            *(stop(client, pair[number % 2].url, stream.run_id) for number in range(10))
        )
        assert [receipt == receipts[0] for receipt in receipts] == [True] * 10
        events = await stream.rest()
        assert [event["type"] for event in events].count("end") == 1


async def test_the_same_start_on_two_processes_at_once_is_one_generation(
    pair: Pair, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    for _ in range(10):
        run_id = secrets.token_urlsafe(16)
        before = len(upstream.requests)

        async def start(service: Service, run_id: str = run_id) -> list[Json]:
            async with ask(client, service.url, model="answer?tokens=20", runId=run_id) as stream:
                return await stream.rest()

        one, two, three = await asyncio.gather(start(pair[0]), start(pair[1]), start(pair[1]))
        assert one == two == three
        assert one[-1]["type"] == "end"
        assert len(upstream.requests) == before + 1


async def test_another_request_under_an_id_used_elsewhere_is_refused(
    pair: Pair, client: aiohttp.ClientSession
) -> None:
    run_id = secrets.token_urlsafe(16)
    async with ask(client, pair[0].url, runId=run_id) as stream:
        await stream.rest()
    body = {"message": "something else", "runId": run_id}
    async with client.post(f"{pair[1].url}/ai/chat/stream-sse", json=body) as response:
        assert response.status == 409
        assert (await response.json(content_type=None))["code"] == "run_conflict"


async def test_a_stop_elsewhere_before_the_start_prevents_it(
    pair: Pair, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    run_id = secrets.token_urlsafe(16)
    async with client.post(f"{pair[1].url}/ai/runs/{run_id}/stop") as response:
        assert response.status == 404
    body = {"message": "hi", "runId": run_id}
    async with client.post(f"{pair[0].url}/ai/chat/stream-sse", json=body) as response:
        assert response.status == 409
        assert (await response.json(content_type=None))["code"] == "stopped_before_start"
    assert not upstream.requests


async def test_a_runs_state_is_the_same_everywhere_and_counts_every_reader(
    pair: Pair, client: aiohttp.ClientSession
) -> None:
    here, there = pair
    async with ask(client, here.url, model="hang-mid") as stream:
        await stream.until("chunk")
        url = f"{there.url}/ai/runs/{stream.run_id}/events"
        async with client.get(url) as first, client.get(url) as second:
            await first.content.readline()
            await second.content.readline()

            async def counted() -> bool:
                states = [await show(client, one.url, stream.run_id) for one in pair]
                return [state["readers"] for state in states] == [3, 3]

            await until(counted)
            states = [await show(client, one.url, stream.run_id) for one in pair]
            for state in states:
                del state["durationMs"]
            assert states[0] == states[1]
        await stop(client, there.url, stream.run_id)
        await stream.rest()

    async def the_same() -> bool:
        """When all readers have left."""
        states = [await show(client, one.url, stream.run_id) for one in pair]
        return states[0] == states[1] and states[0]["readers"] == 0

    await until(the_same)


async def test_a_run_goes_on_while_anybody_reads_it_anywhere(
    pair: Pair, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    here, there = pair
    async with ask(client, here.url, model="hang-mid") as stream:
        await stream.until("chunk")
        url = f"{there.url}/ai/runs/{stream.run_id}/events"
        async with client.get(url) as second:
            await second.content.readline()

            async def counted(readers: int) -> bool:
                return (await show(client, here.url, stream.run_id))["readers"] == readers

            await until(lambda: counted(2))
            stream.drop()
            await until(lambda: counted(1))
            assert (await show(client, here.url, stream.run_id))["state"] == "streaming"
            second.close()
        await upstream.wait_for(lambda record: record.closed_by == "peer")


async def test_a_run_goes_on_if_its_first_reader_is_cut_when_one_elsewhere_has_begun(
    pair: Pair, client: aiohttp.ClientSession
) -> None:
    here, there = pair
    for _ in range(5):
        async with ask(client, here.url, model="answer?tokens=30&interval=0.01") as stream:
            await stream.until("start")
            async with client.get(f"{there.url}/ai/runs/{stream.run_id}/events") as second:
                stream.drop()
                rest = await Stream(second).rest()
        assert (rest[-1]["type"], rest[-1]["finishReason"]) == ("end", "stop")


async def test_a_process_that_goes_away_lets_go_of_what_it_read(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    settings = {"redis_url": shared_server().url, "upstream_url": upstream.url, "lease": 1.0}
    async with Service(**settings) as here, ask(client, here.url, model="hang-mid") as stream:
        await stream.until("chunk")
        async with Service(**settings) as there:
            url = f"{there.url}/ai/runs/{stream.run_id}/events"
            async with client.get(url) as second:
                await second.content.readline()

                async def counted() -> bool:
                    return (await show(client, here.url, stream.run_id))["readers"] == 2

                await until(counted)
                stream.drop()
                there.runs.drain()
                rest = await second.content.read()
                assert b"retry: 1000" in rest, "it is told to go on elsewhere"
        await upstream.wait_for(lambda record: record.closed_by == "peer", timeout=20)


async def test_a_reader_that_a_draining_process_sends_away_finds_its_run_still_going_on(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    settings = {"redis_url": shared_server().url, "upstream_url": upstream.url}
    model = "answer?tokens=300&interval=0.01"
    async with Service(**settings) as here, ask(client, here.url, model=model) as stream:
        await stream.until("chunk")
        async with Service(**settings) as there:
            url = f"{there.url}/ai/runs/{stream.run_id}/events"
            async with client.get(url) as second:
                before = await second.content.readline()

                async def counted() -> bool:
                    return (await show(client, here.url, stream.run_id))["readers"] == 2

                await until(counted)
                stream.drop()
                there.runs.drain()
                before += await second.content.read()
        assert before.endswith(b"retry: 1000\n\n")
        before = before.removesuffix(b"retry: 1000\n\n")
        status, rest = await read_raw(client, here.url, stream.run_id, after=before.count(b"id: "))
    assert status == 200
    assert b'"finishReason":"stop"' in rest


async def test_a_keys_limit_counts_its_runs_in_all_processes(
    make: Callable[..., Awaitable[Pair]], client: aiohttp.ClientSession
) -> None:
    here, there = await make(api_keys=KEYS, max_runs_per_key=2)
    async with AsyncExitStack() as stack:
        streams: list[Stream] = []
        for service in (here, there):
            opened = ask(client, service.url, key=ANNA, model="hang-mid")
            streams.append(await stack.enter_async_context(opened))
            await streams[-1].until("chunk")
        for service in (here, there):
            async with client.post(
                f"{service.url}/ai/chat/stream-sse",
                json={"message": "hi"},
                headers={"Authorization": f"Bearer {ANNA}"},
            ) as response:
                assert response.status == 429
                assert response.headers["Retry-After"]
        async with ask(client, there.url, key=BERT) as stream:
            await stream.rest()
        streams[0].drop()

        async def free() -> bool:
            async with client.post(
                f"{there.url}/ai/chat/stream-sse",
                json={"message": "hi"},
                headers={"Authorization": f"Bearer {ANNA}"},
            ) as response:
                return response.status == 200

        await until(free)


async def test_somebody_elses_run_does_not_exist_on_another_process_either(
    make: Callable[..., Awaitable[Pair]], client: aiohttp.ClientSession
) -> None:
    here, there = await make(api_keys=KEYS)
    async with ask(client, here.url, key=ANNA, model="hang-mid") as stream:
        await stream.until("chunk")
        headers = {"Authorization": f"Bearer {BERT}"}
        run = f"{there.url}/ai/runs/{stream.run_id}"
        async with client.get(run, headers=headers) as response:
            assert response.status == 404
        async with client.get(f"{run}/events", headers=headers) as response:
            assert response.status == 404
        async with client.post(f"{run}/stop", headers=headers) as response:
            assert response.status == 404
        state = f"{here.url}/ai/runs/{stream.run_id}"
        async with client.get(state, headers={"Authorization": f"Bearer {ANNA}"}) as response:
            assert (await response.json())["state"] == "streaming"


async def test_what_a_process_finished_is_still_there_when_it_has_ended(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    settings = {"redis_url": shared_server().url, "upstream_url": upstream.url}
    async with Service(**settings) as there:
        async with Service(**settings) as here:
            async with ask(client, here.url, model="answer?tokens=40") as stream:
                events = await stream.rest()
            whole = await read_raw(client, here.url, stream.run_id)
            state = await show(client, here.url, stream.run_id)
        assert await read_raw(client, there.url, stream.run_id) == whole
        assert await show(client, there.url, stream.run_id) == state
        receipt = await stop(client, there.url, stream.run_id)
        assert receipt["outcome"] == "already_finished"
        assert receipt["finishReason"] == events[-1]["finishReason"]
        assert text(events)


async def test_a_run_is_forgotten_everywhere_some_time_after_its_end(
    make: Callable[..., Awaitable[Pair]], client: aiohttp.ClientSession
) -> None:
    here, there = await make(run_retention=0.3)
    async with ask(client, here.url) as stream:
        await stream.rest()

    async def forgotten() -> bool:
        async with client.get(f"{there.url}/ai/runs/{stream.run_id}/events") as response:
            return response.status == 404

    await until(forgotten)
