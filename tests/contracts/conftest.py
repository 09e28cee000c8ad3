"""Fixtures: the databases that keep conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.history import place_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from stream_serve.conversations.base import History
    from support.history import Place


@pytest.fixture(params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """An empty database, of each kind."""
    made = await place_of(str(request.param), tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def history(place: Place) -> History:
    """The conversations in it."""
    return await place.history()
