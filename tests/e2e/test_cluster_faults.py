"""Processes that die or freeze, and a Redis that is away or forgets: on real processes.

After each: every run has one end, the log is what its readers saw and what is stored of it, and
nothing is left open.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from support.client import Json, show, stop, text
from support.cluster import (
    Caller,
    Footprint,
    Node,
    Watched,
    check,
    cluster,
    flushed,
    processes,
    read,
    readiness,
    settle,
    stored,
    unpooled,
    watching,
)
from support.redis import Redis, shared_server
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator
    from contextlib import AbstractContextManager

    import aiohttp

    from stream_serve.testing import ScriptedUpstream
    from support.history import Place

ENDLESS = "forever?interval=0.02"
SHORT = "answer?tokens=60&interval=0.02"
SLACK = 4
WATCHED = 6
FIRST = 200_001
"""The number of the end of a run that was taken over: past the greatest that a run may have."""


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with unpooled() as session:
        yield session


@pytest.fixture
def settings(place: Place) -> dict[str, str]:
    return {
        "STREAM_SERVE_DATABASE_URL": place.url,
        "STREAM_SERVE_LEASE": "2",  # its end is waited for
        "STREAM_SERVE_SAVE_INTERVAL": "0.5",
        "STREAM_SERVE_REDIS_TIMEOUT": "1",
    }


@pytest.fixture
def redis() -> Redis:
    """The server of all tests, for those that leave it alone."""
    return shared_server()


@pytest.fixture
def own_redis() -> Iterator[Redis]:
    """A server for one test."""
    shared_server()  # skips, or fails, where there is none
    with Redis() as server:
        yield server


async def warm(client: aiohttp.ClientSession, *nodes: Node) -> None:
    """Ask for more at once than the test will, so that the pools are as full as they will be."""
    for here, there in (nodes, nodes[::-1]):
        async with watching(
            client, here, there, *["answer"] * WATCHED, conversationId="new"
        ) as watched:
            for one in watched:
                await one.caller.whole()
                await one.reader.whole()
            await asyncio.gather(*(show(client, there.url, one.run_id) for one in watched * 4))


async def check_whole(
    client: aiohttp.ClientSession, node: Node, one: Watched, *, status: str
) -> list[Json]:
    """Return the log of a run that is over: it is what its reader saw, and what is stored."""
    log = await read(client, node.url, one.run_id)
    check(log)
    assert one.reader.events == log
    assert one.reader.cuts == 0
    kept = await stored(client, node.url, log[0]["conversationId"])
    assert (kept["status"], kept["content"]) == (status, text(log))
    return log


def check_interrupted(log: list[Json], caller: Caller) -> None:
    """The caller saw the log; before its end perhaps a little more, which never got into Redis."""
    end = log[-1]
    assert (end["type"], end["code"], end["retryable"]) == ("error", "run_interrupted", True)
    assert end["id"] == FIRST
    assert end["saved"] is True
    seen = caller.events
    assert seen[: len(log) - 1] == log[:-1]
    assert [event["id"] for event in seen[:-1]] == list(range(1, len(seen)))
    assert (seen[-1]["id"], seen[-1]["code"]) == (end["id"], end["code"])


async def test_when_a_process_is_killed_its_runs_end_once_on_another_and_keep_their_text(
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    redis: Redis,
    settings: dict[str, str],
) -> None:
    async with cluster(client, upstream, redis, settings) as (here, there):
        await warm(client, here, there)
        before = Footprint.of([there], upstream, redis)
        models = [ENDLESS] * WATCHED
        async with watching(client, here, there, *models, conversationId="new") as watched:
            for one in watched:
                one.caller.url = there.url
            await here.kill()
            ahead = [
                asyncio.create_task(
                    read(client, there.url, one.run_id, after=one.caller.events[-1]["id"] + 3)
                )
                for one in watched
            ]
            for one in watched:
                await one.reader.whole()
                await one.caller.whole()
            for one, rest in zip(watched, await asyncio.gather(*ahead), strict=True):
                log = await check_whole(client, there, one, status="interrupted")
                check_interrupted(log, one.caller)
                assert rest == log[-1:], "a cursor ahead of the log gets the end, and only it"
                assert one.caller.cuts
                assert (await show(client, there.url, one.run_id))["state"] == "failed"
                receipt = await stop(client, there.url, one.run_id)
                assert receipt["outcome"] == "already_finished"
        await settle([there], upstream, redis, before, SLACK)
        assert len(await processes(redis)) == 1
        caller = Caller(client, there.url, model="answer")
        assert (await caller.whole())[-1]["type"] == "end"


async def test_when_a_process_is_killed_its_readers_elsewhere_know_within_15_seconds(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, redis: Redis
) -> None:
    """With the settings as they are shipped."""
    shipped = {"STREAM_SERVE_GRACE_TIMEOUT": ""}
    async with (
        cluster(client, upstream, redis, shipped) as (here, there),
        watching(client, here, there, *["hang-mid"] * WATCHED) as watched,
    ):
        await here.kill()
        began = time.monotonic()
        for one in watched:
            events = await one.reader.whole()
            check(events)
            assert events[-1]["code"] == "run_interrupted"
        assert time.monotonic() - began < 15


async def test_a_process_frozen_past_its_lease_writes_nothing_more_and_closes_its_provider(
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    redis: Redis,
    settings: dict[str, str],
) -> None:
    async with cluster(client, upstream, redis, settings) as (here, there):
        await warm(client, here, there)
        before = Footprint.of([here, there], upstream, redis)
        models = [ENDLESS] * WATCHED
        async with watching(client, here, there, *models, conversationId="new") as watched:
            here.freeze()
            for one in watched:
                await one.reader.whole()
            logs = [await check_whole(client, there, one, status="interrupted") for one in watched]
            asked = [record for record in upstream.requests if record.scenario == "forever"]
            assert [record.closed_by for record in asked] == [None] * WATCHED
            here.thaw()
            await upstream.until(lambda: all(one.closed_by == "peer" for one in asked), 30)
            for one, log in zip(watched, logs, strict=True):
                await one.caller.whole()
                check_interrupted(log, one.caller)
            caller = Caller(client, here.url, model=SHORT)
            reader = Caller(client, there.url, caller.run_id)
            events = await caller.whole()
            assert events[-1]["type"] == "end"
            await reader.close()
            assert await read(client, there.url, caller.run_id) == events
            for one, log in zip(watched, logs, strict=True):
                for node in (here, there):
                    assert await read(client, node.url, one.run_id) == log
                await check_whole(client, here, one, status="interrupted")
        await settle([here, there], upstream, redis, before, SLACK)


async def test_a_process_alone_that_was_frozen_past_its_lease_interrupts_its_runs_itself(
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    redis: Redis,
    settings: dict[str, str],
) -> None:
    async with cluster(client, upstream, redis, settings, nodes=1) as (here,):
        models = [ENDLESS] * WATCHED
        async with watching(client, here, here, *models, conversationId="new") as watched:
            for one in watched:
                await until(partial(flushed, redis, one.run_id))
            here.freeze()
            await until(lambda: long_run_out(redis))
            here.thaw()
            for one in watched:
                await one.caller.whole()
                await one.reader.whole()
            await upstream.until(lambda: all(one.closed_by for one in upstream.requests), 30)
            for one in watched:

                async def over(one: Watched = one) -> bool:
                    kept = await stored(client, here.url, one.caller.conversation)
                    return kept["status"] == "interrupted"

                await until(over)
                log = await read(client, here.url, one.run_id)
                check(log)
                check_interrupted(log, one.caller)
                check_interrupted(log, one.reader)
                kept = await stored(client, here.url, one.caller.conversation)
                assert kept["content"] == text(log)
        caller = Caller(client, here.url, model="answer")
        assert (await caller.whole())[-1]["type"] == "end"


async def long_run_out(redis: Redis) -> bool:
    """Say whether every lease ran out a second ago, by Redis's clock: no process did a thing for
    longer than a lease, whenever in its lease it was frozen."""
    scores = await asyncio.to_thread(
        redis.cli, "ZRANGE", "stream-serve:processes", "0", "-1", "WITHSCORES"
    )
    seconds, micros = (await asyncio.to_thread(redis.cli, "TIME")).split()
    now = int(seconds) * 1000 + int(micros) // 1000
    return all(float(score) + 1000 < now for score in scores.split()[1::2])


async def test_a_stop_while_its_process_is_frozen_says_so_and_is_done_when_it_wakes(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, redis: Redis
) -> None:
    # The lease that is shipped is longer than a stop waits for its answer.
    async with (
        cluster(client, upstream, redis) as (here, there),
        watching(client, here, there, "hang-mid") as (one,),
    ):
        here.freeze()
        async with client.post(f"{there.url}/ai/runs/{one.run_id}/stop") as response:
            receipt = await response.json()
            assert (response.status, receipt["outcome"]) == (202, "unreachable")
            assert receipt["upstreamClosed"] is None
        here.thaw()
        for reader in one:
            end = (await reader.whole())[-1]
            assert (end["type"], end["finishReason"]) == ("end", "stopped")
        record = await upstream.wait_for(lambda record: record.closed_by == "peer")
        assert record.scenario == "hang-mid"
        receipt = await stop(client, there.url, one.run_id)
        assert (receipt["outcome"], receipt["upstreamClosed"]) == ("stopped", True)


@contextmanager
def between(begin: Callable[[], None], end: Callable[[], None]) -> Generator[None]:
    """Something is so during the block."""
    begin()
    try:
        yield
    finally:
        end()


async def test_while_redis_is_away_runs_go_on_and_readers_elsewhere_miss_nothing(
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    own_redis: Redis,
    settings: dict[str, str],
) -> None:
    async with cluster(client, upstream, own_redis, settings) as (here, there):
        await warm(client, here, there)
        before = Footprint.of([here, there], upstream, own_redis)
        for fault in (
            # It stands still; it ends, and comes back empty; it takes nothing more.
            between(own_redis.freeze, own_redis.thaw),
            between(own_redis.stop, own_redis.start),
            between(partial(own_redis.maxmemory, 1), partial(own_redis.maxmemory, 0)),
        ):
            await _go_on(client, here, there, own_redis, fault)
            await _check_healed(client, here, there)
            await settle([here, there], upstream, own_redis, before, SLACK)


async def _go_on(
    client: aiohttp.ClientSession,
    here: Node,
    there: Node,
    redis: Redis,
    fault: AbstractContextManager[None],
) -> None:
    """While it lasts, answers come to their end and can be stopped; after it, nothing is missing."""
    models = [SHORT] * 3 + [ENDLESS] * 2 + ["hang-mid"]
    async with watching(client, here, there, *models, conversationId="new") as watched:
        ends, endless, hanging = watched[:3], watched[3:5], watched[5]
        with fault:
            for node in (here, there):
                await _check_refused(client, node, redis)
            for one in ends:
                assert (await one.caller.whole())[-1]["finishReason"] == "stop"
            receipt = await stop(client, here.url, hanging.run_id)
            assert (receipt["outcome"], receipt["upstreamClosed"]) == ("stopped", True)
            for one in endless:
                await _goes_on(one.caller)
        await _stop_all(client, there, endless)
        for one in watched:
            await _check_unharmed(client, there, one)


async def _goes_on(caller: Caller) -> None:
    """Wait for one more event."""
    count = len(caller.events)

    async def more() -> bool:
        return len(caller.events) > count

    await until(more)


async def _check_unharmed(client: aiohttp.ClientSession, node: Node, one: Watched) -> None:
    """The caller, the reader elsewhere, the log and the stored message agree, and nobody was cut."""
    events = await one.caller.whole()
    await one.reader.whole()
    status = "complete" if events[-1]["finishReason"] == "stop" else "stopped"
    assert await check_whole(client, node, one, status=status) == events
    assert one.caller.cuts == 0


async def test_what_redis_forgets_is_written_again_and_readers_elsewhere_miss_nothing(
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    own_redis: Redis,
    settings: dict[str, str],
) -> None:
    redis = own_redis
    models = [SHORT] * 3 + [ENDLESS] * 3
    async with cluster(client, upstream, redis, settings) as (here, there):
        await warm(client, here, there)
        before = Footprint.of([here, there], upstream, redis)
        over = Caller(client, here.url, model="answer")
        await over.whole()
        async with watching(client, here, there, *models, conversationId="new") as watched:
            for _ in range(3):
                await asyncio.to_thread(redis.flush)

                async def known() -> bool:
                    return await _known(client, there, watched)

                await until(known)
            await _stop_all(client, there, watched[3:])
            for one in watched:
                await _check_unharmed(client, there, one)
            assert await read(client, there.url, over.run_id) == over.events, "finished ones, too"
        await _check_healed(client, here, there)
        await settle([here, there], upstream, redis, before, SLACK)


async def _check_refused(client: aiohttp.ClientSession, node: Node, redis: Redis) -> None:
    """A start is refused soon, and nobody is sent to a process that cannot keep its promise."""
    began = time.monotonic()
    body = {"message": "hi", "model": "silent"}
    async with client.post(f"{node.url}/ai/chat/stream-sse", json=body) as response:
        answer = await response.text()
        assert response.status == 503, answer
        assert response.headers["Retry-After"]
        assert redis.password not in answer
    assert time.monotonic() - began < 20

    async def away() -> bool:
        return await readiness(client, node.url) == 503

    await until(away)


async def _known(client: aiohttp.ClientSession, node: Node, watched: list[Watched]) -> bool:
    """Say whether all these runs are known there."""
    for one in watched:
        async with client.get(f"{node.url}/ai/runs/{one.run_id}") as response:
            if response.status != 200:
                return False
    return True


async def _stop_all(client: aiohttp.ClientSession, node: Node, watched: list[Watched]) -> None:
    """Stop runs from another process, as soon as it knows them again."""

    async def known() -> bool:
        return await _known(client, node, watched)

    await node.up(client)
    await until(known)
    for one in watched:
        assert (await stop(client, node.url, one.run_id))["outcome"] == "stopped"


async def _check_healed(client: aiohttp.ClientSession, *nodes: Node) -> None:
    """Everything is as before: each process starts runs that each other one reads."""
    for node in nodes:
        await node.up(client)
    for here, there in (nodes, nodes[::-1]):
        async with watching(client, here, there, "answer?tokens=20&interval=0.01") as (one,):
            events = await one.caller.whole()
            check(events)
            assert await one.reader.whole() == events
