"""Fixtures: the event logs of each kind, and the databases that keep conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_serve.eventlog.memory import MemoryEventLog
from support.eventlog import Apart, file_log, never_lost, never_orphaned, shared_log
from support.history import place_of
from support.streams import BACKENDS
from support.streams import Place as StreamsPlace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from stream_serve.conversations.base import History
    from stream_serve.eventlog.base import EventLog
    from support.history import Place


@pytest.fixture(params=["memory", "sqlite", "redis", "redis-other"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventLog]:
    """Each backend; `redis-other` is read in another process than it is written in."""
    if request.param == "memory":
        yield MemoryEventLog()
        return
    if request.param == "sqlite":
        kept = file_log(tmp_path / "runs.db")
        await kept.open(lost=never_lost, orphaned=never_orphaned)
        yield kept
        await kept.close()
        return
    writing = shared_log()
    await writing.open(lost=never_lost, orphaned=never_orphaned)
    if request.param == "redis":
        yield writing
    else:
        reading = shared_log()
        await reading.open(lost=never_lost, orphaned=never_orphaned)
        apart = Apart(writing, reading)
        yield apart
        await apart.close()
        await reading.close()
    await writing.close()


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


@pytest.fixture(params=BACKENDS)
async def streams_place(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[StreamsPlace]:
    """An empty place for streams, of each kind."""
    made = StreamsPlace(str(request.param), tmp_path)
    yield made
    await made.close()
