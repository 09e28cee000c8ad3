"""Jobs at a service over HTTP: how they hear of a stop, and what the service refuses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

import pytest

from stream_serve.client import AsyncClient, Client
from stream_serve.errors import BodyTooLarge
from support.jobs import HASTE, contents, ended
from support.proxy import Proxy
from support.service import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from stream_serve.client.jobs import ServicePlace
    from stream_serve.jobs.writer import Writer
    from stream_serve.testing import ScriptedUpstream

LONG: Final = 86_400.0
"""A lease in which no append renews it."""


@pytest.fixture
async def proxy(service: Service) -> AsyncIterator[Proxy]:
    async with Proxy(service.url) as made:
        yield made


def control(name: str) -> str:
    return f"GET /v1/stream/{name}/control"


async def test_a_stop_is_heard_on_one_connection_that_ends_with_the_job(
    client: aiohttp.ClientSession, service: Service, proxy: Proxy
) -> None:
    async with AsyncClient(proxy.url, patience=HASTE) as ours:
        async with ours.job("held", lease=LONG) as job:
            await until(lambda: control("held") in proxy.streams)
            before = len(proxy.requests)
            await client.post(f"{service.url}/v1/stream/held/stop")
            await until(lambda: job.stopping)
            await until(lambda: not proxy.streams)
            assert len(proxy.requests) == before
        async with ours.job("over", lease=LONG):
            await until(lambda: control("over") in proxy.streams)
        await until(lambda: not proxy.streams)


async def test_a_job_that_is_cancelled_and_again_at_any_step_leaves_no_connection_and_no_task(
    proxy: Proxy,
) -> None:
    async def work(ours: AsyncClient) -> None:
        async with ours.job("cancelled", lease=LONG, again=True):
            await asyncio.Event().wait()

    async with AsyncClient(proxy.url, patience=HASTE) as ours:
        for steps in range(0, 40, 3):
            task = asyncio.create_task(work(ours))
            await until(lambda: proxy.streams == [control("cancelled")])
            for _ in range(2):
                task.cancel()
                for _ in range(steps):
                    await asyncio.sleep(0)
            await asyncio.wait({task})
            assert not [one for one in asyncio.all_tasks() if one.get_name().startswith("job")]
            await until(lambda: not proxy.streams)


async def test_a_job_that_is_cancelled_at_any_step_of_its_beginning_leaves_nothing(
    proxy: Proxy,
) -> None:
    async def work(ours: AsyncClient) -> None:
        async with ours.job("early", again=True):
            await asyncio.Event().wait()

    async with AsyncClient(proxy.url, patience=HASTE) as ours:
        for steps in range(0, 120, 7):
            task = asyncio.create_task(work(ours))
            for _ in range(2):
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait({task})
            assert not [one for one in asyncio.all_tasks() if one.get_name().startswith("job")]
            await until(lambda: not proxy.streams)


@pytest.mark.parametrize("how", ["cut", "away", "refused", "frozen"])
async def test_a_stop_is_heard_by_a_connection_that_is_made_anew(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, how: str
) -> None:
    async with (
        Service(upstream_url=upstream.url, heartbeat_interval=0.1) as service,
        Proxy(service.url) as proxy,
        AsyncClient(proxy.url, patience=HASTE) as ours,
        ours.job("again", lease=LONG) as job,
    ):
        await until(lambda: control("again") in proxy.streams)
        before = proxy.connections
        if how == "cut":
            proxy.cut()
        elif how == "frozen":
            proxy.freeze(control("again"))
        elif how == "away":
            proxy.down()
        else:
            proxy.answer = b"HTTP/1.1 503 No\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
            proxy.cut()
        await client.post(f"{service.url}/v1/stream/again/stop")
        await until(lambda: proxy.connections > before + (how in {"away", "refused"}))
        proxy.answer = None
        proxy.up()
        await until(lambda: job.stopping)


async def test_a_job_that_is_removed_is_not_asked_for_again(
    client: aiohttp.ClientSession, service: Service, proxy: Proxy
) -> None:
    async with AsyncClient(proxy.url, patience=HASTE) as ours:
        job = ours.job("removed", lease=LONG)
        await job.__aenter__()
        await until(lambda: control("removed") in proxy.streams)
        await client.delete(f"{service.url}/v1/stream/removed")
        await until(lambda: not proxy.streams)
        before = len(proxy.requests)
        with pytest.raises(Exception, match="was removed"):
            await job.__aexit__(None, None, None)
        assert len(proxy.requests) == before + 1


async def test_an_append_without_an_answer_is_sent_again_before_the_lease_is_over(
    client: aiohttp.ClientSession, service: Service, proxy: Proxy
) -> None:
    """The client would wait for an answer for longer than that."""
    async with AsyncClient(proxy.url, patience=HASTE) as ours, ours.job("half", lease=3) as job:
        proxy.freeze("POST")
        await job.log("kept")
    said = await ended(client, f"{service.url}/v1/stream/half")
    assert contents(said) == ["kept"]
    assert said[-1]["finishReason"] == "completed"


async def test_a_service_that_takes_small_appends_only_gets_all(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with (
        Service(upstream_url=upstream.url, max_append_bytes=1_000) as service,
        AsyncClient(service.url, patience=HASTE) as ours,
    ):
        async with ours.job("small") as job:
            for number in range(2_000):
                await job.log(str(number))
        said = await ended(client, f"{service.url}/v1/stream/small")
        assert contents(said) == [str(number) for number in range(2_000)]
        assert said[-1]["finishReason"] == "completed"

        texts = {"log": "\U0001f600\x01é" * 9_000, "chunk": "x" * 99_999}
        async with ours.job("long") as job:
            await job.log(texts["log"])
            await job.chunk(texts["chunk"])
            await job.log("after")
        said = await ended(client, f"{service.url}/v1/stream/long")
        lines = [one for one in said if one["type"] == "log"]
        assert "".join(contents(lines[:-1])) == texts["log"]
        assert all(one["partial"] for one in lines[:-2])
        assert not any("partial" in one for one in lines[-2:])
        chunks = [one["content"] for one in said if one["type"] == "chunk"]
        assert "".join(chunks) == texts["chunk"]
        assert (contents(lines)[-1], said[-1]["finishReason"]) == ("after", "completed")

        async def large() -> None:
            async with ours.job("large") as job:
                await job.log("before")
                await job.write("x" * 500_000)
                await job.flush()

        with pytest.raises(BodyTooLarge, match="STREAM_SERVE_MAX_APPEND_BYTES"):
            await large()
        said = await ended(client, f"{service.url}/v1/stream/large")
        assert contents(said) == ["before"]
        assert said[-1]["finishReason"] == "failed"
        assert "BodyTooLarge" in said[-1]["error"]


async def test_a_job_of_a_thread_has_the_patience_of_its_client(proxy: Proxy) -> None:
    def work() -> None:
        with Client(proxy.url, patience=HASTE) as ours, ours.job("thread") as job:
            writer = cast("Writer", vars(vars(job)["_job"])["_opened"])
            place = cast("ServicePlace", vars(writer)["_place"])
            assert cast("AsyncClient", vars(place)["_client"]).patience == HASTE

    await asyncio.to_thread(work)
