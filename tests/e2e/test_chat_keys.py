"""The chat page with keys alone: all of it can be done, and what has the focus is always seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from playwright.async_api import expect

from support.chat import visit

if TYPE_CHECKING:
    from support.chat import Chat, Serve
    from support.page import PageFactory
    from support.service import Service

HELD: Final = "thinking?hold=20"


@pytest.fixture
async def service(serve: Serve) -> Service:
    """Return a service that keeps conversations, and answers until it is stopped."""
    return await serve(HELD)


async def stop(chat: Chat) -> None:
    """Stop the answer as soon as it has text."""
    await expect(chat.answer).to_have_attribute("data-state", "answering")
    await focus(chat)
    await chat.page.keyboard.press("Escape")
    await expect(chat.answer).to_have_attribute("data-state", "stopped")


async def focus(chat: Chat) -> str:
    """Return what has the focus, which is something, and seen to have it."""
    name = await chat.page.evaluate(
        """() => {
            const one = document.activeElement;
            if (one === document.body || !one.matches(":focus-visible")) return "";
            const outlined = (part) => {
                const { outlineStyle, outlineWidth } = getComputedStyle(part);
                return outlineStyle !== "none" && parseFloat(outlineWidth) > 0;
            };
            if (!outlined(one) && !outlined(one.closest(".frame") ?? one)) return "";
            return one.getAttribute("aria-label") ?? one.labels?.[0]?.textContent ?? one.textContent;
        }"""
    )
    assert name, "nothing that is seen has the focus"
    return name


async def go(chat: Chat, name: str, key: str = "Tab") -> None:
    """Press a key until something with this name has the focus."""
    for _ in range(40):
        if await focus(chat) == name:
            return
        await chat.page.keyboard.press(key)
    pytest.fail(f"no {key} leads to {name}")


async def test_keys_alone_ask_stop_copy_answer_again_and_edit(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    keys = chat.page.keyboard
    await expect(chat.box).to_be_focused()
    await keys.type("Think")
    await keys.press("Enter")
    await stop(chat)
    assert await focus(chat) == "Message"
    await keys.press("Alt+ArrowUp")
    await expect(chat.answer).to_be_focused()
    await go(chat, "Copy as Markdown")
    await keys.press("Enter")
    await expect(chat.page.locator("#said")).to_contain_text("opied")
    await go(chat, "Answer again")
    await keys.press("Enter")
    await expect(chat.answer).to_contain_text("2/2")
    await stop(chat)
    await focus(chat)
    await keys.press("Alt+ArrowUp")
    await go(chat, "Version before")
    await keys.press("Enter")
    await expect(chat.answer).to_contain_text("1/2")
    assert await focus(chat) == "Version before"
    await keys.press("Alt+ArrowUp")
    await go(chat, "Edit")
    await keys.press("Enter")
    assert await focus(chat) == "Edit the question"
    await keys.press("Escape")
    await expect(chat.questions).to_be_focused()
    await keys.press("?")
    await expect(chat.page.get_by_role("dialog", name="Keys")).to_be_visible()
    await focus(chat)
    await keys.press("Escape")
    await expect(chat.questions).to_be_focused()


async def test_keys_alone_rename_delete_undo_begin_and_change_the_language(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    keys = chat.page.keyboard
    await keys.type("Think")
    await keys.press("Enter")
    await stop(chat)
    await keys.press("Control+k")
    assert await focus(chat) == "Search"
    await go(chat, "Actions for “Think”")
    await keys.press("Enter")
    await keys.press("Enter")
    assert await focus(chat) == "Title of the conversation"
    await keys.type("Mine")
    await keys.press("Enter")
    assert await focus(chat) == "Actions for “Mine”"
    await keys.press("Enter")
    await keys.press("End")
    await keys.press("Enter")
    await focus(chat)
    await go(chat, "Undo")
    await keys.press("Enter")
    await expect(chat.link("Mine")).to_be_focused()
    await keys.press("Control+Shift+O")
    await expect(chat.box).to_be_focused()
    await keys.press("Control+,")
    await focus(chat)
    await go(chat, "Language")
    await keys.press("End")
    await expect(chat.page.locator("html")).to_have_attribute("lang", "zh-CN")
    await keys.press("Escape")
    assert await focus(chat) == "消息"


async def test_letters_do_nothing_where_they_are_switched_off(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    await chat.page.keyboard.press("Control+,")
    await chat.page.get_by_label("Single-letter keys").select_option("Off")
    await chat.page.keyboard.press("Escape")
    await chat.button("New conversation").focus()
    await chat.page.keyboard.press("?")
    await expect(chat.page.get_by_role("dialog")).to_have_count(0)
    await expect(chat.button("New conversation")).to_be_focused()
