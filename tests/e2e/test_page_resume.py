"""The debug page when its tab is reloaded, doubled, or loses the network: the run goes on."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest
from playwright.async_api import expect

from stream_serve.testing import ANSWER, pieces
from support.client import ask
from support.page import PATIENCE, Debugger, visit
from support.proxy import Proxy
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp
    from playwright.async_api import Route

    from stream_serve.testing import ScriptedUpstream
    from support.page import KeyedService, PageFactory
    from support.page import Service as Reachable

TOKENS: Final = 150
SLOW: Final = f"answer?tokens={TOKENS}&interval=0.02"
TEXT: Final = "".join(pieces(ANSWER, size=4, tokens=TOKENS))


@pytest.fixture
async def network(service: Service) -> AsyncIterator[Proxy]:
    """A network to the service that can be cut."""
    async with Proxy(service.url) as proxy:
        yield proxy


async def under_way(debugger: Debugger, characters: int = 40) -> None:
    """Wait until a part of the answer is shown."""
    some = re.compile(rf".{{{characters}}}", re.DOTALL)
    await expect(debugger.answer).to_contain_text(some, timeout=PATIENCE)


async def is_whole(debugger: Debugger) -> None:
    """Wait for the end of `SLOW`; nothing of it is missing, and nothing is there twice."""
    await debugger.reaches("finished")
    assert await debugger.answer.text_content() == TEXT
    await has_every_number(debugger, TOKENS + 2)


async def has_every_number(debugger: Debugger, count: int) -> None:
    numbers = [number for number in await debugger.column("id") if number]
    assert numbers == [str(number) for number in range(1, count + 1)]
    await expect(debugger.page.locator("#events-skipped")).to_be_hidden()


async def follower(debugger: Debugger, page_context: PageFactory, service: Reachable) -> Debugger:
    """Open the page's link to its run in a browser that knows nothing else of it."""
    link = debugger.page.locator("#follow-link")
    await expect(link).to_be_visible()
    path = await link.get_attribute("href") or ""
    assert re.fullmatch(r"/test-stream\.html#run=[A-Za-z0-9_-]{22}", path)
    page = await page_context(locale="zh-CN")
    await page.goto(f"{service.url}{path}")
    return Debugger(page)


# A reload


async def test_a_reload_in_the_middle_shows_the_whole_answer_of_the_one_run(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.send(SLOW, "重新加载")
    await under_way(debugger)
    await debugger.page.reload()
    await expect(debugger.page.locator("#message")).to_have_value("重新加载")
    await expect(debugger.page.locator("#model")).to_have_value(SLOW)
    await debugger.reaches("streaming")
    await expect(debugger.page.locator("#reading")).to_contain_text("本次读取")
    await is_whole(debugger)
    assert len(upstream.requests) == 1


async def test_reloads_in_a_row_lose_nothing(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.send(SLOW)
    await under_way(debugger)
    for _ in range(4):
        await debugger.page.reload()
        await under_way(debugger, 60)
    await is_whole(debugger)
    assert len(upstream.requests) == 1


async def test_a_run_reloaded_before_its_first_token_can_be_stopped(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.send("silent")
    await expect(debugger.rows).to_have_count(1)
    await upstream.until(lambda: len(upstream.requests) == 1)
    await debugger.page.reload()
    await debugger.reaches("waiting")
    await expect(debugger.stop).to_be_enabled()
    await debugger.stop.click()
    await debugger.reaches("stopped")
    await expect(debugger.receipt).to_contain_text("已关闭")
    await expect(debugger.mark).to_be_visible()
    assert [record.closed_by for record in upstream.requests] == ["peer"]


async def test_thinking_is_shown_again_after_a_reload(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.send("thinking?thought=THOUGHT&text=ANSWER")
    await debugger.reaches("finished")
    await debugger.page.reload()
    await debugger.reaches("finished")
    await expect(debugger.page.locator("#thinking-text")).to_have_text("THOUGHT")
    await expect(debugger.answer).to_have_text("ANSWER")


async def test_a_finished_run_is_shown_again_after_a_reload(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.send("answer?tokens=5")
    await debugger.reaches("finished")
    text = await debugger.answer.text_content()
    await debugger.page.reload()
    await debugger.reaches("finished")
    assert await debugger.answer.text_content() == text
    await has_every_number(debugger, 7)
    await expect(debugger.page.locator("#outcome")).to_contain_text("(stop)")
    await expect(debugger.start).to_be_enabled()
    assert len(upstream.requests) == 1


async def test_a_run_that_the_service_forgot_is_forgotten_by_the_page_too(
    upstream: ScriptedUpstream, page_context: PageFactory, client: aiohttp.ClientSession
) -> None:
    async with Service(upstream_url=upstream.url, max_kept_runs=1) as service:
        debugger = await visit(page_context, service)
        await debugger.send("answer?tokens=2", "还在吗")
        await debugger.reaches("finished")
        async with ask(client, service.url, model="answer?tokens=1") as other:
            await other.rest()
        await debugger.page.reload()
        await expect(debugger.status).to_contain_text("不再保留")
        await debugger.reaches("ready")
        await expect(debugger.failure).to_be_hidden()
        await expect(debugger.page.locator("#message")).to_have_value("还在吗")
        await debugger.page.reload()
        await expect(debugger.status).to_have_text("就绪")


async def test_a_new_message_takes_the_place_of_the_remembered_run(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.send("echo", "first")
    await debugger.reaches("finished")
    await debugger.page.reload()
    await expect(debugger.answer).to_have_text("first")
    await debugger.send("echo", "second")
    await expect(debugger.answer).to_have_text("second")
    await debugger.reaches("finished")
    await expect(debugger.page.locator("#reading")).to_be_hidden()
    await debugger.page.reload()
    await expect(debugger.answer).to_have_text("second")


async def test_neither_the_text_nor_the_key_is_kept_with_the_run(
    keyed_service: KeyedService, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, keyed_service)
    await debugger.page.get_by_label("API 密钥").fill(keyed_service.key)
    await debugger.send("answer?tokens=5")
    await debugger.reaches("finished")
    kept = await debugger.page.evaluate("sessionStorage.getItem('stream-serve.run')")
    assert "answer?tokens=5" in kept
    assert keyed_service.key not in kept
    assert ANSWER[:4] not in kept
    await debugger.page.reload()
    await debugger.reaches("finished")


# A second tab


async def test_a_second_tab_follows_live_and_sees_the_stop_of_the_first(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    first = await visit(page_context, service)
    await first.send("answer?tokens=2000&interval=0.02")
    await under_way(first)
    second = await follower(first, page_context, service)
    await second.reaches("streaming")
    await under_way(second, 80)
    await first.stop.click()
    await second.reaches("stopped")
    await first.reaches("stopped")
    await expect(second.mark).to_be_visible()
    await expect(second.receipt).to_be_hidden()
    await expect(first.receipt).to_be_visible()
    assert await second.answer.text_content() == await first.answer.text_content()
    await has_every_number(second, await first.rows.count())
    assert [record.closed_by for record in upstream.requests] == ["peer"]


async def test_a_stop_in_the_second_tab_is_seen_in_the_first(
    service: Service, page_context: PageFactory
) -> None:
    first = await visit(page_context, service)
    await first.send("hang-mid")
    await expect(first.rows).to_have_count(4)
    second = await follower(first, page_context, service)
    await expect(second.rows).to_have_count(4)
    await second.stop.click()
    await first.reaches("stopped")
    await expect(first.mark).to_be_visible()
    await expect(first.receipt).to_be_hidden()
    await expect(second.receipt).to_contain_text("已关闭")


async def test_the_link_opens_a_tab_of_the_same_browser(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    first = await visit(page_context, service)
    await first.send(SLOW)
    async with first.page.context.expect_page() as opening:
        await first.page.get_by_role("link", name="在另一个标签页中跟随").click()
    second = Debugger(await opening.value)
    await is_whole(second)
    await is_whole(first)
    assert len(upstream.requests) == 1


async def test_the_first_tab_may_go_while_the_second_follows(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    first = await visit(page_context, service)
    await first.send(SLOW)
    await under_way(first)
    second = await follower(first, page_context, service)
    await under_way(second)
    await first.page.close()
    await is_whole(second)
    assert len(upstream.requests) == 1


async def test_a_message_in_a_following_tab_starts_a_run_of_its_own(
    service: Service, page_context: PageFactory
) -> None:
    first = await visit(page_context, service)
    await first.send("echo", "theirs")
    await first.reaches("finished")
    second = await follower(first, page_context, service)
    await expect(second.answer).to_have_text("theirs")
    await second.send("echo", "mine")
    await expect(second.answer).to_have_text("mine")
    await second.reaches("finished")
    assert "#" not in second.page.url
    await second.page.reload()
    await expect(second.answer).to_have_text("mine")


@pytest.mark.parametrize("name", ["AAAAAAAAAAAAAAAAAAAAAA", "..", "short", "%3Cb%3E"])
async def test_an_address_that_names_no_run_is_said_quietly(
    service: Service, page_context: PageFactory, name: str
) -> None:
    page = await page_context(locale="zh-CN")
    await page.goto(f"{service.url}/test-stream.html#run={name}")
    debugger = Debugger(page)
    await expect(debugger.status).to_contain_text("不再保留")
    await expect(debugger.failure).to_be_hidden()
    await expect(debugger.start).to_be_enabled()


async def test_a_following_tab_asks_for_the_key_and_then_follows(
    keyed_service: KeyedService, page_context: PageFactory
) -> None:
    first = await visit(page_context, keyed_service)
    await first.page.get_by_label("API 密钥").fill(keyed_service.key)
    await first.send("hang-mid")
    await expect(first.rows).to_have_count(4)
    second = await follower(first, page_context, keyed_service)
    await second.reaches("failed")
    key = second.page.get_by_label("API 密钥")
    await expect(key).to_be_focused()
    await key.fill(keyed_service.key)
    await key.press("Tab")
    await expect(second.rows).to_have_count(4)
    await second.reaches("streaming")


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
        async with ask(client, service.url, **json.loads(route.request.post_data or "")) as stream:
            lost.append(stream.run_id)
            stream.drop()
        await route.abort("connectionreset")

    await debugger.page.route("**/ai/chat/stream-sse", lose)
    await debugger.send(SLOW)
    await is_whole(debugger)
    await expect(debugger.page.locator("#outcome")).to_contain_text(lost[0])
    assert len(upstream.requests) == 1


async def test_a_start_that_fails_twice_is_a_network_error(
    network: Proxy, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, network)
    starts: list[str] = []
    debugger.page.on(
        "request",
        lambda request: (
            starts.append(request.post_data or "") if request.method == "POST" else None
        ),
    )
    network.down()
    await debugger.send("answer")
    await debugger.reaches("failed")
    await expect(debugger.failure).to_contain_text("网络错误")
    await expect(debugger.start).to_be_enabled()
    assert len(starts) == 2
    assert starts[0] == starts[1]
    assert upstream.requests == []


async def test_a_stop_without_a_network_is_delivered_when_it_is_back(
    network: Proxy, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, network)
    await debugger.send("hang-mid")
    await expect(debugger.rows).to_have_count(4)
    network.down()
    await debugger.reaches("lost")
    await debugger.stop.click()
    await debugger.reaches("stopped")
    await expect(debugger.receipt).to_contain_text("还没有送达")
    assert upstream.requests[0].closed_by is None
    network.up()
    await expect(debugger.receipt).to_contain_text("已关闭", timeout=PATIENCE)
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
