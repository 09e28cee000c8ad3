"""The chat page of a service: its bytes, its box beside thousands of messages, a hundred answers."""

from __future__ import annotations

import os
import statistics
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from sqlalchemy import create_engine, insert

from bench.page.chromium import Held, metered
from bench.processes import Server, free_port
from bench.targets import clean_environment
from stream_serve.conversations.base import Answer, NewAnswer, NewMessage, Status
from stream_serve.conversations.sql.history import SQLHistory
from stream_serve.conversations.sql.schema import messages
from stream_serve.conversations.sql.urls import database_url
from stream_serve.testing import ScriptedUpstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from playwright.async_api import Browser, Page

MESSAGES: Final = 5_000
ANSWERS: Final = 100
_WARM: Final = 10
_KEYS: Final = 100
_ROUNDS: Final = 3
_WORDS: Final = "This is **all** of it:\n\n- one `a`\n- two\n\n```\ncode\n```\n\n" * 8
_COMPLETE: Final = ".of-model[data-state=complete]"
_PAINTED: Final = """() => {
  window.painted = [];
  document.addEventListener("keydown", () => {
    const begin = performance.now();
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => painted.push(performance.now() - begin);
      port2.postMessage(undefined);
    });
  }, true);
}"""
_BYTES: Final = """() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0].startTime;
  const entries = (type) => performance.getEntriesByType(type);
  const all = [...entries("navigation"), ...entries("resource")]
    .filter(({ name }) => !name.includes("/ai/"));
  const sum = (some) => some.reduce((total, { encodedBodySize }) => total + encodedBodySize, 0);
  return { before: sum(all.filter(({ responseEnd }) => responseEnd <= paint)), all: sum(all) };
}"""


@dataclass(frozen=True)
class Typing:
    """What a key costs: CPU time in ms, and ms until it is painted; with how many turns on the page."""

    cpu: float
    painted: float
    turns: int


@dataclass(frozen=True)
class Talks:
    """What was measured: bytes before the first paint and in all, typing, and what the page holds."""

    bytes_before_paint: int
    bytes_in_all: int
    typing_empty: Typing
    typing_long: Typing
    held_warm: Held
    held_after: Held


@asynccontextmanager
async def service(folder: Path) -> AsyncGenerator[tuple[str, str]]:
    """Run the service, with an upstream that always says the same; give its address and its database."""
    database = f"sqlite:///{folder / 'chat.db'}"
    port = free_port()
    async with ScriptedUpstream() as upstream:
        environment = {
            **clean_environment(),
            "STREAM_SERVE_UPSTREAM_URL": upstream.url,
            "STREAM_SERVE_UPSTREAM_API_KEY": "bench",
            "STREAM_SERVE_MODEL": f"answer?{urlencode({'text': _WORDS, 'size': 8})}",
            "STREAM_SERVE_DATABASE_URL": database,
        }
        command = [sys.executable, "-m", "stream_serve", "serve", "--port", str(port)]
        cpus = os.sched_getaffinity(0)
        with Server(command, port, folder=folder, environment=environment, cpus=cpus):
            yield f"http://127.0.0.1:{port}", database


async def fill(database: str) -> str:
    """Keep a conversation of thousands of messages, one on another; return its id."""
    history = SQLHistory(database)
    await history.open()
    question = NewMessage(role="user", content="How many?")
    turn = await history.ask("", None, [question], NewAnswer(run_id="run", model="bench"))
    await history.finish(turn, Answer(status=Status.COMPLETE, content="Thousands."))
    await history.close()
    rows = [
        {
            "id": f"message-{number}",
            "conversation_id": turn.conversation_id,
            "parent_id": f"message-{number - 1}" if number else turn.answer_id,
            "role": "assistant" if number % 2 else "user",
            "status": Status.COMPLETE.value,
            "content": f"**{number}**",
            "search": str(number),
            "size": len(str(number)),
            "created_at": float(number),
        }
        for number in range(MESSAGES)
    ]
    engine = create_engine(database_url(database))
    with engine.begin() as connection:
        connection.execute(insert(messages), rows)
    engine.dispose()
    return turn.conversation_id


async def measure(browser: Browser, folder: Path) -> Talks:
    """Measure all of it, in pages of their own."""
    async with service(folder) as (url, database):
        page = await _open(browser, url)
        got = await page.evaluate(_BYTES)
        await page.context.close()
        long = f"{url}/c/{await fill(database)}"
        empty, full = await _typing(browser, url, long)
        warm, after = await _answers(browser, url)
    return Talks(got["before"], got["all"], empty, full, warm, after)


async def _open(browser: Browser, url: str) -> Page:
    context = await browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US")
    page = await context.new_page()
    await page.goto(url)
    await page.locator(".turn, .empty").first.wait_for()
    await page.wait_for_load_state("networkidle")
    return page


async def _typing(browser: Browser, *urls: str) -> list[Typing]:
    """Type into the box of each page, in turn, in several rounds."""
    found: list[list[Typing]] = [[] for _ in urls]
    pages = [await _open(browser, url) for url in urls]
    for page in pages:
        await page.evaluate(_PAINTED)
    for _ in range(_ROUNDS):
        for page, some in zip(pages, found, strict=True):
            some.append(await _typed(page))
    for page in pages:
        await page.context.close()
    return [
        Typing(
            statistics.median(one.cpu for one in some),
            statistics.median(one.painted for one in some),
            some[0].turns,
        )
        for some in found
    ]


async def _typed(page: Page) -> Typing:
    await page.bring_to_front()
    await page.get_by_role("textbox", name="Message").fill("")
    await page.get_by_role("textbox", name="Message").focus()
    await page.evaluate("() => { painted.length = 0; }")
    meter = await metered(page)
    before = await meter.work()
    await page.keyboard.type("words in a row " * (_KEYS // 15 + 1), delay=30)
    await page.wait_for_function("(keys) => painted.length >= keys", arg=_KEYS)
    spent = (await meter.work()).since(before)
    painted: list[float] = await page.evaluate("painted")
    cpu = spent.all * 1000 / len(painted)
    return Typing(cpu, statistics.median(painted), await page.locator(".turn").count())


async def _answers(browser: Browser, url: str) -> tuple[Held, Held]:
    """Ask and have answered, in a new conversation each."""
    page = await _open(browser, url)
    meter = await metered(page)
    for _ in range(_WARM):
        await _ask(page)
    warm = await meter.held()
    for _ in range(ANSWERS):
        await _ask(page)
    after = await meter.held()
    await page.context.close()
    return warm, after


async def _ask(page: Page) -> None:
    await page.get_by_role("textbox", name="Message").fill("Tell me all of it.")
    await page.keyboard.press("Enter")
    await page.locator(_COMPLETE).wait_for()
    await page.get_by_role("button", name="New conversation").click()
    await page.locator(".empty").wait_for()
