"""The chat page for everybody: axe in every state, small windows, few colours, no motion, a voice."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.async_api import expect

from stream_serve.testing import ANSWER, pieces
from support.chat import Chat, visit
from support.models import offering

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp
    from playwright.async_api import Locator

    from stream_serve.testing import ScriptedUpstream
    from support.page import KeyedService, PageFactory
    from support.service import Service

DESK: Final = (1440, 900)
PHONE: Final = (390, 844)
HELD: Final = "thinking?hold=20"
GROWS: Final = "thinking?tokens=150&interval=0.005&hold=150"
SPEAKS: Final = "answer?tokens=200&interval=0.02"
ECHO: Final = "echo?size=40"
FAILS: Final = "http-500"
RICH: Final = """\
# A heading

Some **text** with `code`, a [link](https://example.org), ~~strike~~ and a note[^1].

- [x] done
- [ ] not yet

```python
print("hello")
```

| a | b |
|---|--:|
| 1 | 2 |

$$\\frac{1}{2}$$

> A quotation, 你好, مرحبا

![A cat](https://example.org/cat.png)

[^1]: The note."""


@pytest.fixture
async def service(upstream: ScriptedUpstream) -> AsyncIterator[Service]:
    """Return a service that keeps conversations, with a model for each state of a turn."""
    async with offering(upstream.url, {ECHO: "", HELD: "", FAILS: ""}) as running:
        yield running


async def make(client: aiohttp.ClientSession, service: Service, model: str) -> str:
    """Make a conversation whose questions go to a model; return its path."""
    body = {"title": "123", "metadata": {"model": model}}
    async with client.post(f"{service.url}/ai/conversations", json=body) as got:
        return f"/c/{(await got.json())['id']}"


async def ask(chat: Chat, question: str, state: str) -> None:
    """Ask, and wait until the answer is in a state."""
    await chat.ask(question)
    await expect(chat.answer).to_have_attribute("data-state", state)


async def sound(chat: Chat) -> None:
    """Nothing that axe finds in any light, and nothing wider than the window."""
    assert await chat.faults_in_any_light() == []
    assert await chat.overflow() == 0


SCREENS: Final = pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])


@SCREENS
async def test_axe_finds_no_fault_while_an_answer_comes_is_stopped_or_fails(
    service: Service,
    page_context: PageFactory,
    client: aiohttp.ClientSession,
    viewport: tuple[int, int],
) -> None:
    path = await make(client, service, HELD)
    chat = await visit(page_context, service, path, viewport=viewport)
    await sound(chat)
    await ask(chat, "Think", "answering")
    await sound(chat)
    await chat.answer.locator(".thoughts summary").first.click()
    await chat.box.fill("And then?")
    await chat.box.press("Control+Enter")
    await expect(chat.page.get_by_text("Next: And then?")).to_be_visible()
    await sound(chat)
    await chat.button("Withdraw the next question").click()
    await chat.button("Stop").click()
    await expect(chat.answer).to_have_attribute("data-state", "stopped")
    await chat.answer.locator(".mark summary").click()
    await sound(chat)
    await chat.page.goto(service.url + await make(client, service, FAILS))
    await ask(chat, "Fail", "failed")
    await chat.answer.locator(".trouble summary").click()
    await sound(chat)


@SCREENS
async def test_axe_finds_no_fault_in_answers_and_in_what_opens_over_them(
    service: Service, page_context: PageFactory, viewport: tuple[int, int]
) -> None:
    chat = await visit(page_context, service, viewport=viewport)
    page = chat.page
    await ask(chat, RICH, "complete")
    await expect(chat.answer.locator(".katex")).to_be_visible()
    await expect(chat.answer.locator(".hljs-string")).to_be_visible()
    await sound(chat)
    for opener in (
        chat.answer.get_by_role("button", name="More actions"),
        page.locator("#open-model"),
    ):
        await opener.click()
        await expect(page.get_by_role("menu")).to_be_visible()
        await sound(chat)
        await page.keyboard.press("Escape")
        await expect(opener).to_be_focused()
    await chat.questions.hover()
    await chat.questions.get_by_role("button", name="Edit").click()
    await sound(chat)
    await page.keyboard.press("Escape")
    await chat.button("Answer again").click()
    await expect(chat.answer).to_contain_text("2/2")
    await chat.ends()
    await sound(chat)
    if viewport == PHONE:
        await chat.button("Open the conversations").click()
    await chat.choose(page.locator(".row button"), "Rename")
    await sound(chat)
    await page.keyboard.press("Escape")
    await chat.choose(page.locator(".row button"), "Delete")
    await expect(chat.button("Undo")).to_be_visible()
    await sound(chat)


@SCREENS
async def test_axe_finds_no_fault_where_something_is_missing(
    keyed_service: KeyedService,
    service: Service,
    page_context: PageFactory,
    viewport: tuple[int, int],
) -> None:
    chat = await visit(page_context, keyed_service, viewport=viewport)
    await expect(chat.page.get_by_label("API key")).to_be_focused()
    await sound(chat)
    await chat.page.get_by_label("API key").press("Enter")
    await expect(chat.page.get_by_text("Type or paste the key.")).to_be_visible()
    await sound(chat)
    await chat.page.keyboard.press("Escape")
    await expect(chat.button("Give the key")).to_be_visible()
    await sound(chat)
    await chat.page.goto(f"{service.url}/c/nothing-here")
    await expect(chat.log.get_by_role("alert")).to_be_visible()
    await sound(chat)


async def test_all_can_be_used_at_twice_the_size_and_in_the_smallest_window(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    await ask(chat, RICH, "complete")
    for width, height in ((720, 450), (320, 568), (320, 256)):
        await chat.page.set_viewport_size({"width": width, "height": height})
        await chat.page.reload()
        await can_be_used(chat)


async def can_be_used(chat: Chat) -> None:
    """Find every control in the window, nothing wider than it, and room for the answer."""
    await expect(chat.answer.locator(".katex")).to_be_attached()
    assert await chat.overflow() == 0
    assert await chat.log.evaluate("(log) => log.clientHeight") >= 64
    for control in (chat.box, chat.button("Send"), chat.button("Open the conversations")):
        await expect(control).to_be_in_viewport(ratio=1)
    for button in await chat.answer.get_by_role("button").all():
        await button.scroll_into_view_if_needed()
        await expect(button).to_be_in_viewport(ratio=1)
    await chat.button("Open the conversations").click()
    for name in ("New conversation", "Settings"):
        await expect(chat.button(name)).to_be_in_viewport(ratio=1)
    assert await chat.overflow() == 0
    await chat.button("Settings").click()
    dialog = chat.page.get_by_role("dialog", name="Settings")
    close = dialog.get_by_role("button", name="Close")
    await expect(close).to_be_in_viewport(ratio=1)
    last = dialog.get_by_label("Single-letter keys")
    await last.scroll_into_view_if_needed()
    await expect(last).to_be_in_viewport(ratio=1)
    assert await chat.overflow() == 0


async def test_the_colours_follow_the_system_unless_others_were_chosen(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    root = chat.page.locator("html")
    light, dark = "rgb(255, 255, 255)", "rgb(22, 24, 27)"
    await expect(root).to_have_css("background-color", light)
    await chat.page.emulate_media(color_scheme="dark")
    await expect(root).to_have_css("background-color", dark)
    await chat.page.keyboard.press("Control+,")
    await chat.page.get_by_label("Colours").select_option("Light")
    await expect(root).to_have_css("background-color", light)
    await chat.page.reload()
    await expect(root).to_have_css("background-color", light)
    await chat.page.keyboard.press("Control+,")
    await chat.page.get_by_label("Colours").select_option("As the system")
    await expect(root).to_have_css("background-color", dark)


async def test_nothing_moves_for_who_wants_no_motion(
    service: Service, page_context: PageFactory, client: aiohttp.ClientSession
) -> None:
    chat = await visit(page_context, service, await make(client, service, GROWS))
    await chat.page.emulate_media(reduced_motion="reduce")
    await chat.page.evaluate(
        """() => {
            window.longest = 0;
            const look = () => {
              for (const one of document.getAnimations()) {
                const { activeDuration } = one.effect.getComputedTiming();
                window.longest = Math.max(window.longest, activeDuration);
              }
              requestAnimationFrame(look);
            };
            look();
        }"""
    )
    await ask(chat, "Think", "answering")
    await chat.page.locator("#open-model").click()
    await expect(chat.page.get_by_role("menu")).to_be_visible()
    await chat.page.keyboard.press("Escape")
    await chat.button("Settings").click()
    await chat.page.keyboard.press("Escape")
    await chat.grows(400)
    assert await chat.page.evaluate("window.longest") <= 1


async def test_with_few_colours_all_that_colour_says_is_said_by_lines(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    await chat.page.emulate_media(forced_colors="active")
    await ask(chat, RICH, "complete")

    async def line(one: Locator) -> str:
        style = "(one) => getComputedStyle(one).outlineStyle + getComputedStyle(one).borderTopStyle"
        return await one.evaluate(style)

    good = chat.button("Good answer")
    before = await line(good)
    await good.click()
    await expect(good).to_have_attribute("aria-pressed", "true")
    await chat.box.focus()
    assert await line(good) != before
    assert "solid" in await line(chat.page.locator(".bubble"))
    assert "solid" in await line(chat.page.locator(".row [aria-current]"))
    assert "solid" in await line(chat.button("Send"))


RECORD: Final = """() => {
    const region = document.querySelector('main .offscreen[role="status"]');
    window.heard = [];
    new MutationObserver(() => {
      if (region.textContent) window.heard.push([Date.now(), region.textContent]);
    }).observe(region, { childList: true, characterData: true, subtree: true });
}"""


async def heard(chat: Chat) -> list[tuple[int, str]]:
    said: list[list[Any]] = await chat.page.evaluate("window.heard")
    return [(at, text) for at, text in said]


async def test_a_screen_reader_hears_sentences_with_time_to_hear_them(
    service: Service, page_context: PageFactory, client: aiohttp.ClientSession
) -> None:
    path = await make(client, service, SPEAKS)
    chat = await visit(page_context, service, path)
    await expect(chat.log).to_have_attribute("aria-live", "off")
    await chat.page.evaluate(RECORD)
    await ask(chat, "Speak", "complete")
    region = chat.page.locator("main .offscreen[role=status]")
    await expect(region).to_contain_text("Answer complete")
    said = await heard(chat)
    texts = [text for _, text in said]
    assert 3 <= len(texts) <= 12
    assert texts[0] == "Answering"
    assert "Code, python, 2 lines" in " ".join(texts)
    marks = ("流式输出", "🚀", "客户端", "each token", "立即关闭", "python", "Zwölf", "Done.")
    sent = "".join(pieces(ANSWER, size=4, tokens=200))
    assert [" ".join(texts).count(mark) for mark in marks] == [sent.count(mark) for mark in marks]
    assert not any("**" in text or "```" in text for text in texts)
    moments = [at for at, _ in said]
    # A moment passes from when the page looks at the clock until it is written down.
    assert min(later - at for at, later in pairwise(moments)) >= 2400


async def test_a_screen_reader_hears_as_much_as_was_chosen(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    voice = chat.page.get_by_label("A screen reader hears")
    await chat.page.evaluate(RECORD)
    await chat.page.keyboard.press("Control+,")
    await voice.select_option("Nothing by itself")
    await chat.page.keyboard.press("Escape")
    await ask(chat, "Nothing of this.", "complete")
    await chat.page.keyboard.press("Control+,")
    await voice.select_option("When the answer begins and ends")
    await chat.page.keyboard.press("Escape")
    await ask(chat, "Nor of this.", "complete")
    region = chat.page.locator("main .offscreen[role=status]")
    await expect(region).to_contain_text("Answer complete")
    said = " ".join(text for _, text in await heard(chat))
    assert said == "Answering Answer complete, 3 words"
