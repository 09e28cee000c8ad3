"""The example of the widget, as it stands, and the tables of its page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest
from playwright.async_api import expect

from support.browser import browser
from support.pages import ROOT, pair, rows
from support.service import Service
from support.widget import Hosted, come, somebodys_site

if TYPE_CHECKING:
    from stream_serve.testing import ScriptedUpstream

EXAMPLE: Final = ROOT / "examples" / "widget" / "index.html"
OPTIONS: Final = ROOT / "web" / "src" / "widget" / "options.ts"


@pytest.mark.slow
async def test_the_example_of_the_widget_opens_the_chat_by_either_button(
    upstream: ScriptedUpstream,
) -> None:
    async with somebodys_site() as site, browser() as open_page:
        origin = site.url.rstrip("/")
        async with Service(upstream_url=upstream.url, embed_origins=origin) as service:
            page = EXAMPLE.read_text(encoding="utf-8")
            site.page = page.replace("http://localhost:3000", service.url)
            assert site.page != page
            hosted: Hosted = await come(open_page, site)
            await expect(hosted.button).to_have_accessible_name("Ask the shop")
            await hosted.page.get_by_role("button", name="Ask us").click()
            await hosted.ask("Hello")
            await expect(hosted.chat.get_by_role("article").last).to_contain_text("Done.")
            await hosted.button.click()
            await expect(hosted.panel).to_be_hidden()


@pytest.mark.parametrize("page", pair("widget"))
def test_the_page_on_the_widget_has_the_attributes_that_it_reads(page: str) -> None:
    (read_from,) = re.findall(r"const \{ (.+) \} = dataset;", OPTIONS.read_text(encoding="utf-8"))
    names = {f"`data-{name.split()[0]}`" for name in read_from.split(", ")}
    assert {row[0] for row in rows(page, columns=3)} == names
