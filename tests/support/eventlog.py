"""Event logs of each kind, one of them read in another process, and what readers get of them."""

from __future__ import annotations

import asyncio
import gc
import secrets
from typing import TYPE_CHECKING, Final

from stream_serve.cluster.redis.client import RedisClient
from stream_serve.cluster.redis.lease import Lease
from stream_serve.cluster.redis.listener import Listener
from stream_serve.eventlog.redis.log import RedisEventLog
from stream_serve.eventlog.sqlite.log import SQLiteEventLog
from support.redis import shared_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from stream_serve.eventlog.base import LogInfo, LogReader, LogWriter, Orphan
    from stream_serve.eventlog.redis.writer import RedisLogWriter


BATCH: Final = 65_536
SOME: Final = 10
"""Futures that a backend's own tasks may have at one time and not at another."""


def shared_log() -> RedisEventLog:
    """One process's view of the logs in a real Redis."""
    client = RedisClient(shared_server().url, 5.0)
    return RedisEventLog(
        client,
        Listener(client),
        Lease(client, 30.0),
        flush_interval=0.001,
        live_ttl=600.0,
        retention=60.0,
    )


def file_log(
    path: Path, *, retention: float = 60.0, kept: int = 1_000, kept_bytes: int = 100_000_000
) -> SQLiteEventLog:
    """Logs in a file."""
    return SQLiteEventLog(
        path, flush_interval=0.001, retention=retention, kept=kept, kept_bytes=kept_bytes
    )


def never_lost(name: str) -> None:
    raise AssertionError(f"{name} was lost")


async def never_orphaned(orphan: Orphan) -> None:
    raise AssertionError(f"{orphan.name} is an orphan")


class Apart:
    """Writes in one process and reads in another one, which is given the time to see it all.

    A follower of its own on each log says what the other process has seen.
    """

    def __init__(self, writing: RedisEventLog, reading: RedisEventLog) -> None:
        self._writing = writing
        self._reading = reading
        self._probes: dict[str, Probe] = {}

    @property
    def ready(self) -> bool:
        return self._reading.ready

    async def open(
        self, *, lost: Callable[[str], None], orphaned: Callable[[Orphan], Awaitable[None]]
    ) -> None:
        raise AssertionError(f"both are open: {lost} {orphaned}")

    async def close(self) -> None:
        for probe in self._probes.values():
            await probe.close()

    async def create(self, name: str, fingerprint: bytes = b"") -> LogWriter:
        writer = await self._writing.create(name, fingerprint)
        self._probes[name] = Probe(writer, await self._reading.read(name))
        return writer

    async def forbid(self, name: str, seconds: float) -> bool:
        return await self._reading.forbid(name, seconds)

    async def look(self, name: str) -> LogInfo:
        await self._catch_up(name)
        return await self._reading.look(name)

    async def read(self, name: str, after: int = 0) -> LogReader:
        reader = await self._reading.read(name, after)
        await self._catch_up(name)
        return reader

    async def erase(self, name: str) -> bool:
        return await self._reading.erase(name)

    async def drop(self, name: str) -> bool:
        await self._catch_up(name)
        dropped = await self._writing.drop(name)
        if (probe := self._probes.pop(name, None)) is not None:
            await probe.close()
        return dropped

    async def _catch_up(self, name: str) -> None:
        if name in self._probes:
            async with asyncio.timeout(20):
                while not self._probes[name].is_level:
                    await asyncio.sleep(0.001)


class Probe:
    """Follows a log in the other process."""

    def __init__(self, writer: RedisLogWriter, reader: LogReader) -> None:
        self._writer = writer
        self._reader = reader
        self._seen = 0
        self._task = asyncio.create_task(self._run())

    @property
    def is_level(self) -> bool:
        """Whether the other process has seen all that was written."""
        written = self._writer.frames
        return self._seen == sum(map(len, written.list)) and (
            not written.finished or self._task.done()
        )

    async def close(self) -> None:
        self._reader.close()
        await self._task

    async def _run(self) -> None:
        while (batch := await self._reader.read()) is not None:
            self._seen += len(batch)


def new_name() -> str:
    return f"test-{secrets.token_urlsafe(16)}"


def frames(first: int, last: int, size: int = 0) -> list[bytes]:
    """Frames that say their number, each of at least `size` bytes."""
    return [(b"<%d" % number).ljust(size, b".") + b">" for number in range(first, last + 1)]


async def settle() -> None:
    """Let every task that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def start(reader: LogReader) -> asyncio.Task[bytes | None]:
    """Begin a read that has to wait."""
    task = asyncio.create_task(reader.read())
    await settle()
    assert not task.done(), "there was something to read"
    return task


async def take(reader: LogReader, count: int) -> bytes:
    """Read some frames, in however many batches they come."""
    got = b""
    while got.count(b">") < count:
        batch = await reader.read()
        assert batch, "neither the end nor a nudge"
        got += batch
    return got


async def rest(reader: LogReader) -> bytes:
    """Read to the end."""
    got = b""
    while (batch := await reader.read()) is not None:
        assert batch, "nobody nudged"
        got += batch
    return got


def futures() -> int:
    """How many futures there are in the whole process."""
    gc.collect()
    return sum(issubclass(type(thing), asyncio.Future) for thing in gc.get_objects())


async def outcome(task: asyncio.Task[bytes | None]) -> bytes:
    """What a read brought that was cancelled, maybe too late."""
    try:
        return await task or b""
    except asyncio.CancelledError:
        return b""
