"""The chat page on plain http under a name that is not localhost: browsers withhold much there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from playwright.async_api import expect

from support.browser import browser
from support.chat import Chat
from support.service import HOLDS, Service

if TYPE_CHECKING:
    from pathlib import Path

    from stream_serve.testing import ScriptedUpstream

HOST: Final = "chat.lan"
MODEL: Final = "answer?tokens=200&hold=40"


async def test_asking_copying_drafts_and_two_tabs_work_in_a_lan(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'conversations.db'}"
    async with (
        Service(
            upstream_url=upstream.url,
            database_url=database,
            model=MODEL,
            allowed_hosts=(HOST,),
            **HOLDS,
        ) as service,
        browser(HOST) as open_page,
    ):
        chat = Chat(await open_page(locale="en-US"))
        await chat.page.goto(service.url.replace("127.0.0.1", HOST))
        assert not await chat.page.evaluate("() => isSecureContext")
        await chat.ask("Hello")
        await chat.grows()
        other = Chat(await chat.page.context.new_page())
        await other.page.goto(await chat.address())
        await other.grows(100)
        upstream.release()
        for tab in (chat, other):
            await tab.ends()
            await expect(tab.answers).to_have_count(1)
        await other.page.bring_to_front()
        await other.button("Copy as Markdown").click()
        await expect(other.page.locator("#said")).to_have_text("Copied.")
        await other.box.focus()
        await other.page.keyboard.press("Control+v")
        await expect(other.box).to_have_value(await _markdown(chat))
        await other.page.reload()
        await expect(other.box).to_have_value(await _markdown(chat))


async def _markdown(chat: Chat) -> str:
    """Return the answer as the service has it."""
    path = "ai/conversations/" + (await chat.address()).partition("/c/")[2] + "/messages"
    messages = "async (path) => (await (await fetch(`/${path}`)).json()).messages.at(-1).content"
    return await chat.page.evaluate(messages, path)
