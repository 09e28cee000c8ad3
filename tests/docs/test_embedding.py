"""The example of docs/embedding.md, run as it stands, in both languages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import aiohttp
import pytest

from support.host import serving
from support.pages import blocks, pair

if TYPE_CHECKING:
    from fastapi import FastAPI

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("page", pair("embedding"))
async def test_the_example_of_an_embedded_generator_works(page: str) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    example = blocks(page, "python")[0]
    assert len([line for line in example.splitlines() if line.strip()]) <= 15
    exec(compile(example, page, "exec"), names)
    async with serving(cast("FastAPI", names["app"])) as url, aiohttp.ClientSession() as session:
        asked = {"message": "hello there"}
        response = await session.post(f"{url}/ai/chat/stream-sse", json=asked)
        text = await response.text()
        assert '"content":"there "' in text
        assert '"finishReason":"stop"' in text
