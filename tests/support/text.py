"""The text of an answer in the real page, drawn piece by piece by `web/tests/support/probe.ts`."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from playwright.async_api import expect

if TYPE_CHECKING:
    from playwright.async_api import Page, Request, Route

    from support.page import PageFactory, Service

ROOT: Final = Path(__file__).parent.parent.parent
_MODULE: Final = "/chat-page/probe.js"
_LISTEN: Final = f"""async () => {{
  window.violations = [];
  addEventListener("securitypolicyviolation", ({{ violatedDirective: of, sample }}) => {{
    violations.push(`${{of}} ${{sample}}`);
  }});
  window.hits = [];
  window.hit = (number) => hits.push(number);
  window.probe = await import("{_MODULE}");
}}"""


@cache
def probe() -> str:
    """Return the module, with its lazy parts in it."""
    command = [sys.executable, ROOT / "tools" / "page.py", "--bundle", "tests/support/probe.ts"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@dataclass(frozen=True)
class Text:
    """The page, and what it has asked the network for since the module was there."""

    page: Page
    asked: list[str]

    async def run(self, script: str, given: object = None) -> Any:
        """Run a function of the page, which knows `probe`."""
        return await self.page.evaluate(script, given)

    async def wrong(self) -> list[str]:
        """Return what ran, and what the page's policy refused."""
        return await self.page.evaluate("() => [...hits.map((one) => `hit ${one}`), ...violations]")


def count_made(selector: str) -> str:
    """Return a script that counts what there is: `last` in all, and `most` that one task has made.

    The observer is called at the end of each task that changed anything.
    """
    return """() => {
        window.most = window.last = 0;
        new MutationObserver(() => {
            const now = document.querySelectorAll("SELECTOR").length;
            most = Math.max(most, now - last);
            last = now;
        }).observe(document, { childList: true, subtree: true });
    }""".replace("SELECTOR", selector)


async def open_text(page_context: PageFactory, service: Service, **options: object) -> Text:
    """Open the chat page with an empty conversation, and load the module into it."""
    page = await page_context(**{"locale": "en-US", **options})

    async def give(route: Route) -> None:
        await route.fulfill(body=probe(), content_type="text/javascript")

    await page.route(f"**{_MODULE}", give)
    await page.goto(service.url)
    await expect(page.locator(".empty")).to_be_visible()
    await page.wait_for_load_state("networkidle")
    await page.evaluate(_LISTEN)
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    return Text(page, asked)
