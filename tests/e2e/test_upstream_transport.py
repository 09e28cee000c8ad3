"""What servers and gateways do to HTTP itself, over real sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stream_serve.testing import ANSWER
from stream_serve.testing.scenarios.transport import CODINGS, HEADS
from support.client import ask, text

if TYPE_CHECKING:
    import aiohttp

    from stream_serve.testing import ScriptedUpstream
    from support.service import Service

ODD = [f"odd-head?form={form}" for form in HEADS]
COMPRESSED = [f"compressed?form={form}" for form in CODINGS]


@pytest.mark.parametrize("model", ODD + COMPRESSED)
async def test_a_whole_answer_is_whole_however_http_is_written(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, model: str
) -> None:
    async with ask(client, service.url, model=model) as stream:
        events = await stream.rest()
    assert text(events) == ANSWER
    assert (events[-1]["type"], events[-1]["finishReason"]) == ("end", "stop")
    assert len(upstream.requests) == 1


async def test_a_coding_that_nobody_asked_for_is_named(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with ask(client, service.url, model="unknown-coding") as stream:
        (*_, error) = await stream.rest()
    assert (error["code"], error["retryable"]) == ("upstream_protocol", False)
    assert "br, which nobody asked for" in error["message"]


async def test_a_body_that_grows_without_bounds_is_refused_and_holds_nobody_up(
    service: Service, client: aiohttp.ClientSession
) -> None:
    """Fifty megabytes of events in fifty kilobytes: nothing of them is parsed."""
    async with ask(client, service.url, model="gzip-bomb") as stream:
        (*_, error) = await asyncio.wait_for(stream.rest(), 30)
    assert (error["code"], error["retryable"]) == ("upstream_protocol", False)
    assert "compressed, which nobody asked for" in error["message"]
