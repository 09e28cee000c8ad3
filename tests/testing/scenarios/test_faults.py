"""The connections that fail, fall silent or end too early."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import aiohttp
import pytest

from stream_serve.testing import ANSWER
from testing.client import plain

if TYPE_CHECKING:
    from testing.client import Client

pytestmark = pytest.mark.both_loops


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("reset-early", aiohttp.ClientOSError),
        ("close-early", aiohttp.ServerDisconnectedError),
    ],
)
async def test_a_connection_can_fail_before_any_byte_and_then_answer(
    client: Client, name: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await client.ask(name)
    record = client.upstream.requests[0]
    assert (record.phase, record.closed_by, record.bytes_sent) == ("received", "script", 0)
    assert (await client.ask(name)).text == ANSWER
    for _ in range(3):
        with pytest.raises(error):
            await client.ask(f"{name}?times=0")


async def test_a_stale_connection_closes_when_it_is_used_again(client: Client) -> None:
    assert (await client.ask("stale")).text == ANSWER
    assert client.upstream.open_connections == 1
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.ask("answer")
    record = client.upstream.requests[1]
    assert (record.connection_reused, record.phase, record.closed_by) == (
        True, "received", "script",
    )  # fmt: skip
    assert (await client.ask("stale")).text == ANSWER


async def test_silence_is_silence(client: Client) -> None:
    asking = asyncio.ensure_future(client.ask("silent"))
    await client.upstream.wait_for(lambda record: record.scenario == "silent")
    done, _ = await asyncio.wait([asking], timeout=0.05)
    assert not done
    asking.cancel()
    record = await client.upstream.wait_for(lambda record: record.closed_by == "peer")
    assert record.bytes_sent == 0


async def test_headers_can_come_alone(client: Client) -> None:
    async with client.post("silent-after-headers") as response:
        assert response.status == 200
        assert client.upstream.requests[0].phase == "headers"


async def test_headers_can_come_late(client: Client) -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    async with client.post("slow-headers?delay=0.2") as response:
        assert loop.time() - before >= 0.19
        assert plain(await response.read()) == ANSWER


@pytest.mark.parametrize("name", ["reset-mid", "close-mid"])
async def test_a_cut_in_the_middle_leaves_the_text_so_far(client: Client, name: str) -> None:
    got = b""
    with pytest.raises(aiohttp.ClientPayloadError):  # noqa: PT012 - what came before counts
        async with client.post(name) as response:
            while True:
                got += await response.content.readuntil(b"\n\n")
    assert plain(got) == ANSWER[:12]
    record = client.upstream.requests[0]
    assert (record.phase, record.closed_by, record.events_sent) == ("streaming", "script", 4)


@pytest.mark.parametrize("name", ["incomplete", "half-event", "error-mid", "inspection-mid"])
async def test_a_clean_end_can_lack_finish_reason_and_done(client: Client, name: str) -> None:
    body = (await client.ask(name)).body
    assert b"[DONE]" not in body
    assert b'"finish_reason":"' not in body
    assert body.endswith(b"\n\n") is (name != "half-event")


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("error-first", "", "server_overloaded"),
        ("error-mid", ANSWER[:12], "internal_error"),
        ("inspection-mid", ANSWER[:12], "data_inspection_failed"),
    ],
)
async def test_an_error_object_comes_last(client: Client, name: str, text: str, code: str) -> None:
    body = (await client.ask(name)).body
    head, _, last = body.removesuffix(b"\n\n").rpartition(b"data: ")
    assert json.loads(last)["error"]["code"] == code
    assert plain(head) == text


async def test_an_error_can_be_a_string(client: Client) -> None:
    assert b'data: {"error":"CUDA out of memory"}\n\n' in (await client.ask("error-string")).body


async def test_a_stream_can_be_empty_or_only_done(client: Client) -> None:
    assert (await client.ask("empty")).body == b""
    assert (await client.ask("only-done")).body == b"data: [DONE]\n\n"


async def test_bytes_that_are_no_http_break_the_client_only(client: Client) -> None:
    with pytest.raises(aiohttp.ClientError):
        await client.ask("bad-status-line")
    assert (await client.ask("answer")).text == ANSWER
