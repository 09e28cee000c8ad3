"""The chat in the page of another site: its button and its panel, in a real Chromium."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Final

import pytest
from playwright.async_api import expect

from support.chat import faults_in_any_light
from support.service import HOLDS, Service
from support.widget import come, somebodys_site, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp

    from stream_serve.testing import ScriptedUpstream
    from support.page import PageFactory
    from support.site import Site

DESK: Final = (1280, 800)
PHONE: Final = (390, 844)
BOUND: Final = 15 * 1024
WHOLE: Final = "Done. 完成！"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with somebodys_site() as running:
        yield running


@pytest.fixture
async def service(upstream: ScriptedUpstream, tmp_path: Path, site: Site) -> AsyncIterator[Service]:
    """Return a service that may be in pages of the site, which has it."""
    database = f"sqlite:///{tmp_path / 'conversations.db'}"
    origin = site.url.rstrip("/")
    running = Service(upstream_url=upstream.url, database_url=database, embed_origins=origin)
    async with running:
        write(site, running.url)
        yield running


@pytest.fixture
async def held_service(upstream: ScriptedUpstream, site: Site) -> AsyncIterator[Service]:
    """Return one that holds its answers."""
    model, origin = "answer?hold=20", site.url.rstrip("/")
    running = Service(upstream_url=upstream.url, model=model, embed_origins=origin, **HOLDS)
    async with running:
        write(site, running.url)
        yield running


async def test_the_widget_is_small_and_any_page_may_load_it(
    service: Service, client: aiohttp.ClientSession
) -> None:
    url = f"{service.url}/widget.js"
    async with client.get(url, headers={"Origin": "https://a.example"}) as response:
        code = await response.read()
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert response.content_type == "text/javascript"
    assert len(code) < BOUND
    assert len(gzip.compress(code)) < BOUND / 3


async def test_the_chat_is_loaded_when_it_is_opened_and_answers(
    service: Service, site: Site, page_context: PageFactory
) -> None:
    hosted = await come(page_context, site)
    entries = await hosted.page.evaluate("history.length")
    await expect(hosted.button).to_have_accessible_name("Chat")
    await expect(hosted.button).to_have_attribute("aria-expanded", "false")
    assert len(hosted.page.frames) == 1
    await hosted.button.click()
    await expect(hosted.button).to_have_attribute("aria-expanded", "true")
    await expect(hosted.panel).to_have_accessible_name("Chat")
    await expect(hosted.box).to_be_focused()
    await hosted.ask("Hello")
    await expect(hosted.chat.get_by_role("article").last).to_contain_text(WHOLE)
    # It is the same chat after it was closed; what one does in it is no step of the page around.
    await hosted.button.click()
    await expect(hosted.panel).to_be_hidden()
    await hosted.button.click()
    await hosted.ask("Once more")
    await expect(hosted.chat.get_by_role("article")).to_have_count(4)
    await expect(hosted.chat.get_by_role("article").last).to_contain_text(WHOLE)
    await hosted.chat.get_by_role("button", name="Open the conversations").click()
    await hosted.chat.get_by_role("button", name="New conversation").click()
    await expect(hosted.chat.get_by_role("article")).to_have_count(0)
    assert await hosted.page.evaluate("history.length") == entries


async def test_esc_stops_the_answer_then_closes_the_panel_and_the_focus_comes_back(
    held_service: Service, site: Site, page_context: PageFactory, upstream: ScriptedUpstream
) -> None:
    hosted = await come(page_context, site)
    await hosted.button.press("Enter")
    await expect(hosted.box).to_be_focused()
    await hosted.ask("Hello")
    await expect(hosted.chat.get_by_role("article").last).to_contain_text("你好！")
    await hosted.page.keyboard.press("Escape")
    await upstream.wait_for(lambda record: record.closed_by == "peer")
    await expect(hosted.chat.get_by_role("button", name="Send")).to_be_visible()
    await expect(hosted.panel).to_be_visible()
    await hosted.page.keyboard.press("Escape")
    await expect(hosted.panel).to_be_hidden()
    await expect(hosted.button).to_be_focused()
    await expect(hosted.button).to_have_attribute("aria-expanded", "false")
    await hosted.page.keyboard.press("Enter")
    await expect(hosted.box).to_be_focused()
    close = hosted.page.get_by_role("button", name="Close the chat")
    await close.press("Escape")
    await expect(hosted.button).to_be_focused()
    await hosted.page.keyboard.press("Enter")
    await close.click()
    await expect(hosted.button).to_be_focused()


async def test_an_answer_goes_on_while_the_panel_is_closed(
    upstream: ScriptedUpstream, site: Site, page_context: PageFactory
) -> None:
    model, origin = "answer?hold=20", site.url.rstrip("/")
    async with Service(
        upstream_url=upstream.url, model=model, embed_origins=origin, **HOLDS
    ) as service:
        write(site, service.url)
        hosted = await come(page_context, site)
        await hosted.button.click()
        await hosted.ask("Hello")
        await expect(hosted.chat.get_by_role("article").last).to_contain_text("你好！")
        await hosted.button.click()
        await expect(hosted.panel).to_be_hidden()
        upstream.release()
        await upstream.wait_for(lambda record: record.closed_by is not None)
        await hosted.button.click()
        await expect(hosted.chat.get_by_role("article").last).to_contain_text(WHOLE)


async def test_a_page_opens_it_by_a_button_of_its_own_and_has_the_focus_back(
    service: Service, site: Site, page_context: PageFactory
) -> None:
    ask = '<button type="button" onclick="StreamServe.open()">Ask us</button>'
    write(site, service.url, attributes='data-button="none" data-title="Help"', head=ask)
    hosted = await come(page_context, site)
    own = hosted.page.get_by_role("button", name="Ask us")
    await expect(hosted.page.get_by_role("button")).to_have_count(1)
    await own.click()
    await expect(hosted.panel).to_have_accessible_name("Help")
    await expect(hosted.box).to_be_focused()
    await hosted.page.keyboard.press("Escape")
    await expect(hosted.panel).to_be_hidden()
    await expect(own).to_be_focused()
    await hosted.page.evaluate("StreamServe.open()")
    await expect(hosted.box).to_be_focused()
    await hosted.page.get_by_role("link").focus()
    await hosted.page.evaluate("StreamServe.close()")
    await expect(hosted.panel).to_be_hidden()
    await expect(hosted.page.get_by_role("link")).to_be_focused()  # who had left it stays


async def test_the_script_says_where_it_is_in_which_language_and_colours(
    service: Service, site: Site, page_context: PageFactory
) -> None:
    attributes = 'data-position="left" data-lang="zh-CN" data-theme="dark"'
    write(site, service.url, attributes=attributes)
    hosted = await come(page_context, site)
    await hosted.button.click()
    await expect(hosted.panel).to_have_accessible_name("聊天")
    root = hosted.chat.locator("html")
    await expect(root).to_have_attribute("lang", "zh-CN")
    for part in (root, hosted.panel):
        await expect(part).to_have_css("background-color", "rgb(22, 24, 27)")
    for part in (hosted.button, hosted.panel):
        box = await part.bounding_box()
        assert box is not None
        assert box["x"] == 20
    # What a reader has chosen counts more.
    await hosted.chat.get_by_role("button", name="打开对话列表").click()
    await hosted.chat.get_by_role("button", name="设置").click()
    await hosted.chat.get_by_label("颜色").select_option("light")
    await expect(root).to_have_css("background-color", "rgb(255, 255, 255)")


async def test_on_a_phone_it_covers_the_page_and_on_a_desk_it_is_beside_it(
    service: Service, site: Site, page_context: PageFactory
) -> None:
    hosted = await come(page_context, site, viewport=PHONE)
    page = hosted.page
    await hosted.button.click()
    await expect(hosted.box).to_be_visible()
    await hosted.box.fill("half a question")
    assert await hosted.panel.bounding_box() == {"x": 0, "y": 0, "width": 390, "height": 844}
    reach = "() => { const a = document.querySelector('main a'); a.focus(); return a.matches(':focus') }"
    assert await page.evaluate(reach) is False
    await page.set_viewport_size({"width": 1280, "height": 800})
    await expect(hosted.panel).to_have_css("width", "420px")
    await page.wait_for_function(reach)  # a page hears of its size after it is laid out anew
    await expect(hosted.box).to_have_value("half a question")
    await page.set_viewport_size({"width": 844, "height": 390})
    await expect(hosted.panel).to_have_css("width", "844px")
    await page.get_by_role("button", name="Close the chat").click()
    await expect(hosted.panel).to_be_hidden()
    await page.wait_for_function(reach)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("viewport", [DESK, PHONE])
async def test_axe_finds_no_fault_in_the_page_around_the_button_the_panel_and_the_chat(
    service: Service,
    site: Site,
    page_context: PageFactory,
    viewport: tuple[int, int],
    lang: str,
) -> None:
    write(site, service.url, lang=lang)
    hosted = await come(page_context, site, viewport=viewport)
    assert await faults_in_any_light(hosted.page) == []
    await hosted.button.click()
    await expect(hosted.chat.locator("#message")).to_be_visible()
    assert await faults_in_any_light(hosted.page) == []
    await hosted.chat.locator("#message").fill("Hello")
    await hosted.chat.locator("#message").press("Control+Enter")
    await expect(hosted.chat.get_by_role("article").last).to_contain_text(WHOLE)
    assert await faults_in_any_light(hosted.page) == []


async def test_a_page_that_may_not_have_the_chat_says_so_in_words(
    upstream: ScriptedUpstream, site: Site, page_context: PageFactory
) -> None:
    async with Service(upstream_url=upstream.url, embed_origins="https://app.example") as service:
        write(site, service.url)
        hosted = await come(page_context, site, refused="(Framing|Refused)")
        await hosted.button.click()
        await expect(hosted.panel.get_by_role("status")).to_have_text("The chat is opening…")
        said = hosted.panel.get_by_role("alert")
        await expect(said).to_contain_text("The chat cannot be shown here.", timeout=60_000)
        origin = site.url.rstrip("/")
        await expect(said).to_contain_text(f"allow it: {origin} in STREAM_SERVE_EMBED_ORIGINS")
        await expect(hosted.page.locator("iframe")).to_be_hidden()
        assert await faults_in_any_light(hosted.page) == []
        alone = hosted.panel.get_by_role("link", name="Open the chat in a window of its own")
        await expect(alone).to_have_attribute("href", f"{service.url}/")
        await hosted.panel.get_by_role("button", name="Try again").click()
        await expect(hosted.panel.get_by_role("status")).to_be_visible()
