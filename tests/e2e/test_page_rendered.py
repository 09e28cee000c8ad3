"""The rendered text of the debug page, its source, and what is there where nothing can render."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from playwright.async_api import expect

from support.page import visit

if TYPE_CHECKING:
    from playwright.async_api import Route

    from support.page import PageFactory, Service

TEXT: Final = """# Heading

**发展，**年 <img src=x onerror=alert(1)> [link](https://example.test/) [bad](javascript:alert(1))

![picture](https://example.test/a.png)

$$\\frac{1}{2}$$
"""


async def test_the_answer_is_rendered_and_its_source_is_one_click_away(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service, locale="en-US")
    await debugger.send("echo", TEXT)
    await debugger.reaches("finished")
    shown = debugger.rendered
    await expect(shown.get_by_role("heading")).to_have_text("Heading")
    await expect(shown.locator("strong")).to_have_text("发展，")
    await expect(shown.locator(".katex")).to_be_visible()
    await expect(shown.get_by_role("link")).to_have_attribute("rel", "noopener noreferrer nofollow")
    await expect(shown.get_by_role("button", name="example.test")).to_be_visible()
    await expect(shown.locator("img, script")).to_have_count(0)
    await expect(debugger.answer).to_be_hidden()

    await debugger.source.click()
    await expect(debugger.source).to_have_attribute("aria-pressed", "true")
    await expect(debugger.answer).to_be_visible()
    await expect(shown).to_be_hidden()
    assert await debugger.answer.text_content() == TEXT
    await debugger.page.reload()
    await debugger.reaches("finished")
    await expect(debugger.answer).to_be_visible()
    await debugger.source.click()
    await expect(shown.get_by_role("heading")).to_have_text("Heading")


async def test_what_is_rendered_changes_language_and_starts_anew_with_the_next_answer(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service, locale="en-US")
    await debugger.send("echo", "```\nx = 1\n```")
    await expect(debugger.rendered.get_by_role("button", name="Copy code")).to_be_visible()
    await debugger.page.get_by_role("button", name="中文").click()
    await expect(debugger.rendered.get_by_role("button", name="复制代码")).to_be_visible()
    await debugger.send("echo", "next")
    await debugger.reaches("finished")
    await expect(debugger.rendered).to_have_text("next")


async def test_without_the_chat_page_the_source_is_shown_and_a_sentence_says_why(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service, locale="en-US")

    async def missing(route: Route) -> None:
        await route.fulfill(status=404, json={"title": "Not Found"})

    await debugger.page.route("**/chat-page/**", missing)
    await debugger.send("echo", "# Heading")
    await debugger.reaches("finished")
    await expect(debugger.page.locator("#unrendered")).to_contain_text("was not built")
    await expect(debugger.answer).to_be_visible()
    await expect(debugger.answer).to_have_text("# Heading")
    await expect(debugger.source).to_be_disabled()
    await expect(debugger.source).to_have_attribute("aria-pressed", "true")
