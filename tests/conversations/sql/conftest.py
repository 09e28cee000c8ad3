"""Fixtures: a database of either kind, or of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.history import place_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.history import Place


@pytest.fixture(params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """An empty database, of each kind."""
    made = await place_of(str(request.param), tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Place]:
    """An empty SQLite file."""
    made = await place_of("sqlite", tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def postgresql(tmp_path: Path) -> AsyncIterator[Place]:
    """An empty database of a real PostgreSQL."""
    made = await place_of("postgresql", tmp_path)
    yield made
    await made.close()
