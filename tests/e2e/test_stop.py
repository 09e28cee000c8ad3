"""The stop: from everywhere, in every phase, asserted where it counts: at the provider."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.testing import ANSWER, ScriptedUpstream, blackhole
from support.client import ask, show, stop, text
from support.service import Service
from support.tls import Authority

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from stream_serve.testing import Record

pytestmark = pytest.mark.both_loops

PHASES = {
    "while the provider is silent": ("silent", 1),
    "after the provider's headers": ("silent-after-headers", 1),
    "in the middle of the answer": ("hang-mid", 4),
    "while only comments come": ("comments-forever", 1),
    "in the middle of a flow": ("forever?interval=0.001", 4),
    "after the last token": ("hang-end?tokens=3", 4),
}


def gone(record: Record) -> bool:
    return record.closed_by == "peer"


@pytest.mark.parametrize("phase", PHASES)
async def test_a_client_that_goes_away_closes_the_providers_connection(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, phase: str
) -> None:
    model, events = PHASES[phase]
    async with ask(client, service.url, model=model) as stream:
        for _ in range(events):
            await stream.next()
        await upstream.wait_for()
        stream.drop()
        await upstream.wait_for(gone)
    await upstream.until(lambda: upstream.open_connections == 0)
    state = await show(client, service.url, stream.run_id)
    assert state["state"] == "stopped"
    assert state["upstreamClosed"] is True


@pytest.mark.parametrize("phase", PHASES)
async def test_a_stop_from_elsewhere_closes_the_providers_connection_and_has_a_true_receipt(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, phase: str
) -> None:
    model, events = PHASES[phase]
    async with ask(client, service.url, model=model) as stream:
        seen = [await stream.next() for _ in range(events)]
        await upstream.wait_for()
        receipt = await stop(client, service.url, stream.run_id)
        await upstream.wait_for(gone)
        rest = await stream.rest()
    assert receipt == {
        "runId": stream.run_id,
        "outcome": "stopped",
        "upstreamClosed": True,
        "latencyMs": receipt["latencyMs"],
        "finishReason": "stopped",
        "usage": rest[-1]["usage"],
    }
    assert receipt["usage"]["source"] == "estimated"
    assert (rest[-1]["type"], rest[-1]["finishReason"]) == ("end", "stopped")
    assert [event["type"] for event in rest].count("end") == 1
    numbers = [event["id"] for event in seen if event] + [event["id"] for event in rest]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_stop_before_the_provider_is_connected_ends_the_attempt(
    client: aiohttp.ClientSession,
) -> None:
    with blackhole() as port:
        async with (
            Service(upstream_url=f"http://127.0.0.1:{port}/v1") as service,
            ask(client, service.url) as stream,
        ):
            await stream.next()
            receipt = await stop(client, service.url, stream.run_id)
            assert (receipt["outcome"], receipt["upstreamClosed"]) == ("stopped", True)
            assert (await stream.rest())[-1]["finishReason"] == "stopped"


async def test_a_client_that_leaves_before_the_provider_is_connected_ends_the_attempt(
    client: aiohttp.ClientSession,
) -> None:
    with blackhole() as port:
        async with Service(upstream_url=f"http://127.0.0.1:{port}/v1") as service:
            async with ask(client, service.url) as stream:
                await stream.next()
                stream.drop()
            state: dict[str, Any] = {"state": ""}
            while state["state"] != "stopped":
                state = await show(client, service.url, stream.run_id)
            assert state["upstreamClosed"] is True


async def test_a_client_that_leaves_between_two_attempts_prevents_the_second(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with ask(client, service.url, model="http-503?times=1") as stream:
        await upstream.wait_for(lambda record: record.closed_by == "script")
        stream.drop()
    state: dict[str, Any] = {"state": ""}
    while state["state"] not in {"stopped", "completed"}:
        state = await show(client, service.url, stream.run_id)
    assert state["state"] == "stopped"
    assert len(upstream.requests) == 1


async def test_a_client_that_leaves_before_it_reads_anything_stops_the_run(
    service: Service, upstream: ScriptedUpstream
) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    body = b'{"message": "hi", "model": "silent"}'
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /ai/chat/stream-sse HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    await writer.drain()
    writer.close()
    async with asyncio.timeout(10):
        while service.runs.running:
            await asyncio.sleep(0)
    await upstream.until(lambda: upstream.open_connections == 0)


async def test_repeating_a_stop_is_harmless_and_gives_the_same_receipt(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with ask(client, service.url, model="hang-mid") as stream:
        await stream.until("chunk")
        receipts = await asyncio.gather(
            *(stop(client, service.url, stream.run_id) for _ in range(10))
        )
        receipts.append(await stop(client, service.url, stream.run_id))
        rest = await stream.rest()
    assert all(receipt == receipts[0] for receipt in receipts)
    assert receipts[0]["outcome"] == "stopped"
    assert [event["type"] for event in rest].count("end") == 1


async def test_stopping_a_finished_run_says_so_and_changes_nothing(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with ask(client, service.url) as stream:
        events = await stream.rest()
    receipt = await stop(client, service.url, stream.run_id)
    assert receipt["outcome"] == "already_finished"
    assert receipt["finishReason"] == "stop"
    assert receipt["usage"] == events[-1]["usage"]
    assert receipt["upstreamClosed"] is False, "the connection waits in the pool"
    assert upstream.open_connections == 1


async def test_stopping_a_failed_run_says_so(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with ask(client, service.url, model="reset-mid") as stream:
        await stream.rest()
    receipt = await stop(client, service.url, stream.run_id)
    assert (receipt["outcome"], receipt["finishReason"]) == ("already_finished", None)
    assert receipt["upstreamClosed"] is True


async def test_stopping_the_demo_says_that_there_was_no_connection(
    client: aiohttp.ClientSession,
) -> None:
    async with Service() as service, ask(client, service.url) as stream:
        await stream.until("chunk")
        receipt = await stop(client, service.url, stream.run_id)
        assert (receipt["outcome"], receipt["upstreamClosed"]) == ("stopped", None)


async def test_a_stop_in_the_instant_of_the_end_leaves_one_terminal_that_agrees(
    service: Service, client: aiohttp.ClientSession
) -> None:
    outcomes: set[str] = set()
    for turn in range(60):
        async with ask(client, service.url, model="answer?tokens=3") as stream:
            await stream.next()
            for _ in range(turn % 5):
                await stream.next()
            receipt = await stop(client, service.url, stream.run_id)
            rest = await stream.rest()
        ends = [event for event in rest if event["type"] in {"end", "error"}]
        state = await show(client, service.url, stream.run_id)
        assert state["finishReason"] == receipt["finishReason"]
        assert receipt["finishReason"] in {"stop", "stopped"}
        if ends:
            assert [end["finishReason"] for end in ends] == [receipt["finishReason"]]
        assert (receipt["outcome"] == "stopped") == (receipt["finishReason"] == "stopped")
        outcomes.add(receipt["outcome"])
    assert "already_finished" in outcomes, "a stop after the end was read comes too late"


async def test_a_new_run_after_a_stop_is_clean(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with ask(client, service.url, model="hang-mid") as stream:
        await stream.until("chunk")
        await stop(client, service.url, stream.run_id)
        async with ask(client, service.url) as second:
            assert text(await second.rest()) == ANSWER


async def test_a_finished_answers_connection_serves_the_next_run_and_a_stopped_ones_does_not(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    for model in ("answer", "hang-mid", "answer"):
        async with ask(client, service.url, model=model) as stream:
            if model == "answer":
                await stream.rest()
                await stop(client, service.url, stream.run_id)
            else:
                await stream.until("chunk")
                receipt = await stop(client, service.url, stream.run_id)
                assert receipt["upstreamClosed"] is True
    assert [record.connection_reused for record in upstream.requests] == [False, True, False]


async def test_a_server_that_keeps_the_stream_open_after_done_delays_no_end(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with ask(client, service.url, model="keep-alive-after-done") as stream:
        assert (await stream.rest())[-1]["finishReason"] == "stop"
    await upstream.wait_for(gone)


async def test_a_server_that_says_nothing_after_the_finish_reason_has_answered(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with ask(client, service.url, model="hang-after-finish") as stream:
        events = await stream.rest()
    assert text(events) == ANSWER
    assert (events[-1]["finishReason"], events[-1]["usage"]["source"]) == ("stop", "estimated")
    await upstream.wait_for(gone)


async def test_a_stop_closes_an_encrypted_connection_too(
    client: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority()
    upstream = ScriptedUpstream()
    await upstream.start(ssl=authority.server())
    url = upstream.url.replace("127.0.0.1", "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", authority.write(tmp_path))
    try:
        async with Service(upstream_url=url) as service:
            for model in ("silent", "silent-after-headers", "hang-mid"):
                async with ask(client, service.url, model=model) as stream:
                    await stream.next()
                    await upstream.wait_for(lambda record, model=model: record.model == model)
                    receipt = await stop(client, service.url, stream.run_id)
                    assert receipt["upstreamClosed"] is True
                    await upstream.until(lambda: upstream.open_connections == 0)
    finally:
        await upstream.stop()


async def test_the_provider_sees_the_close_within_50_ms(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    """The quickest of many of each kind: what a busy machine adds is not always there."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(30):
        async with ask(client, service.url, model="hang-mid") as stream:
            for _ in range(4):
                await stream.next()
            began = time.time()
            if turn % 2:
                stream.drop()
            else:
                await stop(client, service.url, stream.run_id)
            record = await upstream.wait_for(lambda r, turn=turn: r.id == turn + 1 and gone(r))
            assert record.closed_at is not None
            seconds[turn % 2].append(record.closed_at - began)
    assert max(min(of_a_kind) for of_a_kind in seconds) < 0.05
