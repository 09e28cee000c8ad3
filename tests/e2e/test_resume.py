"""A run outlives its connection: resume, many readers, one start, and the stop that reaches it."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.testing import ANSWER, ScriptedUpstream
from support.browser import browser
from support.client import Json, Stream, ask, show, stop, text
from support.eventsource import read_raw
from support.service import Service

if TYPE_CHECKING:
    import aiohttp


def frames(raw: bytes) -> list[bytes]:
    """Cut the bytes of a stream into its events."""
    assert raw.endswith(b"\n\n") or not raw
    return [frame + b"\n\n" for frame in raw.split(b"\n\n")[:-1]]


async def wait_until_over(client: aiohttp.ClientSession, url: str, run_id: str) -> Json:
    async with asyncio.timeout(20):
        while True:
            state = await show(client, url, run_id)
            if state["state"] in {"completed", "stopped", "failed"}:
                return state


async def test_a_reader_cut_at_every_event_gets_the_rest_byte_for_byte(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with client.post(
        f"{service.url}/ai/chat/stream-sse", json={"message": "hi", "model": "thinking"}
    ) as response:
        run_id = response.headers["X-Run-Id"]
        whole = frames(await response.read())
    assert len(whole) > 20
    for after in range(len(whole)):
        for header in (True, False):
            status, raw = await read_raw(client, service.url, run_id, after=after, header=header)
            assert (status, frames(raw)) == (200, whole[after:])
    assert (await read_raw(client, service.url, run_id))[1] == b"".join(whole)
    assert len(upstream.requests) == 1


async def test_a_cut_in_the_middle_of_a_live_answer_is_resumed_with_nothing_lost_or_doubled(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    body = {"model": "answer?tokens=120&interval=0.005", "onDisconnect": "continue"}
    async with ask(client, service.url, **body) as stream:
        seen = [await stream.next() for _ in range(5)]
        run_id = stream.run_id
        stream.drop()
    got = [event for event in seen if event is not None]
    while got[-1]["type"] != "end":
        async with client.get(
            f"{service.url}/ai/runs/{run_id}/events",
            headers={"Last-Event-ID": str(got[-1]["id"])},
        ) as response:
            assert response.status == 200
            for _ in range(7):
                event = await _next(response)
                if event is None:
                    break
                got.append(event)
            response.close()
    assert [event["id"] for event in got] == list(range(1, len(got) + 1))
    assert text(got) == text(await _whole(client, service, "answer?tokens=120"))
    assert len(upstream.requests) == 2


async def _next(response: aiohttp.ClientResponse) -> Json | None:
    return await Stream(response).next()


async def _whole(client: aiohttp.ClientSession, service: Service, model: str) -> list[Json]:
    async with ask(client, service.url, model=model) as stream:
        return await stream.rest()


async def test_a_finished_run_that_was_read_to_its_end_gets_204(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with ask(client, service.url) as stream:
        events = await stream.rest()
    assert await read_raw(client, service.url, stream.run_id, after=len(events)) == (204, b"")


@pytest.mark.parametrize(
    ("cursor", "status", "code"),
    [
        ("100000", 409, "cursor_beyond_log"),
        ("-1", 422, "invalid_fields"),
        ("x", 422, "invalid_fields"),
    ],
)
async def test_a_cursor_that_cannot_be_honoured_is_refused_in_words(
    service: Service, client: aiohttp.ClientSession, cursor: str, status: int, code: str
) -> None:
    async with ask(client, service.url) as stream:
        await stream.rest()
    url = f"{service.url}/ai/runs/{stream.run_id}/events"
    async with client.get(url, headers={"Last-Event-ID": cursor}) as response:
        problem = await response.json(content_type=None)
        assert (response.status, problem["code"]) == (status, code)
        assert problem["detail"]
    async with client.get(f"{service.url}/ai/runs/{'x' * 22}/events") as response:
        assert response.status == 404


async def test_a_plain_eventsource_reads_a_run_to_its_end_and_stops_reconnecting(
    service: Service, client: aiohttp.ClientSession
) -> None:
    body = {"model": "answer?tokens=50&interval=0.01", "onDisconnect": "continue"}
    async with ask(client, service.url, **body) as stream:
        await stream.until("chunk")
        async with browser() as open_page:
            page = await open_page()
            await page.goto(f"{service.url}/test-stream.html")
            result = await page.evaluate(
                """(url) => new Promise((done) => {
                    const ids = [];
                    const source = new EventSource(url);
                    source.onmessage = (event) => ids.push(Number(event.lastEventId));
                    source.onerror = () => {
                        if (source.readyState === EventSource.CLOSED) done(ids);
                    };
                })""",
                f"/ai/runs/{stream.run_id}/events",
            )
    assert result == list(range(1, len(result) + 1))
    state = await show(client, service.url, stream.run_id)
    assert len(result) == state["events"]


async def test_many_readers_each_from_its_own_place_see_the_same_bytes(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with ask(client, service.url, model="answer?tokens=200&interval=0.002") as stream:
        await stream.until("chunk")
        raws = await asyncio.gather(
            *(
                read_raw(client, service.url, stream.run_id, after=number % 3)
                for number in range(50)
            )
        )
        await stream.rest()
    whole = (await read_raw(client, service.url, stream.run_id))[1]
    for number, (status, raw) in enumerate(raws):
        assert status == 200
        assert raw == b"".join(frames(whole)[number % 3 :])
    assert len(upstream.requests) == 1


async def test_the_run_goes_on_while_anybody_reads_and_stops_with_the_last_reader(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with ask(client, service.url, model="hang-mid") as stream:
        await stream.until("chunk")
        url = f"{service.url}/ai/runs/{stream.run_id}/events"
        async with client.get(url) as second:
            await second.content.readline()
            stream.drop()
            assert (await show(client, service.url, stream.run_id))["state"] == "streaming"
            second.close()
        await upstream.wait_for(lambda record: record.closed_by == "peer")


async def test_a_run_that_may_go_on_is_stopped_when_nobody_comes_back(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    async with Service(upstream_url=upstream.url, detached_timeout=0.2) as service:
        async with ask(client, service.url, model="hang-mid", onDisconnect="continue") as stream:
            await stream.until("chunk")
            stream.drop()
        await upstream.wait_for(lambda record: record.closed_by == "peer")
        assert (await wait_until_over(client, service.url, stream.run_id))["state"] == "stopped"


async def test_a_run_that_may_go_on_finishes_unread_and_can_be_read_afterwards(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with ask(
        client, service.url, model="answer?interval=0.001", onDisconnect="continue"
    ) as stream:
        await stream.next()
        stream.drop()
    state = await wait_until_over(client, service.url, stream.run_id)
    assert state["state"] == "completed"
    raw = (await read_raw(client, service.url, stream.run_id, after=1))[1]
    assert raw.count(b'"type":"end"') == 1


async def test_a_stop_reaches_a_resumed_run_and_every_reader_sees_it(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with ask(client, service.url, model="hang-mid", onDisconnect="continue") as stream:
        await stream.until("chunk")
        stream.drop()
    following = [
        asyncio.create_task(read_raw(client, service.url, stream.run_id)) for _ in range(3)
    ]
    receipt = await stop(client, service.url, stream.run_id)
    assert (receipt["outcome"], receipt["upstreamClosed"]) == ("stopped", True)
    for status, raw in await asyncio.gather(*following):
        assert status == 200
        assert raw.count(b'"finishReason":"stopped"') == 1
    await upstream.wait_for(lambda record: record.closed_by == "peer")


# One start


async def test_two_identical_starts_at_once_are_one_generation_and_two_readers(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async def start(run_id: str) -> tuple[str, list[Json]]:
        async with ask(client, service.url, model="answer", runId=run_id) as stream:
            return stream.run_id, await stream.rest()

    for _ in range(10):
        run_id = secrets.token_urlsafe(16)
        first, second = await asyncio.gather(start(run_id), start(run_id))
        assert first == second
        assert first[0] == run_id
        assert await start(run_id) == first, "later, too"
    assert len(upstream.requests) == 10


async def test_the_idempotency_key_is_the_runs_id(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    key = "order-2026-11-23-0001"
    for _ in range(2):
        async with client.post(
            f"{service.url}/ai/chat/stream-sse",
            json={"message": "hi"},
            headers={"Idempotency-Key": key},
        ) as response:
            assert response.headers["X-Run-Id"] == key
            await response.read()
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("key", "body", "status", "code"),
    [
        ("a" * 16, {"message": "another"}, 409, "run_conflict"),
        ("a" * 15, {"message": "hi"}, 422, "invalid_fields"),
        ("a" * 129, {"message": "hi"}, 422, "invalid_fields"),
        ("a b" * 8, {"message": "hi"}, 422, "invalid_fields"),
        ("b" * 16, {"message": "hi", "runId": "c" * 16}, 422, "invalid_fields"),
        (None, {"message": "hi", "runId": "short"}, 422, "invalid_fields"),
        (None, {"message": "hi", "runId": "x/../" * 5}, 422, "invalid_fields"),
    ],
)
async def test_an_id_that_is_used_or_unfit_is_refused(
    service: Service,
    client: aiohttp.ClientSession,
    key: str | None,
    body: dict[str, Any],
    status: int,
    code: str,
) -> None:
    async with ask(client, service.url, message="hi", runId="a" * 16) as stream:
        await stream.rest()
    async with client.post(
        f"{service.url}/ai/chat/stream-sse",
        json=body,
        headers={"Idempotency-Key": key} if key is not None else {},
    ) as response:
        problem = await response.json(content_type=None)
        assert (response.status, problem["code"]) == (status, code)


async def test_a_stop_that_comes_before_its_start_prevents_it(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    run_id = secrets.token_urlsafe(16)
    async with client.post(f"{service.url}/ai/runs/{run_id}/stop") as response:
        assert response.status == 404
    async with client.post(
        f"{service.url}/ai/chat/stream-sse", json={"message": "hi", "runId": run_id}
    ) as response:
        assert response.status == 409
        assert (await response.json(content_type=None))["code"] == "stopped_before_start"
    assert upstream.requests == []


async def test_ten_stops_against_the_finish_a_thousand_times(
    service: Service, client: aiohttp.ClientSession
) -> None:
    """Every answer is a receipt, they agree, and they agree with what the reader got."""
    outcomes: set[str] = set()

    async def one(turn: int) -> None:
        run_id = secrets.token_urlsafe(16)
        async with ask(client, service.url, model="answer?tokens=2", runId=run_id) as stream:
            for _ in range(turn % 4):
                await stream.next()
            receipts = await asyncio.gather(*(stop(client, service.url, run_id) for _ in range(10)))
        raw = (await read_raw(client, service.url, run_id))[1]
        assert all(receipt == receipts[0] for receipt in receipts)
        reason = receipts[0]["finishReason"]
        assert raw.count(b'"type":"end"') == 1
        assert raw.count(b'"finishReason":"%b"' % reason.encode()) == 1
        outcomes.add(receipts[0]["outcome"])

    for start in range(0, 1000, 20):
        await asyncio.gather(*(one(turn) for turn in range(start, start + 20)))
    assert outcomes == {"stopped", "already_finished"}


# Limits


async def test_a_full_service_refuses_with_retry_after_and_nothing_leaks(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    async with Service(upstream_url=upstream.url, max_runs=2) as service:
        async with (
            ask(client, service.url, model="hang-mid") as first,
            ask(client, service.url, model="hang-mid"),
        ):
            for _ in range(3):
                async with client.post(
                    f"{service.url}/ai/chat/stream-sse", json={"message": "hi"}
                ) as response:
                    assert response.status == 503
                    assert int(response.headers["Retry-After"]) > 0
                    assert (await response.json(content_type=None))["code"] == "full"
            await stop(client, service.url, first.run_id)
            async with ask(client, service.url) as third:
                assert text(await third.rest()) == ANSWER
        async with asyncio.timeout(10):
            while service.runs.running:
                await asyncio.sleep(0)


async def test_a_key_has_its_own_limit(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    keys = ("key-of-anna-0123456789", "key-of-bert-9876543210")
    async with (
        Service(upstream_url=upstream.url, api_keys=",".join(keys), max_runs_per_key=1) as service,
        ask(client, service.url, key=keys[0], model="hang-mid"),
    ):
        async with client.post(
            f"{service.url}/ai/chat/stream-sse",
            json={"message": "hi"},
            headers={"Authorization": f"Bearer {keys[0]}"},
        ) as response:
            assert response.status == 429
            assert "STREAM_SERVE_MAX_RUNS_PER_KEY" in await response.text()
        async with ask(client, service.url, key=keys[1]) as stream:
            assert text(await stream.rest()) == ANSWER
