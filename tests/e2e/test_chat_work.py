"""What the chat page costs its reader, in bytes, nodes, listeners and connections: counted, not timed."""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.async_api import expect

from support.history import Place, talk
from support.service import Service
from support.tabs import HIDE
from support.text import open_text
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp
    from playwright.async_api import Page, Request

    from stream_serve.testing import ScriptedUpstream
    from support.page import PageFactory

FIRST: Final = 60 * 1024
"""Bytes before the first paint, gzipped."""

MOST_READ: Final = 100
"""How often a text in pieces of four characters may be read in all: its blocks are bounded."""

WORK: Final = """([kind, pieces]) => {
  const text = probe.KINDS[kind](pieces);
  const { answer, piece } = probe.begin();
  const work = probe.cost(() => probe.cut(text).forEach(piece));
  return { ...work, length: text.length, after: probe.cost(() => answer.end()).made };
}"""
LAID_OUT: Final = """(part) => {
  const all = [...document.querySelectorAll(`.answer ${part}`)];
  return [all.filter((one) => one.checkVisibility({ contentVisibilityAuto: true })).length, all.length];
}"""
EDGES: Final = """() => {
  const rows = [...document.querySelectorAll(".answer tr")];
  return [rows[0], rows.at(-1)].map(({ cells }) => [...cells].flatMap((cell) => {
    const { left, right } = cell.getBoundingClientRect();
    return [left, right];
  }));
}"""
WATCH: Final = """() => {
  const kept = new Set();
  let over = false;
  window.counts = { replaced: 0, blocks: 0, after: 0 };
  new MutationObserver((records) => {
    const turn = document.querySelector(".of-model");
    const answer = turn?.querySelector(".answer");
    const complete = turn?.dataset.state === "complete";
    const end = complete && records.findLastIndex(({ type }) => type === "attributes");
    records.forEach(({ target, addedNodes, removedNodes }, index) => {
      over ||= end !== false && index === end;
      if (!answer?.contains(target)) return;
      counts.replaced += [...removedNodes].filter((node) => kept.has(node)).length;
      if (over) counts.after += addedNodes.length;
    });
    // The last block may change, and the one before it while an empty line between them may go.
    for (const block of [...(answer?.children ?? [])].slice(0, -2)) {
      if (kept.has(block)) continue;
      counts.blocks++;
      const walker = document.createTreeWalker(block);
      for (let node = block; node; node = walker.nextNode()) kept.add(node);
    }
  }).observe(document.querySelector(".log"), {
    childList: true, subtree: true, attributes: true, attributeFilter: ["data-state"],
  });
}"""


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Return a database for conversations."""
    made = Place(f"sqlite:///{tmp_path / 'chat.db'}")
    yield made
    await made.close()


@pytest.fixture
async def service(upstream: ScriptedUpstream, place: Place) -> AsyncIterator[Service]:
    """Return a service that keeps conversations, and repeats what it is asked."""
    async with Service(
        upstream_url=upstream.url, database_url=place.url, model="echo?size=8"
    ) as running:
        yield running


async def ask(page: Page, words: str) -> None:
    await page.get_by_role("textbox", name="Message").fill(words)
    await page.keyboard.press("Enter")


async def test_what_is_loaded_before_the_first_paint_is_small(
    service: Service, client: aiohttp.ClientSession, page_context: PageFactory
) -> None:
    async with client.get(service.url) as response:
        html = await response.text()
    early = re.findall(r'(?:src|href)="(/chat-page/[^"]+)"', html)
    size = len(gzip.compress(html.encode()))
    for path in early:
        headers = {"Accept-Encoding": "gzip"}
        async with client.get(service.url + path, headers=headers, auto_decompress=False) as got:
            assert got.headers["Content-Encoding"] == "gzip"
            size += len(await got.read())
    assert size <= FIRST
    text = await open_text(page_context, service)
    loaded: list[str] = await text.run(
        "() => performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname)"
    )
    assert set(early) <= set(loaded)
    # The rest is what shows turns; formulas, colours and what few readers need are not there yet.
    files = {path for path in loaded if path.startswith("/chat-page/")}
    assert not [
        path for path in files if re.search(r"KaTeX|formula|highlight|clipboard|python", path)
    ]


@pytest.mark.parametrize("kind", ["mixed text", "one list", "one table", "one fence"])
async def test_the_work_for_an_answer_grows_with_its_length_only(
    service: Service, page_context: PageFactory, kind: str
) -> None:
    text = await open_text(page_context, service)
    half = await text.run(WORK, [kind, 3_000])
    full = await text.run(WORK, [kind, 6_000])
    for what in ("lexed", "made", "operations"):
        assert full[what] <= 2.2 * max(half[what], 1), what
    assert full["lexed"] <= MOST_READ * full["length"]
    assert full["after"] == 0


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("one list", "li"),
        ("one table", "tbody tr"),
        ("one fence", ".lines span"),
        ("one paragraph of formulas", ".math"),
    ],
)
async def test_what_is_out_of_sight_in_one_long_block_is_not_laid_out(
    service: Service, page_context: PageFactory, kind: str, part: str
) -> None:
    text = await open_text(page_context, service)
    await text.run(WORK, [kind, 10_000])

    async def little_is_laid_out() -> bool:
        laid_out, all_ = await text.run(LAID_OUT, part)
        return laid_out < all_ / 2

    # The browser finds out what is in sight when it has drawn it.
    await until(little_is_laid_out)
    if kind == "one table":
        edges: list[list[float]] = await text.run(EDGES)
        assert edges[0] == pytest.approx(edges[1], abs=0.1)


async def test_finished_blocks_keep_their_nodes_and_none_is_made_after_the_end(
    service: Service, page_context: PageFactory
) -> None:
    text = await open_text(page_context, service)
    page = text.page
    words: str = await text.run("() => probe.KINDS['mixed text'](1500)")
    await page.evaluate(WATCH)
    # The colours of code come when there is time; here there are none.
    await ask(page, words.replace("```python", "```"))
    await expect(page.locator(".of-model[data-state=complete]")).to_be_visible()
    await page.evaluate("() => new Promise((resolve) => requestIdleCallback(resolve))")
    counts = await page.evaluate("counts")
    assert counts["blocks"] > 20
    assert (counts["replaced"], counts["after"]) == (0, 0)


async def test_the_scroller_has_one_listener_of_each_kind_however_much_was_opened(
    service: Service, page_context: PageFactory
) -> None:
    text = await open_text(page_context, service)
    page = text.page
    for number in range(3):
        await ask(page, f"question {number}")
        await expect(page.locator(".of-model[data-state=complete]")).to_have_count(1)
        await page.get_by_role("button", name="New conversation").click()
        await expect(page.locator(".turn")).to_have_count(0)
    session: Any = await page.context.new_cdp_session(page)
    what = {"expression": "document.querySelector('.scroller')"}
    found = await session.send("Runtime.evaluate", what)
    given = {"objectId": found["result"]["objectId"]}
    listeners = await session.send("DOMDebugger.getEventListeners", given)
    kinds: list[str] = sorted(one["type"] for one in listeners["listeners"])
    assert "scroll" in kinds
    assert kinds == sorted(set(kinds))


async def test_a_hidden_tab_holds_no_connection(
    upstream: ScriptedUpstream, page_context: PageFactory, place: Place
) -> None:
    model = "hang-mid"
    async with Service(upstream_url=upstream.url, database_url=place.url, model=model) as service:
        text = await open_text(page_context, service)
        page = text.page
        open_: set[str] = set()

        def begin(request: Request) -> None:
            open_.add(request.url)

        def end(request: Request) -> None:
            open_.discard(request.url)

        page.on("request", begin)
        page.on("requestfinished", end)
        page.on("requestfailed", end)
        await ask(page, "a long one")
        await expect(page.locator(".of-model .answer")).not_to_be_empty()
        assert open_
        await page.evaluate(HIDE, "hidden")
        await until(lambda: not open_)
        assert service.runs.running == 1


async def test_a_conversation_of_thousands_opens_with_its_newest_page(
    service: Service, place: Place, page_context: PageFactory
) -> None:
    turn = await talk(await place.history())
    await place.lengthen(turn, 5_000)
    page = await page_context(locale="en-US")
    asked: list[str] = []
    answered: list[str] = []
    page.on("request", lambda request: asked.append(_path(request)))
    page.on("requestfinished", lambda request: answered.append(_path(request)))
    await page.goto(f"{service.url}/c/{turn.conversation_id}")
    turns = page.locator(".turn")
    await expect(turns.last).to_contain_text("4999")
    assert await turns.count() <= 60
    here = f"/ai/conversations/{turn.conversation_id}"
    read = {"/ai/info", "/ai/models", "/ai/conversations", here, f"{here}/messages"}
    await until(lambda: read <= set(answered) and len(asked) == len(answered))
    assert sorted(path for path in asked if path.startswith("/ai/")) == sorted(read), "each once"
    asked.clear()
    await page.get_by_role("textbox", name="Message").press_sequentially("typing")
    assert asked == []


def _path(request: Request) -> str:
    return urlsplit(request.url).path
