"""What of the chat page is on paper: all turns that are here, whole, without controls, black on white."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from playwright.async_api import expect

from support.chat import SCHEMES, Chat, visit

if TYPE_CHECKING:
    import aiohttp

    from support.chat import Serve
    from support.page import PageFactory
    from support.service import Service

PAPER: Final = (794, 1123)  # A4 at 96 dots per inch
CODE: Final = f"```python\nprint('{'x' * 300}')\n```\n\n[The docs](https://example.org/docs)"
EXCHANGES: Final = 35
MISSING: Final = {"en-US": "Older messages are missing here.", "zh-CN": "这里缺少更早的消息。"}


@pytest.fixture
async def service(serve: Serve) -> Service:
    """Return a service that keeps conversations, and says what it was asked."""
    return await serve("echo?size=400")


async def converse(client: aiohttp.ClientSession, service: Service, *questions: str) -> str:
    """Ask one after another, and return the id of the conversation."""
    id_ = "new"
    for question in questions:
        body = {"conversationId": id_, "message": question}
        async with client.post(f"{service.url}/ai/chat/stream-sse", json=body) as got:
            await got.read()
        if id_ == "new":
            async with client.get(f"{service.url}/ai/conversations") as got:
                id_ = (await got.json())["conversations"][0]["id"]
    return id_


async def on_paper(chat: Chat) -> None:
    """Lay the page out as for a printer."""
    await chat.page.emulate_media(media="print")
    await chat.page.set_viewport_size({"width": PAPER[0], "height": PAPER[1]})


async def test_all_turns_are_on_paper_whole_and_without_controls(
    service: Service, page_context: PageFactory, client: aiohttp.ClientSession
) -> None:
    questions = [f"Question {number}" for number in range(20)]
    id_ = await converse(client, service, *questions, CODE)
    for scheme in SCHEMES:
        chat = await visit(page_context, service, f"/c/{id_}", color_scheme=scheme)
        await are_on_paper(chat, questions)


async def are_on_paper(chat: Chat, questions: list[str]) -> None:
    """Print, and find all turns whole, without controls, black on white."""
    await expect(chat.answers).to_have_count(len(questions) + 1)
    code = chat.answer.locator("pre")
    assert await code.evaluate("(pre) => pre.scrollWidth > pre.clientWidth")
    await on_paper(chat)
    assert await code.evaluate("(pre) => pre.scrollWidth <= pre.clientWidth")
    assert await chat.overflow() == 0
    controls = chat.page.locator("button, textarea, input, select, nav, [role=menu]")
    assert await controls.evaluate_all("(all) => all.filter((one) => one.checkVisibility())") == []
    text = await chat.log.inner_text()
    assert text.count("You") == len(questions) + 1
    for question in questions:
        assert text.count(f"{question}\n") == 2
    assert text.index("You") < text.index("Question 0")
    assert "missing here" not in text
    clipped = await chat.page.evaluate(
        """() => [...document.querySelectorAll("article, article *")].filter((one) => {
            let at = one.parentElement;
            for (; at; at = at.parentElement) {
              const hides = getComputedStyle(at).overflowY !== "visible";
              if (hides && at.scrollHeight > at.clientHeight + 1) return true;
            }
            return false;
        }).length"""
    )
    assert clipped == 0
    colours = (
        "(one) => [getComputedStyle(one).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert await chat.page.locator("article p").first.evaluate(colours) == [
        "rgb(0, 0, 0)",
        "rgb(255, 255, 255)",
    ]
    link = "(one) => getComputedStyle(one, '::after').content"
    docs = chat.answer.get_by_role("link", name="The docs")
    assert "https://example.org/docs" in await docs.evaluate(link)


async def test_a_printer_gets_as_many_pages_as_the_turns_fill(
    service: Service, page_context: PageFactory, client: aiohttp.ClientSession
) -> None:
    lines = "\n\n".join(f"Line {number}" for number in range(120))
    id_ = await converse(client, service, lines)
    chat = await visit(page_context, service, f"/c/{id_}")
    await expect(chat.answers).to_have_count(1)
    pdf = await chat.page.pdf(format="A4")
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") >= 4


async def test_paper_says_what_is_missing_until_it_is_loaded(
    service: Service, page_context: PageFactory, client: aiohttp.ClientSession
) -> None:
    id_ = await converse(client, service, *[f"Question {number}" for number in range(EXCHANGES)])
    for locale, words in MISSING.items():
        chat = await visit(page_context, service, f"/c/{id_}", locale=locale)
        note = chat.page.get_by_text(words)
        await expect(chat.answers).to_have_count(30)
        await expect(note).to_be_hidden()
        await chat.page.emulate_media(media="print")
        await expect(note).to_be_visible()
        await chat.page.emulate_media(media="screen")
        await chat.page.locator(".scroller").evaluate("(log) => log.scrollTo(0, 0)")
        await expect(chat.answers).to_have_count(EXCHANGES)
        await chat.page.emulate_media(media="print")
        await expect(note).to_have_count(0)
