"""The debug page for everyone: keyboard and screen reader, both languages, every window."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from fastapi import FastAPI
from playwright.async_api import expect

from stream_serve import ChatRequest, Streams
from support.host import serving
from support.page import Debugger, visit

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from support.page import PageFactory, Service


# Keyboard and screen readers


async def test_control_enter_sends_and_escape_stops(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.fill("hang-mid", "one line")
    await debugger.page.keyboard.press("Enter")
    await expect(debugger.page.locator("#message")).to_have_value("one line\n")
    await expect(debugger.status).to_have_text("就绪")
    await debugger.page.keyboard.press("Control+Enter")
    await expect(debugger.answer).not_to_be_empty()
    await debugger.page.keyboard.press("Escape")
    await debugger.reaches("stopped")
    await expect(debugger.page.locator("#message")).to_be_focused()


async def test_the_focus_goes_from_button_to_button_and_is_not_lost(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.fill("hang-mid")
    await debugger.start.focus()
    await debugger.page.keyboard.press("Enter")
    await expect(debugger.stop).to_be_focused()
    await expect(debugger.answer).not_to_be_empty()
    await debugger.page.keyboard.press("Enter")
    await debugger.reaches("stopped")
    await expect(debugger.start).to_be_focused()


async def test_only_the_status_line_is_announced(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    live = debugger.page.locator("[aria-live], [role=status], [role=alert], [role=log]")
    await expect(live).to_have_count(1)
    await expect(debugger.status).to_have_text("就绪")
    await debugger.send("hang-mid")
    await expect(debugger.answer).not_to_be_empty()
    await expect(debugger.status).to_have_text("已开始，正在接收…")


async def test_every_field_and_button_has_a_name(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    names: dict[Literal["textbox", "switch", "button", "region", "tab"], tuple[str, ...]] = {
        "textbox": ("消息", "系统提示词", "模型"),
        "switch": ("思考",),
        "button": ("开始聊天", "停止生成", "复制回答"),
        "region": ("请求", "回答", "事件检查器"),
        "tab": ("事件", "原始字节", "curl"),
    }
    for role, all_of_it in names.items():
        for name in all_of_it:
            found = debugger.page.get_by_role(role, name=name, exact=True)
            assert await found.count() > 0, f"{role} {name}"


async def test_the_tabs_go_by_arrow_keys(service: Service, page_context: PageFactory) -> None:
    debugger = await visit(page_context, service)
    page = debugger.page
    await page.get_by_role("tab", name="事件").focus()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("tab", name="原始字节")).to_be_focused()
    await expect(page.locator("#panel-raw")).to_be_visible()
    await expect(page.locator("#panel-events")).to_be_hidden()
    await page.keyboard.press("End")
    await expect(page.locator("#panel-curl")).to_be_visible()
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("#panel-events")).to_be_visible()


# Languages


async def test_the_language_is_the_browsers_until_another_is_chosen_and_remembered(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service, locale="zh-CN")
    page = debugger.page
    await expect(debugger.start).to_contain_text("开始聊天")
    await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    await expect(page).to_have_title("stream-serve · 流式调试")

    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    await expect(page.get_by_role("button", name="Stop generating")).to_be_visible()
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await expect(page).to_have_title("stream-serve · Stream debugger")

    await page.reload()
    await expect(debugger.start).to_contain_text("Start")


async def test_a_browser_in_another_language_gets_english(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service, locale="fr-FR")
    await expect(debugger.start).to_contain_text("Start")


async def test_what_is_already_shown_changes_language_too(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.send("hang-mid")
    await expect(debugger.answer).not_to_be_empty()
    text = await debugger.answer.text_content() or ""
    await debugger.stop.click()
    await expect(debugger.receipt).to_contain_text("停止回执")
    await debugger.page.get_by_role("button", name="English").click()
    await expect(debugger.receipt).to_contain_text("Stop receipt")
    await expect(debugger.mark).to_have_text("[stopped by the user]")
    await expect(debugger.status).to_have_text("Stopped")
    await expect(debugger.answer).to_have_text(text)


# How it looks


async def test_a_phone_has_no_sideways_scroll(service: Service, page_context: PageFactory) -> None:
    debugger = await visit(page_context, service, viewport=(360, 740))
    assert await debugger.overflow() == 0
    await debugger.send("echo", "x" * 3000 + "\n" + "https://example.test/" + "a-b/" * 400)
    await debugger.reaches("finished")
    for tab in ("curl", "原始字节", "事件"):
        await debugger.page.get_by_role("tab", name=tab).click()
        assert await debugger.overflow() == 0, tab
    await debugger.page.get_by_role("button", name="English").click()
    assert await debugger.overflow() == 0


async def test_wide_windows_have_two_columns_and_narrow_ones_have_one(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service, viewport=(1280, 800))

    async def left(selector: str) -> float:
        box = await debugger.page.locator(selector).bounding_box()
        assert box is not None
        return box["x"]

    assert await left(".inspector") > await left(".answer-card")
    await debugger.page.set_viewport_size({"width": 390, "height": 844})
    assert await left(".inspector") == await left(".answer-card")


async def test_light_and_dark_follow_the_system(
    service: Service, page_context: PageFactory
) -> None:
    brightness: dict[str, int] = {}
    for scheme in ("light", "dark"):
        debugger = await visit(page_context, service, color_scheme=scheme)
        colour = await debugger.page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness[scheme] = sum(int(part) for part in re.findall(r"\d+", colour)[:3])
    assert brightness["dark"] < 150
    assert brightness["light"] > 600


async def test_the_colours_chosen_on_the_chat_page_hold_here_too(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service, color_scheme="light")
    page = debugger.page
    await page.evaluate("localStorage.setItem('stream-serve.theme', 'dark')")
    await page.reload()
    await expect(page.locator("body")).to_have_css("background-color", "rgb(15, 20, 19)")
    line = "getComputedStyle(document.getElementById('chart')).getPropertyValue('--line')"
    assert await page.evaluate(line) == "rgb(42, 52, 49)"


# Where it is


async def test_the_debug_page_works_below_a_prefix(page_context: PageFactory) -> None:
    streams = Streams.memory()

    @streams.chat
    async def answer(request: ChatRequest) -> AsyncGenerator[str]:
        yield request.question

    app = FastAPI(lifespan=streams.lifespan)
    app.mount("/any/where", streams.routes())
    async with serving(app) as url:
        page = await page_context(locale="en-US")
        await page.goto(f"{url}/any/where/test-stream.html")
        debugger = Debugger(page)
        await debugger.send("", "below")
        await debugger.reaches("finished")
        await expect(debugger.answer).to_have_text("below")
        command = page.locator("#curl")
        await expect(command).to_contain_text(f"{url}/any/where/ai/chat/stream-sse")
        await page.reload()
        await expect(debugger.answer).to_have_text("below")
