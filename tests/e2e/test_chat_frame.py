"""The chat page's frame in a real Chromium: every window, both languages and schemes, keys alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from playwright.async_api import expect

from support.chat import visit
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp

    from stream_serve.testing import ScriptedUpstream
    from support.page import KeyedService, PageFactory

DESK: Final = (1440, 900)
PHONE: Final = (390, 844)
TITLES: Final = ["Resume by cursor", "流式回答的断线续传怎么做", "x" * 200]


@pytest.fixture
async def service(upstream: ScriptedUpstream, tmp_path: Path) -> AsyncIterator[Service]:
    """Return a service that keeps conversations."""
    database = f"sqlite:///{tmp_path / 'conversations.db'}"
    async with Service(upstream_url=upstream.url, database_url=database) as running:
        yield running


@pytest.fixture
async def ids(service: Service, client: aiohttp.ClientSession) -> list[str]:
    """Return the ids of some conversations, the newest last."""
    made: list[str] = []
    for title in TITLES:
        async with client.post(f"{service.url}/ai/conversations", json={"title": title}) as got:
            made.append((await got.json())["id"])
    return made


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("viewport", [DESK, PHONE])
async def test_axe_finds_no_fault_in_any_state_of_the_frame(
    service: Service,
    ids: list[str],
    page_context: PageFactory,
    viewport: tuple[int, int],
    locale: str,
) -> None:
    chat = await visit(page_context, service, viewport=viewport, locale=locale)
    page = chat.page
    assert await chat.faults_in_any_light() == []
    if viewport == PHONE:
        await page.locator("#open-side").click()
    await expect(chat.titles).to_have_count(len(TITLES))
    assert await chat.faults_in_any_light() == []
    await page.locator(".row button").first.click()
    await expect(page.get_by_role("menu")).to_be_visible()
    assert await chat.faults_in_any_light() == []
    await page.keyboard.press("Escape")
    await page.locator("#search").fill("cursor")
    await expect(page.locator("mark")).to_have_count(1)
    assert await chat.faults_in_any_light() == []
    await page.locator("#search").press("Escape")
    for dialog, index in (("#settings", 0), ("#help", 1)):
        await page.locator(".side .foot button").nth(index).click()
        await expect(page.locator(dialog)).to_be_visible()
        assert await chat.faults_in_any_light() == []
        await page.keyboard.press("Escape")
        await expect(page.locator(dialog)).to_be_hidden()


async def test_nothing_is_wider_than_the_window(
    service: Service, ids: list[str], page_context: PageFactory
) -> None:
    for width, wide in {320: 281.6, 390: 320, 768: 320, 1440: 272, 1920: 304}.items():
        chat = await visit(page_context, service, f"/c/{ids[2]}", viewport=(width, 700))
        side = chat.page.locator("#side")
        await expect(chat.heading).to_have_text(TITLES[2])
        assert await chat.overflow() == 0
        if width < 900:
            await expect(side).to_be_hidden()
            await chat.button("Open the conversations").click()
        await expect(side).to_be_visible()
        box = await side.bounding_box()
        assert box is not None
        assert box["width"] == pytest.approx(wide, abs=1)
        assert await chat.overflow() == 0


async def test_a_conversation_has_an_address_that_back_and_reload_lead_to(
    service: Service, ids: list[str], page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    await expect(chat.heading).to_have_text("New conversation")
    await chat.link(TITLES[0]).click()
    await expect(chat.page).to_have_url(f"{service.url}/c/{ids[0]}")
    await chat.link(TITLES[1]).click()
    await expect(chat.heading).to_have_text(TITLES[1])
    await chat.page.go_back()
    await expect(chat.heading).to_have_text(TITLES[0])
    await chat.page.reload()
    await expect(chat.heading).to_have_text(TITLES[0])
    await expect(chat.page.locator("[aria-current=page]")).to_have_text(TITLES[0])


async def test_back_closes_the_drawer_and_leads_no_further(
    service: Service, ids: list[str], page_context: PageFactory
) -> None:
    chat = await visit(page_context, service, f"/c/{ids[0]}", viewport=PHONE)
    await chat.button("Open the conversations").click()
    drawer = chat.page.locator("#drawer")
    await expect(drawer).to_be_visible()
    await chat.page.go_back()
    await expect(drawer).to_be_hidden()
    await expect(chat.page).to_have_url(f"{service.url}/c/{ids[0]}")
    await chat.button("Open the conversations").click()
    await chat.link(TITLES[1]).click()
    await expect(drawer).to_be_hidden()
    await expect(chat.heading).to_have_text(TITLES[1])
    await chat.page.go_back()
    await expect(chat.heading).to_have_text(TITLES[0])


async def test_keys_alone_rename_delete_and_bring_back(
    service: Service, ids: list[str], page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    keys = chat.page.keyboard
    await chat.button(f"Actions for “{TITLES[0]}”").focus()
    await keys.press("Enter")
    await expect(chat.page.get_by_role("menuitem", name="Rename")).to_be_focused()
    await keys.press("Enter")
    await expect(chat.page.get_by_label("Title of the conversation")).to_be_focused()
    await keys.type("Another title")
    await keys.press("Enter")
    await expect(chat.titles.last).to_have_text("Another title")
    await expect(chat.button("Actions for “Another title”")).to_be_focused()
    await keys.press("Enter")
    await keys.press("End")
    await keys.press("Enter")
    await expect(chat.link("Another title")).to_have_count(0)
    await expect(chat.link(TITLES[1])).to_be_focused()
    await chat.button("Undo").focus()
    await keys.press("Enter")
    await expect(chat.link("Another title")).to_be_focused()


async def test_the_language_and_the_colours_are_kept(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    await chat.page.keyboard.press("Control+,")
    await chat.page.get_by_label("Language").select_option("zh")
    await expect(chat.page.get_by_role("heading", name="设置")).to_be_visible()
    await chat.page.get_by_label("颜色").select_option("dark")
    await chat.page.reload()
    await expect(chat.button("新对话")).to_be_visible()
    root = chat.page.locator("html")
    await expect(root).to_have_attribute("lang", "zh-CN")
    await expect(root).to_have_css("background-color", "rgb(22, 24, 27)")


async def test_a_key_is_asked_for_and_then_the_conversations_are_there(
    keyed_service: KeyedService, page_context: PageFactory
) -> None:
    chat = await visit(page_context, keyed_service)
    field = chat.page.get_by_label("API key")
    await expect(field).to_be_focused()
    await field.fill("sk-wrong")
    await field.press("Enter")
    await expect(chat.page.get_by_text("The service does not take this key.")).to_be_visible()
    await chat.give_key(keyed_service.key)
    await expect(chat.page.get_by_text("Your conversations will be here.")).to_be_visible()


@pytest.mark.parametrize("viewport", [DESK, PHONE])
async def test_the_undo_of_a_deletion_can_be_reached(
    service: Service, ids: list[str], page_context: PageFactory, viewport: tuple[int, int]
) -> None:
    chat = await visit(page_context, service, viewport=viewport)
    if viewport == PHONE:
        await chat.button("Open the conversations").click()
    await chat.button(f"Actions for “{TITLES[0]}”").click()
    await chat.page.get_by_role("menuitem", name="Delete").click()
    await expect(chat.link(TITLES[0])).to_have_count(0)
    await chat.button("Undo").click()
    await expect(chat.link(TITLES[0])).to_have_count(1)


async def test_an_open_menu_closes_with_esc_alone_and_with_its_own_button(
    service: Service, ids: list[str], page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    opener = chat.button(f"Actions for “{TITLES[0]}”")
    menu = chat.page.get_by_role("menu")
    await opener.click()
    await expect(menu).to_be_visible()
    await opener.click()
    await expect(menu).to_have_count(0)
    await opener.click()
    await chat.page.keyboard.press("Escape")
    await expect(menu).to_have_count(0)
    await expect(opener).to_be_focused()
