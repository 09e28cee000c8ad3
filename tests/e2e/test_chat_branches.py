"""Branches on the chat page: answering again, editing, switching, thumbs, and files of all of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.async_api import expect

from support.chat import visit
from support.models import offering

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp
    from playwright.async_api import Locator

    from stream_serve.testing import ScriptedUpstream
    from support.chat import Chat
    from support.page import PageFactory
    from support.service import Service

DESK: Final = (1440, 900)
PHONE: Final = (390, 844)
SHORT: Final = "answer?text=Short."
LONG: Final = "answer?tokens=400&interval=0"
FAILS: Final = "http-500"


@pytest.fixture
async def service(upstream: ScriptedUpstream) -> AsyncIterator[Service]:
    """Return a service that keeps conversations, with a short, a long and a failing model."""
    async with offering(upstream.url, {LONG: "", SHORT: "", FAILS: ""}) as running:
        yield running


def again(model: str) -> str:
    return f"Answer again with {model}"


async def begin(page_context: PageFactory, service: Service, **options: Any) -> Chat:
    """Open the page, ask, and wait for the answer."""
    chat = await visit(page_context, service, **options)
    await chat.ask("First question")
    await expect(chat.answer).to_have_attribute("data-state", "complete")
    return chat


def more(turn: Locator) -> Locator:
    return turn.get_by_role("button", name="More actions")


def version(turn: Locator, name: str) -> Locator:
    return turn.get_by_role("button", name=f"Version {name}")


async def test_a_short_version_is_in_view_behind_a_long_one(
    service: Service, page_context: PageFactory
) -> None:
    chat = await begin(page_context, service)
    await chat.choose(more(chat.answer), again(SHORT))
    await expect(chat.answer).to_contain_text("Short.")
    await chat.ends()
    await version(chat.answer, "before").click()
    await version(chat.answer, "after").click()
    await expect(chat.answer).to_contain_text("Short.")
    await expect(chat.answer).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("viewport", [DESK, PHONE])
async def test_versions_of_an_answer_are_switched_in_their_place_and_kept(
    service: Service, page_context: PageFactory, viewport: tuple[int, int]
) -> None:
    chat = await begin(page_context, service, viewport=viewport)
    await chat.choose(more(chat.answer), again(SHORT))
    await expect(chat.answer).to_contain_text("Short.")
    await chat.ends()
    await expect(chat.answer).to_have_accessible_name(f"{SHORT}, 2/2")
    top = await chat.top(chat.answer)
    for way, number in (("before", 1), ("after", 2), ("before", 1)):
        await version(chat.answer, way).focus()
        await chat.page.evaluate("document.querySelector('.scroller').scrollTop = 0")
        await chat.page.keyboard.press("Enter")
        await expect(chat.answer.locator(".version")).to_have_text(f"{number}/2")
        await expect(version(chat.answer, way)).to_be_focused()
        assert await chat.top(chat.answer) == pytest.approx(top, abs=1)
    await chat.page.reload()
    await expect(chat.answer).to_have_accessible_name(f"{LONG}, 1/2")
    await expect(version(chat.answer, "before")).to_have_attribute("aria-disabled", "true")


async def test_an_answer_that_fails_gives_its_place_back_to_the_one_before(
    service: Service, page_context: PageFactory
) -> None:
    chat = await begin(page_context, service)
    text = await chat.answer.locator(".answer").inner_text()
    await chat.choose(more(chat.answer), again(FAILS))
    await expect(chat.answer).to_contain_text("1/2")
    said = "The provider does not answer as it should. Try again."
    await expect(chat.log.get_by_role("alert")).to_have_text(said)
    assert await chat.answer.locator(".answer").inner_text() == text
    await chat.page.reload()
    await expect(chat.answer).to_contain_text("1/2")
    assert await chat.answer.locator(".answer").inner_text() == text
    await version(chat.answer, "after").click()
    await expect(chat.answer.get_by_role("alert")).to_contain_text("failed")
    await chat.answer.get_by_role("button", name="Try again").click()
    await expect(chat.answer).to_contain_text("3/3")
    await expect(chat.answer).to_have_attribute("data-state", "complete")


async def test_a_question_is_edited_in_its_place_and_makes_a_branch(
    service: Service, page_context: PageFactory
) -> None:
    chat = await begin(page_context, service)
    await chat.ask("Second question")
    await expect(chat.answers).to_have_count(2)
    await chat.ends()
    first = chat.questions.first
    await first.hover()
    await first.get_by_role("button", name="Edit").click()
    field = chat.page.get_by_role("textbox", name="Edit the question")
    await expect(field).to_be_focused()
    await expect(field).to_have_value("First question")
    await field.fill("Nothing")
    await field.press("Escape")
    await expect(field).to_have_count(0)
    await expect(first).to_contain_text("First question")
    await expect(first).to_be_focused()
    await first.get_by_role("button", name="Edit").click()
    await field.fill("Another question")
    await chat.button("Send as a new branch").click()
    await expect(chat.questions).to_have_text([re.compile("Another question")])
    await expect(chat.answer).to_have_attribute("data-state", "complete")
    await expect(first).to_have_accessible_name("You, 2/2")
    await version(first, "before").click()
    await expect(chat.questions).to_have_text(
        [re.compile("First question"), re.compile("Second question")]
    )
    await expect(version(first, "before")).to_be_focused()
    await version(first, "after").click()
    await expect(chat.questions).to_have_count(1)
    await chat.page.reload()
    await expect(chat.questions).to_have_text([re.compile("Another question")])


async def test_what_is_typed_into_an_edited_question_survives_a_reload(
    service: Service, page_context: PageFactory
) -> None:
    chat = await begin(page_context, service)
    edit = chat.questions.get_by_role("button", name="Edit")
    field = chat.page.get_by_role("textbox", name="Edit the question")
    await chat.questions.hover()
    await edit.click()
    await field.fill("Half of another")
    await chat.page.reload()
    await expect(chat.questions).to_contain_text("First question")
    await chat.questions.hover()
    await edit.click()
    await expect(field).to_have_value("Half of another")
    await field.press("Escape")
    await edit.click()
    await expect(field).to_have_value("First question")


async def test_thumbs_are_stored_and_can_be_taken_back(
    service: Service, page_context: PageFactory
) -> None:
    chat = await begin(page_context, service)
    good = chat.button("Good answer")
    bad = chat.button("Bad answer")
    for button, other in ((good, bad), (bad, good)):
        async with chat.page.expect_response("**/messages/*") as stored:
            await button.click()
        assert (await stored.value).ok
        await expect(button).to_have_attribute("aria-pressed", "true")
        await expect(other).to_have_attribute("aria-pressed", "false")
        await chat.page.reload()
        await expect(button).to_have_attribute("aria-pressed", "true")
        await expect(other).to_have_attribute("aria-pressed", "false")
    async with chat.page.expect_response("**/messages/*"):
        await bad.click()
    await chat.page.reload()
    await expect(bad).to_have_attribute("aria-pressed", "false")


async def test_a_thumb_that_cannot_be_stored_is_taken_back_and_says_so(
    service: Service, page_context: PageFactory
) -> None:
    chat = await begin(page_context, service)
    await chat.page.route("**/messages/*", lambda route: route.fulfill(status=500, json={}))
    await chat.button("Good answer").click()
    await expect(chat.log.get_by_role("alert")).to_be_visible()
    await expect(chat.button("Good answer")).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize("form", ["Markdown", "JSON"])
async def test_all_branches_are_in_the_file(
    service: Service, page_context: PageFactory, form: str
) -> None:
    chat = await begin(page_context, service)
    await chat.choose(more(chat.answer), again(SHORT))
    await expect(chat.answer).to_contain_text("2/2")
    await chat.ends()
    async with chat.page.expect_download() as download:
        await chat.choose(chat.button("Actions for “First question”"), f"Save as {form}")
    file = await download.value
    ending = {"Markdown": "md", "JSON": "json"}[form]
    assert file.suggested_filename == f"First question.{ending}"
    text = Path(await file.path()).read_text(encoding="utf-8")
    if form == "JSON":
        found: dict[str, Any] = json.loads(text)
        said = [message["content"] for message in found["messages"]]
        assert len(said) == 3
        assert said[0] == "First question"
        assert said[2] == "Short."
    else:
        assert text.startswith("# First question")
        assert text.count("\n## user") == 1
        assert text.count("\n## assistant") == 2
        assert "Short." in text


async def test_the_model_and_the_settings_belong_to_their_conversation(
    service: Service,
    upstream: ScriptedUpstream,
    page_context: PageFactory,
    client: aiohttp.ClientSession,
) -> None:
    chat = await begin(page_context, service)
    await chat.button(f"Model: {LONG}").click()
    await chat.page.get_by_role("menuitemradio", name=SHORT).click()
    await expect(chat.button(f"Model: {SHORT}")).to_be_focused()
    await chat.button("Settings").click()
    async with chat.page.expect_response(
        lambda response: response.request.method == "PATCH"
    ) as stored:
        await chat.page.get_by_label("System prompt").fill("Be brief.")
        await chat.page.get_by_label("Temperature").fill("0,5")
        await chat.page.get_by_label("Longest answer, in tokens").fill("100")
        await chat.page.get_by_label("Thinking").select_option("Answer at once")
        await chat.page.keyboard.press("Escape")
    assert (await stored.value).ok
    await chat.page.reload()
    await expect(chat.button(f"Model: {SHORT}")).to_be_visible()
    await chat.ask("And now?")
    await expect(chat.answer).to_contain_text("Short.")
    asked = upstream.requests[-1]
    assert asked.model == SHORT
    body = asked.body
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body["temperature"] == 0.5
    assert body["max_tokens"] == 100
    await chat.button("New conversation").click()
    await expect(chat.button(f"Model: {LONG}")).to_be_visible()


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
async def test_all_that_can_be_done_with_an_answer_is_in_one_line_on_a_phone(
    page_context: PageFactory, service: Service, locale: str
) -> None:
    page = await page_context(locale=locale, viewport=PHONE, touch=True)
    await page.goto(service.url)
    await page.locator("#message").fill("First question")
    await page.locator(".send").click()
    complete = page.locator(".of-model[data-state=complete]")
    actions = complete.locator(".actions")
    await actions.locator("> button").nth(1).click()
    await expect(complete.locator(".versions")).to_be_visible()
    boxes = [await one.bounding_box() for one in await actions.get_by_role("button").all()]
    assert len(boxes) > 4
    assert len({box["y"] for box in boxes if box}) == 1
    assert all(box and min(box["width"], box["height"]) >= 44 for box in boxes)
