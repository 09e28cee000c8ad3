"""Streams of completions whose run fails before it has said anything: a status, and no stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from openai import (
    APIStatusError,
    AsyncOpenAI,
    BadRequestError,
    InternalServerError,
    RateLimitError,
)

from stream_serve.testing import ANSWER
from support.client import show

if TYPE_CHECKING:
    import aiohttp

    from stream_serve.testing import ScriptedUpstream
    from support.service import Service

Json = dict[str, Any]

pytestmark = pytest.mark.both_loops

DOORS: dict[str, Json] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}], "stream": True},
    "/v1/completions": {"prompt": "hi", "stream": True},
}
REFUSALS = {
    "rate-limited?after=7": (429, "upstream_rate_limited", "true", "7"),
    "bad-request": (400, "upstream_rejected", "false", None),
    "unauthorized": (502, "upstream_auth", "false", None),
    "forbidden": (502, "upstream_auth", "false", None),
    "unknown-model": (400, "upstream_rejected", "false", None),
    "refused?status=404&shape=path": (502, "upstream_protocol", "false", None),
}
CLASSES = {
    400: BadRequestError,
    429: RateLimitError,
    502: InternalServerError,
}


@pytest.mark.parametrize("model", REFUSALS)
@pytest.mark.parametrize("path", DOORS)
async def test_what_a_provider_refuses_at_once_is_the_status_of_a_stream(
    service: Service, client: aiohttp.ClientSession, path: str, model: str
) -> None:
    body = {**DOORS[path], "model": model}
    async with client.post(service.url + path, json=body) as response:
        found = await response.json()
    status, code, again, after = REFUSALS[model]
    assert (response.status, found["error"]["code"]) == (status, code)
    assert response.content_type == "application/json"
    assert response.headers["x-should-retry"] == again
    assert response.headers.get("Retry-After") == after
    state = await show(client, service.url, response.headers["X-Run-Id"])
    assert (state["state"], state["readers"]) == ("failed", 0)


@pytest.mark.parametrize("path", DOORS)
async def test_the_head_of_a_stream_waits_for_a_silent_provider_only_for_a_while(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, path: str
) -> None:
    async with client.post(service.url + path, json={**DOORS[path], "model": "silent"}) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        assert response.headers["X-Run-Id"]
        response.close()
    await upstream.until(lambda: upstream.open_connections == 0)


@pytest.mark.parametrize("path", DOORS)
async def test_a_client_that_leaves_before_the_head_stops_the_provider(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, path: str
) -> None:
    asking = asyncio.create_task(
        client.post(service.url + path, json={**DOORS[path], "model": "silent"})
    )
    await upstream.wait_for()
    asking.cancel()
    await upstream.wait_for(lambda record: record.closed_by == "peer")
    await upstream.until(lambda: upstream.open_connections == 0)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("model", REFUSALS)
async def test_openais_client_raises_the_class_of_a_refusal_and_repeats_none_in_vain(
    service: Service, upstream: ScriptedUpstream, model: str, *, stream: bool
) -> None:
    status, code, again, _ = REFUSALS[model]
    retries = 0 if again == "true" else 2
    async with AsyncOpenAI(
        base_url=f"{service.url}/v1", api_key="any", max_retries=retries
    ) as openai:
        with pytest.raises(APIStatusError) as raised:
            await openai.chat.completions.create(
                model=model, messages=[{"role": "user", "content": "hi"}], stream=stream
            )
    assert type(raised.value) is CLASSES[status]
    assert (raised.value.status_code, raised.value.code) == (status, code)
    assert len(upstream.requests) == 1


async def test_openais_client_waits_as_long_as_the_provider_says_and_asks_for_the_stream_again(
    service: Service, upstream: ScriptedUpstream
) -> None:
    async with AsyncOpenAI(base_url=f"{service.url}/v1", api_key="any", max_retries=1) as openai:
        chunks = await openai.chat.completions.create(
            model="rate-limited?times=1&after=2",
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])
    assert text == ANSWER
    first, second = upstream.requests
    assert second.received_at - first.received_at >= 1.9, "its own wait is half a second at most"
