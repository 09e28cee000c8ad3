"""Tabs of one browser with our JavaScript client, and what their runs have said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stream_serve.testing import ANSWER, pieces

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from playwright.async_api import Page, Request

    from support.proxy import Proxy

TOKENS: Final = 150
MODEL: Final = f"answer?tokens={TOKENS}&interval=0.06"
TEXT: Final = "".join(pieces(ANSWER, size=4, tokens=TOKENS))
LIVE: Final = "GET /ai/live"
HIDE: Final = """(state) => {
    Object.defineProperty(document, "visibilityState", { get: () => state, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
_OPEN: Final = """async (options) => {
    const { Client } = await import("/client.js");
    window.client = new Client(options);
}"""
_CHAT: Final = """(question) => {
    window.runs ??= [];
    const run = window.client.chat(question);
    window.run = run;
    window.runs.push(run);
    run.result().catch(() => {});
}"""


async def prepare(page: Page, network: Proxy, **options: Any) -> Page:
    """Open a page of the service that has nothing of its own, and bring the client."""
    await page.goto(f"{network.url}/health/live")
    await page.evaluate(_OPEN, options)
    return page


async def tab(page: Page, network: Proxy, **options: Any) -> Page:
    """Open another tab in the same browser."""
    return await prepare(await page.context.new_page(), network, **options)


async def chat(page: Page, model: str = MODEL, **fields: Any) -> None:
    await page.evaluate(_CHAT, {"message": "你好", "model": model, **fields})


async def text(page: Page) -> str:
    """Return the text of a tab's run so far."""
    return await page.evaluate("window.run.text")


async def whole(page: Page) -> str:
    """Return the text of a tab's run when it is over; it came without a repetition."""
    result, kinds = await page.evaluate(
        "async () => [await window.run.result(), window.run.events.map((event) => event.type)]"
    )
    assert kinds.count("start") <= 1
    assert kinds.count("end") == 1
    assert result["finishReason"] == "stop"
    return result["text"]


def has(page: Page, characters: int) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return len(await text(page)) >= characters

    return holds


def noting(asked: list[Page], page: Page) -> Callable[[Request], None]:
    """Return what notes that a page asks for the shared connection."""

    def note(request: Request) -> None:
        if "/ai/live" in request.url:
            asked.append(page)

    return note
