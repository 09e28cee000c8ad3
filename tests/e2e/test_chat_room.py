"""What stands where on the chat page: turns and their actions, and what opens over them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.async_api import expect

from support.chat import Chat, visit

if TYPE_CHECKING:
    from playwright.async_api import Locator, Route

    from support.chat import Serve
    from support.page import PageFactory
    from support.service import Service

DESK: Final[dict[str, Any]] = {"viewport": (1440, 900)}
PHONE: Final[dict[str, Any]] = {"viewport": (390, 844), "touch": True}
BETWEEN: Final = 32
CLEAR: Final = "rgba(0, 0, 0, 0)"
MANY: Final = 200


@pytest.fixture
async def service(serve: Serve) -> Service:
    return await serve("answer?tokens=30")


async def asked(chat: Chat) -> None:
    """Ask twice, and wait for the answers."""
    for question in ("first", "second"):
        await chat.ask(question)
        await chat.ends()
    await expect(chat.answers).to_have_count(2)
    await expect(chat.button("Edit")).to_have_count(2)


async def edges(element: Locator) -> tuple[float, float]:
    """Return where an element begins and ends on the screen."""
    box = await element.bounding_box()
    assert box is not None
    return box["y"], box["y"] + box["height"]


async def shade(element: Locator) -> str:
    """Return what an open element lays over the page."""
    return await element.evaluate("(one) => getComputedStyle(one, '::backdrop').backgroundColor")


@pytest.mark.parametrize(("screen", "target"), [(DESK, 36), (PHONE, 44)], ids=["desk", "phone"])
async def test_a_question_has_its_actions_in_the_room_before_its_answer(
    service: Service, page_context: PageFactory, screen: dict[str, Any], target: int
) -> None:
    chat = await visit(page_context, service, **screen)
    await asked(chat)
    question, answer = chat.questions.last, chat.answers.last
    bubble, who = question.locator(".bubble"), answer.locator(".who")
    edit = question.get_by_role("button", name="Edit")
    await edit.scroll_into_view_if_needed()
    before = (await edges(bubble))[1], (await edges(who))[0]
    assert before[1] - before[0] == pytest.approx(BETWEEN, abs=1)
    above = chat.answers.first.get_by_role("group", name="Actions")
    assert (await edges(bubble))[0] - (await edges(above))[1] == pytest.approx(BETWEEN, abs=1)
    size = await edit.bounding_box()
    assert size is not None
    assert (size["width"], size["height"]) == (target, target)

    bar = question.get_by_role("group", name="Actions")
    if screen is DESK:
        await chat.box.focus()
        await answer.hover()
        await expect(bar).to_have_css("opacity", "0")
        await question.hover()
        await expect(bar).to_have_css("opacity", "1")
        await answer.hover()
        await edit.focus()
    await expect(bar).to_have_css("opacity", "1")
    assert ((await edges(bubble))[1], (await edges(who))[0]) == before
    hit = "(one) => { const {left, top} = one.getBoundingClientRect();"
    hit += " return document.elementFromPoint(left + 4, top + 2) === one; }"
    assert await who.evaluate(hit)

    await edit.click()
    await expect(question.get_by_role("textbox", name="Edit the question")).to_be_focused()


async def test_a_dialog_dims_the_page_and_a_menu_does_not(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service, **DESK)
    await asked(chat)
    menu = chat.page.get_by_role("menu")
    for opener in (
        chat.answer.get_by_role("button", name="More actions"),
        chat.page.locator("#open-model"),
    ):
        await opener.click()
        assert await shade(menu) == CLEAR
        await chat.page.keyboard.press("Escape")
        await expect(chat.page.locator(".menu")).to_have_count(0)
    await chat.page.keyboard.press("Control+,")
    assert await shade(chat.page.get_by_role("dialog")) != CLEAR


def stream(*events: dict[str, Any]) -> str:
    """Return what the service would send."""
    return "".join(
        f"id: {number}\ndata: {json.dumps(event)}\n\n" for number, event in enumerate(events, 1)
    )


async def test_hundreds_of_sources_and_tools_leave_room_for_the_answer(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service, **DESK)
    tools = [
        {"type": "tool_call", "index": at, "id": f"call-{at}", "name": f"tool {at}"}
        for at in range(MANY)
    ]
    pages = [
        {"type": "source", "url": f"https://example.com/{at}", "title": f"page {at}"}
        for at in range(MANY)
    ]
    body = stream(
        {"type": "start", "runId": "many", "model": "m", "createdAt": 0},
        *tools,
        *pages,
        {"type": "chunk", "content": "So it is."},
        {"type": "end", "finishReason": "stop"},
    )

    async def answer(route: Route) -> None:
        await route.fulfill(body=body, content_type="text/event-stream")

    await chat.page.route("**/ai/chat/stream-sse", answer)
    await chat.ask("Who says so?")
    await chat.ends()
    await expect(chat.answer.locator(".sources li")).to_have_count(MANY)
    for part in (".sources ol", ".tools"):
        top, bottom = await edges(chat.answer.locator(part))
        assert bottom - top <= 0.4 * 900 + 1, part
    last = chat.link(f"page {MANY - 1}")
    await last.focus()
    await expect(last).to_be_in_viewport()
    assert await chat.faults() == []
    await chat.page.emulate_media(media="print")
    top, bottom = await edges(chat.answer.locator(".sources ol"))
    assert bottom - top > 900
