"""What `Streams.memory()` keeps in a folder: it is there as long as it is served, and no longer."""

from __future__ import annotations

import gc
import tempfile
from typing import TYPE_CHECKING

import aiohttp
import pytest
from fastapi import FastAPI

from stream_serve import ChatRequest, Streams
from support.host import serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

ASK = {"message": "hi", "conversationId": "new"}


def hosted(*, handed_on: bool) -> FastAPI:
    """Return an application whose streams nobody else has."""
    streams = Streams.memory()

    @streams.chat
    async def answer(request: ChatRequest) -> AsyncGenerator[str]:
        yield "one"

    app = FastAPI(lifespan=streams.lifespan if handed_on else None)
    app.mount("/ai", streams.routes())
    return app


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("handed_on", [True, False])
async def test_conversations_are_there_as_long_as_they_are_served(
    temporary: Path, *, handed_on: bool
) -> None:
    app = hosted(handed_on=handed_on)
    gc.collect()
    assert len(list(temporary.iterdir())) == 1
    async with serving(app) as url, aiohttp.ClientSession() as session:
        answer = await session.post(f"{url}/ai/chat/stream-sse", json=ASK)
        assert '"saved":true' in await answer.text()
        assert len(list(temporary.glob("*/conversations.db"))) == 1


async def test_nothing_of_them_is_left_when_the_lifespan_has_ended(temporary: Path) -> None:
    app = hosted(handed_on=True)
    for _ in range(2):
        async with serving(app) as url, aiohttp.ClientSession() as session:
            found = await session.get(f"{url}/ai/conversations")
            assert (await found.json())["conversations"] == []
            answer = await session.post(f"{url}/ai/chat/stream-sse", json=ASK)
            assert '"saved":true' in await answer.text()
        assert list(temporary.rglob("conversations.db*")) == []
