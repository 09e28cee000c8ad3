"""The Python clients reading streams, through a network that fails in every way."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from stream_serve.client import AsyncTail, Client, StreamReceipt, Tail
from stream_serve.errors import RequestError, RunFailure, StreamServeError, Unauthorized
from support.clients_of_ours import Either, opened
from support.proxy import Proxy
from support.service import Service
from support.stream_events import CLOSED, JSON
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

KEY: Final = "sk-alice-0123456789"
NAME: Final = "jobs/ü 42"
BEAT: Final = 0.3
LOGS: Final = [{"type": "log", "content": f"line {n} 日本"} for n in range(6)]
ODD: Final = [0, None, "", [1], {"type": "error", "code": "mine"}, {"type": "end"}, {"a": None}]
END: Final = {"type": "end", "finishReason": "failed", "exitCode": 3}
COMPLETED: Final = {"type": "end", "finishReason": "completed"}
BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 4\r\n"
    b"Connection: close\r\n\r\nbusy"
)


@pytest.fixture
async def quick() -> AsyncIterator[Service]:
    """A service whose heartbeats come often."""
    async with Service(streams_url="memory", heartbeat_interval=BEAT) as running:
        yield running


@pytest.fixture
async def proxy(quick: Service) -> AsyncIterator[Proxy]:
    async with Proxy(quick.url) as running:
        yield running


@pytest.fixture(params=("sync", "async"))
async def ours(request: pytest.FixtureRequest, proxy: Proxy) -> AsyncIterator[Either]:
    """A client of each kind that reaches the service through the proxy."""
    async with opened(request.param, proxy.url, heartbeat=BEAT) as either:
        yield either


class Reading:
    """A tail of either client. What a plain client does is done in a thread."""

    def __init__(self, ours: Either, after: int = 0) -> None:
        self.tail: Final[Tail | AsyncTail] = ours.client.tail(NAME, after=after)

    async def next(self) -> Any:
        """Return the next message; `...` at the end."""
        if isinstance(self.tail, AsyncTail):
            return await anext(self.tail, ...)
        return await asyncio.to_thread(next, self.tail, ...)

    async def rest(self) -> list[Any]:
        found: list[Any] = []
        while (message := await self.next()) is not ...:
            found.append(message)
        return found

    async def stop(self) -> StreamReceipt:
        if isinstance(self.tail, AsyncTail):
            return await self.tail.stop()
        return await asyncio.to_thread(self.tail.stop)

    async def close(self) -> None:
        if isinstance(self.tail, AsyncTail):
            await self.tail.close()
        else:
            await asyncio.to_thread(self.tail.close)


class Job:
    """A producer that writes over a network of its own."""

    def __init__(self, client: aiohttp.ClientSession, service: Service) -> None:
        self.url = f"{service.url}/v1/stream/{NAME}"
        self._client = client

    async def make(self, *messages: Any) -> None:
        body = json.dumps(list(messages))
        assert (await self._client.put(self.url, headers=JSON, data=body)).status == 201

    async def write(self, *messages: Any, **headers: str) -> None:
        body = json.dumps(list(messages)) if messages else None
        async with self._client.post(self.url, headers={**JSON, **headers}, data=body) as got:
            assert got.status in {200, 204}

    async def is_asked(self) -> bool:
        return "Stream-Stop-Requested" in (await self._client.head(self.url)).headers


@pytest.fixture
async def job(client: aiohttp.ClientSession, quick: Service) -> Job:
    """A job that has written some lines."""
    made = Job(client, quick)
    await made.make(*LOGS)
    return made


async def test_a_tail_has_all_messages_once_and_in_order_whatever_they_are(
    ours: Either, job: Job
) -> None:
    await job.write(*ODD)
    reading = Reading(ours)
    seen = [await reading.next() for _ in (*LOGS, *ODD)]
    await job.write({"type": "chunk", "content": "a"})
    await job.write(END, **CLOSED)
    assert seen + await reading.rest() == [*LOGS, *ODD, {"type": "chunk", "content": "a"}, END]
    assert await Reading(ours, after=reading.tail.cursor).rest() == []


async def test_a_tail_that_is_cut_after_every_message_loses_and_doubles_nothing(
    ours: Either, proxy: Proxy, job: Job
) -> None:
    await job.write(**CLOSED)
    proxy.events = 1
    assert await Reading(ours).rest() == [*LOGS, COMPLETED]
    assert proxy.connections > len(LOGS)


async def test_a_tail_goes_on_through_cuts_stalls_and_refusals(
    ours: Either, proxy: Proxy, job: Job
) -> None:
    reading = Reading(ours)
    written = list[Any](LOGS)
    seen = [await reading.next() for _ in LOGS]

    async def write() -> None:
        written.append({"type": "log", "content": str(len(written))})
        await job.write(written[-1])

    await write()
    proxy.cut()
    seen.append(await reading.next())
    proxy.freeze("GET")  # half-open: nothing comes through, and nobody says so
    await write()
    seen.append(await reading.next())
    proxy.answer = BUSY
    proxy.cut()
    await write()
    waiting = asyncio.create_task(reading.next())
    await until(lambda: proxy.answered > 1)
    proxy.answer = None
    seen.append(await waiting)
    proxy.down()
    await write()
    proxy.up()
    seen.append(await reading.next())
    await job.write(END, **CLOSED)
    assert seen + await reading.rest() == [*written, END]


async def test_a_silent_stream_keeps_its_connection(ours: Either, proxy: Proxy, job: Job) -> None:
    reading = Reading(ours)
    assert [await reading.next() for _ in LOGS] == LOGS
    waiting = asyncio.create_task(reading.next())
    await until(lambda: proxy.heartbeats > 3)  # longer than a silence may last
    await job.write(END, **CLOSED)
    assert await waiting == END
    assert proxy.connections == 1
    await reading.close()


async def test_a_stop_of_a_tail_has_the_receipt_of_the_producer(ours: Either, job: Job) -> None:
    reading = Reading(ours)
    assert (await reading.stop()).acknowledged is None
    stopping = asyncio.create_task(reading.stop())
    await until(job.is_asked)
    await job.write({"type": "end", "finishReason": "stopped"}, **CLOSED)
    receipt = await stopping
    assert receipt.acknowledged is not None
    assert receipt.acknowledged >= receipt.asked
    assert int(receipt.appended or 0) > 0
    assert (await reading.rest())[-1]["finishReason"] == "stopped"


async def test_a_stream_that_is_removed_or_is_not_there_is_an_error_with_its_code(
    ours: Either, job: Job, client: aiohttp.ClientSession
) -> None:
    reading = Reading(ours)
    assert [await reading.next() for _ in LOGS] == LOGS
    waiting = asyncio.create_task(reading.next())
    await client.delete(job.url)
    with pytest.raises(StreamServeError) as caught:
        await waiting
    assert isinstance(caught.value, (RunFailure, RequestError))
    assert caught.value.code == "stream_not_found"
    with pytest.raises(RequestError) as refused:
        await Reading(ours).next()
    assert refused.value.code == "stream_not_found"


async def test_a_closed_tail_lets_go_and_stops_nobody(ours: Either, proxy: Proxy, job: Job) -> None:
    reading = Reading(ours)
    assert await reading.next() == LOGS[0]
    await reading.close()
    assert await reading.next() is ...
    await until(lambda: not proxy.streams)
    assert not await job.is_asked()


async def test_a_tail_wants_the_key_of_the_streams_owner(client: aiohttp.ClientSession) -> None:
    async with Service(streams_url="memory", api_keys=KEY) as service:
        headers = {**JSON, **CLOSED, "Authorization": f"Bearer {KEY}"}
        await client.put(
            f"{service.url}/v1/stream/{NAME}", headers=headers, data=json.dumps([*LOGS, END])
        )

        def read(key: str) -> list[Any]:
            with Client(service.url, key=key) as ours:
                return list(ours.tail(NAME))

        assert await asyncio.to_thread(read, KEY) == [*LOGS, END]
        with pytest.raises(Unauthorized):
            await asyncio.to_thread(read, "sk-wrong-0123456789")
