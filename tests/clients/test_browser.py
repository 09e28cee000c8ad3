"""OpenAI's client in a page of another origin, in a real Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.testing import ANSWER
from support.browser import browser
from support.clients import bundle
from support.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

    from clients.conftest import Door
    from stream_serve.testing import ScriptedUpstream


@pytest.fixture(scope="module")
def script() -> bytes:
    """The page's script."""
    return bundle("page.jsx")


@pytest.fixture
async def page(script: bytes) -> AsyncIterator[Page]:
    """A page of another origin than the service's; it may write no error to the console."""
    async with Site(script) as site, browser() as open_page:
        tab = await open_page()
        await tab.goto(site.url)
        yield tab


async def run(page: Page, case: str, **words: Any) -> Any:
    return await page.evaluate(f"(words) => page.{case}(words)", words)


async def test_a_page_of_another_origin_asks_and_reads_the_stream(page: Page, door: Door) -> None:
    assert await run(page, "stream", model="answer", **door.words) == ANSWER
    found = await run(page, "plain", model="answer", **door.words)
    assert found["text"] == ANSWER
    assert found["id"]


async def test_a_page_of_another_origin_lists_the_models(page: Page, door: Door) -> None:
    assert "answer" in await run(page, "models", **door.words)


async def test_a_page_that_leaves_its_stream_stops_the_provider(
    page: Page, door: Door, upstream: ScriptedUpstream
) -> None:
    assert await run(page, "stream", model="hang-mid", leave=True, **door.words)
    await upstream.wait_for(lambda record: record.closed_by == "peer")


async def test_a_page_may_read_how_long_to_wait_and_the_id_of_its_request(
    page: Page, door: Door
) -> None:
    found = await run(page, "plain", model="rate-limited?after=3", **door.words)
    assert found["raised"]["name"] == "RateLimitError"
    assert found["raised"]["retryAfter"] == "3"
    assert found["raised"]["requestID"]


async def test_a_page_with_a_wrong_key_is_told_so(page: Page, keyed_door: Door) -> None:
    found = await run(page, "stream", model="answer", **{**keyed_door.words, "key": "wrong"})
    assert found["raised"]["status"] == 401
    assert "API key" in found["raised"]["message"]
