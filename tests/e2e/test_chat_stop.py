"""Stopping on the chat page: in every phase, with what the provider has seen of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.async_api import expect

from support.chat import Chat, visit
from support.waiting import until

if TYPE_CHECKING:
    from playwright.async_api import Route

    from stream_serve.testing import ScriptedUpstream
    from support.chat import Serve
    from support.page import PageFactory

DESK: Final[dict[str, Any]] = {"viewport": (1440, 900)}
PHONE: Final[dict[str, Any]] = {"viewport": (390, 844), "touch": True}
SCREENS: Final = pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
CLOSED: Final = re.compile(r"Stopped, the provider's connection closed after \d+ ms")

WAITING: Final = "silent"
THINKING: Final = "only-thinks?hold=10"
ANSWERING: Final = "answer?tokens=4000&interval=0.02"


async def is_stopped(chat: Chat, upstream: ScriptedUpstream) -> None:
    """See the mark, the receipt, and what the provider's side has seen; nothing comes after."""
    await expect(chat.answer.get_by_text(CLOSED)).to_be_visible()
    await expect(chat.button("Stop")).to_have_count(0)
    record = await upstream.wait_for(lambda record: record.closed_by is not None)
    assert record.closed_by == "peer"
    text = await chat.text.inner_text()
    await chat.answer.get_by_text("Receipt of the stop").click()
    await expect(chat.answer.locator("dl")).to_contain_text("Connection to the providerclosed")
    await chat.answer.get_by_text("Receipt of the stop").click()
    await chat.page.reload()
    await expect(chat.answers).to_have_count(1)
    await expect(chat.answer).to_contain_text("Stopped")
    assert await chat.text.inner_text() == text
    await chat.answer.get_by_text("Receipt of the stop").click()
    await expect(chat.answer.locator("dl")).to_contain_text("Connection to the providerclosed")
    await expect(chat.answer.get_by_text(CLOSED)).to_be_visible()


async def test_before_the_start(
    serve: Serve, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, await serve(ANSWERING), **DESK)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    await chat.page.route("**/ai/chat/stream-sse", hold)
    await chat.ask("Never mind")
    await until(lambda: held != [])
    await expect(chat.button("Stop")).to_be_visible()
    await chat.page.keyboard.press("Escape")
    await expect(chat.button("Stop")).to_have_count(0)
    await expect(chat.answer).to_contain_text("Stopped before the question reached the service")
    await expect(chat.box).to_have_value("Never mind")
    await held[0].abort()
    assert upstream.requests == []


@SCREENS
async def test_while_it_waits_for_the_first_word(
    serve: Serve, upstream: ScriptedUpstream, page_context: PageFactory, screen: dict[str, Any]
) -> None:
    chat = await visit(page_context, await serve(WAITING), **screen)
    await chat.ask("Anybody there?")
    await expect(chat.answer).to_contain_text("Waiting for the first word")
    await upstream.wait_for()
    if screen is PHONE:
        await chat.button("Stop").tap()
    else:
        await chat.page.keyboard.press("Escape")
    await expect(chat.answer.get_by_text(CLOSED)).to_be_visible()
    # Nothing has come of the answer: the question is there to be asked in another way.
    await expect(chat.box).to_have_value("Anybody there?")
    await expect(chat.questions).to_contain_text(["Anybody there?"])
    await is_stopped(chat, upstream)


async def test_while_it_thinks(
    serve: Serve, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, await serve(THINKING), **DESK)
    await chat.ask("Why?")
    await expect(chat.answer).to_contain_text(re.compile(r"Thinking, \d+ s"))
    await chat.page.keyboard.press("Escape")
    await expect(chat.answer).to_contain_text(re.compile(r"Thought for \d+ s"))
    await is_stopped(chat, upstream)


@SCREENS
async def test_while_it_answers(
    serve: Serve, upstream: ScriptedUpstream, page_context: PageFactory, screen: dict[str, Any]
) -> None:
    chat = await visit(page_context, await serve(ANSWERING), **screen)
    await chat.ask("Tell me all")
    await chat.grows(100)
    if screen is PHONE:
        await chat.button("Stop").tap()
    else:
        await chat.page.keyboard.press("Escape")
    await is_stopped(chat, upstream)
    await expect(chat.box).to_have_value("")


async def test_esc_closes_one_thing_at_a_time(
    serve: Serve, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, await serve(ANSWERING), **DESK)
    await chat.ask("Tell me all")
    await chat.grows()
    await chat.button("Actions for “Tell me all”").click()
    menu = chat.page.get_by_role("menu")
    await expect(menu).to_be_visible()
    await chat.page.keyboard.press("Escape")
    await expect(chat.page.locator(".menu")).to_have_count(0)  # it is hidden a moment before
    await expect(chat.button("Stop")).to_be_visible()
    await chat.page.keyboard.press("Control+,")
    await expect(chat.page.get_by_role("heading", name="Settings")).to_be_visible()
    await chat.page.keyboard.press("Escape")
    await expect(chat.page.get_by_role("heading", name="Settings")).to_be_hidden()
    await expect(chat.button("Stop")).to_be_visible()
    assert upstream.requests[0].closed_by is None
    await chat.page.keyboard.press("Escape")
    await is_stopped(chat, upstream)


async def test_what_waits_goes_back_to_the_box(
    serve: Serve, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, await serve(ANSWERING), **DESK)
    await chat.ask("Tell me all")
    await chat.grows()
    for question in ("second", "third"):
        await chat.box.fill(question)
        await chat.box.press("Enter")
    await chat.box.fill("half a")
    await chat.page.keyboard.press("Escape")
    await expect(chat.box).to_have_value("second\n\nthird\n\nhalf a")
    await expect(chat.page.locator(".waiting .next")).to_have_count(0)
    await is_stopped(chat, upstream)
    assert len(upstream.requests) == 1


async def test_after_a_reload_and_in_another_tab(
    serve: Serve, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, await serve(ANSWERING), **DESK)
    await chat.ask("Tell me all")
    await chat.grows()
    await chat.page.reload()
    await chat.grows(100)
    other = Chat(await chat.page.context.new_page())
    await other.page.goto(await chat.address())
    await other.grows(100)
    await expect(other.button("Stop")).to_be_visible()
    await other.page.keyboard.press("Escape")
    await is_stopped(other, upstream)
    await expect(chat.answer.get_by_text("Stopped")).to_be_visible()
    await expect(chat.button("Stop")).to_have_count(0)
    assert len(upstream.requests) == 1
