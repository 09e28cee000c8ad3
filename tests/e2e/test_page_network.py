"""The debug page when it loses its connection, or the whole network."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest
from playwright.async_api import expect

from support.answering import SLOW, has_every_number, is_whole, under_way
from support.client import ask
from support.page import visit
from support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp
    from playwright.async_api import Route

    from stream_serve.testing import ScriptedUpstream
    from support.page import PageFactory
    from support.service import Service


HIDE: Final = """() => {
    Object.defineProperty(document, "visibilityState", { get: () => "hidden", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture
async def network(service: Service) -> AsyncIterator[Proxy]:
    """A network to the service that can be cut."""
    async with Proxy(service.url) as proxy:
        yield proxy


# A network that goes and comes back


async def test_a_cut_connection_heals_without_a_gap_or_a_repetition(
    network: Proxy, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, network)
    cursors: list[int] = []
    debugger.page.on(
        "request",
        lambda request: (
            cursors.append(int(request.headers.get("last-event-id", 0)))
            if request.url.endswith("/events")
            else None
        ),
    )
    await debugger.send(SLOW)
    for characters in (40, 120, 200):
        await under_way(debugger, characters)
        network.cut()
    await is_whole(debugger)
    assert cursors == sorted(cursors)
    assert cursors[0] > 1
    assert "resumed" in await debugger.column("type")
    await expect(debugger.page.locator("#lost")).to_be_hidden()
    await expect(debugger.failure).to_be_hidden()
    assert len(upstream.requests) == 1


async def test_a_lost_network_is_shown_and_the_page_heals_when_it_is_back(
    network: Proxy, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, network)
    await debugger.send(SLOW)
    await under_way(debugger)
    network.down()
    await debugger.reaches("lost")
    await expect(debugger.status).to_have_text("连接断开，正在重新连接…")
    await expect(debugger.page.locator("#lost")).to_be_visible()
    await expect(debugger.stop).to_be_enabled()
    before = await debugger.answer.text_content() or ""
    async with debugger.page.expect_event("requestfailed"):
        pass  # it tries, and is not discouraged
    assert await debugger.answer.text_content() == before
    network.up()
    await is_whole(debugger)
    await expect(debugger.page.locator("#lost")).to_be_hidden()
    assert len(upstream.requests) == 1


async def test_going_offline_and_online_in_the_browser_heals(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.send("hang-mid")
    await expect(debugger.rows).to_have_count(4)
    await debugger.page.context.set_offline(offline=True)
    await debugger.reaches("lost")
    await debugger.page.context.set_offline(offline=False)
    await debugger.reaches("streaming")
    await expect(debugger.page.locator("#lost")).to_be_hidden()
    await has_every_number(debugger, 4)
    assert len(upstream.requests) == 1
    await debugger.stop.click()
    await debugger.reaches("stopped")
    await expect(debugger.receipt).to_contain_text("已关闭")


async def test_online_ends_the_pause_at_once(network: Proxy, page_context: PageFactory) -> None:
    debugger = await visit(page_context, network)
    page = debugger.page
    await page.clock.install()
    await debugger.send("hang-mid")
    await expect(debugger.rows).to_have_count(4)
    await page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=2))
    network.down()
    await debugger.reaches("lost")
    network.up()
    await page.evaluate("window.dispatchEvent(new Event('online'))")
    await debugger.reaches("streaming")


async def test_a_connection_that_is_open_in_name_only_is_found_out(
    network: Proxy, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, network)
    await debugger.send(SLOW)
    await under_way(debugger)
    network.freeze("POST")
    await debugger.page.evaluate("window.dispatchEvent(new Event('online'))")
    await is_whole(debugger)
    assert len(upstream.requests) == 1


async def test_a_hidden_page_goes_on_reading(network: Proxy, page_context: PageFactory) -> None:
    debugger = await visit(page_context, network)
    page = debugger.page
    await page.clock.install()
    await debugger.send(SLOW)
    await under_way(debugger)
    await page.evaluate(HIDE)
    await page.clock.run_for(6000)
    await is_whole(debugger)
    assert "resumed" not in await debugger.column("type")


async def test_a_start_whose_answer_was_lost_is_repeated_and_starts_one_run(
    service: Service,
    upstream: ScriptedUpstream,
    page_context: PageFactory,
    client: aiohttp.ClientSession,
) -> None:
    debugger = await visit(page_context, service)
    lost: list[str] = []

    async def lose(route: Route) -> None:
        if lost:
            await route.continue_()
            return
        body = json.loads(route.request.post_data or "")
        key = route.request.headers["idempotency-key"]
        async with ask(client, service.url, runId=key, **body) as stream:
            lost.append(stream.run_id)
            stream.drop()
        await route.abort("connectionreset")

    await debugger.page.route("**/ai/chat/stream-sse", lose)
    await debugger.send(SLOW)
    await is_whole(debugger)
    await expect(debugger.page.locator("#outcome")).to_contain_text(lost[0])
    assert len(upstream.requests) == 1


async def test_a_start_that_cannot_be_made_is_soon_a_network_error(
    network: Proxy, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, network)
    starts: list[tuple[str, str | None]] = []
    debugger.page.on(
        "request",
        lambda request: (
            starts.append((request.headers["idempotency-key"], request.post_data))
            if request.method == "POST"
            else None
        ),
    )
    network.down()
    await debugger.send("answer")
    await debugger.reaches("failed")
    await expect(debugger.failure).to_contain_text("网络错误")
    await expect(debugger.start).to_be_enabled()
    assert len(starts) > 1
    assert len(set(starts)) == 1
    assert upstream.requests == []


async def test_a_stop_without_a_network_is_called_unconfirmed_until_it_is_delivered(
    network: Proxy, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, network)
    await debugger.send("hang-mid")
    await expect(debugger.rows).to_have_count(4)
    network.down()
    await debugger.reaches("lost")
    await debugger.stop.click()
    await debugger.reaches("unconfirmed")
    await expect(debugger.status).to_have_text("正在停止，尚未确认")
    await expect(debugger.mark).to_have_text("[正在停止，尚未确认]")
    await expect(debugger.receipt).to_contain_text("还没有送达")
    assert upstream.requests[0].closed_by is None
    network.up()
    await debugger.reaches("stopped")
    await expect(debugger.status).to_have_text("已停止")
    await expect(debugger.mark).to_have_text("[用户停止生成]")
    await expect(debugger.receipt).to_contain_text("已关闭")
    assert upstream.requests[0].closed_by == "peer"


async def test_a_lost_run_that_cannot_be_resumed_is_a_cut_and_no_success(
    network: Proxy, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, network)
    await debugger.send(SLOW)
    await under_way(debugger)

    async def forget(route: Route) -> None:
        await route.fulfill(status=404, json={"title": "No such run", "code": "run_not_found"})

    await debugger.page.route("**/ai/runs/*/events", forget)
    network.cut()
    await debugger.reaches("cut")
    await expect(debugger.failure).to_contain_text("可能不完整")
    await expect(debugger.failure).to_contain_text("不再保留")
    await expect(debugger.page.locator("#lost")).to_be_hidden()
    await expect(debugger.start).to_be_enabled()


async def test_events_that_come_twice_are_shown_once(
    network: Proxy, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, network)

    async def from_the_beginning(route: Route) -> None:
        headers = {**route.request.headers}
        assert int(headers.pop("last-event-id")) > 0
        await route.continue_(headers=headers)

    await debugger.page.route("**/ai/runs/*/events", from_the_beginning)
    await debugger.send(SLOW)
    await under_way(debugger)
    network.cut()
    await is_whole(debugger)
    assert len(upstream.requests) == 1


async def test_many_cuts_in_one_answer_leave_it_whole(
    network: Proxy, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, network)
    online = "setInterval(() => window.dispatchEvent(new Event('online')), 10)"
    await debugger.page.evaluate(online)
    await debugger.send(SLOW)
    for cuts in range(1, 21):
        await under_way(debugger, 20 * cuts)
        network.cut()
    await is_whole(debugger)
    assert len(upstream.requests) == 1
