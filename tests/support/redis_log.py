"""Processes that share the event log in a real Redis, and what their readers get of it."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from stream_serve.cluster.redis.client import RedisClient
from stream_serve.cluster.redis.lease import Lease
from stream_serve.cluster.redis.listener import Listener
from stream_serve.errors import LogExists, LogNotFound, LogUnavailable
from stream_serve.eventlog.redis.log import RedisEventLog
from support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from stream_serve.eventlog.base import LogReader, LogWriter, Orphan
    from support.redis import Redis


LEASE: Final = 1.0
PATIENCE: Final = 60.0
END: Final = b"<end>"
FAR: Final = 1000


class Process:
    """One process's view of the logs; what it is told is kept."""

    def __init__(self, url: str, timeout: float = 0.5) -> None:
        self.frozen = 0.0
        self.lost: list[str] = []
        self.orphans: list[tuple[str, list[bytes]]] = []
        self.refusals = 0
        client = RedisClient(url, timeout)
        self.lease = Lease(client, LEASE, clock=lambda: time.monotonic() + self.frozen)
        self.log = RedisEventLog(
            client, Listener(client), self.lease, flush_interval=0.005, live_ttl=600, retention=60
        )

    async def open(self) -> None:
        await self.log.open(lost=self.lost.append, orphaned=self.finish)

    async def finish(self, orphan: Orphan) -> None:
        """Finish a log for a process that is gone."""
        self.orphans.append((orphan.name, list(orphan.frames)))
        if self.refusals:
            self.refusals -= 1
            raise LogUnavailable("not now")
        await orphan.finish([END], first=len(orphan.frames) + FAR, summary=b"interrupted")


@asynccontextmanager
async def process(url: str, timeout: float = 0.5) -> AsyncGenerator[Process]:
    made = Process(url, timeout)
    await made.open()
    try:
        yield made
    finally:
        await made.log.close()


@asynccontextmanager
async def cut_off(server: Redis) -> AsyncGenerator[tuple[Process, Proxy]]:
    """A process, and the network between it and Redis."""
    async with Proxy(f"http://127.0.0.1:{server.port}") as network:
        url = f"redis://:{server.password}@{network.url.removeprefix('http://')}/0"
        async with process(url) as made:
            yield made, network


def frames(first: int, last: int, size: int = 0) -> list[bytes]:
    return [(b"<%d" % number).ljust(size, b".") + b">" for number in range(first, last + 1)]


async def take(reader: LogReader, count: int) -> bytes:
    got = b""
    async with asyncio.timeout(30):
        while got.count(b">") < count:
            batch = await reader.read()
            assert batch, "neither the end nor a nudge"
            got += batch
    return got


async def rest(reader: LogReader) -> bytes:
    got = b""
    async with asyncio.timeout(30):
        while (batch := await reader.read()) is not None:
            got += batch
    reader.close()
    return got


async def flushed(one: Process, name: str, last: int) -> None:
    """Wait until another process can read a log so far."""
    async with asyncio.timeout(30):
        while True:
            try:
                if (await one.log.look(name)).last >= last:
                    return
            except (LogNotFound, LogUnavailable):
                pass
            await asyncio.sleep(0.01)


async def until_created(one: Process, name: str) -> LogWriter:
    """Create a log as soon as that can be done: when Redis is back, and has forgotten the last one."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await one.log.create(name)
            except (LogExists, LogUnavailable):
                await asyncio.sleep(0.01)
