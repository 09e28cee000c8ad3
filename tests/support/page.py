"""The debug page, in the words of who uses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from playwright.async_api import expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from playwright.async_api import Locator, Page

    PageFactory = Callable[..., Awaitable[Page]]

PATIENCE: Final = 15_000  # milliseconds; of every expectation: on a busy machine all comes late


class Service(Protocol):
    """A running service."""

    @property
    def url(self) -> str: ...


class KeyedService(Service, Protocol):
    """A running service that wants a key."""

    @property
    def key(self) -> str: ...


@dataclass(frozen=True)
class Debugger:
    """The page, in the words of who uses it."""

    page: Page

    @property
    def answer(self) -> Locator:
        """The answer as it came; it is in the page also while the rendered text is shown."""
        return self.page.locator("#answer-text")

    @property
    def rendered(self) -> Locator:
        return self.page.locator("#answer-rendered")

    @property
    def source(self) -> Locator:
        """The switch to the source."""
        return self.page.locator("#show-source")

    @property
    def status(self) -> Locator:
        return self.page.get_by_role("status")

    @property
    def start(self) -> Locator:
        return self.page.locator("#start")

    @property
    def stop(self) -> Locator:
        return self.page.locator("#stop")

    @property
    def mark(self) -> Locator:
        return self.page.locator("#stopped-mark")

    @property
    def receipt(self) -> Locator:
        return self.page.locator("#receipt")

    @property
    def failure(self) -> Locator:
        return self.page.locator("#failure")

    @property
    def rows(self) -> Locator:
        return self.page.locator("#events tr")

    async def fill(self, model: str, message: str = "你好") -> None:
        await self.page.locator("#model").fill(model)
        await self.page.locator("#message").fill(message)

    async def send(self, model: str, message: str = "你好") -> None:
        await self.fill(model, message)
        await self.start.click()

    async def reaches(self, state: str) -> None:
        """Wait for the run's state: streaming, finished, stopped, failed or cut."""
        line = self.page.locator("#status-line")
        await expect(line).to_have_attribute("data-state", state)

    async def column(self, name: str) -> list[str]:
        return await self.page.locator(f"#events td.{name}").all_text_contents()

    async def overflow(self) -> int:
        """How many pixels the page is wider than its window."""
        return await self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )


async def visit(page_context: PageFactory, service: Service, **options: object) -> Debugger:
    """Open the page and wait until it has met the service."""
    page = await page_context(**{"locale": "zh-CN", **options})
    async with page.expect_response("**/ai/info"):
        await page.goto(f"{service.url}/test-stream.html")
    return Debugger(page)
