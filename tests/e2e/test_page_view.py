"""What is in view on the debug page while an answer is written, and after it, in every window."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

import pytest
from playwright.async_api import expect

from support.chat import faults
from support.page import visit

if TYPE_CHECKING:
    from playwright.async_api import Locator

    from stream_serve.testing import ScriptedUpstream
    from support.page import Debugger, PageFactory, Service

DESK: Final = (1366, 768)
PHONE: Final = (390, 844)
WINDOWS: Final = [DESK, (1440, 900), (1920, 1080), (1024, 768), PHONE, (412, 915)]
WRITTEN: Final = "answer?tokens=1200&interval=0.004&hold=1199"

SAMPLE: Final = """() => {
    const box = document.getElementById("answer");
    const seen = { frames: 0, texts: new Set(), hidden: [] };
    const look = () => {
        requestAnimationFrame(look);
        if (document.getElementById("status-line").dataset.state !== "streaming") return;
        const shown = ["answer-rendered", "answer-text"].map((id) => document.getElementById(id));
        const texts = document.createTreeWalker(shown.find((one) => !one.hidden), NodeFilter.SHOW_TEXT);
        let last = null;
        for (let node = texts.nextNode(); node; node = texts.nextNode()) {
            if (node.data.trim() && !node.parentElement.closest("button")) last = node;
        }
        if (last === null) return;
        const range = document.createRange();
        const end = last.data.trimEnd().length;
        range.setStart(last, end - 1);
        range.setEnd(last, end);
        const place = range.getBoundingClientRect();
        const { left, right } = box.getBoundingClientRect();  // a long line of code scrolls sideways
        const across = Math.max(left + 8, Math.min(right - 8, place.left + place.width / 2));
        const there = document.elementFromPoint(across, place.top + place.height / 2);
        seen.frames += 1;
        if (box.scrollTop > 0) seen.texts.add(shown.find((one) => !one.hidden).textContent.length);
        if (!box.contains(there)) seen.hidden.push([place.top, scrollY, innerHeight, box.scrollTop]);
    };
    window.sampled = () => ({ frames: seen.frames, texts: seen.texts.size, hidden: seen.hidden });
    look();
}"""
"""In each frame of a stream, look whether the last letter that is shown is what one sees in its place."""


async def covered(part: Locator) -> bool:
    """Return whether something else is seen in the place of an edge of this part."""
    return await part.evaluate(
        """(part) => {
            const { left, top, right, bottom } = part.getBoundingClientRect();
            const middle = (left + right) / 2;
            const at = (y) => document.elementFromPoint(middle, y);
            return [top + 2, bottom - 2].some((y) => !part.contains(at(y)));
        }"""
    )


async def sample(debugger: Debugger, upstream: ScriptedUpstream) -> None:
    """Stream an answer, and look at every frame of it, until enough were seen of its overflow."""
    await debugger.page.evaluate(SAMPLE)
    await debugger.send(WRITTEN)
    await debugger.page.wait_for_function("() => window.sampled().texts > 10")
    upstream.release(upstream.requests[-1])
    await debugger.reaches("finished")
    sampled = await debugger.page.evaluate("window.sampled()")
    assert sampled["hidden"] == []


@pytest.mark.parametrize("viewport", WINDOWS)
async def test_the_newest_text_is_in_view_in_every_frame_and_so_is_the_receipt(
    service: Service,
    upstream: ScriptedUpstream,
    page_context: PageFactory,
    viewport: tuple[int, int],
) -> None:
    debugger = await visit(page_context, service, viewport=viewport)
    await sample(debugger, upstream)
    assert not await covered(debugger.page.locator("#outcome"))

    await debugger.send("answer?tokens=9000&interval=0.004")
    await expect(debugger.answer).to_contain_text(re.compile(r".{900}", re.DOTALL))
    assert not await covered(debugger.stop)
    await debugger.stop.click()
    await debugger.reaches("stopped")
    await expect(debugger.receipt).to_contain_text("已关闭")
    assert not await covered(debugger.receipt)
    assert not await covered(debugger.mark)

    await debugger.send("error-mid?tokens=300")
    await debugger.reaches("failed")
    assert not await covered(debugger.failure)


async def test_the_newest_text_of_the_source_is_in_view_in_every_frame(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service, viewport=PHONE)
    await debugger.source.click()
    await sample(debugger, upstream)
    await expect(debugger.answer).to_be_visible()


@pytest.mark.parametrize(
    ("viewport", "color_scheme", "locale"),
    [
        (DESK, "light", "en-US"),
        (DESK, "dark", "zh-CN"),
        (PHONE, "light", "zh-CN"),
        (PHONE, "dark", "en-US"),
    ],
)
async def test_axe_finds_no_fault_in_any_state(
    service: Service,
    page_context: PageFactory,
    viewport: tuple[int, int],
    color_scheme: Literal["light", "dark"],
    locale: str,
) -> None:
    debugger = await visit(
        page_context, service, viewport=viewport, color_scheme=color_scheme, locale=locale
    )
    page = debugger.page
    await page.emulate_media(reduced_motion="reduce")
    assert await faults(page) == []
    await debugger.send("", "   ")
    await expect(page.locator("#message-error")).to_be_visible()
    assert await faults(page) == []
    await debugger.send("thinking?thought=THOUGHT&text=ANSWER")
    await debugger.reaches("finished")
    await expect(debugger.rendered).to_have_text("ANSWER")
    assert await faults(page) == []
    for tab in ("raw", "curl"):
        await page.locator(f"#tab-{tab}").click()
        assert await faults(page) == []
    await debugger.source.click()
    await debugger.send("hang-mid")
    await expect(debugger.answer).not_to_be_empty()
    await debugger.reaches("streaming")
    assert await faults(page) == []
    await page.context.set_offline(offline=True)
    await debugger.reaches("lost")
    assert await faults(page) == []
    await debugger.stop.click()
    await debugger.reaches("unconfirmed")
    assert await faults(page) == []
    await page.context.set_offline(offline=False)
    await debugger.reaches("stopped")
    await expect(debugger.receipt.locator("dl")).to_be_visible()
    assert await faults(page) == []
    await debugger.send("unauthorized")
    await debugger.reaches("failed")
    assert await faults(page) == []


async def test_each_landmark_has_a_name_of_its_own(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service, locale="en-US")
    await debugger.send("echo", "named")
    await debugger.reaches("finished")
    tree = await debugger.page.locator("body").aria_snapshot()
    found = re.findall(
        r"^\s*- ((?:banner|main|navigation|region|complementary)[^:\n]*)", tree, re.MULTILINE
    )
    assert len(found) == len(set(found)) == 6


async def test_mixed_directions_are_read_as_they_are_written(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service, locale="en-US")
    await debugger.send("echo", "English first, ثم العربية\n\nمرحبا بالعالم (first) 42\n\n`x = 1`")
    await debugger.reaches("finished")
    blocks = debugger.rendered.locator("p")
    await expect(blocks).to_have_count(3)
    sides = [
        await block.evaluate("block => getComputedStyle(block).direction")
        for block in await blocks.all()
    ]
    assert sides[:2] == ["ltr", "rtl"]
    isolated = debugger.rendered.locator("code")
    await expect(isolated).to_have_css("unicode-bidi", "isolate")
    await expect(isolated).to_have_css("direction", "ltr")

    # Of the source each line is read by itself: a line in Arabic begins at the right.
    await debugger.source.click()
    edges = await debugger.answer.evaluate(
        """(whole) => ["English", "مرحبا"].map((word) => {
            const texts = document.createTreeWalker(whole, NodeFilter.SHOW_TEXT);
            const node = texts.nextNode();
            const range = document.createRange();
            range.setStart(node, node.data.indexOf(word));
            range.setEnd(node, node.data.indexOf(word) + word.length);
            const place = range.getBoundingClientRect();
            const box = whole.getBoundingClientRect();
            return [place.left - box.left, box.right - place.right].map(Math.round);
        })"""
    )
    assert edges[0][0] <= 1
    assert edges[1][1] <= 1
    await expect(debugger.page.locator("#message")).to_have_attribute("dir", "auto")
