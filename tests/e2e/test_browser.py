"""The browser of these tests: what any of its pages does wrong fails the test."""

from __future__ import annotations

from typing import Literal

import pytest

from support.browser import browser


@pytest.mark.parametrize(
    ("event", "wrong"),
    [
        ("console", "console.error('wrong')"),
        ("weberror", "setTimeout(() => { throw new Error('wrong'); })"),
    ],
)
async def test_what_a_page_that_was_opened_later_does_wrong_fails_the_test(
    event: Literal["console", "weberror"], wrong: str
) -> None:
    opened = browser()
    context = (await (await opened.__aenter__())()).context
    later = await context.new_page()
    async with context.expect_event(event):
        await later.evaluate(f"() => void {wrong}")
    with pytest.raises(AssertionError):
        await opened.__aexit__(None, None, None)
