"""A page in the middle of a long answer, and what it shows in the end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from playwright.async_api import expect

from stream_serve.testing import ANSWER, pieces

if TYPE_CHECKING:
    from support.page import Debugger

TOKENS: Final = 150
SLOW: Final = f"answer?tokens={TOKENS}&interval=0.02"
TEXT: Final = "".join(pieces(ANSWER, size=4, tokens=TOKENS))


async def under_way(debugger: Debugger, characters: int = 40) -> None:
    """Wait until a part of the answer is shown."""
    some = re.compile(rf".{{{characters}}}", re.DOTALL)
    await expect(debugger.answer).to_contain_text(some)


async def is_whole(debugger: Debugger) -> None:
    """Wait for the end of `SLOW`; nothing of it is missing, and nothing is there twice."""
    await debugger.reaches("finished")
    assert await debugger.answer.text_content() == TEXT
    await has_every_number(debugger, TOKENS + 2)


async def has_every_number(debugger: Debugger, count: int) -> None:
    numbers = [number for number in await debugger.column("id") if number]
    assert numbers == [str(number) for number in range(1, count + 1)]
    await expect(debugger.page.locator("#events-skipped")).to_be_hidden()
