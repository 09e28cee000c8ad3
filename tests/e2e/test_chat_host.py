"""The chat page as a part of somebody else's application, which hands it a token, in a real Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import pytest
from fastapi import Header
from playwright.async_api import expect
from starlette.applications import Starlette

from stream_serve import ChatRequest, Streams
from support.host import serving
from support.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from playwright.async_api import FrameLocator, Page

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


class App:
    """An application whose users have tokens, with the chat page in it."""

    def __init__(self, url: str, valid: set[str]) -> None:
        self.url = url
        self.valid = valid


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site(HOST.encode()) as running:
        yield running


@pytest.fixture
async def app(site: Site) -> AsyncIterator[App]:
    """Return an application at another origin than the site, which may embed its page."""
    valid = {"token-1"}

    async def who(authorization: Annotated[str, Header()] = "") -> str | None:
        return "alice" if authorization.removeprefix("Bearer ") in valid else None

    streams = Streams.memory(owner=who, embed_origins=site.url.rstrip("/"))

    @streams.chat
    async def answer(request: ChatRequest) -> AsyncGenerator[str]:
        yield f"You said: {request.question}"

    host = Starlette(lifespan=lambda _: streams.lifespan())
    host.mount("/ai", streams.routes())
    async with serving(host) as url:
        yield App(f"{url}/ai/", valid)


async def opened(page_context: PageFactory, site: Site, app: App) -> Page:
    page = await page_context(locale="en-US")
    await page.goto(f"{site.url}#{app.url}")
    return page


async def ask(chat: Page | FrameLocator, question: str) -> None:
    box = chat.get_by_role("textbox", name="Message", exact=True)
    await box.fill(question)
    await box.press("Enter")
    await expect(chat.get_by_role("article").last).to_contain_text(f"You said: {question}")


async def test_a_page_around_hands_a_token_over_and_another_one_when_it_is_refused(
    page_context: PageFactory, site: Site, app: App
) -> None:
    page = await opened(page_context, site, app)
    await page.evaluate("embed()")
    chat = page.frame_locator("iframe")
    await ask(chat, "first")
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
