"""The titles of conversations in the chat page: at once, after the answer, wherever the list is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest
from playwright.async_api import expect

from support.chat import Chat, visit
from support.service import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp
    from playwright.async_api import Route

    from stream_serve.testing import ScriptedUpstream
    from support.page import PageFactory

DESK: Final = (1440, 900)
QUESTION: Final = f"Why is the sky blue? {'And the sea? ' * 10}\nTell me."
TITLE: Final = "Why is the sky blue? And the sea? And the sea? And the sea?…"
LIST: Final = "**/ai/conversations?**"


@pytest.fixture
async def service(upstream: ScriptedUpstream, tmp_path: Path) -> AsyncIterator[Service]:
    """Return a service that keeps conversations."""
    database = f"sqlite:///{tmp_path / 'conversations.db'}"
    async with Service(upstream_url=upstream.url, database_url=database) as running:
        yield running


async def ask(chat: Chat, question: str) -> None:
    box = chat.page.get_by_role("textbox", name="Message", exact=True)
    await box.fill(question)
    await box.press("Enter")


async def test_a_first_question_is_the_title_at_once_and_after_the_answer(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service, viewport=DESK)
    await ask(chat, QUESTION)
    await expect(chat.heading).to_have_text(TITLE)
    await expect(chat.titles).to_have_text([TITLE])
    await expect(chat.button("Send")).to_be_visible()
    async with chat.page.expect_response(LIST):
        await chat.page.reload()
    await expect(chat.titles).to_have_text([TITLE])
    await expect(chat.heading).to_have_text(TITLE)


async def test_a_list_that_was_read_before_the_question_does_not_take_its_title(
    service: Service, page_context: PageFactory
) -> None:
    chat = Chat(await page_context(locale="en-US", viewport=DESK))
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        answer = await route.fetch()
        begun.set()
        await goes_on.wait()
        await route.fulfill(response=answer)

    await chat.page.route(LIST, late)
    await chat.page.goto(service.url)
    await begun.wait()
    await ask(chat, QUESTION)
    await expect(chat.button("Send")).to_be_visible()
    async with chat.page.expect_response(LIST):
        goes_on.set()
    await expect(chat.heading).to_have_text(TITLE)
    await expect(chat.titles).to_have_text([TITLE])


async def test_a_conversation_that_is_further_back_has_its_title(
    service: Service, client: aiohttp.ClientSession, page_context: PageFactory
) -> None:
    ids: list[str] = []
    for number in range(41):
        body = {"title": f"Number {number}"}
        async with client.post(f"{service.url}/ai/conversations", json=body) as response:
            ids.append((await response.json())["id"])
    chat = await visit(page_context, service, f"/c/{ids[0]}", viewport=DESK)
    await expect(chat.heading).to_have_text("Number 0")


async def test_nothing_that_the_page_asks_for_is_missing(
    service: Service, page_context: PageFactory
) -> None:
    page = await page_context(locale="en-US", viewport=DESK)
    missing: list[str] = []
    icons: list[str] = []
    page.on("response", lambda one: missing.append(one.url) if one.status == 404 else None)
    await page.goto(service.url)
    await ask(Chat(page), "Hello")
    await page.wait_for_url("**/c/*")
    icon = "document.querySelector('link[rel=icon]').href"
    icons.append(await page.evaluate(icon))
    await page.reload()
    icons.append(await page.evaluate(icon))
    assert icons == [f"{service.url}/test-stream/favicon.svg"] * 2
    await until(lambda: Chat(page).button("Send").is_visible())
    assert missing == []
