"""Our own JavaScript client in a real Chromium: tabs that share, sleep and die, and six connections."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from clients.conftest import KEY, KeyedDoor
from stream_serve.testing import ANSWER
from support.browser import browser
from support.client import stop
from support.pages import blocks, pair
from support.proxy import Proxy
from support.tabs import (
    HIDE,
    LIVE,
    TEXT,
    chat,
    has,
    noting,
    prepare,
    tab,
    text,
    whole,
)
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp
    from playwright.async_api import Page

    from stream_serve.testing import ScriptedUpstream

TABS: Final = 20
_FOLLOW: Final = "(id) => { window.run = window.client.follow(id); }"
# One connection for all tabs


@pytest.mark.timeout(240)
async def test_twenty_tabs_use_one_connection_and_every_answer_is_whole(
    first: Page, network: Proxy, upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    tabs = [first, *[await tab(first, network) for _ in range(TABS - 1)]]
    await asyncio.gather(*(chat(one, "hang-mid") for one in tabs))
    await until(lambda: network.streams == [LIVE] and len(upstream.requests) == TABS)
    for one in tabs:
        await until(has(one, 1))
        await stop(client, network.url, await one.evaluate("window.run.id"))
    results = [await one.evaluate("window.run.result()") for one in tabs]
    assert {result["finishReason"] for result in results} == {"stopped"}
    assert len({result["text"] for result in results}) == 1
    await until(lambda: network.streams == [])
    assert len(upstream.requests) == TABS


async def test_a_tab_alone_has_no_second_connection(
    first: Page, network: Proxy, upstream: ScriptedUpstream
) -> None:
    await chat(first)
    await until(has(first, 100))
    assert network.streams == ["POST /ai/chat/stream-sse"]
    assert await whole(first) == TEXT
    assert len(upstream.requests) == 1


async def test_runs_of_one_tab_share_too(
    first: Page, network: Proxy, upstream: ScriptedUpstream
) -> None:
    for _ in range(3):
        await chat(first)
    await until(lambda: network.streams == [LIVE])
    results = await first.evaluate("Promise.all(window.runs.map((run) => run.result()))")
    assert [result["text"] for result in results] == [TEXT] * 3
    assert len(upstream.requests) == 3


async def test_two_tabs_read_the_same_run(
    first: Page, network: Proxy, upstream: ScriptedUpstream
) -> None:
    second = await tab(first, network)
    await chat(first)
    await until(has(first, 40))
    await second.evaluate(_FOLLOW, await first.evaluate("window.run.id"))
    await until(lambda: network.streams == [LIVE])
    assert [await whole(first), await whole(second)] == [TEXT, TEXT]
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("how", ["closed", "stuck", "hidden"])
async def test_a_tab_that_no_longer_leads_is_replaced_and_nothing_is_lost(
    first: Page, network: Proxy, upstream: ScriptedUpstream, how: str
) -> None:
    tabs = [first, await tab(first, network), await tab(first, network)]
    asked: list[Page] = []
    for one in tabs:
        one.on("request", noting(asked, one))
    await asyncio.gather(*(chat(one) for one in tabs))
    await until(lambda: bool(asked) and network.streams == [LIVE])
    leader = asked[-1]
    others = [one for one in tabs if one is not leader]
    stuck: asyncio.Task[Any] | None = None
    if how == "closed":
        await leader.close()
    elif how == "stuck":
        busy = "() => { const end = Date.now() + 3000; while (Date.now() < end); }"
        stuck = asyncio.create_task(leader.evaluate(busy))
    else:
        await leader.evaluate(HIDE, "hidden")
    await until(lambda: asked[-1] is not leader)
    assert [await whole(one) for one in others] == [TEXT, TEXT]
    if stuck is not None:
        await stuck
    if how != "closed":
        assert await whole(leader) == TEXT
    assert len(upstream.requests) == 3


async def test_cuts_of_the_shared_connection_lose_and_double_nothing(
    first: Page, network: Proxy, upstream: ScriptedUpstream
) -> None:
    tabs = [first, await tab(first, network), await tab(first, network)]
    await asyncio.gather(*(chat(one) for one in tabs))
    await until(lambda: network.streams == [LIVE])
    for characters in (150, 300):
        await until(has(first, characters))
        network.cut()
    assert [await whole(one) for one in tabs] == [TEXT] * 3
    assert len(upstream.requests) == 3


async def test_a_run_that_the_leaders_key_does_not_open_has_its_own_connection(
    upstream: ScriptedUpstream,
) -> None:
    other = "sk-another-9876543210"
    keys = f"{KEY},{other}"
    async with (
        KeyedDoor(upstream_url=upstream.url, api_keys=keys) as door,
        Proxy(door.url) as network,
        browser() as open_page,
    ):
        pages: list[Page] = []
        for key in (KEY, other):
            page = await (pages[0].context.new_page() if pages else open_page())
            await page.goto(f"{network.url}/health/live")
            code = 'async (key) => { const { Client } = await import("/client.js");'
            await page.evaluate(f"{code} window.client = new Client({{ key: () => key }}); }}", key)
            pages.append(page)
        await asyncio.gather(*(chat(page) for page in pages))
        assert [await whole(page) for page in pages] == [TEXT, TEXT]
    assert len(upstream.requests) == 2


# Six connections


async def test_with_all_six_connections_taken_a_stop_still_arrives(
    first: Page, network: Proxy, upstream: ScriptedUpstream
) -> None:
    tabs = [await tab(first, network, share=False) for _ in range(6)]
    for one in tabs:
        await chat(one, "hang-mid")
    await until(lambda: len(network.streams) == 6)
    receipt = await tabs[0].evaluate("window.run.stop()")
    assert receipt["outcome"] == "stopped"
    assert receipt["upstreamClosed"]
    result = await tabs[0].evaluate("window.run.result()")
    assert result["finishReason"] == "stopped"
    assert sum(record.closed_by == "peer" for record in upstream.requests) == 1


async def test_a_stop_of_a_run_that_shares_arrives_and_ends_it_alone(
    first: Page, network: Proxy, upstream: ScriptedUpstream
) -> None:
    second = await tab(first, network)
    await chat(first, "hang-mid")
    await chat(second)
    await until(lambda: network.streams == [LIVE])
    receipt = await first.evaluate("window.run.stop()")
    assert receipt["outcome"] == "stopped"
    assert (await first.evaluate("window.run.result()"))["finishReason"] == "stopped"
    assert await whole(second) == TEXT
    assert len(upstream.requests) == 2


# Sleep, and networks that change


@asynccontextmanager
async def hidden(network: Proxy, question: str, *, events: int) -> AsyncGenerator[Page]:
    """A page that is hidden when it has so many events, and has let go of its stream."""
    async with browser() as open_page:
        page = await open_page()
        await page.clock.install()
        await prepare(page, network)
        await chat(page, question)
        await until(has(page, events))
        await page.evaluate(HIDE, "hidden")
        await page.clock.run_for(6000)
        await until(lambda: network.streams == [])
        yield page


async def test_a_hidden_page_lets_go_and_comes_back_by_its_cursor(
    network: Proxy, upstream: ScriptedUpstream
) -> None:
    async with hidden(network, "answer?tokens=150&interval=0.05", events=40) as page:
        seen = await text(page)
        await upstream.until(lambda: upstream.requests[0].events_sent > len(seen) / 4 + 5)
        assert await text(page) == seen
        await page.evaluate(HIDE, "visible")
        assert await whole(page) == TEXT
    assert len(upstream.requests) == 1


async def test_a_stop_in_a_hidden_page_that_has_let_go_ends_its_run_at_once(
    network: Proxy, upstream: ScriptedUpstream
) -> None:
    async with hidden(network, "hang-mid", events=1) as page:
        assert (await page.evaluate("window.run.stop()"))["outcome"] == "stopped"
        await page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=20))
        result = await page.evaluate("window.run.result()")
        assert result["finishReason"] == "stopped"


@pytest.mark.parametrize("event", ["pageshow", "online"])
async def test_a_connection_that_did_not_survive_a_sleep_is_found_out(
    first: Page, network: Proxy, upstream: ScriptedUpstream, event: str
) -> None:
    await chat(first)
    await until(has(first, 40))
    network.freeze("POST")
    await first.evaluate("(name) => window.dispatchEvent(new Event(name))", event)
    assert await whole(first) == TEXT
    assert len(upstream.requests) == 1


async def test_a_browser_that_was_offline_goes_on_at_once(
    first: Page, network: Proxy, upstream: ScriptedUpstream
) -> None:
    await chat(first, "hang-mid")
    await until(has(first, 1))
    await first.context.set_offline(offline=True)
    await first.wait_for_function("window.run.state === 'lost'")
    await first.context.set_offline(offline=False)
    await first.wait_for_function("window.run.state === 'streaming'")
    kinds = await first.evaluate("window.run.events.map((event) => event.type)")
    assert kinds.count("start") == 1
    assert (await first.evaluate("window.run.stop()"))["outcome"] == "stopped"
    assert len(upstream.requests) == 1


# The documentation


async def test_the_examples_of_the_page_on_clients_work(
    upstream: ScriptedUpstream, first: Page, network: Proxy
) -> None:
    iterated, called = blocks(pair("clients")[0], "js")[:2]
    iterated = iterated.replace(
        "import { Client } from", "const { Client } = await import("
    ).replace('client.js";', 'client.js");')
    iterated = iterated.replace("http://localhost:3000", network.url).replace("small", "answer")
    shown = await first.evaluate(
        f"""async () => {{
            const shown = []; const show = (piece) => shown.push(piece);
            {iterated}
            return [shown.join(""), text, finishReason];
        }}"""
    )
    assert shown == [ANSWER, ANSWER, "stop"]
    heard = await first.evaluate(
        f"""async () => {{
            const heard = {{}}; const stopButton = {{}};
            const show = (value) => (heard.text = value);
            const note = (value) => (heard.states ??= []).push(value);
            const log = () => {{}}; const fail = log;
            const done = (value) => (heard.reason = value);
            const {{ client }} = window;
            {called}
            await run.result();
            await stopButton.onclick();
            return heard;
        }}"""
    )
    assert heard["states"] == ["streaming", "over"]
    assert heard["reason"] == "stop"
    assert heard["text"]["outcome"] == "already_finished"


def test_both_languages_have_the_same_examples() -> None:
    english, chinese = (blocks(page, "js") for page in pair("clients"))
    assert english == chinese
