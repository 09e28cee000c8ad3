"""Jobs in real processes and threads, and through a network that fails."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from fastapi import FastAPI

from stream_serve import JobTaken, Streams
from stream_serve.client import AsyncClient, Client
from stream_serve.errors import NotStarted, ServiceProtocol, Unauthorized
from support.host import serving
from support.jobs import HASTE, contents, ended, messages
from support.process import PATIENCE, running
from support.proxy import Proxy
from support.service import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    import aiohttp

    from stream_serve.testing import ScriptedUpstream

WORKER: Final = "support.worker"
TESTS: Final = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120 - for a variable
KEY: Final = "sk-alice-0123456789"
PAGE: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n"
    b"Connection: close\r\n\r\n<html>"
)


def alice() -> str:
    return "alice"


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """The streams of alice, in the file `jobs.db`."""
    streams = Streams.sqlite(tmp_path / "jobs.db", owner=alice)
    app = FastAPI(lifespan=streams.lifespan)
    app.mount("/ai", streams.routes())
    async with serving(app) as address:
        yield f"{address}/ai/v1/stream"


@asynccontextmanager
async def worker(what: str, folder: Path, name: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Let another process work on a job; it has begun."""
    async with running(
        *(sys.executable, "-m", WORKER, what, str(folder / "jobs.db"), name),
        env={**os.environ, "PYTHONPATH": TESTS},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            assert await process.stdout.readline() == b"begun\n"
        yield process


async def test_a_process_that_is_killed_ends_its_job_as_lost(
    client: aiohttp.ClientSession, url: str, tmp_path: Path
) -> None:
    async with worker("hang", tmp_path, "killed") as process:
        said = await messages(client, f"{url}/killed")
        assert contents(said) == ["begun"]
        process.kill()
    said = await ended(client, f"{url}/killed")
    assert [one.get("finishReason") for one in said] == [None, "lost"]
    async with client.get(f"{url}/killed") as response:
        assert response.headers["Stream-Lost"] == "true"


async def test_a_retry_goes_on_with_the_stream_of_a_process_that_was_killed(
    client: aiohttp.ClientSession, url: str, tmp_path: Path
) -> None:
    async with worker("hang", tmp_path, "retried") as process:
        process.send_signal(signal.SIGSTOP)
        async with Streams.sqlite(tmp_path / "jobs.db").open("retried", owner="alice") as job:
            assert job.resumed
            await job.log("again")
    said = await ended(client, f"{url}/retried")
    assert contents(said) == ["begun", "again"]
    assert said[-1]["finishReason"] == "completed"


async def test_another_process_sees_a_stop(
    client: aiohttp.ClientSession, url: str, tmp_path: Path
) -> None:
    async with worker("check", tmp_path, "stopped") as process:
        await client.post(f"{url}/stopped/stop")
        out, err = await process.communicate()
        assert out == b"stopped\n"
        assert b"Stopped" in err
    assert (await ended(client, f"{url}/stopped"))[-1]["finishReason"] == "stopped"


async def test_threads_write_one_job_and_others_at_once(
    client: aiohttp.ClientSession, url: str, tmp_path: Path
) -> None:
    streams = Streams.sqlite(tmp_path / "jobs.db")

    def work(name: str) -> None:
        with streams.open_sync(name, owner="alice") as job:
            job.progress(0.5)
            job.log(name)
            job.write([name])
            job.chunk("piece")
            job.check()
            assert not job.stopping
            assert not job.resumed
            assert job.name == name

    names = [f"thread-{number}" for number in range(8)]
    await asyncio.gather(*(asyncio.to_thread(work, name) for name in names))
    for name in names:
        said = await ended(client, f"{url}/{name}")
        assert [one["type"] for one in said] == ["progress", "log", "data", "chunk", "end"]


async def test_a_body_that_computes_keeps_its_lease_in_a_thread(
    client: aiohttp.ClientSession, url: str, tmp_path: Path
) -> None:
    streams = Streams.sqlite(tmp_path / "jobs.db")

    def work() -> None:
        with streams.open_sync("computes", owner="alice", lease=0.5):
            over = time.monotonic() + 1.5  # longer than the lease: this is what is tested
            while time.monotonic() < over:
                sum(range(1_000))

    await asyncio.to_thread(work)
    assert (await ended(client, f"{url}/computes"))[-1]["finishReason"] == "completed"


async def test_a_forked_process_has_jobs_of_its_own(
    client: aiohttp.ClientSession, url: str, tmp_path: Path
) -> None:
    code = """
import os, sys
from stream_serve import Streams
streams = Streams.sqlite(sys.argv[1])
with streams.open_sync("parent", owner="alice") as job:
    job.log("before")
    child = os.fork()
    if not child:
        try:
            job.log("not from here")
        except RuntimeError:
            pass
        with streams.open_sync("child", owner="alice") as own:
            own.log("from the child")
    else:
        assert os.waitpid(child, 0)[1] == 0
        job.log("after")
if not child:
    os._exit(0)
"""
    async with running(sys.executable, "-c", code, str(tmp_path / "jobs.db")) as process:
        assert await process.wait() == 0
    said = await ended(client, f"{url}/parent")
    assert contents(said) == ["before", "after"]
    assert said[-1]["finishReason"] == "completed"
    assert contents(await ended(client, f"{url}/child")) == ["from the child"]


async def test_streams_in_memory_have_jobs_only_where_they_are_served(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    streams = Streams.sqlite(tmp_path / "jobs.db", streams_url="memory")
    with pytest.raises(NotStarted, match="lifespan"):
        async with streams.open("early"):
            raise AssertionError
    app = FastAPI(lifespan=streams.lifespan)
    app.mount("/ai", streams.routes())

    def work() -> None:
        with streams.open_sync("thread") as job:
            job.log("from a thread")

    async with serving(app) as address:
        await asyncio.to_thread(work)
        assert contents(await ended(client, f"{address}/ai/v1/stream/thread")) == ["from a thread"]
        with pytest.raises(RuntimeError, match="async with"):
            work()


@pytest.mark.parametrize("kept", ["memory", ""])
async def test_a_job_that_outlives_the_application_is_told_at_once(
    tmp_path: Path, kept: str
) -> None:
    own: dict[str, Any] = {"streams_url": kept} if kept else {}
    streams = Streams.sqlite(tmp_path / "jobs.db", **own)

    async def work() -> None:
        async with AsyncExitStack() as last:
            async with streams.lifespan():
                job = await last.enter_async_context(streams.open("late"))
                await job.log("a line")
            await job.log("too late")
            with pytest.raises(NotStarted, match="has ended"):
                await job.flush()
            job.check()

    with pytest.raises(NotStarted, match="before its lifespan") as raised:
        await work()
    assert not raised.value.retryable


async def test_a_thread_whose_application_has_ended_is_told(tmp_path: Path) -> None:
    streams = Streams.sqlite(tmp_path / "jobs.db", streams_url="memory")
    begun, over = threading.Event(), threading.Event()

    def work() -> None:
        with streams.open_sync("thread") as job:
            begun.set()
            over.wait()
            job.log("too late")

    async def serve() -> asyncio.Task[None]:
        async with streams.lifespan():
            working = asyncio.create_task(asyncio.to_thread(work))
            await asyncio.to_thread(begun.wait)
        over.set()
        return working

    working = await serve()
    with pytest.raises(NotStarted, match="has ended"):
        await working


async def test_cuts_of_the_network_double_nothing_and_lose_nothing(
    client: aiohttp.ClientSession, service: Service
) -> None:
    async with (
        Proxy(service.url) as proxy,
        AsyncClient(proxy.url, patience=HASTE) as ours,
        ours.job("cut") as job,
    ):
        for number in range(60):
            await job.log(str(number))
            flushing = asyncio.create_task(job.flush())
            if number % 3 == 0:
                before = len(proxy.requests)
                await until(
                    lambda before=before, flushing=flushing: (
                        len(proxy.requests) > before or flushing.done()
                    )
                )
                proxy.cut()
            await flushing
    said = await ended(client, f"{service.url}/v1/stream/cut")
    assert contents(said) == [str(number) for number in range(60)]


async def test_a_service_that_goes_and_comes_back_gets_the_rest(
    client: aiohttp.ClientSession, service: Service
) -> None:
    async with (
        Proxy(service.url) as proxy,
        AsyncClient(proxy.url, patience=HASTE) as ours,
        ours.job("away") as job,
    ):
        await job.log("before")
        proxy.down()
        await job.log("meanwhile")
        tries = proxy.connections
        await until(lambda: proxy.connections > tries + 1)  # some fail
        proxy.up()
        await job.flush()
    assert contents(await ended(client, f"{service.url}/v1/stream/away")) == ["before", "meanwhile"]


async def test_a_page_of_another_server_is_no_acknowledgement(
    client: aiohttp.ClientSession, service: Service
) -> None:
    async with (
        Proxy(service.url) as proxy,
        AsyncClient(proxy.url, patience=HASTE) as ours,
    ):
        proxy.answer = PAGE
        with pytest.raises(ServiceProtocol, match="text/html"):
            async with ours.job("page"):
                pass
        proxy.answer = None
        async with ours.job("page") as job:
            await job.log("before")
            await job.flush()
            proxy.answer = PAGE
            proxy.cut()
            await job.log("meanwhile")
            asked = proxy.answered
            await until(lambda: proxy.answered > asked + 1)
            proxy.answer = None
            await job.flush()
    said = await ended(client, f"{service.url}/v1/stream/page")
    assert contents(said) == ["before", "meanwhile"]


async def test_a_key_opens_jobs_of_its_own_over_http_and_in_the_file(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}

    def work(url: str) -> None:
        with Client(url, key=KEY) as ours, ours.job("sync") as job:
            job.log("with a key")
        with Client(url) as stranger, stranger.job("none"):
            raise AssertionError

    database = f"sqlite:///{tmp_path}/jobs.db"
    async with Service(upstream_url=upstream.url, api_keys=KEY, database_url=database) as running:
        with pytest.raises(Unauthorized):
            await asyncio.to_thread(work, running.url)
        async with Streams.sqlite(tmp_path / "jobs.db").open("file", key=KEY) as job:
            await job.log("in the file")
        for name, line in (("sync", "with a key"), ("file", "in the file")):
            address = f"{running.url}/v1/stream/{name}"
            async with client.get(address, headers=headers) as response:
                assert contents(await response.json()) == [line]


async def test_a_key_that_the_service_does_not_have_opens_no_job(tmp_path: Path) -> None:
    streams = Streams.sqlite(tmp_path / "jobs.db", api_keys=[KEY])
    with pytest.raises(ValueError, match="STREAM_SERVE_API_KEYS"):
        streams.open("job", key="another")
    async with streams.open("job", key=KEY) as job:
        assert not job.resumed


async def test_two_ways_to_write_take_a_job_from_one_another(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path}/jobs.db"

    async def work(url: str) -> None:
        async with (
            AsyncClient(url) as ours,
            ours.job("shared") as first,
            Streams.sqlite(tmp_path / "jobs.db").open("shared") as second,
        ):
            await second.log("second")
            await first.log("first")
            await first.flush()

    async with Service(upstream_url=upstream.url, database_url=database) as running:
        with pytest.raises(JobTaken):
            await work(running.url)
        said = await ended(client, f"{running.url}/v1/stream/shared")
        assert contents(said) == ["second"]
        assert said[-1]["finishReason"] == "failed"
