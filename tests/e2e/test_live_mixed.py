"""Streams beside runs in one live stream: one cursor, an owner for each, and each with its own end."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest

from stream_serve.testing import ANSWER, pieces
from support.client import ask
from support.service import Service
from support.stream_events import CLOSED, JSON

if TYPE_CHECKING:
    import aiohttp

KEY: Final = "sk-alice-0123456789"
OTHER: Final = "sk-bob-0123456789ab"
TOKENS: Final = 20
MODEL: Final = f"answer?tokens={TOKENS}&interval=0.01"
TEXT: Final = "".join(pieces(ANSWER, size=4, tokens=TOKENS))
NAME: Final = "jobs/ü 42"
LOGS: Final = [{"type": "log", "content": f"line {number} 日本"} for number in range(6)]
END: Final = {"type": "end", "finishReason": "failed", "exitCode": 3}

Asked = list[tuple[str, str]]


class Mixed:
    """What came of each name: `events`, with the errors, and the newest cursor."""

    def __init__(self) -> None:
        self.events: dict[str, list[Any]] = {}
        self.cursor = ""
        self.retry = False

    async def read(
        self,
        client: aiohttp.ClientSession,
        url: str,
        asked: Asked,
        *,
        most: int | None = None,
        **headers: str,
    ) -> int:
        """Read one response to its end, or so many of its events; return its status."""
        if self.cursor:
            headers["Last-Event-ID"] = self.cursor
        async with client.get(f"{url}/ai/live", params=asked, headers=headers) as response:
            fields: dict[str, str] = {}
            while (most is None or most > 0) and (raw := await response.content.readline()):
                field, _, value = raw.decode().rstrip("\n").partition(": ")
                self.retry |= field == "retry"
                if field:
                    fields[field] = value
                elif "data" in fields:
                    self.events.setdefault(fields["event"], []).append(json.loads(fields["data"]))
                    self.cursor = fields.get("id", self.cursor)
                    fields = {}
                    most = None if most is None else most - 1
            return response.status


async def make(
    client: aiohttp.ClientSession, url: str, name: str, *messages: Any, **headers: str
) -> str:
    """Make a stream; return its address."""
    address = f"{url}/v1/stream/{name}"
    body = json.dumps(list(messages))
    assert (await client.put(address, headers={**JSON, **headers}, data=body)).status == 201
    return address


def text(events: list[Any]) -> str:
    return "".join(event["content"] for event in events if event["type"] == "chunk")


@pytest.mark.parametrize("most", [None, 1], ids=["whole", "cut after every event"])
async def test_runs_and_streams_come_in_one_stream_and_go_on_from_one_cursor(
    service: Service, client: aiohttp.ClientSession, most: int | None
) -> None:
    await make(client, service.url, NAME, *LOGS, END, **CLOSED)
    await make(client, service.url, "plain", *LOGS, **CLOSED)
    async with AsyncExitStack() as stack:
        body = {"model": MODEL, "onDisconnect": "continue"}
        run = (await stack.enter_async_context(ask(client, service.url, **body))).run_id
    asked = [("stream", NAME), ("run", run), ("stream", "plain")]
    mixed = Mixed()
    while await mixed.read(client, service.url, asked, most=most) == 200:
        pass
    assert set(mixed.events) == {f"streams/{NAME}", run, "streams/plain"}
    assert mixed.events[f"streams/{NAME}"] == [*LOGS, END]
    completed = {"type": "end", "finishReason": "completed"}
    assert mixed.events["streams/plain"] == [*LOGS, completed]
    assert text(mixed.events[run]) == TEXT
    assert [event["type"] for event in mixed.events[run]].count("end") == 1


@pytest.mark.parametrize("plain", [False, True], ids=["our server", "another server"])
async def test_what_is_appended_comes_at_once_beside_other_lines(
    client: aiohttp.ClientSession, plain: bool
) -> None:
    async with Service(streams_url="memory", plain=plain) as service, AsyncExitStack() as stack:
        urls = [await make(client, service.url, name) for name in ("a", "b")]
        response = await stack.enter_async_context(
            client.get(f"{service.url}/ai/live?stream=a&stream=b")
        )
        for number, url in enumerate([*urls, *urls]):
            await client.post(url, headers=JSON, data=json.dumps(LOGS[number]))
            lines = [(await response.content.readline()).decode() for _ in range(4)]
            assert lines[0] == f"event: streams/{'ab'[number % 2]}\n"
            assert json.loads(lines[2].removeprefix("data: ")) == LOGS[number]


async def test_a_stream_that_cannot_be_read_is_an_error_of_its_own(
    client: aiohttp.ClientSession,
) -> None:
    alice, bob = ({"Authorization": f"Bearer {key}"} for key in (KEY, OTHER))
    async with Service(streams_url="memory", api_keys=f"{KEY},{OTHER}") as service:
        await make(client, service.url, "foreign", *LOGS, **bob)
        await make(client, service.url, "own", *LOGS, END, **CLOSED, **alice)
        await make(client, service.url, "short", *LOGS, **alice)
        address = f"{service.url}/v1/stream/text"
        await client.put(address, headers={"Content-Type": "text/plain", **alice})
        names = ["foreign", "missing", "text", "short", "own"]
        mixed = Mixed()
        mixed.cursor = "0.0.0.9999999999999999.0"
        asked = [("stream", name) for name in names]
        assert await mixed.read(client, service.url, asked, most=None, **alice) == 200
        codes = [mixed.events[f"streams/{name}"][0].get("code") for name in names[:4]]
        missing = "stream_not_found"
        assert codes == [missing, missing, "stream_conflict", "invalid_fields"]
        assert mixed.events["streams/own"] == [*LOGS, END]
        async with client.get(f"{service.url}/ai/live?stream=own") as response:
            assert response.status == 401


async def test_a_stream_that_is_deleted_has_an_error_and_the_others_go_on(
    service: Service, client: aiohttp.ClientSession
) -> None:
    gone = await make(client, service.url, "gone", *LOGS)
    other = await make(client, service.url, "other", *LOGS)
    mixed = Mixed()
    asked = [("stream", "gone"), ("stream", "other")]
    await mixed.read(client, service.url, asked, most=12)
    async with client.get(
        f"{service.url}/ai/live", params=asked, headers={"Last-Event-ID": mixed.cursor}
    ) as response:
        await client.delete(gone)
        assert await response.content.readline() == b"event: streams/gone\n"
        assert b'"code":"stream_not_found"' in await response.content.readline()
        await client.post(other, headers={**JSON, **CLOSED}, data=json.dumps(END))
        rest = await response.content.read()
    assert b"event: streams/other\nid: " in rest
    assert b'"exitCode":3' in rest


async def test_a_service_that_ends_sends_the_readers_of_streams_elsewhere(
    service: Service, client: aiohttp.ClientSession
) -> None:
    await make(client, service.url, "a", *LOGS)
    async with client.get(f"{service.url}/ai/live?stream=a") as response:
        for _ in LOGS:
            assert await response.content.readline() == b"event: streams/a\n"
            await response.content.readuntil(b"\n\n")
        service.streams.let_go()
        assert await response.content.read() == b"retry: 1000\n\n"


@pytest.mark.parametrize(
    "query",
    [
        "stream=",
        "stream=a//b",
        "stream=a%0Adata:%20evil",
        "stream=a&stream=a",
        "stream=a&after=1.2",
        f"stream=a&after={10**16}",
        "&".join(f"stream={number}" for number in range(101)),
        "&".join([f"run={'a' * 22}", *(f"stream={number}" for number in range(100))]),
    ],
)
async def test_names_and_numbers_of_streams_are_bounded_beside_those_of_runs(
    service: Service, client: aiohttp.ClientSession, query: str
) -> None:
    async with client.get(f"{service.url}/ai/live?{query}") as response:
        assert response.status == 422
        assert (await response.json())["errors"]
