"""The example of an embedded generator on the first page and in docs/embedding.md, run as it stands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import pytest

from support.host import serving
from support.pages import READMES, blocks, pair

if TYPE_CHECKING:
    from fastapi import FastAPI

pytestmark = pytest.mark.slow
on_pages = pytest.mark.parametrize("page", [*READMES, *pair("embedding")])


def example(page: str) -> FastAPI:
    """Run the example of a page, and return its application."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(blocks(page, "python")[0], page, "exec"), names)
    return cast("FastAPI", names["app"])


@on_pages
def test_the_example_of_an_embedded_generator_has_at_most_15_lines(page: str) -> None:
    lines = [line for line in blocks(page, "python")[0].splitlines() if line.strip()]
    assert len(lines) <= 15


@on_pages
async def test_the_example_of_an_embedded_generator_works(page: str) -> None:
    async with serving(example(page)) as url, aiohttp.ClientSession() as session:
        asked = {"message": "hello there"}
        response = await session.post(f"{url}/ai/chat/stream-sse", json=asked)
        text = await response.text()
        assert '"content":"there "' in text
        assert '"finishReason":"stop"' in text


@on_pages
async def test_the_example_of_an_embedded_generator_has_stop_resume_and_two_readers(
    page: str,
) -> None:
    async with (
        serving(example(page)) as url,
        aiohttp.ClientSession() as session,
        asyncio.timeout(20),
    ):
        asked = {"message": "word " * 1000, "onDisconnect": "continue"}
        first = await session.post(f"{url}/ai/chat/stream-sse", json=asked)
        run = f"{url}/ai/runs/{first.headers['X-Run-Id']}"
        second = await session.get(f"{run}/events")
        for reader in (first, second):
            await reader.content.readuntil(b"id: 3\n")
        first.close()
        resumed = await session.get(f"{run}/events", headers={"Last-Event-ID": "2"})
        receipt = await (await session.post(f"{run}/stop")).json()
        assert receipt["outcome"] == "stopped"
        rest = await resumed.text()
        assert rest.startswith("id: 3\n")
        for text in (rest, await second.text()):
            assert '"finishReason":"stopped"' in text
