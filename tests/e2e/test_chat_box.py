"""The box of the chat page: input methods, drafts, and long texts that are pasted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.async_api import expect

from support.chat import Chat, visit
from support.service import Service

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Locator, Route

    from stream_serve.testing import ScriptedUpstream
    from support.chat import Serve
    from support.page import PageFactory

DESK: Final[dict[str, Any]] = {"viewport": (1440, 900)}
PHONE: Final[dict[str, Any]] = {"viewport": (390, 844), "touch": True}
SCREENS: Final = pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
AWAY: Final = "postgresql://nobody@127.0.0.1:1/nothing"
PASTE: Final = """([box, text]) => {
    const data = new DataTransfer();
    data.setData("text/plain", text);
    box.focus();
    const event = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
    if (box.dispatchEvent(event)) document.execCommand("insertText", false, text);
}"""


@pytest.fixture
async def service(serve: Serve) -> Service:
    """Return a service that keeps conversations, and answers at once."""
    return await serve("echo?size=400")


# Input methods


async def composes(chat: Chat, field: Locator, text: str = "ni hao") -> None:
    """Begin a word with an input method."""
    await field.focus()
    caret = {"selectionStart": len(text), "selectionEnd": len(text)}
    await chat.command("Input.imeSetComposition", text=text, **caret)
    await expect(field).to_have_value(text)


async def test_enter_belongs_to_the_input_method_while_it_composes(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service, **DESK)
    await composes(chat, chat.box)
    await chat.page.keyboard.press("Enter")
    await chat.page.keyboard.press("Control+Enter")
    await chat.page.keyboard.press("Escape")
    assert await chat.questions.count() == 0
    await chat.box.fill("")
    await composes(chat, chat.box)
    await chat.command("Input.insertText", text="你好")
    await expect(chat.box).to_have_value("你好")
    await chat.page.keyboard.press("Enter")
    await expect(chat.questions).to_contain_text(["你好"])
    await chat.ends()
    assert len(upstream.requests) == 1


async def test_also_in_the_search_a_title_and_an_edited_question(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service, **DESK)
    await chat.ask("Hello")
    await chat.ends()
    search = chat.page.get_by_role("searchbox")
    await composes(chat, search)
    for key in ("Enter", "Escape"):
        await chat.page.keyboard.press(key)
    await expect(search).to_be_focused()
    await chat.page.reload()
    await chat.button("Actions for “Hello”").click()
    await chat.page.get_by_role("menuitem", name="Rename").click()
    title = chat.page.get_by_label("Title of the conversation")
    await title.fill("")
    await composes(chat, title)
    await chat.page.keyboard.press("Enter")
    await expect(title).to_be_focused()
    await chat.page.reload()
    await expect(chat.titles).to_have_text(["Hello"])
    await chat.questions.first.hover()
    await chat.button("Edit").click()
    editor = chat.page.get_by_label("Edit the question")
    await editor.fill("")
    await composes(chat, editor)
    for key in ("Enter", "Control+Enter", "Escape"):
        await chat.page.keyboard.press(key)
    await expect(editor).to_be_visible()
    assert len(upstream.requests) == 1


# Drafts


async def test_each_conversation_keeps_its_draft_over_a_reload(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service, **DESK)
    await chat.ask("first")
    await chat.ends()
    await chat.box.fill("draft of the first")
    await chat.button("New conversation").click()
    await expect(chat.box).to_have_value("")
    await chat.box.fill("draft of the new one")
    await chat.page.reload()
    await expect(chat.box).to_have_value("draft of the new one")
    await chat.link("first").click()
    await expect(chat.box).to_have_value("draft of the first")
    await chat.page.reload()
    await expect(chat.box).to_have_value("draft of the first")
    await chat.button("New conversation").click()
    await chat.ask("second")
    await chat.ends()
    await expect(chat.box).to_have_value("")
    await chat.link("first").click()
    await expect(chat.box).to_have_value("draft of the first")


def unanswered(route: Route) -> None:
    """Let a request wait."""
    del route


@pytest.mark.parametrize("stored", [True, False])
async def test_two_new_conversations_have_a_draft_and_a_queue_each(
    upstream: ScriptedUpstream, tmp_path: Path, page_context: PageFactory, stored: bool
) -> None:
    database = f"sqlite:///{tmp_path / 'conversations.db'}" if stored else AWAY
    async with Service(upstream_url=upstream.url, database_url=database, model="silent") as service:
        chat = await visit(page_context, service, **DESK)
        if stored:
            await chat.page.route("**/ai/chat/stream-sse", unanswered)
        await chat.ask("first")
        await chat.box.fill("waits")
        await chat.box.press("Enter")
        await chat.box.fill("half a question")
        await chat.button("New conversation").click()
        await expect(chat.questions).to_have_count(0)
        await expect(chat.box).to_have_value("")
        await expect(chat.page.locator(".waiting .next")).to_have_count(0)
        await chat.box.fill("another")
        await chat.page.reload()
        # What was not sent is not lost.
        for words in ("another", "half a question"):
            await expect(chat.box).to_have_value(re.compile(words))
        await expect(chat.page.locator(".waiting .next")).to_contain_text(["waits"])


# Long texts


@SCREENS
async def test_a_long_text_that_is_pasted_is_a_chip_that_opens_and_is_sent_as_text(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory, screen: dict[str, Any]
) -> None:
    text = "\n".join(f"line {number:04} of the text" for number in range(1000))
    assert len(text) > 20_000
    chat = await visit(page_context, service, **screen)
    await chat.box.fill("Look at this:")
    await chat.page.evaluate(PASTE, [await chat.box.element_handle(), text])
    chip = chat.page.get_by_text("Pasted text, 1,000 lines")
    await expect(chip).to_be_visible()
    await expect(chat.box).to_have_value("Look at this:")
    await chip.click()
    await expect(chat.page.get_by_text("line 0000 of the text")).to_be_visible()
    await chat.page.keyboard.press("Escape")
    await chat.button("Put it into the box").click()
    await expect(chat.box).to_have_value(f"Look at this:{text}")
    await chat.page.keyboard.press("Control+z")
    await expect(chat.box).to_have_value("Look at this:")
    await chat.page.evaluate(PASTE, [await chat.box.element_handle(), text])
    await expect(chip).to_be_visible()
    await chat.button("Send").click()
    await expect(chip).to_have_count(0)
    await expect(chat.questions).to_contain_text(["line 0999 of the text"])
    await chat.ends()
    assert upstream.requests[0].body["messages"][-1]["content"] == f"Look at this:\n\n{text}"


async def test_a_short_text_that_is_pasted_is_text(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service, **DESK)
    await chat.box.fill("Look at this: ")
    await chat.page.evaluate(PASTE, [await chat.box.element_handle(), "short"])
    await expect(chat.box).to_have_value("Look at this: short")
