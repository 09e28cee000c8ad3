"""The chat page as a part of somebody else's application, which hands it a token, in a real Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from playwright.async_api import expect

from support.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import FrameLocator, Page

    from support.host import App
    from support.page import PageFactory

HOST: Final = """
const chat = new URL(location.hash.slice(1));
window.said = [];
window.tokens = ["token-1"];
window.hand = () => {
  const token = window.tokens.shift();
  if (token) window.there.postMessage({ type: "stream-serve:token", token }, chat.origin);
};
addEventListener("message", ({ source, origin, data }) => {
  if (source !== window.there || origin !== chat.origin) return;
  window.said.push(data.type);
  if (data.type === "stream-serve:token-wanted") window.hand();
});
window.embed = () => {
  const frame = document.createElement("iframe");
  frame.title = "Chat";
  frame.width = frame.height = 700;
  frame.src = chat.href;
  document.body.append(frame);
  window.there = frame.contentWindow;
};
window.visit = () => { window.there = window.open(chat.href); };
"""


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site(HOST.encode()) as running:
        yield running


async def opened(page_context: PageFactory, site: Site, app: App) -> Page:
    page = await page_context(locale="en-US")
    await page.goto(f"{site.url}#{app.url}/")
    return page


async def ask(chat: Page | FrameLocator, question: str) -> None:
    box = chat.get_by_role("textbox", name="Message", exact=True)
    await box.fill(question)
    await box.press("Enter")
    await expect(chat.get_by_role("article").last).to_contain_text(f"You said: {question}")


async def asked_in_a_frame(page: Page) -> FrameLocator:
    """Put the chat page into a frame, ask there, and wait for the answer."""
    await page.evaluate("embed()")
    chat = page.frame_locator("iframe")
    await ask(chat, "first")
    return chat


async def test_a_page_around_hands_a_token_over_and_another_one_when_it_is_refused(
    page_context: PageFactory, site: Site, app: App
) -> None:
    page = await opened(page_context, site, app)
    chat = await asked_in_a_frame(page)
    app.valid.clear()
    app.valid.add("token-2")
    await page.evaluate("tokens.push('token-2')")
    await ask(chat, "second")
    said = await page.evaluate("said")
    assert said[0] == "stream-serve:ready"
    assert said.count("stream-serve:token-wanted") == 2
    frame = page.frames[1]
    kept = await frame.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert "token-" not in kept
    assert "token-" not in frame.url


async def test_a_page_that_opened_ours_hands_a_token_over(
    page_context: PageFactory, site: Site, app: App
) -> None:
    page = await opened(page_context, site, app)
    async with page.expect_popup() as popup:
        await page.evaluate("visit()")
    await ask(await popup.value, "first")


async def test_a_token_that_is_not_taken_is_said_and_the_next_one_is_waited_for(
    page_context: PageFactory, site: Site, app: App
) -> None:
    app.valid.clear()
    page = await opened(page_context, site, app)
    await page.evaluate("tokens.push('token-1'), embed()")
    chat = page.frame_locator("iframe")
    await expect(chat.get_by_text("gives no key that the service takes")).to_be_visible()
    await expect(chat.get_by_role("dialog")).to_have_count(0)
    app.valid.add("token-3")
    await page.evaluate("tokens = ['token-3'], hand()")
    await expect(chat.get_by_text("gives no key that the service takes")).to_have_count(0)
    await ask(chat, "first")


async def test_with_a_token_that_was_not_asked_for_nothing_of_the_former_user_is_left(
    page_context: PageFactory, site: Site, app: App
) -> None:
    page = await opened(page_context, site, app)
    chat = await asked_in_a_frame(page)
    app.valid.update({"token-2", "other-1"})
    await page.evaluate("tokens = ['token-2', 'other-1'], hand()")
    await expect(chat.get_by_role("article")).to_have_count(2)
    await page.evaluate("hand()")
    await expect(chat.get_by_role("article")).to_have_count(0)
    await expect(chat.get_by_text("first", exact=True)).to_have_count(0)
