"""Services of other kinds, and a real Chromium that tolerates no error and no foreign request."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

import pytest
from playwright.async_api import async_playwright

from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from playwright.async_api import ConsoleMessage, Error, Page, Request

    from stream_serve.testing import ScriptedUpstream

KEY: Final = "sk-caller-0123456789"
CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
_FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class KeyedService(Service):
    """A service that wants a key."""

    key = KEY


@pytest.fixture
async def demo_service() -> AsyncIterator[Service]:
    """The service with nothing configured: the demo model answers."""
    async with Service() as running:
        yield running


@pytest.fixture
async def keyed_service(upstream: ScriptedUpstream) -> AsyncIterator[KeyedService]:
    """The service in front of the scripted upstream, with a key."""
    async with KeyedService(upstream_url=upstream.url, api_keys=KEY) as running:
        yield running


@asynccontextmanager
async def _browser(complaints: list[str]) -> AsyncGenerator[Callable[..., Awaitable[Page]]]:
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


@pytest.fixture
async def page_context() -> AsyncIterator[Callable[..., Awaitable[Page]]]:
    """Open pages; the test fails for any console error and any request to another host."""
    complaints: list[str] = []
    async with _browser(complaints) as open_page:
        yield open_page
    assert complaints == []
