"""An answer of very many blocks is drawn in slices, between which a person can use the page."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import pytest
from playwright.async_api import expect

from support.chat import visit
from support.history import ask, ended, sqlite_place
from support.service import Service
from support.text import count_made

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from stream_serve.testing import ScriptedUpstream
    from support.chat import Serve
    from support.page import PageFactory

COUNT: Final = 20_000
FENCES: Final = "```\n"
BREAKS: Final = "---\n"
COLUMNS: Final = "".join(f"|{cell * 5_000}\n" for cell in ("a|", "-|", *["b|"] * 40))

MOST: Final = 4
"""This part of an answer may be drawn in one task: on any machine it is a small part of that."""


@asynccontextmanager
async def stored(
    text: str, folder: Path, upstream: ScriptedUpstream
) -> AsyncGenerator[tuple[Service, str]]:
    """Yield a service that keeps a conversation with this answer, and the path of its page."""
    place = sqlite_place(folder)
    history = await place.history()
    turn = await ask(history)
    await history.finish(turn, ended(text))
    try:
        async with Service(upstream_url=upstream.url, database_url=place.url) as service:
            yield service, f"/c/{turn.conversation_id}"
    finally:
        await place.close()


@pytest.mark.parametrize(
    ("text", "seen", "blocks"),
    [
        (FENCES * COUNT, ".code", COUNT // 2),
        (BREAKS * 4 * COUNT, "hr", 4 * COUNT),  # each of them costs little
    ],
    ids=["fences", "breaks"],
)
async def test_a_stored_answer_of_very_many_blocks_leaves_the_page_to_the_person(
    upstream: ScriptedUpstream,
    page_context: PageFactory,
    tmp_path: Path,
    text: str,
    seen: str,
    blocks: int,
) -> None:
    async with stored(text, tmp_path, upstream) as (service, path):
        chat = await visit(page_context, service)
        page = chat.page
        await page.add_init_script(f"({count_made('.answer *')})()")
        await page.goto(service.url + path)
        await expect(page.locator(".answer > *").first).to_be_attached()
        await chat.box.press_sequentially("taken")
        await expect(chat.box).to_have_value("taken")
        await expect(page.locator(seen)).to_have_count(blocks, timeout=120_000)
        counts: dict[str, int] = await page.evaluate("() => ({ most, last })")
        assert counts["most"] < counts["last"] / MOST


async def test_an_answer_of_very_many_blocks_is_stopped_while_it_comes(
    upstream: ScriptedUpstream, page_context: PageFactory, serve: Serve
) -> None:
    flood = {"text": FENCES, "size": len(FENCES), "tokens": COUNT + 1, "hold": COUNT}
    chat = await visit(page_context, await serve(f"answer?{urlencode(flood)}"))
    await chat.ask("fences")
    await expect(chat.page.locator(".answer > *").first).to_be_attached()
    await chat.box.press_sequentially("taken")
    await expect(chat.box).to_have_value("taken")
    await chat.button("Stop").click()
    await upstream.wait_for(lambda record: record.closed_by == "peer")
    await expect(chat.answer).to_contain_text("Stopped", timeout=120_000)
    await expect(chat.button("Stop")).to_have_count(0)


async def test_a_table_of_very_many_columns_is_shown_as_it_is_written(
    upstream: ScriptedUpstream, page_context: PageFactory, tmp_path: Path
) -> None:
    async with stored(COLUMNS, tmp_path, upstream) as (service, path):
        chat = await visit(page_context, service, path)
        text = chat.page.get_by_role("group", name="Code")
        await expect(text).to_have_text(COLUMNS.rstrip("\n"), use_inner_text=False)
        assert await chat.page.locator(".answer *").count() < 100
        await chat.box.press_sequentially("taken")
        await expect(chat.box).to_have_value("taken")
