"""The page of another site with the chat in it, in the words of who uses it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from support.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from playwright.async_api import FrameLocator, Locator, Page

    from support.page import PageFactory

NAME: Final = "app.localhost"
"""The other site, on this machine: to a browser it has nothing in common with 127.0.0.1."""

_PAGE: Final = """\
<!doctype html><html lang="{lang}"><head><title>Somebody's page</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1">{head}</head>
<body><main><h1>Somebody's page</h1><p>Words, and <a href="#">a link</a>.</p></main>{body}</body></html>
"""


@asynccontextmanager
async def somebodys_site() -> AsyncGenerator[Site]:
    """Serve a page at an origin of its own, which is its `url` without the slash."""
    async with Site() as site:
        site.url = site.url.replace("127.0.0.1", NAME)
        yield site


def write(
    site: Site,
    service: str,
    *,
    attributes: str = "",
    head: str = "",
    body: str = "",
    lang: str = "en",
) -> None:
    """Let the site's page load the widget of a service."""
    script = f'<script src="{service.rstrip("/")}/widget.js" {attributes}></script>'
    site.page = _PAGE.format(lang=lang, head=head, body=body or script)


@dataclass(frozen=True)
class Hosted:
    """The page, in the words of who uses it."""

    page: Page

    @property
    def button(self) -> Locator:
        return self.page.locator("section > button")

    @property
    def panel(self) -> Locator:
        return self.page.get_by_role("dialog")

    @property
    def chat(self) -> FrameLocator:
        return self.page.frame_locator("iframe")

    @property
    def box(self) -> Locator:
        return self.chat.get_by_role("textbox", name="Message", exact=True)

    async def ask(self, question: str) -> None:
        await self.box.fill(question)
        await self.box.press("Enter")


async def come(page_context: PageFactory, site: Site, **options: object) -> Hosted:
    """Open the site's page."""
    page = await page_context(**{"locale": "en-US", **options})
    await page.goto(site.url)
    return Hosted(page)
