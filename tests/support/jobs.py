"""Jobs for tests: an application that serves them, and each way to write one."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI

from stream_serve.client import AsyncClient, Patience
from stream_serve.library.streams import Streams
from support.host import serving
from support.redis import Redis, shared_server
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    import aiohttp

    from stream_serve.jobs.job import Job

WAYS: Final = ("memory", "sqlite", "redis", "other process", "service")
"""Where a job writes: to the streams of the application, to their file, or to the service over HTTP."""

HASTE: Final = Patience(first=0.01, longest=0.05, attempts=500)


def emptied() -> Redis:
    """Return a Redis that has nothing in it."""
    running = shared_server()
    running.flush()
    return running


class Site:
    """An application that serves streams at `url`, and a `way` to write jobs there."""

    def __init__(self, way: str, url: str, streams: Streams, client: AsyncClient) -> None:
        self.way = way
        self.url = url
        self._streams = streams
        self._client = client
        self._web: aiohttp.ClientSession | None = None

    def open(self, name: str, **options: Any) -> Job:
        """Return a job."""
        if self.way == "service":
            return self._client.job(name, **options)
        return self._streams.open(name, **options)

    def stream(self, name: str) -> str:
        """Return the address of a job's stream."""
        return f"{self.url}/v1/stream/{name}"


@asynccontextmanager
async def site(way: str, folder: Path) -> AsyncGenerator[Site]:
    """Serve streams, and give a way to write to them."""
    path = folder / "kept.db"
    own: dict[str, Any] = {"streams_url": "memory"} if way == "memory" else {}
    if way == "redis":
        streams = Streams.redis(emptied().url, database_url=f"sqlite:///{path}")
    else:
        streams = Streams.sqlite(path, **own)
    app = FastAPI(lifespan=streams.lifespan)
    app.mount("/ai", streams.routes())
    async with AsyncExitStack() as last:
        url = await last.enter_async_context(serving(app)) + "/ai"
        client = await last.enter_async_context(AsyncClient(url, patience=HASTE))
        writer = Streams.sqlite(path) if way == "other process" else streams
        yield Site(way, url, writer, client)


async def messages(web: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    """Return all messages of a stream."""
    async with web.get(url) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def ended(web: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    """Wait until a stream is closed, and return all its messages."""

    async def is_closed() -> bool:
        return (await web.head(url)).headers.get("Stream-Closed") == "true"

    await until(is_closed)
    return await messages(web, url)


def contents(said: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the logs among messages."""
    return [one["content"] for one in said if one["type"] == "log"]
