"""What the widget needs of the page around, and what neither does to the other, in a real Chromium."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

import pytest
from playwright.async_api import async_playwright, expect

from support.browser import CHROMIUM, FLAGS
from support.service import Service
from support.widget import Hosted, come, somebodys_site, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Request, Route

    from stream_serve.testing import ScriptedUpstream
    from support.host import App
    from support.page import PageFactory
    from support.site import Site

WHOLE: Final = "Done. 完成！"
INSERTED: Final = """<script>
document.head.append(Object.assign(document.createElement("script"), {{ src: "{src}" }}));
</script>"""
LOUD: Final = """<style>
:root { --bg: lime; --accent: lime; --edge: 99px; font-size: 40px; }
body * {
  all: revert !important; color: red !important; background: lime !important;
  font: 30px/3 cursive !important; letter-spacing: 9px !important;
  text-transform: uppercase !important; direction: rtl !important;
  visibility: hidden !important; opacity: .5 !important; transform: rotate(9deg) !important;
  transition: all 9s !important; filter: blur(2px) !important; pointer-events: none !important;
}
div, section, dialog, button, iframe { display: none !important; }
</style>"""
PARTS: Final = """() => {
  const { shadowRoot } = document.querySelector("body > div");
  return [...shadowRoot.querySelectorAll("*")].map((one) => {
    const style = getComputedStyle(one);
    return [one.localName, ...[...style].map((name) => `${name}: ${style[name]}`)].join("\\n");
  });
}"""
LAYOUT: Final = """() => [document.body, ...document.querySelectorAll("main, main *")].map((one) => {
  const { x, y, width, height } = one.getBoundingClientRect();
  return [one.localName, x, y, width, height, one.scrollWidth, one.scrollHeight];
})"""
REPLACE: Final = """(src) => {
  document.body.replaceChildren();
  document.body.append(Object.assign(document.createElement("script"), { src }));
}"""
TOKENS: Final = """<script>
window.tokens = ["token-1"];
window.StreamServe = { token: async () => tokens.pop() };
</script>"""


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with somebodys_site() as running:
        yield running


@pytest.fixture
async def service(upstream: ScriptedUpstream, site: Site) -> AsyncIterator[Service]:
    """Return a service that may be in pages of the site, which has it."""
    async with Service(upstream_url=upstream.url, embed_origins=site.url.rstrip("/")) as running:
        write(site, running.url)
        yield running


async def test_under_a_strict_policy_it_needs_two_sources_and_says_which_is_missing(
    service: Service, site: Site, page_context: PageFactory
) -> None:
    strict = f"default-src 'none'; img-src data:; script-src {service.url}; base-uri 'none'"
    strict += "; require-trusted-types-for 'script'; trusted-types 'none'"
    site.headers = {"Content-Security-Policy": f"{strict}; frame-src {service.url}"}
    hosted = await come(page_context, site)
    await hosted.button.click()
    await expect(hosted.box).to_be_focused()
    await expect(hosted.panel).to_have_css("border-radius", "16px")
    site.headers = {"Content-Security-Policy": strict}
    hosted = await come(page_context, site, refused="(Framing|Refused|Loading)")
    await hosted.button.click()
    said = hosted.panel.get_by_role("alert")
    await expect(said).to_contain_text("Its Content-Security-Policy has to name it in frame-src.")


async def test_no_style_of_the_page_comes_in_and_none_goes_out(
    service: Service, site: Site, page_context: PageFactory
) -> None:
    around = "<style>body { display: grid; gap: 50px; } body :last-child { margin: 0; }</style>"
    styles: list[list[str]] = []
    layouts: list[object] = []
    for head, body in ((around, ""), (around + LOUD, ""), (around, "<script></script>")):
        write(site, service.url, head=head, body=body)
        hosted = await come(page_context, site)
        if not body:
            await hosted.button.click()
            await expect(hosted.box).to_be_visible()
            await hosted.page.evaluate("StreamServe.close()")
            await hosted.page.evaluate("StreamServe.open()")
            await expect(hosted.panel).to_have_css("opacity", "1")
            styles.append(await hosted.page.evaluate(PARTS))
        layouts.append(await hosted.page.evaluate(LAYOUT))
    assert len(styles[0]) > 10
    assert styles[0] == styles[1]
    assert layouts[0] == layouts[2]


@pytest.mark.parametrize("place", ["head", "body"])
@pytest.mark.parametrize(
    "tags",
    [
        '<script src="{src}"></script>',
        '<script src="{src}" async></script>',
        '<script src="{src}" defer></script>',
        '<script src="{src}" type="module" data-service="{service}"></script>',
        '<script src="{src}"></script><script src="{src}?again" async></script>',
        INSERTED,
    ],
)
async def test_however_it_is_loaded_there_is_one_chat(
    service: Service, site: Site, page_context: PageFactory, place: str, tags: str
) -> None:
    script = tags.format(src=f"{service.url}/widget.js", service=service.url)
    write(site, service.url, **{"body": " ", place: script})
    hosted = await come(page_context, site)
    await expect(hosted.button).to_have_count(1)
    await hosted.page.evaluate("StreamServe.open()")
    await expect(hosted.box).to_be_focused()
    # A page whose content is replaced loads it once more, to have it again.
    await hosted.page.evaluate(REPLACE, f"{service.url}/widget.js?new")
    await expect(hosted.button).to_have_count(1)
    await expect(hosted.box).to_be_focused()
    await hosted.button.click()
    await expect(hosted.panel).to_be_hidden()


async def test_a_chat_that_comes_late_is_shown_though_it_was_said_that_it_cannot_be(
    service: Service, site: Site, page_context: PageFactory
) -> None:
    come_on = asyncio.Event()

    async def wait(route: Route) -> None:
        await come_on.wait()
        await route.continue_()

    hosted = await come(page_context, site)
    await hosted.page.route("**/ai/info", wait)
    await hosted.button.click()
    await expect(hosted.panel.get_by_role("alert")).to_be_visible(timeout=60_000)
    come_on.set()
    await expect(hosted.box).to_be_visible()
    await expect(hosted.panel.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize("kept", [True, False])
async def test_where_the_browser_keeps_nothing_for_frames_of_others_the_chat_works(
    service: Service, site: Site, tmp_path: Path, kept: bool
) -> None:
    preferences = {"block_third_party_cookies": not kept, "cookie_controls_mode": int(not kept)}
    (tmp_path / "Default").mkdir()
    written = tmp_path / "Default" / "Preferences"
    written.write_text(json.dumps({"profile": preferences}), encoding="utf-8")
    errors: list[str] = []
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            tmp_path, executable_path=CHROMIUM, args=FLAGS, locale="en-US"
        )
        page = await context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(site.url)
        hosted = Hosted(page)
        await hosted.button.click()
        await expect(hosted.box).to_be_focused()
        keeps = "() => { try { return localStorage.length >= 0 } catch { return false } }"
        assert await page.frames[1].evaluate(keeps) is kept
        for count in (1, 2):
            await hosted.ask("Hello")
            answers = hosted.chat.get_by_role("article").get_by_text(WHOLE)
            await expect(answers).to_have_count(count)
        await context.close()
    assert errors == []


async def test_the_page_hands_a_token_over_and_another_one_when_it_is_refused(
    app: App, site: Site, page_context: PageFactory
) -> None:
    write(site, app.url, head=TOKENS)
    hosted = await come(page_context, site)
    urls: list[str] = []

    def note(request: Request) -> None:
        urls.append(request.url)

    hosted.page.on("request", note)
    await hosted.button.click()
    await hosted.ask("first")
    await expect(hosted.chat.get_by_role("article").last).to_contain_text("You said: first")
    app.valid.clear()
    app.valid.add("token-2")
    await hosted.page.evaluate("tokens.push('token-2')")
    await hosted.ask("second")
    await expect(hosted.chat.get_by_role("article").last).to_contain_text("You said: second")
    assert await hosted.page.evaluate("tokens") == []
    assert not [url for url in urls if "token" in url]


async def test_a_page_hands_over_a_key_of_the_service_and_nobody_is_asked_for_one(
    upstream: ScriptedUpstream, site: Site, page_context: PageFactory
) -> None:
    origin = site.url.rstrip("/")
    async with Service(
        upstream_url=upstream.url, api_keys="token-1", embed_origins=origin
    ) as service:
        write(site, service.url, head=TOKENS)
        hosted = await come(page_context, site)
        async with hosted.page.expect_response("**/ai/models") as models:
            await hosted.button.click()
        assert (await models.value).status == 200
        await hosted.ask("Hello")
        await expect(hosted.chat.get_by_role("article").last).to_contain_text(WHOLE)


async def test_a_page_without_a_token_may_have_one_later(
    app: App, site: Site, page_context: PageFactory
) -> None:
    write(site, app.url)
    hosted = await come(page_context, site)
    await hosted.button.click()
    await expect(hosted.chat.get_by_role("dialog", name="This service wants a key")).to_be_visible()
    await hosted.page.evaluate("StreamServe.token = () => 'token-1'")
    await expect(hosted.chat.get_by_role("dialog")).to_have_count(0)
    await hosted.ask("first")
    await expect(hosted.chat.get_by_role("article").last).to_contain_text("You said: first")
