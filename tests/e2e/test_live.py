"""Several runs in one stream: all of it, once, from any cursor; and none of somebody else's."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from e2e.conftest import KeyedService
from stream_serve.testing import ANSWER, pieces
from support.client import Stream, ask, stop
from support.cluster import cluster
from support.service import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

    from stream_serve.testing import ScriptedUpstream
    from support.client import Json
    from support.redis import Redis

TOKENS: Final = 20
MODEL: Final = f"answer?tokens={TOKENS}&interval=0.01"
TEXT: Final = "".join(pieces(ANSWER, size=4, tokens=TOKENS))


class Live:
    """An open live stream: `next` returns the run, the cursor and the event of one message."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._stream = Stream(response)
        self.response = response
        self.texts: dict[str, str] = {}
        self.numbers: dict[str, list[int]] = {}
        self.ends: dict[str, Json] = {}
        self.raw: list[str] = []

    async def next(self, runs: list[str]) -> str | None:
        """Take one message in, and return its cursor; None at the end."""
        fields: dict[str, str] = {}
        while raw := await self.response.content.readline():
            line = raw.decode().rstrip("\n")
            self.raw.append(line)
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                self._take(runs, fields)
                return fields.get("id", "")
            else:
                fields = {}
        return None

    def _take(self, runs: list[str], fields: dict[str, str]) -> None:
        run, event = fields["event"], json.loads(fields["data"])
        if "id" in fields:
            number = int(fields["id"].split(".")[runs.index(run)])
            self.numbers.setdefault(run, []).append(number)
        if event["type"] == "chunk":
            self.texts[run] = self.texts.get(run, "") + event["content"]
        elif event["type"] in {"end", "error"}:
            self.ends[run] = event


@asynccontextmanager
async def live(
    client: aiohttp.ClientSession, url: str, runs: list[str], cursor: str = "", **headers: str
) -> AsyncGenerator[Live]:
    if cursor:
        headers["Last-Event-ID"] = cursor
    asked = [("run", one) for one in runs]
    async with client.get(f"{url}/ai/live", params=asked, headers=headers) as response:
        assert response.status == 200, await response.text()
        yield Live(response)


async def started(
    stack: AsyncExitStack, client: aiohttp.ClientSession, url: str, count: int, **body: Any
) -> list[str]:
    """Start so many runs whose clients stay."""
    body = {"model": MODEL, **body}
    opened = [await stack.enter_async_context(ask(client, url, **body)) for _ in range(count)]
    return [stream.run_id for stream in opened]


@pytest.mark.parametrize("plain", [False, True], ids=["our server", "another server"])
async def test_several_runs_come_in_one_stream(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, plain: bool
) -> None:
    async with (
        Service(upstream_url=upstream.url, plain=plain) as service,
        AsyncExitStack() as stack,
    ):
        runs = await started(stack, client, service.url, 3)
        async with live(client, service.url, runs) as stream:
            while await stream.next(runs) is not None:
                pass
        assert stream.texts == dict.fromkeys(runs, TEXT)
        whole = list(range(1, TOKENS + 3))
        assert stream.numbers == dict.fromkeys(runs, whole)
        assert {end["finishReason"] for end in stream.ends.values()} == {"stop"}
        assert stream.response.headers["X-Heartbeat-Interval"] == "15"


async def test_cut_after_every_event_nothing_is_lost_or_doubled(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with AsyncExitStack() as stack:
        runs = await started(stack, client, service.url, 3, onDisconnect="continue")
    texts = dict.fromkeys(runs, "")
    cursor = ""
    numbers: dict[str, list[int]] = {one: [] for one in runs}
    while True:
        url = f"{service.url}/ai/live"
        asked = [("run", one) for one in runs]
        headers = {"Last-Event-ID": cursor} if cursor else {}
        async with client.get(url, params=asked, headers=headers) as response:
            if response.status == 204:
                break
            stream = Live(response)
            cursor = await stream.next(runs) or cursor
        for one, text in stream.texts.items():
            texts[one] += text
        for one, seen in stream.numbers.items():
            numbers[one] += seen
    assert texts == dict.fromkeys(runs, TEXT)
    assert numbers == {key: list(range(1, TOKENS + 3)) for key in runs}


async def test_another_list_of_runs_is_read_on_from_its_own_cursor(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with AsyncExitStack() as stack:
        runs = await started(stack, client, service.url, 2)
        async with live(client, service.url, runs) as stream:
            while len(stream.numbers.get(runs[0], [])) < 3:
                await stream.next(runs)
        had = stream.numbers[runs[0]][-1]
        more = [*(await started(stack, client, service.url, 1)), runs[0]]
        async with live(client, service.url, more, f"0.{had}") as other:
            while await other.next(more) is not None:
                pass
        assert other.numbers[more[0]] == list(range(1, TOKENS + 3))
        assert stream.numbers[runs[0]] + other.numbers[runs[0]] == list(range(1, TOKENS + 3))


async def test_a_stop_ends_one_of_them_and_the_others_go_on(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with AsyncExitStack() as stack:
        hanging = await started(stack, client, service.url, 1, model="hang-mid")
        runs = [*hanging, *(await started(stack, client, service.url, 1))]
        async with live(client, service.url, runs) as stream:
            await stream.next(runs)
            await stop(client, service.url, runs[0])
            while await stream.next(runs) is not None:
                pass
        assert stream.ends[runs[0]]["finishReason"] == "stopped"
        assert stream.ends[runs[1]]["finishReason"] == "stop"
        assert stream.texts[runs[1]] == TEXT


async def test_a_run_that_cannot_be_read_is_an_error_of_its_own(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    keys = f"{KeyedService.key},sk-another-9876543210"
    key = {"Authorization": f"Bearer {KeyedService.key}"}
    async with Service(upstream_url=upstream.url, api_keys=keys) as service:
        url = service.url
        async with (
            ask(client, url, key="sk-another-9876543210", model="hang-mid") as foreign,
            ask(client, url, key=KeyedService.key, model=MODEL) as own,
        ):
            runs = [foreign.run_id, "a" * 22, own.run_id]
            async with live(client, url, runs, "0.0.0", **key) as stream:
                while await stream.next(runs) is not None:
                    pass
            assert stream.ends[runs[0]]["code"] == stream.ends[runs[1]]["code"] == "run_not_found"
            assert stream.texts == {own.run_id: TEXT}
            async with live(client, url, runs[2:], "999", **key) as stream:
                await stream.next(runs[2:])
            assert stream.ends[runs[2]]["code"] == "cursor_beyond_log"
        async with client.get(f"{url}/ai/live?run={runs[2]}") as response:
            assert response.status == 401


@pytest.mark.parametrize(
    "query",
    [
        "",
        "run=short",
        "run=%0Adata:%20evil_evil_evil_evil",
        f"run={'a' * 22}&run={'a' * 22}",
        f"run={'a' * 22}&after=1.2",
        f"run={'a' * 22}&after=x",
        "&".join(f"run={number:022}" for number in range(101)),
    ],
)
async def test_what_cannot_be_asked_for_is_refused_in_words(
    service: Service, client: aiohttp.ClientSession, query: str
) -> None:
    async with client.get(f"{service.url}/ai/live?{query}") as response:
        assert response.status == 422
        problem = await response.json()
        assert problem["code"] == "invalid_fields"
        assert problem["errors"]


async def test_a_silent_live_stream_gets_heartbeats(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    async with (
        Service(upstream_url=upstream.url, heartbeat_interval=0.1) as service,
        AsyncExitStack() as stack,
    ):
        runs = await started(stack, client, service.url, 2, model="hang-mid")
        async with live(client, service.url, runs) as stream:
            while ": heartbeat" not in stream.raw:
                stream.raw.append((await stream.response.content.readline()).decode().strip())


async def test_a_client_that_leaves_lets_go_of_all_its_runs(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with AsyncExitStack() as stack:
        runs = await started(stack, client, service.url, 2, model="hang-mid")

        def readers() -> list[int]:
            kept = vars(service.runs)["_executions"].values()
            return [execution.presence.readers for execution in kept]

        async with live(client, service.url, runs) as stream:
            await stream.next(runs)
            assert readers() == [2, 2]
        await until(lambda: readers() == [1, 1])


async def test_a_reader_that_reads_slowly_gets_all_of_it(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with AsyncExitStack() as stack:
        flood = "flood?tokens=20000"
        runs = await started(stack, client, service.url, 2, model=flood, onDisconnect="continue")
        async with live(client, service.url, runs) as stream:
            await until(lambda: service.runs.running == 0)
            while await stream.next(runs) is not None:
                pass
    assert stream.numbers == {key: list(range(1, 20003)) for key in runs}


async def test_runs_of_several_processes_come_in_one_stream_and_go_on_at_another(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, server: Redis
) -> None:
    model = "answer?tokens=100&interval=0.03"
    text = "".join(pieces(ANSWER, size=4, tokens=100))
    async with cluster(client, upstream, server) as (one, other), AsyncExitStack() as stack:
        body = {"model": model, "onDisconnect": "continue"}
        runs = await started(stack, client, one.url, 2, **body)
        texts = dict.fromkeys(runs, "")
        cursor = ""
        async with live(client, other.url, runs) as stream:
            while len(stream.texts) < 2:
                cursor = await stream.next(runs) or cursor
            await other.end()
            while (now := await stream.next(runs)) is not None:
                cursor = now or cursor
        assert "retry: 1000" in stream.raw
        for name, part in stream.texts.items():
            texts[name] += part
        async with live(client, one.url, runs, cursor) as stream:
            while await stream.next(runs) is not None:
                pass
        assert {name: texts[name] + part for name, part in stream.texts.items()} == dict.fromkeys(
            runs, text
        )
