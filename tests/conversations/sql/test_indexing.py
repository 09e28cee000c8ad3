"""The indexing in the background, of what was written without an index."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stream_serve.conversations.sql import history as module
from stream_serve.conversations.sql.search import index_some
from stream_serve.errors import HistoryUnavailable
from support.history import talk
from support.waiting import until

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from support.history import Place

FAILURES = 4


def indexing() -> list[str]:
    """The tasks that index now."""
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "index messages"]


@pytest.fixture
async def failing(place: Place, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A message without an index, and an indexing that fails several times before it goes on."""
    history = await place.history()
    await talk(history, content="needle")
    await until(lambda: not indexing())
    await history.close()
    await place.execute("UPDATE messages SET indexed = false")
    failures: list[int] = []

    def fails(connection: Connection) -> int:
        if len(failures) < FAILURES:
            failures.append(1)
            raise HistoryUnavailable("the database took longer than it may")
        return index_some(connection)

    monkeypatch.setattr(module, "index_some", fails)
    monkeypatch.setattr(module, "INDEXING", (0.001, 0.002))
    return failures


async def test_indexing_that_fails_is_tried_again_until_all_is_indexed(
    place: Place, failing: list[int]
) -> None:
    history = await place.history()
    await until(lambda: not indexing())
    assert len(failing) == FAILURES
    left = "SELECT count(*) FROM messages WHERE NOT indexed"
    assert [tuple(row) for row in await place.execute(left)] == [(0,)]
    assert len((await history.list("", limit=9, query="needle")).conversations) == 1


@pytest.mark.usefixtures("failing")
async def test_a_history_that_is_opened_again_has_one_indexing_and_a_closed_one_none(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INDEXING", (60.0, 60.0))
    history = await place.history()
    await history.open()
    assert len(indexing()) == 1
    await history.close()
    await until(lambda: not indexing())
    await history.open()
    await history.open()
    assert len(indexing()) == 1
