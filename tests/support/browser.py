"""A real Chromium that tolerates no error in a page and no request to another host."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from playwright.async_api import async_playwright

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from playwright.async_api import ConsoleMessage, Error, Page, Request

CHROMIUM: Final = (
    shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
)
_FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@asynccontextmanager
async def browser() -> AsyncGenerator[Callable[..., Awaitable[Page]]]:
    """Return a way to open pages; at the end, complain of what they did wrong."""
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        # A refused fetch is logged by the browser itself, also where the page handles it.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            complaints.append(message.text)

    def fail(error: Error) -> None:
        complaints.append(str(error))

    def watch(request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"blob", "data"} and parts.hostname != "127.0.0.1":
            complaints.append(request.url)

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)

        async def open_page(
            *,
            locale: str = "zh-CN",
            color_scheme: Literal["light", "dark"] = "light",
            viewport: tuple[int, int] = (1280, 800),
        ) -> Page:
            width, height = viewport
            context = await browser.new_context(
                locale=locale,
                color_scheme=color_scheme,
                viewport={"width": width, "height": height},
            )
            page = await context.new_page()
            page.on("console", hear)
            page.on("pageerror", fail)
            page.on("request", watch)
            return page

        try:
            yield open_page
        finally:
            await browser.close()
    assert complaints == []
