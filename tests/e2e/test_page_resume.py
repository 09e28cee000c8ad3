"""The debug page when its tab is reloaded or doubled."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from stream_serve.testing import ANSWER
from support.answering import SLOW, has_every_number, is_whole, under_way
from support.client import ask
from support.page import Debugger, visit
from support.service import Service

if TYPE_CHECKING:
    import aiohttp

    from stream_serve.testing import ScriptedUpstream
    from support.page import KeyedService, PageFactory
    from support.page import Service as Reachable


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
    await has_every_number(second, sum(map(bool, await first.column("id"))))
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
