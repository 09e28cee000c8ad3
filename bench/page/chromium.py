"""A Chromium whose pages tell what they cost: CPU time of the main thread, memory, nodes."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from playwright.async_api import async_playwright

from bench.targets import MissingError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from playwright.async_api import Browser, Page

_FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
_WORK: Final = ("TaskDuration", "LayoutDuration", "RecalcStyleDuration")


@dataclass(frozen=True)
class Work:
    """Seconds of CPU time of a page's main thread: all of it, and of that its layout with its styles."""

    all: float
    layout: float

    def since(self, before: Work) -> Work:
        """Return what was spent after another moment."""
        return Work(self.all - before.all, self.layout - before.layout)


@dataclass(frozen=True)
class Held:
    """What a page holds when all that it can let go of is gone."""

    megabytes: float
    nodes: int
    listeners: int


class Meter:
    """Tells what a page has cost so far, in the time of its thread, which is not that of a clock."""

    def __init__(self, session: Any) -> None:
        self._session = session

    async def work(self) -> Work:
        """Return what it has cost so far."""
        found = await self._metrics()
        task, layout, style = (found[name] for name in _WORK)
        return Work(task, layout + style)

    async def held(self) -> Held:
        """Collect what is unused, and return what is left."""
        for _ in range(2):
            await self._session.send("HeapProfiler.collectGarbage")
        found = await self._metrics()
        return Held(
            found["JSHeapUsedSize"] / 1e6, int(found["Nodes"]), int(found["JSEventListeners"])
        )

    async def _metrics(self) -> dict[str, float]:
        got = await self._session.send("Performance.getMetrics")
        return {one["name"]: one["value"] for one in got["metrics"]}


async def metered(page: Page) -> Meter:
    """Return what tells the cost of a page."""
    session: Any = await page.context.new_cdp_session(page)
    await session.send("Performance.enable", {"timeDomain": "threadTicks"})
    return Meter(session)


@asynccontextmanager
async def chromium() -> AsyncGenerator[Browser]:
    """Run the browser of this machine. Raises `MissingError`."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise MissingError("chromium is not installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        try:
            yield browser
        finally:
            await browser.close()
