"""Texts that want to be more than text: nothing runs, nothing is asked for, all stays inside."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

from playwright.async_api import expect

from stream_serve.testing import unused_port
from support.service import Service
from support.text import open_text

if TYPE_CHECKING:
    from pathlib import Path

    from stream_serve.testing import ScriptedUpstream
    from support.page import PageFactory

SHOW: Final = """async (text) => {
  const element = await probe.show(text);
  return { outside: probe.outside(element), seen: element.textContent };
}"""
ACTIVE: Final = (
    "script, iframe, object, embed, style, link, base, meta, video, .turn form, .row form"
)
SEEN: Final = """(active) => [...document.querySelectorAll("#page *, dialog *")].flatMap((node) => {
  const { protocol = "" } = node.matches("a[href]") ? node : {};
  return [
    ...(node.matches(active) ? [node.localName] : []),
    ...[...node.attributes].map(({ name }) => name).filter((name) => name.startsWith("on")),
    ...(/^(?:|https?:|mailto:|tel:)$/.test(protocol) ? [] : [node.href]),
  ];
})"""
ROOM_AROUND: Final = """() => {
  delete document.querySelector('.main').dataset.empty;  // the box stands where it stands below answers
  document.querySelector('.turn').style.marginTop = '220px';
}"""

WIDE: Final = {
    "a long word": "x" * 4000,
    "a long word in a list": f"- a\n  - {'y' * 4000}",
    "a long word in a quotation": f"> {'z' * 4000}",
    "a long word in a heading": f"# {'h' * 1000}",
    "a long address": f"https://example.test/{'a' * 300}",
    "a link": f"[{'l' * 500}](https://example.test/)",
    "code in a line": f"`{'c' * 2000}`",
    "raw HTML": f"<div style='position:fixed;inset:0;width:9999px'>{'w' * 500}</div>",
    "a note": f"So.[^1]\n\n[^1]: {'n' * 1000}",
    "a label of a note": f"So.[^{'m' * 90}]\n\n[^{'m' * 90}]: note",
    "spaces that do not break": "a\u00a0" * 1000,
    "signs over signs": "Z" + "\u0310\u0311\u0313" * 40,
    "a turned text": "\u202e" + "t" * 500 + "\u2066" * 50,
    "deep quotations": "> " * 3000 + "deep",
    "deep lists": "".join("  " * n + f"- level {n}\n" for n in range(200)),
    "deep lists of one line": "- " * 3000 + "deep",
    "deep numbers": "1. " * 3000 + "deep",
    "deep marks": "*a " * 4000,
    "deep brackets": "[" * 5000 + "deep",
    "deep notes": "[^a]: " * 2000 + "deep",
    "a great number": "999999999. first\n",
    "a table": "|a|b|\n|-|-|\n|" + "t" * 2000 + "|b|\n",
    "a picture": "![" + "p" * 1000 + "](https://example.test/x.png)",
    "entities": "&amp" * 5000,
}
FORMULAS: Final = {
    "moved aside": r"\(\hspace{-500em}\text{over there}\)",
    "moved up": r"\(\raisebox{500em}{over there}\)",
    "moved up on its line": r"$$\raisebox{-500em}{over there}$$",
    "a great rule": r"\(\rule{900em}{900em}\)",
    "laid over": r"\(\llap{\text{xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx}}\)",
    "very long": r"\(" + "x" * 500 + r"\)",
    "very long on its line": "$$" + "x" * 500 + "$$",
    "high": r"\(" + r"\frac{1}{" * 40 + "x" + "}" * 40 + r"\)",
    "without an end": r"\(\def\a{\a\a}\a\)",
}


async def test_a_hostile_text_stays_text_and_in_its_box_at_every_character(
    service: Service, page_context: PageFactory
) -> None:
    text = await open_text(page_context, service, viewport=(390, 844))
    assert await text.run("() => probe.attacked()") == []
    assert await text.wrong() == []
    assert [url for url in text.asked if "/chat-page/" not in url and url[:5] != "data:"] == []


async def test_a_text_is_the_same_wherever_it_was_split(
    service: Service, page_context: PageFactory
) -> None:
    text = await open_text(page_context, service)
    assert await text.run("() => probe.split()") == []
    assert await text.wrong() == []


async def test_no_text_is_seen_outside_of_its_answer(
    service: Service, page_context: PageFactory
) -> None:
    text = await open_text(page_context, service)
    for width, (kind, words) in product((320, 1440), WIDE.items()):
        await text.page.set_viewport_size({"width": width, "height": 844})
        shown = await text.run(SHOW, words)
        assert (kind, shown["outside"]) == (kind, [])
        if kind.startswith("deep"):
            assert words.split()[-1] in shown["seen"], kind
        room = "document.querySelector('.scroller')"
        assert await text.run(f"() => {room}.scrollWidth - {room}.clientWidth") == 0, kind


async def test_no_formula_and_no_sign_is_drawn_outside_of_its_answer(
    service: Service, page_context: PageFactory
) -> None:
    text = await open_text(page_context, service, viewport=(390, 1600))
    page = text.page

    async def around() -> list[bytes]:
        """Show what is above the answer and beside it."""
        await page.evaluate(ROOM_AROUND)
        sides = [(0, 390, 200), (0, 10, 500), (380, 10, 500)]
        return [
            await page.screenshot(clip={"x": x, "y": 60, "width": width, "height": height})
            for x, width, height in sides
        ]

    await text.run(SHOW, "A word.")
    before = await around()
    for kind, words in {**FORMULAS, "signs": WIDE["signs over signs"]}.items():
        await text.run(SHOW, words)
        assert (kind, await around() == before) == (kind, True)
    assert await text.wrong() == []


async def test_what_a_person_and_a_model_say_is_text_wherever_it_is_shown(
    upstream: ScriptedUpstream, page_context: PageFactory, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'conversations.db'}"
    model = "echo?size=1"
    async with Service(upstream_url=upstream.url, model=model, database_url=database) as service:
        text = await open_text(page_context, service)
        page = text.page
        attacks: list[str] = await text.run("() => probe.ATTACKS")
        await page.get_by_role("textbox", name="Message").fill("\n\n".join(attacks))
        await page.keyboard.press("Enter")
        await expect(page.locator(".of-model[data-state=complete]")).to_have_count(1)
        assert await page.evaluate(SEEN, ACTIVE) == []
        assert await text.wrong() == []
        assert [url for url in text.asked if not url.startswith((service.url, "data:"))] == []
        await page.reload()
        await expect(page.locator(".of-model[data-state=complete]")).to_have_count(1)
        await page.get_by_role("searchbox").fill("hit")
        await expect(page.locator("mark").first).to_be_visible()
        assert await page.evaluate(SEEN, ACTIVE) == []


async def test_a_picture_of_another_host_is_asked_for_when_its_button_is_pressed(
    service: Service, page_context: PageFactory
) -> None:
    other = f"http://127.0.0.1:{unused_port()}"
    text = await open_text(page_context, service)
    await text.run(SHOW, f"![a map]({other}/map.png)")
    assert text.asked == []
    async with text.page.expect_request(f"{other}/map.png") as request:
        await text.page.get_by_role("button", name="a map").click()
    assert "referer" not in (await request.value).headers
