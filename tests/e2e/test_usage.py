"""The tokens of a run: the provider's figure, from wherever, or else an estimate that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_serve.testing.scenarios.counts import COMPLETION, ODD, PLACES, PROMPT
from support.client import Json, ask, stop

if TYPE_CHECKING:
    import aiohttp

    from support.service import Service


async def usage_of(client: aiohttp.ClientSession, service: Service, model: str) -> Json:
    async with ask(client, service.url, model=model) as stream:
        end = (await stream.rest())[-1]
    assert end["finishReason"] == "stop"
    return end["usage"]


async def stopped_after(
    client: aiohttp.ClientSession, service: Service, model: str, pieces: int
) -> Json:
    async with ask(client, service.url, model=model) as stream:
        for _ in range(1 + pieces):
            await stream.next()
        receipt = await stop(client, service.url, stream.run_id)
    assert receipt["finishReason"] == "stopped"
    return receipt["usage"]


@pytest.mark.parametrize("place", PLACES)
async def test_the_providers_figure_counts_wherever_it_is(
    service: Service, client: aiohttp.ClientSession, place: str
) -> None:
    assert await usage_of(client, service, f"usage-in?place={place}") == {
        "promptTokens": PROMPT,
        "completionTokens": COMPLETION,
        "totalTokens": PROMPT + COMPLETION,
        "source": "provider",
        **({"cachedTokens": 5} if place == "timings" else {}),
    }


@pytest.mark.parametrize("odd", ODD)
async def test_a_figure_that_cannot_be_is_never_passed_on(
    service: Service, client: aiohttp.ClientSession, odd: str
) -> None:
    usage = await usage_of(client, service, f"usage-in?place={odd}")
    assert usage["source"] == "estimated"
    assert 0 < usage["completionTokens"] < COMPLETION


async def test_a_stopped_run_has_the_newest_figure_of_a_provider_that_counts_as_it_goes(
    service: Service, client: aiohttp.ClientSession
) -> None:
    usage = await stopped_after(client, service, "usage-as-it-goes?tokens=6&per-chunk=5", 6)
    assert (usage["completionTokens"], usage["source"]) == (30, "provider")


@pytest.mark.parametrize("model", ["hang-mid?tokens=30&size=1", "usage-early?tokens=30&size=1"])
async def test_a_stopped_run_never_used_fewer_tokens_than_pieces_came(
    service: Service, client: aiohttp.ClientSession, model: str
) -> None:
    usage = await stopped_after(client, service, model, 30)
    assert usage["completionTokens"] >= 30
    assert usage["source"] == "estimated"
