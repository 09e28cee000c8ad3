"""The debug page offers the models of the service, and says what is known of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from playwright.async_api import expect

from support.page import visit
from support.service import Service

if TYPE_CHECKING:
    from stream_serve.testing import ScriptedUpstream
    from support.page import KeyedService, PageFactory


async def test_the_models_are_offered_in_the_language_of_the_page(
    upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    Path("stream-serve.toml").write_text(
        f'[[providers]]\nname = "p"\nurl = "{upstream.url}"\n'
        '[[models]]\nname = "answer?tokens=1"\n'
        '[[models]]\nname = "<b>fine</b>"\ncontext = 32768\nthinks = true\nsees = false\n'
        'targets = [{ model = "answer?tokens=2" }]\ndefault = true\n',
        encoding="utf-8",
    )
    async with Service() as service:
        debugger = await visit(page_context, service, locale="en-US")
        options = debugger.page.locator("#models option")
        await expect(options).to_have_text(["default · 32,768 tokens · thinks", ""])
        names = await options.evaluate_all("all => all.map((one) => one.value)")
        assert names == ["<b>fine</b>", "answer?tokens=1"]
        await expect(debugger.page.locator("#model")).to_have_attribute(
            "placeholder", "<b>fine</b>"
        )
        box = debugger.page.get_by_role("combobox", name="Model")
        await expect(box).to_be_visible()
        hint = debugger.page.locator("#model-hint")
        await expect(hint).to_have_text("optional, 2 in the list")
        await debugger.page.locator("#language-zh").click()
        await expect(options.first).to_have_text("默认 · 32,768 token · 能思考")
        await expect(hint).to_have_text("可选，列表中有 2 个")
        await debugger.send("<b>fine</b>")
        await debugger.reaches("finished")
        await expect(debugger.page.locator("#answer-model")).to_have_text("<b>fine</b>")
    assert upstream.requests[-1].model == "answer?tokens=2"


async def test_where_no_model_is_the_default_one_must_be_chosen(
    upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    async with Service(upstream_url=upstream.url, model=None) as service:
        debugger = await visit(page_context, service, locale="en-US")
        await expect(debugger.page.locator("#model-hint")).to_contain_text("one of")
        await debugger.send("")
        await expect(debugger.page.locator("#status")).to_contain_text("choose one of the list")


async def test_a_model_that_is_not_there_is_told_once_with_those_that_there_are(
    upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    Path("stream-serve.toml").write_text(
        f'only_listed = true\n[[providers]]\nname = "p"\nurl = "{upstream.url}"\n'
        '[[models]]\nname = "answer"\n[[models]]\nname = "echo"\n',
        encoding="utf-8",
    )
    async with Service() as service:
        debugger = await visit(page_context, service, locale="en-US")
        await expect(debugger.page.locator("#models option")).to_have_count(2)
        await debugger.send("none")
        words = debugger.failure.locator(".server-words")
        await expect(words).to_have_text("there is no model of this name: there are answer, echo")
        await expect(debugger.failure.locator("h3")).to_contain_text("The model is unknown")


async def test_the_only_model_of_a_server_is_offered_though_nobody_configured_it(
    upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    upstream.models = ["answer?tokens=1"]
    async with Service(upstream_url=upstream.url, model=None) as service:
        debugger = await visit(page_context, service, locale="en-US")
        box = debugger.page.locator("#model")
        await expect(box).to_have_attribute("placeholder", "answer?tokens=1")
        info = await debugger.page.request.get(f"{service.url}/ai/info")
        assert (await info.json())["model"] == "answer?tokens=1"
        await debugger.send("")
        await debugger.reaches("finished")


async def test_where_a_key_is_needed_the_models_are_offered_after_it_is_entered(
    keyed_service: KeyedService, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, keyed_service)
    await expect(debugger.page.locator("#models option")).to_have_count(0)
    await debugger.page.locator("#key").fill(keyed_service.key)
    await debugger.page.locator("#key").blur()
    await expect(debugger.page.locator("#models option")).to_have_count(1)
