"""The text of an answer in the page: half Markdown, Chinese, formulas, wide tables, long code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from playwright.async_api import expect

from support.chat import Chat
from support.text import count_made, open_text

if TYPE_CHECKING:
    from support.page import PageFactory, Service

SHOW: Final = "async (text) => void (await probe.show(text))"
FONT: Final = """() => [...document.fonts].some(
  ({ family, status }) => family === "KaTeX_Math" && status === "loaded"
)"""
TABLE: Final = "\n".join(
    (
        "|" + "|".join(f"column {n}" for n in range(12)) + "|",
        "|" + "---|" * 12,
        *("|" + "|".join(f"some words {n}" for n in range(12)) + "|" for _ in range(3)),
    )
)
WORD: Final = "w" * 4000
ADDRESS: Final = f"https://example.test/{'a' * 300}"
LINES: Final = "".join(
    f"def call_{n}(given):\n    return given + {n}  # {'x' * 90}\n" for n in range(200)
)


async def test_no_sign_of_half_markdown_is_seen_and_nothing_flickers(
    service: Service, page_context: PageFactory
) -> None:
    text = await open_text(page_context, service)
    half = await text.run("() => probe.half()")
    assert half["kinds"] >= 14
    assert half["found"] == []


async def test_chinese_is_bold_and_dollars_are_money(
    service: Service, page_context: PageFactory
) -> None:
    text = await open_text(page_context, service, locale="zh-CN")
    answer = text.page.locator(".answer")
    await text.run(SHOW, "这是**发展，**年轻人，**“引号”**吗？这**（括号）**也是。")
    await expect(answer).to_have_text("这是发展，年轻人，“引号”吗？这（括号）也是。")
    await expect(answer.locator("strong")).to_have_text(["发展，", "“引号”", "（括号）"])
    await text.run(SHOW, "It costs $5 and $10, in all $15.")
    await expect(answer).to_have_text("It costs $5 and $10, in all $15.")
    assert text.asked == []


async def test_formulas_are_drawn_with_their_fonts_at_first_use_and_under_the_policy(
    service: Service, page_context: PageFactory
) -> None:
    text = await open_text(page_context, service)
    page = text.page
    await text.run(SHOW, "No formula here.")
    assert text.asked == []
    await text.run(
        SHOW, "So \\(x^2\\) holds, and\n\n$$\n\\frac{a}{b}\n$$\n\nand \\[ \\sqrt{2} \\] too."
    )
    formulas = page.locator(".math .katex-html")
    await expect(formulas).to_have_count(3)
    heights = [box["height"] for one in await formulas.all() if (box := await one.bounding_box())]
    assert heights[1] > 16 * 1.65  # a line
    await page.wait_for_function(FONT)
    assert [url for url in text.asked if not url.startswith(service.url)] == []
    assert await text.wrong() == []
    await text.run(SHOW, "Not \\(\\frac{a\\) one.")
    await expect(page.locator(".math code")).to_have_text("\\frac{a")


async def test_nothing_wide_makes_the_page_scroll_sideways(
    service: Service, page_context: PageFactory
) -> None:
    text = await open_text(page_context, service)
    page = text.page
    wide = "(one) => one.scrollWidth - one.clientWidth"
    for width in (320, 390, 1440):
        await page.set_viewport_size({"width": width, "height": 844})
        await text.run(SHOW, f"{TABLE}\n\n{WORD}\n\n{ADDRESS}\n\n`{WORD}`\n\n\\({'x' * 400}\\)\n")
        assert await Chat(page).overflow() == 0
        for room in (".scroller", ".answer"):
            assert await page.locator(room).evaluate(wide) == 0
        table = page.get_by_role("group", name="Table")
        await table.focus()
        await expect(table).to_be_focused()
        await page.keyboard.press("ArrowRight")
        handle = await table.element_handle()
        await page.wait_for_function("(one) => one.scrollLeft > 0", arg=handle)


async def test_long_code_keeps_its_head_in_view_and_is_copied_exactly(
    service: Service, page_context: PageFactory
) -> None:
    text = await open_text(page_context, service)
    page = text.page
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await text.run(SHOW, f"Read it:\n\n```python\n{LINES}```\n\nAnd so on.\n\n" + "More.\n\n" * 60)
    copy = page.get_by_role("button", name="Copy", exact=True)
    code = page.get_by_role("group", name="python")
    await expect(code.locator(".hljs-keyword").first).to_be_attached()
    await code.locator(".lines").nth(6).evaluate("(lines) => lines.scrollIntoView()")
    await expect(copy).to_be_in_viewport(ratio=1)
    await copy.click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("() => navigator.clipboard.readText()") == LINES.removesuffix("\n")
    wrap = page.get_by_role("button", name="Wrap")
    wide = "(one) => one.scrollWidth > one.clientWidth"
    assert await code.evaluate(wide)
    await wrap.click()
    await expect(wrap).to_have_attribute("aria-pressed", "true")
    assert not await code.evaluate(wide)
    await wrap.click()
    assert await code.evaluate(wide)


async def test_only_code_that_may_be_higher_than_its_room_keeps_its_head_in_view(
    service: Service, page_context: PageFactory
) -> None:
    text = await open_text(page_context, service)
    short = "```python\nx = 1\n```\n\n"
    await text.run(SHOW, f"{short * 200}```python\n{LINES}```\n")
    bars = text.page.locator(".code > .bar")
    heads = "(bars) => bars.map((bar) => getComputedStyle(bar).position)"
    # Each head that may stay costs the browser a layer.
    assert await bars.evaluate_all(heads) == [*["static"] * 200, "sticky"]
    await bars.first.get_by_role("button", name="Wrap").click()
    assert (await bars.evaluate_all(heads))[0] == "sticky"


async def test_formulas_that_waited_are_drawn_in_slices_and_one_that_is_too_long_as_it_is_written(
    service: Service, page_context: PageFactory
) -> None:
    text = await open_text(page_context, service)
    await text.run(count_made(".answer .katex"))
    long = "x+" * 2_000 + "x"
    await text.run(SHOW, "\\(x^2\\) and\n\n" * 1_000 + f"$$\n{long}\n$$\n")
    await expect(text.page.locator(".katex")).to_have_count(1_000)
    await expect(text.page.locator(".math code")).to_have_text(long)
    assert await text.run("() => most") < 1_000 / 2
