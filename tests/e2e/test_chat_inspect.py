"""From the chat page to the debug page and back, and from every page on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from support.chat import visit
from support.page import Debugger

if TYPE_CHECKING:
    from support.chat import Chat, Serve
    from support.page import KeyedService, PageFactory
    from support.service import Service


@pytest.fixture
async def service(serve: Serve) -> Service:
    """Return a service that keeps conversations, and whose answers are short."""
    return await serve("answer?tokens=20")


async def inspect(chat: Chat) -> Debugger:
    """Ask, and open the debug page from the answer."""
    await chat.page.get_by_role("textbox", name="Message", exact=True).fill("Hello")
    await chat.button("Send").click()
    link = chat.link("Inspect this run")
    await expect(link).to_be_visible()
    async with chat.page.expect_popup() as opened:
        await link.click()
    return Debugger(await opened.value)


async def inspect_with_key(
    page_context: PageFactory, service: KeyedService
) -> tuple[Chat, Debugger]:
    """Ask with the key that the service wants, and open the debug page from the whole answer."""
    chat = await visit(page_context, service)
    await chat.give_key(service.key)
    debugger = await inspect(chat)
    await debugger.reaches("finished")
    return chat, debugger


async def test_one_click_leads_from_an_answer_to_its_events_and_one_back(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    debugger = await inspect(chat)
    await debugger.reaches("finished")
    assert (await debugger.column("type"))[-1] == "end"
    said = await debugger.answer.text_content() or ""
    assert said
    await debugger.page.get_by_role("link", name="Chat page").click()
    await expect(debugger.page).to_have_url(chat.page.url)
    assert "/c/" in chat.page.url
    await expect(debugger.page.get_by_role("heading", level=1)).to_have_text("Hello")
    await expect(debugger.page.get_by_role("link", name="Inspect this run")).to_be_visible()


async def test_the_debug_page_has_the_key_of_the_page_that_it_is_opened_from(
    keyed_service: KeyedService, page_context: PageFactory
) -> None:
    _, debugger = await inspect_with_key(page_context, keyed_service)
    await expect(debugger.page.locator("#key")).to_have_value(keyed_service.key)


async def test_a_key_that_is_forgotten_is_forgotten_in_all_tabs(
    keyed_service: KeyedService, page_context: PageFactory
) -> None:
    chat, debugger = await inspect_with_key(page_context, keyed_service)
    await expect(debugger.page.locator("#key")).to_have_value(keyed_service.key)
    await chat.page.bring_to_front()
    await chat.button("Settings").click()
    await chat.button("Forget the API key").click()
    await expect(debugger.page.locator("#key")).to_have_value("")
    kept = "() => [...Object.values(sessionStorage), ...Object.values(localStorage)].join()"
    for page in (chat.page, debugger.page):
        assert keyed_service.key not in await page.evaluate(kept)
    await expect(chat.page.get_by_label("API key")).to_be_visible()


async def test_no_page_is_a_dead_end(service: Service, page_context: PageFactory) -> None:
    page = (await visit(page_context, service)).page
    await page.get_by_role("link", name="Stream debugger").click()
    await page.get_by_role("link", name="API docs").click()
    await expect(page).to_have_url(f"{service.url}/docs")
    await page.get_by_role("link", name="Stream debugger").click()
    await expect(page).to_have_url(f"{service.url}/test-stream.html")
    await page.go_back()
    await page.get_by_role("link", name="Chat page").click()
    await expect(page).to_have_url(f"{service.url}/")
    await expect(page.get_by_role("heading", level=1)).to_have_text("New conversation")
