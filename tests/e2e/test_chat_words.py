"""The chat page in both languages: changed without a reload, and then every word of it."""

from __future__ import annotations

import re
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

ECHO: Final = "echo?size=40"
THINKS: Final = "thinking?text=1.&thought=2."
HELD: Final = "answer?text=3.&hold=1"
FAILS: Final = "http-500"
ANSWER: Final = """\
1 2[^1]

```python
1
```

| 1 | 2 |
|---|---|
| 3 | 4 |

![3](https://example.org/3.png)

[^1]: 4"""

# What is the same in both languages: names, formats, and keys.
NAMES: Final = re.compile(
    r"\b(API|Markdown|HTML|JSON|tokens?|python|Enter|Esc|Ctrl|Alt|Shift|English|example\.org"
    r"|stream-serve|txt|thinking|answer|echo|http-500|hold|size|text|thought|ms)\b"
)
SAID: Final = """() => {
    const content = ".bubble > p, .title, #title, .who, [translate=no], option, .offscreen";
    const said = [];
    const parts = ":is(header, nav, main, dialog)";
    for (const one of document.querySelectorAll(`${parts}, ${parts} *`)) {
      if (one.closest(content)) continue;
      for (const name of ["aria-label", "title", "placeholder", "alt"])
        if (one.getAttribute(name)) said.push(one.getAttribute(name));
      for (const child of one.childNodes)
        if (child instanceof Text && child.data.trim()) said.push(child.data.trim());
    }
    for (const one of document.querySelectorAll(".code button, option")) said.push(one.textContent);
    return said;
}"""


@pytest.fixture
async def service(upstream: ScriptedUpstream) -> AsyncIterator[Service]:
    """Return a service that keeps conversations, with a model for each state of a turn."""
    models = {ECHO: "context = 8000", THINKS: "", HELD: "thinks = true", FAILS: "thinks = true"}
    async with offering(upstream.url, models) as running:
        yield running


async def foreign(chat: Chat, locale: str) -> list[str]:
    """Return what is said in another language than the page speaks."""
    said: list[str] = await chat.page.evaluate(SAID)
    if locale == "zh-CN":
        return [one for one in said if re.search("[A-Za-z]{2,}", NAMES.sub("", one))]
    return [one for one in said if re.search("[\u3000-\u9fff\uff00-\uffef]", one) and one != "中文"]


async def use(chat: Chat, model: str) -> None:
    """Choose a model for the conversation."""
    await chat.page.locator("#open-model").click()
    await chat.page.get_by_role("menuitemradio", name=model).click()


async def ask(chat: Chat, question: str, state: str) -> None:
    await chat.page.locator(".composer textarea").fill(question)
    await chat.page.locator(".send").click()
    await expect(chat.answer).to_have_attribute("data-state", state)


async def fill(chat: Chat) -> None:
    """Bring as much of the page's words onto the page as there is room for."""
    page = chat.page
    await ask(chat, f"{ANSWER}\n\n``` file: 5.txt\n6\n```", "complete")
    await use(chat, THINKS)
    await ask(chat, "7", "complete")
    await chat.answer.locator(".thoughts summary").click()
    await use(chat, FAILS)
    await ask(chat, "8", "failed")
    await use(chat, HELD)
    await ask(chat, "9", "answering")
    await page.locator(".send").click()
    await expect(chat.answer).to_have_attribute("data-state", "stopped")
    await chat.answer.locator(".actions button[title]").nth(1).scroll_into_view_if_needed()
    await page.keyboard.press("Alt+ArrowUp")
    await page.keyboard.press("Alt+ArrowUp")
    edit = page.locator("article:focus .actions button")
    await edit.press("Enter")
    await expect(page.locator(".editor")).to_be_visible()


@pytest.mark.parametrize(
    ("locale", "other"), [("en-US", "zh-CN"), ("zh-CN", "en-US")], ids=["en-zh", "zh-en"]
)
async def test_the_language_is_changed_without_a_reload_and_then_every_word_is_in_it(
    service: Service, page_context: PageFactory, locale: str, other: str
) -> None:
    chat = await visit(page_context, service, locale=locale, viewport=(1440, 900))
    await fill(chat)
    await chat.page.keyboard.press("Escape")
    await chat.page.locator("article:focus .actions button").press("Enter")
    await chat.page.keyboard.press("Control+,")
    temperature = chat.page.locator("#temperature")
    await temperature.fill("9")
    await temperature.press("Tab")
    await expect(chat.page.locator("#settings .wrong:not(:empty):visible")).to_have_count(1)
    assert await foreign(chat, locale) == []
    await chat.page.locator("#language").select_option("zh" if other == "zh-CN" else "en")
    lang = {"en-US": "en", "zh-CN": "zh-CN"}[other]
    await expect(chat.page.locator("html")).to_have_attribute("lang", lang)
    await chat.page.keyboard.press("Escape")
    await expect(chat.page.locator(".editor")).to_be_visible()
    assert await foreign(chat, other) == []
    await chat.page.keyboard.press("Escape")
    await chat.page.locator(".row button").click()
    assert await foreign(chat, other) == []
    await chat.page.keyboard.press("End")
    await chat.page.keyboard.press("Enter")
    await chat.page.locator(".side .foot button").nth(1).click()
    await expect(chat.page.locator("#help")).to_be_visible()
    assert await foreign(chat, other) == []


async def test_text_has_the_direction_of_its_words(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    await ask(chat, "مرحبا بكم\n\n`code` 1\n\n```\nمرحبا\n```", "complete")
    direction = "(one) => getComputedStyle(one).direction"
    assert await chat.questions.locator("p").last.evaluate(direction) == "rtl"
    assert await chat.answer.locator(".answer p").first.evaluate(direction) == "rtl"
    assert await chat.answer.locator(".code pre").evaluate(direction) == "ltr"
    assert await chat.titles.first.evaluate(direction) == "rtl"
    assert await chat.heading.evaluate(direction) == "rtl"
    assert await chat.page.locator("html").evaluate(direction) == "ltr"
    assert await chat.box.get_attribute("dir") == "auto"
