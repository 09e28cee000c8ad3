"""A real Chromium that tolerates no error in a page and no request to another host."""

from __future__ import annotations

import re
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from playwright.async_api import async_playwright, expect

from support.page import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from playwright.async_api import ConsoleMessage, Page, Request, WebError

CHROMIUM: Final = (
    shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
)
"""The whole browser, with its settings of privacy."""
_SHELL: Final = shutil.which("chromium-headless-shell") or CHROMIUM
"""The same engine without windows, menus and settings, which cost a test seconds of CPU time."""
FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# A refused fetch is logged by the browser itself, also where the page handles it; and that plain http
# takes no such policy is said at each page.
_OF_THE_BROWSER: Final = (
    "Failed to load resource",
    "The Cross-Origin-Opener-Policy header has been ignored",
)

expect.set_options(timeout=PATIENCE)


@asynccontextmanager
async def browser(host: str = "127.0.0.1") -> AsyncGenerator[Callable[..., Awaitable[Page]]]:
    """Return a way to open pages; at the end, complain of what they did wrong.

    Another `host` is a name for this machine, as it may have one in a network without TLS.
    """
    complaints: list[str] = []
    expected: list[str] = [*_OF_THE_BROWSER]

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and not re.match("|".join(expected), message.text):
            complaints.append(message.text)

    def fail(defect: WebError) -> None:
        complaints.append(str(defect.error))

    def watch(request: Request) -> None:
        parts = urlsplit(request.url)
        own = parts.hostname == host or (parts.hostname or "").endswith(".localhost")
        if parts.scheme not in {"blob", "data"} and not own:
            complaints.append(request.url)

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=_SHELL, args=[*FLAGS, f"--host-resolver-rules=MAP {host} 127.0.0.1"]
        )

        async def open_page(
            *,
            locale: str = "zh-CN",
            color_scheme: Literal["light", "dark"] = "light",
            viewport: tuple[int, int] = (1280, 800),
            touch: bool = False,
            refused: str | None = None,
        ) -> Page:
            """Open a page. What the browser says of what it has `refused` begins so, and is no fault."""
            if refused:
                expected.append(refused)
            width, height = viewport
            context = await browser.new_context(
                locale=locale,
                color_scheme=color_scheme,
                viewport={"width": width, "height": height},
                has_touch=touch,
                is_mobile=touch,
            )
            # Of all its pages, also of those that a test or a page opens later.
            context.on("console", hear)
            context.on("weberror", fail)
            context.on("request", watch)
            return await context.new_page()

        try:
            yield open_page
        finally:
            await browser.close()
    assert complaints == []
