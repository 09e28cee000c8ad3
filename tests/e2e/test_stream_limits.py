"""What one key may take at once of a service that it shares: readers, and bodies on their way."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from stream_serve.web.streams import request
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp
    import pytest

    from stream_serve.testing import ScriptedUpstream

KEY: Final = {"Authorization": "Bearer sk-alice-0123456789"}
OTHER: Final = {"Authorization": "Bearer sk-bob-0123456789ab"}
KEYS: Final = "sk-alice-0123456789,sk-bob-0123456789ab"
JSON: Final = {"Content-Type": "application/json"}
MOST: Final = 1_000


async def refused(response: aiohttp.ClientResponse, code: str, setting: str) -> None:
    problem = await response.json()
    assert (response.status, problem["code"]) == (429, code)
    assert setting in problem["detail"]
    assert int(response.headers["Retry-After"]) >= 1


async def test_a_key_has_as_many_live_readers_as_it_may_have_in_every_way_to_read(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with Service(
        upstream_url=upstream.url, streams_url="memory", api_keys=KEYS, max_readers_per_key=2
    ) as service:
        url = f"{service.url}/v1/stream/a"
        for key in (KEY, OTHER):
            await client.put(url, headers={**JSON, **key})
        body = {"message": "hi", "runId": "0123456789abcdef"}
        run = await client.post(f"{service.url}/ai/chat/stream-sse", headers=KEY, json=body)
        await run.content.readuntil(b"\n\n")
        ways = [
            f"{url}?offset=-1&live=sse",
            f"{url}?offset=now&live=long-poll",
            f"{url}/control?live=sse",
            f"{service.url}/ai/streams/a/events",
            f"{service.url}/ai/runs/{body['runId']}/events",
            f"{service.url}/v1/stream/runs/{body['runId']}?offset=-1&live=sse",
        ]
        async with AsyncExitStack() as readers:
            for way in (ways[0], ways[3]):
                await readers.enter_async_context(client.get(way, headers=KEY))
            for way in ways:
                async with client.get(way, headers=KEY) as response:
                    await refused(response, "too_many_readers", "MAX_READERS_PER_KEY")
            async with client.get(ways[0], headers=OTHER) as response:
                assert response.status == 200
        async with asyncio.timeout(10):
            while (await client.get(ways[0], headers=KEY)).status != 200:
                await asyncio.sleep(0.01)
        run.close()


async def test_of_several_in_one_response_each_has_a_place_until_its_own_end(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with Service(
        upstream_url=upstream.url, streams_url="memory", api_keys=KEYS, max_readers_per_key=3
    ) as service:
        for name in "abcd":
            await client.put(f"{service.url}/v1/stream/{name}", headers={**JSON, **KEY})
        body = {"message": "hi", "runId": "0123456789abcdef"}
        run = await client.post(f"{service.url}/ai/chat/stream-sse", headers=KEY, json=body)
        await run.read()
        asked = f"{service.url}/ai/live?run={body['runId']}&stream=a&stream=b&stream=c"
        one = f"{service.url}/ai/streams/d/events"
        async with client.get(asked, headers=KEY) as live:
            async with asyncio.timeout(10):
                said = await live.content.readuntil(b"too_many_readers")
                assert b"event: streams/c" in said
                await live.content.readuntil(b'"finishReason"')
                while (first := await client.get(one, headers=KEY)).status != 200:
                    await asyncio.sleep(0.01)
                async with client.get(one, headers=KEY) as response:
                    await refused(response, "too_many_readers", "MAX_READERS_PER_KEY")
                await client.delete(f"{service.url}/v1/stream/a", headers=KEY)
                while (second := await client.get(one, headers=KEY)).status != 200:
                    await asyncio.sleep(0.01)
        first.close()
        second.close()


async def slowly(pieces: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
    while piece := await pieces.get():
        yield piece


async def test_bodies_of_a_key_that_are_on_their_way_have_a_bound_together(
    client: aiohttp.ClientSession,
) -> None:
    async with Service(
        streams_url="memory",
        api_keys=KEYS,
        max_append_bytes=MOST,
        max_append_bytes_per_key=MOST,
    ) as service:
        url = f"{service.url}/v1/stream/a"
        text = {"Content-Type": "text/plain"}
        for key in (KEY, OTHER):
            await client.put(url, headers={**text, **key})
        pieces: asyncio.Queue[bytes] = asyncio.Queue()
        pieces.put_nowait(b"x" * (MOST - 1))
        slow = asyncio.create_task(client.post(url, headers={**text, **KEY}, data=slowly(pieces)))
        async with asyncio.timeout(10):
            while (
                response := await client.post(url, headers={**text, **KEY}, data=b"12")
            ).status == 204:
                await asyncio.sleep(0.01)
        await refused(response, "too_many_appends", "MAX_APPEND_BYTES_PER_KEY")
        assert (await client.post(url, headers={**text, **OTHER}, data=b"12")).status == 204
        pieces.put_nowait(b"")
        assert (await slow).status == 204
        assert (await client.post(url, headers={**text, **KEY}, data=b"1" * MOST)).status == 204


async def test_a_body_that_does_not_come_on_is_let_go_of(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "_SILENCE", 0.05)
    async with Service(
        streams_url="memory", max_append_bytes=MOST, max_append_bytes_per_key=MOST
    ) as service:
        url = f"{service.url}/v1/stream/a"
        text: dict[str, Any] = {"headers": {"Content-Type": "text/plain"}}
        await client.put(url, **text)
        pieces: asyncio.Queue[bytes] = asyncio.Queue()
        pieces.put_nowait(b"x" * MOST)
        response = await client.post(url, **text, data=slowly(pieces))
        assert response.status == 408
        assert (await response.json())["code"] == "body_too_slow"
        pieces.put_nowait(b"")
        assert (await client.post(url, **text, data=b"1" * MOST)).status == 204
