"""The chat page when a question is refused: by the provider, or for want of a key or a database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.async_api import expect

from support.chat import visit
from support.page import PATIENCE
from support.service import Service

if TYPE_CHECKING:
    from pathlib import Path

    from stream_serve.testing import ScriptedUpstream
    from support.page import PageFactory

DESK: Final[dict[str, Any]] = {"viewport": (1440, 900)}
PHONE: Final[dict[str, Any]] = {"viewport": (390, 844), "touch": True}
SCREENS: Final = pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
AWAY: Final = "postgresql://nobody@127.0.0.1:1/nothing"
KEYS: Final = ("sk-first-0123456789", "sk-second-0123456789")


@SCREENS
async def test_too_many_requests_are_counted_down_and_tried_again(
    upstream: ScriptedUpstream, tmp_path: Path, page_context: PageFactory, screen: dict[str, Any]
) -> None:
    database = f"sqlite:///{tmp_path / 'conversations.db'}"
    async with Service(
        upstream_url=upstream.url,
        database_url=database,
        model="rate-limited?after=60&times=1",
        max_retries=0,
    ) as service:
        chat = await visit(page_context, service, **screen)
        await chat.page.clock.install()
        await chat.ask("Hello")
        await expect(chat.answer.get_by_role("alert")).to_contain_text("Too many requests at once")
        await expect(chat.answer).to_contain_text(re.compile(r"Possible in \d\d s"))
        retry = chat.button("Try again")
        await expect(retry).to_be_disabled()
        await expect(chat.questions).to_contain_text(["Hello"])
        await chat.page.clock.fast_forward(61_000)
        await expect(retry).to_be_enabled()
        await expect(chat.answer).not_to_contain_text("Possible in")
        await retry.click()
        await expect(chat.answer).to_contain_text("Done.")
        await chat.ends()
        await expect(chat.questions).to_have_count(1)
        assert len(upstream.requests) == 2


async def test_without_a_key_that_is_taken_it_is_asked_for_and_the_question_goes_on(
    upstream: ScriptedUpstream, tmp_path: Path, page_context: PageFactory
) -> None:
    database = f"sqlite:///{tmp_path / 'conversations.db'}"
    async with Service(
        upstream_url=upstream.url, database_url=database, model="echo", api_keys=KEYS[1]
    ) as service:
        chat = await visit(page_context, service, **DESK)
        field = chat.page.get_by_label("API key")
        await expect(field).to_be_focused()
        await chat.page.keyboard.press("Escape")
        await expect(field).to_be_hidden()
        await chat.ask("Hello")
        await expect(field).to_be_focused()
        await chat.give_key(KEYS[1])
        await expect(chat.text).to_have_text("Hello")
        await expect(chat.questions).to_have_count(1)
        await chat.ends()
        assert len(upstream.requests) == 1


async def test_a_question_that_never_reached_the_service_says_so_and_can_be_sent_again(
    upstream: ScriptedUpstream, tmp_path: Path, page_context: PageFactory
) -> None:
    database = f"sqlite:///{tmp_path / 'conversations.db'}"
    async with Service(upstream_url=upstream.url, database_url=database, model="echo") as service:
        chat = await visit(page_context, service, **DESK)
        await chat.page.context.set_offline(offline=True)
        await chat.ask("Hello")
        await expect(chat.questions).to_contain_text("Not sent", timeout=4 * PATIENCE)
        await chat.page.context.set_offline(offline=False)
        await chat.button("Try again").click()
        await expect(chat.text).to_have_text("Hello")
        await expect(chat.questions).to_have_count(1)
        assert len(upstream.requests) == 1


async def test_with_the_database_away_one_can_ask_and_is_told(
    upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    async with Service(upstream_url=upstream.url, database_url=AWAY, model="echo") as service:
        chat = await visit(page_context, service, **DESK)
        notice = chat.page.get_by_role("alert").get_by_text("The database cannot be reached.")
        await expect(notice).to_be_visible()
        await chat.ask("first")
        await expect(chat.text).to_have_text("first")
        await chat.ask("second")
        await expect(chat.text).to_have_text("second")
        await chat.ends()
        said = [message["content"] for message in upstream.requests[-1].body["messages"]]
        assert said[-3:] == ["first", "first", "second"]
        await chat.button("New conversation").click()
        await expect(chat.questions).to_have_count(0)
        await chat.page.go_back()
        await expect(chat.questions).to_contain_text(["first", "second"])
        await chat.page.go_forward()
        await expect(chat.questions).to_have_count(0)
        await chat.ask("another")
        await expect(chat.text).to_have_text("another")
        here = chat.page.get_by_role("list", name="Only in this tab, not kept")
        await expect(here.get_by_role("link")).to_have_text(["first", "another"])
        await expect(chat.heading).to_have_text("another")
        await here.get_by_role("link", name="first").click()
        await expect(chat.questions).to_contain_text(["first", "second"])
        await expect(here.get_by_role("link", name="first")).to_have_attribute(
            "aria-current", "page"
        )
        await expect(chat.heading).to_have_text("first")
        assert await chat.faults() == []
