"""The chat page, in the words of who uses it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from playwright.async_api import expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import aiohttp
    from playwright.async_api import Locator, Page, Route

    from support import service
    from support.page import PageFactory, Service

    Serve = Callable[[str], Awaitable[service.Service]]

ROOT: Final = Path(__file__).parent.parent.parent
_AXE: Final = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
_RULES: Final = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}
SCHEMES: Final[tuple[Literal["dark", "light"], ...]] = ("dark", "light")


@dataclass(frozen=True)
class Chat:
    """The page, in the words of who uses it."""

    page: Page

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def link(self, name: str) -> Locator:
        return self.page.get_by_role("link", name=name, exact=True)

    @property
    def box(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message", exact=True)

    @property
    def log(self) -> Locator:
        return self.page.get_by_role("log")

    @property
    def questions(self) -> Locator:
        return self.page.get_by_role("article", name="You")

    @property
    def answers(self) -> Locator:
        return self.page.locator("article.of-model")

    @property
    def answer(self) -> Locator:
        return self.answers.last

    @property
    def text(self) -> Locator:
        """The text of the newest answer, without what stands around it."""
        return self.answer.locator("> .answer")

    async def ask(self, question: str) -> None:
        """Write a question, and send it as one does with this screen."""
        await self.box.fill(question)
        await self.button("Send").click()

    async def give_key(self, key: str) -> None:
        """Type the key that the page asks for, which the service takes."""
        field = self.page.get_by_label("API key")
        await field.fill(key)
        await field.press("Enter")
        await expect(field).to_be_hidden()

    async def grows(self, characters: int = 40) -> None:
        """Wait until so much of the newest answer is shown."""
        some = re.compile(rf".{{{characters}}}", re.DOTALL)
        await expect(self.answer).to_contain_text(some)

    async def address(self) -> str:
        """Return the address of the conversation, as soon as the page is there."""
        await expect(self.page).to_have_url(re.compile(r"/c/"))
        return self.page.url

    async def ends(self) -> None:
        """Wait until no answer is on its way."""
        await expect(self.button("Stop")).to_have_count(0)

    async def command(self, name: str, **values: Any) -> None:
        """Have the browser do what only its own protocol can: a gesture, an input method's keys."""
        protocol = await self.page.context.new_cdp_session(self.page)
        await cast("Any", protocol).send(name, values)

    @property
    def heading(self) -> Locator:
        return self.page.get_by_role("heading", level=1)

    @property
    def titles(self) -> Locator:
        return self.page.locator(".row .title")

    async def choose(self, opener: Locator, item: str) -> None:
        """Open a menu, and take one of its items."""
        await opener.click()
        menu = self.page.get_by_role("menu")
        await menu.get_by_role("menuitem", name=item, exact=True).click()

    async def top(self, element: Locator) -> float:
        """Where an element begins on the screen."""
        box = await element.bounding_box()
        assert box is not None
        return box["y"]

    async def overflow(self) -> int:
        """How many pixels the page is wider than its window."""
        return await self.page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    async def faults(self) -> list[str]:
        """Return what axe finds, in short."""
        return await faults(self.page)

    async def faults_in_any_light(self) -> list[str]:
        """Return what axe finds in the dark colours and in the light ones, in short."""
        return await faults_in_any_light(self.page)


async def faults(page: Page) -> list[str]:
    """Return what axe finds in a page and in its frames, in short."""
    for frame in page.frames:
        if not await frame.evaluate("'axe' in window"):
            await frame.evaluate(_AXE.read_text(encoding="utf-8"))
        await frame.evaluate(
            "() => Promise.all(document.getAnimations().map((one) => one.finished))"
        )
    found: dict[str, Any] = await page.evaluate("(rules) => axe.run(rules)", _RULES)
    return [f"{one['id']}: {node['html']}" for one in found["violations"] for node in one["nodes"]]


async def faults_in_any_light(page: Page) -> list[str]:
    """Return what axe finds in the dark colours and in the light ones, in short."""
    found: list[str] = []
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        found += await faults(page)
    return found


async def visit(
    page_context: PageFactory, service: Service, path: str = "/", **options: object
) -> Chat:
    """Open the page and wait until it has its list."""
    page = await page_context(**{"locale": "en-US", **options})
    async with page.expect_response("**/ai/conversations?**"):
        await page.goto(service.url + path)
    return Chat(page)


async def unheard(chat: Chat, client: aiohttp.ClientSession) -> asyncio.Event:
    """Let the next question arrive, and nothing come back; return what is set when its run has begun."""
    began = asyncio.Event()

    async def unanswered(route: Route) -> None:
        if began.is_set():
            await route.continue_()
            return
        asked = route.request
        async with client.post(asked.url, data=asked.post_data, headers=asked.headers) as response:
            await response.content.readany()
        began.set()

    await chat.page.route("**/ai/chat/stream-sse", unanswered)
    return began
