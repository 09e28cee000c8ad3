"""Our own JavaScript client reading streams in Node, on a network that does everything wrong."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from clients.conftest import KEY, Door, KeyedDoor
from support.clients import UNAVAILABLE, own_program
from support.proxy import Proxy
from support.stream_events import CLOSED, JSON
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import aiohttp

    from support.clients import Json, Program

BEAT: Final = 0.2
NAME: Final = "jobs/ü 42"
LOGS: Final = [{"type": "log", "content": f"line {number} 日本"} for number in range(6)]
ODD: Final = [0, None, "", [1], {"type": "error", "code": "mine"}, {"type": "end"}, {"a": None}]
END: Final = {"type": "end", "finishReason": "failed", "exitCode": 3, "error": "no room"}


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    """The cases of our client."""
    made = own_program("client")
    yield made
    made.close()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """A service whose heartbeats come often."""
    async with Door(streams_url="memory", heartbeat_interval=BEAT) as running:
        yield running


@pytest.fixture
async def network(door: Door) -> AsyncIterator[Proxy]:
    """A network to it that can be cut."""
    async with Proxy(door.url) as proxy:
        yield proxy


def packed(value: Any) -> bytes:
    """Return a message as it is kept."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class Job:
    """A producer that writes over a network of its own."""

    def __init__(self, client: aiohttp.ClientSession, door: Door, name: str = NAME) -> None:
        self.url = f"{door.url}/v1/stream/{name}"
        self._client = client

    async def make(self, *messages: Any) -> None:
        body = packed(messages)
        assert (await self._client.put(self.url, headers=JSON, data=body)).status == 201

    async def write(self, *messages: Any, **headers: str) -> None:
        body = packed(messages) if messages else None
        async with self._client.post(self.url, headers={**JSON, **headers}, data=body) as got:
            assert got.status in {200, 204}

    async def end(self) -> None:
        await self.write(END, **CLOSED)


@pytest.fixture
async def job(client: aiohttp.ClientSession, door: Door) -> Job:
    """A job that has written some lines."""
    made = Job(client, door)
    await made.make(*LOGS)
    return made


async def tail(program: Program, network: Proxy | Door, **words: Any) -> Json:
    return await program.run("tail", url=network.url, name=NAME, **words)


def is_whole(found: Json, messages: list[Any]) -> None:
    """Check that all messages came once, in order, and the job's own end."""
    assert found["error"] is None
    assert found["messages"] == [*messages, END]
    assert found["ended"] == found["result"]
    assert found["result"]["finishReason"] == "failed"
    assert found["result"]["end"] == END
    assert found["over"]
    assert found["states"][-1] == "over"
    assert (found["text"], found["kept"]) == ("", 0)


async def test_all_messages_come_once_in_order_whatever_they_are(
    program: Program, door: Door, job: Job
) -> None:
    await job.write(*ODD)
    reading = asyncio.create_task(tail(program, door))
    await job.write({"type": "chunk", "content": "a"}, {"type": "progress", "value": 0.5})
    await job.end()
    found = await reading
    more = [{"type": "chunk", "content": "a"}, {"type": "progress", "value": 0.5}]
    is_whole(found, [*LOGS, *ODD, *more])
    assert found["states"] == ["streaming", "over"]


async def test_with_a_callback_no_message_is_kept(program: Program, door: Door, job: Job) -> None:
    await job.end()
    found = await tail(program, door, callbacks=True)
    assert found["called"] == [*LOGS, END]
    assert (found["messages"], found["kept"]) == ([], 0)
    assert found["result"]["end"] == END


@pytest.mark.parametrize("beyond", [0, 9], ids=["between events", "within an event"])
@pytest.mark.parametrize("events", [1, 2])
async def test_a_cut_after_every_event_loses_and_doubles_nothing(
    program: Program, network: Proxy, job: Job, events: int, beyond: int
) -> None:
    network.events, network.beyond = events, beyond
    await job.end()
    found = await tail(program, network)
    is_whole(found, LOGS)
    assert network.connections >= (len(LOGS) + 1) / events


async def test_cuts_stalls_and_refusals_at_any_moment_lose_and_double_nothing(
    program: Program, network: Proxy, job: Job
) -> None:
    written = list[Any](LOGS)
    reading = asyncio.create_task(tail(program, network))

    async def write() -> None:
        message = {"type": "log", "content": str(len(written))}
        written.append(message)
        await job.write(message)

    async def is_back() -> None:
        await until(lambda: any("/events" in one for one in network.streams))

    await is_back()
    await write()
    network.cut()
    await write()
    await is_back()
    before = network.connections
    network.freeze("GET")  # half-open: nothing comes through, and nobody says so
    await write()
    await until(lambda: network.connections > before)
    await is_back()
    network.answer = UNAVAILABLE
    network.cut()
    await write()
    await until(lambda: network.answered > 0)
    network.answer = None
    await is_back()
    network.down()
    await write()
    network.up()
    await is_back()
    await job.end()
    found = await reading
    is_whole(found, written)
    assert "lost" in found["states"]


async def test_a_silent_stream_keeps_its_connection_by_its_heartbeats(
    program: Program, network: Proxy, job: Job
) -> None:
    reading = asyncio.create_task(tail(program, network))
    await until(lambda: bool(network.streams))
    await until(lambda: network.heartbeats > 3)  # longer than a silence may last
    await job.end()
    is_whole(await reading, LOGS)
    assert network.connections == 1


async def test_a_stream_that_is_closed_without_an_end_has_ended_completed(
    program: Program, network: Proxy, job: Job
) -> None:
    network.events = 1
    await job.write(**CLOSED)
    found = await tail(program, network)
    assert found["messages"][:-1] == LOGS
    assert found["result"]["finishReason"] == "completed"
    assert found["result"]["usage"] is None
    again = await tail(program, network, **{"from": {"after": found["cursor"]}})
    assert (again["messages"], again["result"]["finishReason"]) == ([], None)


async def test_a_reader_goes_on_after_the_message_that_it_has(
    program: Program, door: Door, job: Job
) -> None:
    found = await tail(program, door, leaveAt=3)
    assert found["messages"] == LOGS[:3]
    await job.end()
    first = sum(len(packed(one)) + 1 for one in LOGS[:3])
    rest = await tail(program, door, **{"from": {"after": first}})
    assert rest["messages"] == [*LOGS[3:], END]


async def test_a_stop_goes_to_the_producer_and_has_a_receipt_while_the_tail_reads_on(
    program: Program, door: Door, job: Job, client: aiohttp.ClientSession
) -> None:
    reading = asyncio.create_task(tail(program, door, stopAt=len(LOGS)))

    async def is_asked() -> bool:
        return "Stream-Stop-Requested" in (await client.head(job.url)).headers

    await until(is_asked)
    await job.write({"type": "log", "content": "I tidy up"})
    await job.end()
    found = await reading
    is_whole(found, [*LOGS, {"type": "log", "content": "I tidy up"}])
    assert found["receipt"]["acknowledged"] >= found["receipt"]["asked"]
    assert int(found["receipt"]["appended"]) > 0


async def test_a_stream_that_is_removed_or_is_not_there_is_an_error(
    program: Program, door: Door, job: Job, client: aiohttp.ClientSession
) -> None:
    reading = asyncio.create_task(tail(program, door, stopAt=1))

    async def is_asked() -> bool:
        return "Stream-Stop-Requested" in (await client.head(job.url)).headers

    await until(is_asked)
    await job.write(**{"Stream-Stop-Acknowledged": "true"})
    await asyncio.gather(client.delete(job.url), reading)
    found = reading.result()
    assert found["messages"] == LOGS
    assert (found["error"]["name"], found["error"]["code"]) in {
        ("RunError", "stream_not_found"),
        ("RequestError", "stream_not_found"),
    }
    found = await tail(program, door)
    assert (found["error"]["status"], found["error"]["code"]) == (404, "stream_not_found")


async def test_a_stream_wants_the_key_of_its_owner(
    client: aiohttp.ClientSession, program: Program
) -> None:
    async with KeyedDoor(streams_url="memory", api_keys=KEY) as door:
        headers = {**JSON, "Authorization": f"Bearer {KEY}"}
        url = f"{door.url}/v1/stream/{NAME}"
        await client.put(url, headers={**headers, **CLOSED}, data=packed([*LOGS, END]))
        is_whole(await tail(program, door, key=KEY), LOGS)
        found = await tail(program, door, key="sk-somebody-else-01234")
        assert found["error"]["status"] == 401
