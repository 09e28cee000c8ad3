"""The service with streams in memory, and what its protocol takes past the application."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from support.appends import MADE, asked, watched
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each request whose head was known was taken."""
    return watched(monkeypatch, "submit_again")


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """The service with the streams of `MADE`."""
    async with Service(streams_url="memory") as made:
        await asyncio.to_thread(asked, made.url, MADE)
        yield made
