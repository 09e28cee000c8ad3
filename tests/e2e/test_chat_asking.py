"""The chat page when one asks: the first question, the box, what waits, and what a refusal says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.async_api import expect

from support.chat import visit

if TYPE_CHECKING:
    from stream_serve.testing import ScriptedUpstream
    from stream_serve.testing.records import Record
    from support.chat import Serve
    from support.page import PageFactory
    from support.service import Service

DESK: Final[dict[str, Any]] = {"viewport": (1440, 900)}
PHONE: Final[dict[str, Any]] = {"viewport": (390, 844), "touch": True}
SCREENS: Final = pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
MODEL: Final = "answer?hold=20"


@pytest.fixture
async def service(serve: Serve) -> Service:
    """Return a service that keeps conversations, and holds its answers."""
    return await serve(MODEL)


@SCREENS
async def test_the_first_question_on_a_fresh_service(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory, screen: dict[str, Any]
) -> None:
    chat = await visit(page_context, service, **screen)
    phone = screen is PHONE
    await expect(chat.page.get_by_role("heading", level=1)).to_have_count(1)
    # A keyboard on a screen would cover what one came to see.
    if phone:
        await expect(chat.box).not_to_be_focused()
    else:
        await expect(chat.box).to_be_focused()
    send = await chat.button("Send").element_handle()
    await chat.box.fill("Hello")
    if phone:
        await chat.button("Send").tap()
    else:
        await chat.box.press("Enter")
    await expect(chat.questions).to_have_count(1)
    await expect(chat.questions).to_contain_text("Hello")
    await expect(chat.box).to_have_value("")
    assert send is not None
    assert await send.get_attribute("aria-label") == "Stop"
    await expect(chat.button("Stop")).to_have_count(1)
    if phone:
        await chat.button("Open the conversations").tap()
    await expect(chat.titles).to_have_text(["Hello"])
    await expect(chat.page).to_have_url(re.compile("/c/"))
    if phone:
        await chat.button("Close the conversations").tap()
    else:
        await expect(chat.box).to_be_focused()
    upstream.release()
    await chat.ends()
    assert await send.get_attribute("aria-label") == "Send"


async def test_the_box_of_an_empty_page_is_in_the_optical_middle(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service, **DESK)
    frame = await chat.page.locator("form.composer").bounding_box()
    main = await chat.page.get_by_role("main").bounding_box()
    assert frame is not None
    assert main is not None
    above, below = frame["y"] - main["y"], main["y"] + main["height"] - frame["y"] - frame["height"]
    assert above / (above + below) == pytest.approx(0.4, abs=0.01)
    await expect(chat.page.get_by_text("What would you like to know?")).to_be_visible()
    await chat.ask("Hello")
    await expect(chat.page.get_by_text("What would you like to know?")).to_be_hidden()
    frame = await chat.page.locator("form.composer").bounding_box()
    assert frame is not None
    assert frame["y"] + frame["height"] == pytest.approx(main["y"] + main["height"], abs=1)


@SCREENS
async def test_the_box_grows_to_two_fifths_and_covers_nothing(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory, screen: dict[str, Any]
) -> None:
    upstream.release()
    chat = await visit(page_context, service, **screen)
    await chat.ask("Hello")
    await chat.ends()
    await chat.box.focus()
    for _ in range(30):
        await chat.page.keyboard.type("line")
        await chat.page.keyboard.press("Shift+Enter")
    await expect(chat.box).to_have_value("line\n" * 30)
    await expect(chat.questions).to_have_count(1)
    box = await chat.box.bounding_box()
    assert box is not None
    assert box["height"] <= screen["viewport"][1] * 0.4 + 1
    assert await chat.box.evaluate("(box) => box.scrollHeight > box.clientHeight")
    text = await chat.text.bounding_box()
    frame = await chat.page.locator("form.composer").bounding_box()
    assert text is not None
    assert frame is not None
    assert text["y"] + text["height"] <= frame["y"]


# What waits


async def test_the_next_questions_wait_are_changed_taken_back_and_sent_in_their_order(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service, **DESK)
    await chat.ask("first")
    await chat.grows()
    for question in ("second", "withdrawn", "fourth"):
        await chat.box.fill(question)
        await chat.box.press("Enter")
    waiting = chat.page.locator(".waiting .next")
    await expect(waiting).to_contain_text(["second", "withdrawn", "fourth"])
    await waiting.nth(1).get_by_role("button", name="Withdraw the next question").click()
    await expect(waiting).to_contain_text(["second", "fourth"])
    await waiting.nth(1).get_by_role("button", name="Edit the next question").click()
    await expect(chat.box).to_have_value("fourth")
    await expect(chat.box).to_be_focused()
    await chat.box.fill("third")
    await chat.box.press("Enter")
    await expect(waiting).to_contain_text(["second", "third"])
    upstream.release()
    await expect(waiting).to_have_count(0)
    await chat.ends()
    await expect(chat.questions).to_have_count(3)
    assert [asked(record) for record in upstream.requests] == ["first", "second", "third"]


async def test_one_that_waits_can_be_sent_now(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service, **DESK)
    await chat.ask("first")
    await chat.grows()
    for question in ("second", "third"):
        await chat.box.fill(question)
        await chat.box.press("Enter")
    await chat.page.get_by_role("button", name="Send it now, and stop this answer").nth(1).click()
    await expect(chat.questions).to_contain_text(["first", "third"])
    await expect(chat.answers.first).to_contain_text("Stopped")
    await upstream.wait_for(lambda record: asked(record) == "third")
    assert upstream.requests[0].closed_by == "peer"
    upstream.release()
    await expect(chat.questions).to_have_count(3)
    await chat.ends()
    assert [asked(record) for record in upstream.requests] == ["first", "third", "second"]


async def test_what_waits_survives_a_reload_and_is_sent_once(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service, **DESK)
    await chat.ask("first")
    await chat.grows()
    await chat.ask("second")
    await expect(chat.page.locator(".waiting .next")).to_have_count(1)
    await chat.page.reload()
    await expect(chat.page.locator(".waiting .next")).to_contain_text(["second"])
    upstream.release()
    await expect(chat.questions).to_have_count(2)
    await chat.ends()
    assert [asked(record) for record in upstream.requests] == ["first", "second"]


def asked(record: Record) -> str:
    """Return the last question of a request to the provider."""
    return record.body["messages"][-1]["content"] if record.body else ""
