"""Our own JavaScript client in a real Chromium: tails of several tabs, on one connection."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest

from support.clients import UNAVAILABLE
from support.stream_events import CLOSED, JSON
from support.tabs import HIDE, LIVE, TEXT, chat, noting, tab, whole
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp
    from playwright.async_api import Page

    from stream_serve.testing import ScriptedUpstream
    from support.proxy import Proxy

END: Final = {"type": "end", "finishReason": "completed"}
_TAIL: Final = """(name) => {
    window.messages = [];
    const run = window.client.tail(name);
    window.run = run;
    (async () => {
        for await (const message of run) window.messages.push(message);
    })().catch((error) => (window.failed = error.code));
}"""


class Job:
    """A stream that is written, and what has been written."""

    def __init__(self, client: aiohttp.ClientSession, service: str, name: str) -> None:
        self.name = name
        self.written: list[Any] = []
        self.url = f"{service}/v1/stream/{name}"
        self._client = client

    async def make(self) -> Job:
        assert (await self._client.put(self.url, headers=JSON)).status == 201
        await self.write()
        return self

    async def write(self, **headers: str) -> None:
        number = len(self.written)
        log = {"type": "error", "content": f"{number} 日本"} if number % 2 else {"type": "end"}
        self.written.append({**log, "of": self.name} if not headers else END)
        headers |= JSON
        assert (await self._client.post(self.url, headers=headers, json=self.written[-1])).ok

    async def shown(self, *pages: Page) -> None:
        """Wait until pages have all of it, once."""
        for page in pages:
            await until(partial(self._is_shown, page))

    async def _is_shown(self, page: Page) -> bool:
        return await page.evaluate("window.messages") == self.written


@asynccontextmanager
async def tails(
    client: aiohttp.ClientSession, network: Proxy, first: Page, *, tabs: int
) -> AsyncGenerator[tuple[list[Page], list[Job], list[Page]]]:
    """Tabs that read two streams over one connection; and who has asked for that."""
    jobs = [await Job(client, network.target, name).make() for name in ("jobs/ü 42", "other")]
    pages = [first, *[await tab(first, network) for _ in range(tabs - 1)]]
    asked: list[Page] = []
    for number, page in enumerate(pages):
        page.on("request", noting(asked, page))
        await page.evaluate(_TAIL, jobs[number % 2].name)
    await until(lambda: bool(asked) and network.streams == [LIVE])
    yield pages, jobs, asked


async def test_tails_of_eight_tabs_and_a_run_use_one_connection_and_leave_one_for_the_stop(
    first: Page, network: Proxy, upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    async with tails(client, network, first, tabs=8) as (pages, (job, other), _):
        writer = await tab(first, network)
        await chat(writer)
        await until(lambda: network.streams == [LIVE])
        for _ in range(5):
            await job.write()
            await other.write()
        stopping = asyncio.create_task(pages[0].evaluate("window.run.stop()"))

        async def is_asked() -> bool:
            return "Stream-Stop-Requested" in (await client.head(job.url)).headers

        await until(is_asked)
        await other.write()
        await other.shown(*pages[1::2])
        await job.write(**CLOSED)
        assert (await stopping)["acknowledged"]
        await job.shown(*pages[::2])
        assert await whole(writer) == TEXT
        await other.write()
        await other.shown(*pages[1::2])


@pytest.mark.parametrize("how", ["closed", "hidden", "all hidden"])
async def test_tails_go_on_when_the_tab_that_leads_is_gone_or_unseen(
    first: Page, network: Proxy, client: aiohttp.ClientSession, how: str
) -> None:
    async with tails(client, network, first, tabs=4) as (pages, jobs, asked):
        leader = asked[-1]
        if how == "closed":
            await leader.close()
        else:
            for page in pages if how == "all hidden" else [leader]:
                await page.evaluate(HIDE, "hidden")
        if how != "all hidden":
            await until(lambda: asked[-1] is not leader)
        for job in jobs:
            await job.write()
        for number, page in enumerate(pages):
            if not page.is_closed():
                await jobs[number % 2].shown(page)


async def test_whatever_the_network_does_to_shared_tails_loses_and_doubles_nothing(
    first: Page, network: Proxy, client: aiohttp.ClientSession
) -> None:
    async with tails(client, network, first, tabs=3) as (pages, jobs, _):

        async def goes_on() -> None:
            for job in jobs:
                await job.write()
            await jobs[0].shown(pages[0], pages[2])
            await jobs[1].shown(pages[1])

        network.cut()
        await goes_on()
        await until(lambda: network.streams == [LIVE])
        network.freeze(LIVE)
        for page in pages:
            await page.evaluate("window.dispatchEvent(new Event('online'))")
        await goes_on()
        network.answer = UNAVAILABLE
        network.cut()
        await until(lambda: network.answered > 2)
        network.answer = None
        await goes_on()
        await until(lambda: network.streams == [LIVE])


async def test_a_stream_that_is_deleted_under_shared_tails_ends_those_alone(
    first: Page, network: Proxy, client: aiohttp.ClientSession
) -> None:
    async with tails(client, network, first, tabs=3) as (pages, (job, other), _):
        await client.delete(job.url)
        for page in (pages[0], pages[2]):
            await page.wait_for_function("window.failed === 'stream_not_found'")
        await other.write()
        await other.shown(pages[1])
        assert await pages[1].evaluate("window.run.state") == "streaming"
