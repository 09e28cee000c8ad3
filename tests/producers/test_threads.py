"""A generator that is not asynchronous, iterated in a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_serve.producers.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Generator


async def test_what_a_generator_in_a_thread_raises_when_it_is_closed_is_not_lost() -> None:
    def source() -> Generator[str]:
        try:
            while True:
                yield "one"
        finally:
            raise ValueError("it cannot be closed")

    items = in_thread(source())
    assert await anext(items) == "one"
    with pytest.raises(ValueError, match="cannot be closed"):
        await items.aclose()
