"""A stopped answer that is continued in the chat page: the question that says so, and a stop of that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.async_api import expect

from support.chat import visit
from support.service import Service

if TYPE_CHECKING:
    from pathlib import Path

    from stream_serve.testing import ScriptedUpstream
    from support.page import PageFactory


async def test_a_stopped_answer_is_continued_and_stopped_again(
    upstream: ScriptedUpstream, tmp_path: Path, page_context: PageFactory
) -> None:
    database = f"sqlite:///{tmp_path / 'conversations.db'}"
    async with Service(
        upstream_url=upstream.url, model="hang-mid", database_url=database
    ) as service:
        chat = await visit(page_context, service)
        box = chat.page.get_by_role("textbox", name="Message", exact=True)
        await box.fill("first")
        await box.press("Enter")
        answers = chat.page.locator("article .answer")
        await expect(answers.first).not_to_be_empty()
        await chat.button("Stop").click()
        await expect(chat.button("Continue")).to_be_visible()
        said = await answers.first.inner_text()
        await box.fill("a draft")
        await chat.button("Continue").click()
        await expect(answers).to_have_count(2)
        await expect(answers.last).not_to_be_empty()
        sent = upstream.requests[-1].body["messages"]
        assert [one["role"] for one in sent[1:]] == ["user", "assistant", "user"]
        told = sent[2]["content"].replace("**", "")
        assert (told.strip(), sent[3]["content"]) == (said.strip(), "Continue")
        await chat.button("Stop").click()
        stopped = chat.page.get_by_role("article").filter(has_text="Stopped")
        await expect(stopped).to_have_count(2)
        assert await answers.first.inner_text() == said
        await expect(chat.button("Continue")).to_have_count(1)
        await chat.page.reload()
        await expect(box).to_have_value("a draft")
