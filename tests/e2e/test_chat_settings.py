"""The settings of the chat page: the operator's defaults, and what a person sets instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from playwright.async_api import expect

from support.chat import visit
from support.models import offering

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stream_serve.testing import ScriptedUpstream
    from support.chat import Chat
    from support.page import PageFactory
    from support.service import Service

SHORT: Final = "answer?text=Short."
PLAIN: Final = "answer?text=Plain."
TAGS: Final = "answer?text=A%20%3Cb%3Ebold%3C/b%3E%20word.%0A%0A%3Cdiv%3Ebox%3C/div%3E"


@pytest.fixture
async def service(upstream: ScriptedUpstream) -> AsyncIterator[Service]:
    """Return a service whose operator has set the defaults, with a model that takes none of them."""
    models = {SHORT: "", PLAIN: "thinks = false\ntemperature = false", TAGS: ""}
    async with offering(upstream.url, models, temperature=0.7, thinking="false") as running:
        yield running


async def ask(chat: Chat, question: str) -> None:
    await chat.ask(question)
    await expect(chat.answer).to_have_attribute("data-state", "complete")


@pytest.mark.parametrize(
    ("locale", "settings", "temperature", "empty", "thinking"),
    [
        (
            "en-GB",
            "Settings",
            "Temperature",
            "0 answers alike each time, 2 differs much. Empty: 0.7, the service's default.",
            "Answer at once (the service's default)",
        ),
        (
            "zh-CN",
            "设置",
            "温度",
            "0 表示每次回答相近，2 表示差别很大。留空则为 0.7，即服务的默认设置。",
            "直接回答（服务的默认设置）",
        ),
    ],
)
async def test_the_settings_say_what_the_operator_has_set(
    service: Service,
    page_context: PageFactory,
    *,
    locale: str,
    settings: str,
    temperature: str,
    empty: str,
    thinking: str,
) -> None:
    chat = await visit(page_context, service, locale=locale)
    await chat.button(settings).click()
    field = chat.page.get_by_label(temperature)
    await expect(field).to_have_attribute("placeholder", "0.7")
    await expect(field).to_have_accessible_description(empty)
    await expect(chat.page.locator("#thinking option:checked")).to_have_text(thinking)


async def test_the_operators_defaults_hold_until_a_person_chooses_and_for_models_that_take_them(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    await ask(chat, "First")
    body = upstream.requests[-1].body
    assert (body["temperature"], body["enable_thinking"]) == (0.7, False)
    await chat.button("Settings").click()
    await chat.page.get_by_label("Temperature").fill("0")
    await chat.page.get_by_label("Thinking").select_option("Think before answering")
    await chat.page.keyboard.press("Escape")
    await ask(chat, "Second")
    body = upstream.requests[-1].body
    assert (body["temperature"], body["enable_thinking"]) == (0, True)
    await chat.button("New conversation").click()
    await chat.button(f"Model: {SHORT}").click()
    await chat.page.get_by_role("menuitemradio", name=PLAIN).click()
    await ask(chat, "Third")
    assert upstream.requests[-1].body.keys().isdisjoint({"temperature", "enable_thinking"})


@pytest.mark.parametrize("leaving", ["escape", "reload"])
async def test_a_setting_that_is_typed_is_not_lost_however_it_is_left(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory, leaving: str
) -> None:
    chat = await visit(page_context, service)
    await chat.button("Settings").click()
    await chat.page.get_by_label("Temperature").press_sequentially("1.5")
    await chat.page.get_by_label("System prompt").press_sequentially("Be brief.")
    if leaving == "reload":
        await chat.page.reload()
    else:
        await chat.page.keyboard.press("Escape")
    await ask(chat, "First")
    body = upstream.requests[-1].body
    assert body["temperature"] == 1.5
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}


async def test_html_of_a_model_is_text_or_hidden_as_was_chosen(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    await chat.button(f"Model: {SHORT}").click()
    await chat.page.get_by_role("menuitemradio", name=TAGS).click()
    await ask(chat, "First")
    await expect(chat.text).to_have_text("A <b>bold</b> word. <div>box</div>", use_inner_text=True)
    await chat.button("Settings").click()
    await chat.page.get_by_label("HTML in an answer").select_option("Hidden")
    await chat.page.keyboard.press("Escape")
    await expect(chat.text).to_have_text("A bold word.", use_inner_text=True)
    await chat.page.reload()
    await expect(chat.text).to_have_text("A bold word.", use_inner_text=True)
