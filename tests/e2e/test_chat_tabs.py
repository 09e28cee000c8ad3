"""The chat page in several tabs of one browser: nothing is asked early, twice or never."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.async_api import expect

from support.chat import Chat, visit
from support.page import PATIENCE
from support.proxy import Proxy

if TYPE_CHECKING:
    from playwright.async_api import Page

    from stream_serve.testing import ScriptedUpstream
    from stream_serve.testing.records import Record
    from support.chat import Serve
    from support.page import PageFactory
    from support.service import Service

DESK: Final[dict[str, Any]] = {"viewport": (1440, 900)}
MODEL: Final = "answer?hold=20"
ALONE: Final = """
window.BroadcastChannel = class {
  constructor() { throw new DOMException("not for this page", "SecurityError"); }
};
"""
HALF: Final = " ".join(["half a question"] * 100)
FILL: Final = """
() => {
  for (let size = 1 << 22, at = 0; size; ) {
    try { localStorage.setItem(`other.${at++}`, "x".repeat(size)); } catch { size >>= 1; }
  }
}
"""
EMPTY: Final = """
() => {
  const names = Object.keys(localStorage).filter((name) => name.startsWith("other."));
  for (const name of names) localStorage.removeItem(name);
}
"""


@pytest.fixture
async def service(serve: Serve) -> Service:
    """Return a service that keeps conversations, and holds its answers."""
    return await serve(MODEL)


def asked(record: Record) -> list[str]:
    """Return the questions of a request to the provider."""
    messages: list[dict[str, Any]] = record.body["messages"] if record.body else []
    return [message["content"] for message in messages if message["role"] == "user"]


async def duplicate(page: Page) -> Chat:
    """Open the page in a tab that has a copy of this one's storage, as a duplicated tab has."""
    async with page.expect_popup() as opened:
        await page.evaluate("() => void window.open(location.href)")
    chat = Chat(await opened.value)
    await expect(chat.box).to_be_visible()
    return chat


async def test_a_tab_that_has_not_heard_of_an_answer_sends_nothing_early(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    async with Proxy(service.url) as network:
        chat = await visit(page_context, network, **DESK)
        await chat.ask("first")
        await chat.grows(10)
        other = Chat(await chat.page.context.new_page())
        await other.page.add_init_script(ALONE)
        await other.page.goto(await chat.address())
        await other.grows(10)
        for question in ("second", "third"):
            await chat.box.fill(question)
            await chat.box.press("Enter")
        await expect(other.page.locator(".waiting .next")).to_contain_text(["second", "third"])
        await other.page.route("**/ai/**", lambda route: route.abort())
        network.cut()
        upstream.release(upstream.requests[0])
        await expect(chat.questions).to_have_count(2, timeout=2 * PATIENCE)
        await other.page.unroute("**/ai/**")
        # It has heard of the end now, and of nothing else.
        await expect(other.button("Stop")).to_have_count(0, timeout=2 * PATIENCE)
        upstream.release()
        await expect(chat.questions).to_contain_text(
            ["first", "second", "third"], timeout=2 * PATIENCE
        )
        await chat.ends()
        await other.page.reload()
        await expect(other.questions).to_contain_text(["first", "second", "third"])
        assert [asked(record) for record in upstream.requests] == [
            ["first"],
            ["first", "second"],
            ["first", "second", "third"],
        ]


async def test_a_question_that_waits_is_sent_by_the_tab_that_is_left(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service, **DESK)
    await chat.ask("first")
    await chat.grows(10)
    tabs = [Chat(await chat.page.context.new_page()) for _ in range(2)]
    for tab in tabs:
        await tab.page.goto(await chat.address())
        await tab.grows(10)
    for question in ("second", "third"):
        await chat.box.fill(question)
        await chat.box.press("Enter")
    await chat.page.close()
    upstream.release(upstream.requests[0])
    for tab in tabs:
        await expect(tab.questions).to_contain_text(["first", "second"], timeout=2 * PATIENCE)
    upstream.release()
    for tab in tabs:
        await expect(tab.questions).to_contain_text(["first", "second", "third"])
        await tab.ends()
        await expect(tab.questions).to_have_count(3)
    assert [asked(record) for record in upstream.requests] == [
        ["first"],
        ["first", "second"],
        ["first", "second", "third"],
    ]


async def test_a_duplicated_tab_has_a_draft_of_its_own_and_takes_none_away(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service, **DESK)
    await chat.box.fill("of the first tab")
    kept = "() => Object.values(localStorage).some((text) => text.includes('of the first'))"
    await chat.page.wait_for_function(kept)
    other = await duplicate(chat.page)
    await other.box.fill("of the second tab")
    await other.page.wait_for_function(kept.replace("first", "second"))
    for tab, words in ((other, "of the second tab"), (chat, "of the first tab")):
        await tab.page.reload()
        await expect(tab.box).to_have_value(words)


async def test_a_duplicated_tab_does_not_give_back_a_question_that_is_on_its_way(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    upstream.release()
    chat = await visit(page_context, service, **DESK)
    await chat.ask("first")
    await chat.ends()
    sending = chat.page.expect_request("**/ai/chat/stream-sse")
    await chat.page.route("**/ai/chat/stream-sse", lambda _route: None)
    async with sending:
        await chat.ask("second")
    other = await duplicate(chat.page)
    await expect(other.questions).to_have_count(1)
    # The other tab has asked whose the question is before it reads anything else of it.
    await other.ask("third")
    await other.ends()
    await expect(other.box).to_have_value("")
    assert [asked(record)[-1] for record in upstream.requests] == ["first", "third"]


async def test_what_finds_no_room_in_the_browser_is_said_and_not_lost(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service, **DESK)
    notice = chat.page.get_by_role("alert").get_by_text("This browser has no room")
    await chat.ask("first")
    await chat.grows(10)
    await chat.page.evaluate(FILL)
    await expect(notice).to_have_count(0)
    await chat.box.fill("second " * 100)
    await chat.box.press("Enter")
    await expect(notice).to_have_count(1)
    await chat.box.fill(HALF)
    await chat.button("New conversation").click()
    await expect(chat.box).to_have_value("")
    await chat.page.go_back()
    await expect(chat.box).to_have_value(HALF)
    upstream.release()
    await expect(chat.questions).to_have_count(2)
    await expect(notice).to_have_count(1)
    await chat.page.evaluate(EMPTY)
    await chat.box.fill("half a question")
    await expect(notice).to_have_count(0)
    await chat.ends()
    await chat.page.reload()
    await expect(chat.box).to_have_value("half a question")
    assert [len(asked(record)) for record in upstream.requests] == [1, 2]


async def test_where_tabs_cannot_talk_to_each_other_each_one_works(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    page = await page_context(locale="en-US", **DESK)
    await page.context.add_init_script(ALONE)
    chat, other = Chat(page), Chat(await page.context.new_page())
    for tab in (chat, other):
        await tab.page.goto(service.url)
        await tab.ask("Hello")
        await tab.grows(10)
    for tab in (chat, other):
        await tab.page.bring_to_front()
        await tab.button("Stop").click()
        await expect(tab.answer).to_contain_text("Stopped, the provider's")
    assert len(upstream.requests) == 2
