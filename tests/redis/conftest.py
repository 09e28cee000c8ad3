"""Fixtures: a real Redis and connections to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_serve.redis.link import Link
from support.redis import Redis, shared_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture
def server() -> Redis:
    """An empty Redis that is shared by tests which do it no harm."""
    running = shared_server()
    running.flush()
    return running


@pytest.fixture
def fragile() -> Iterator[Redis]:
    """An empty Redis to freeze, stop and fill."""
    shared_server()  # skips, or fails, where there is no Redis
    with Redis() as running:
        yield running


@pytest.fixture
async def link(server: Redis) -> AsyncIterator[Link]:
    """Connections to the shared Redis."""
    made = Link(server.url, 5)
    yield made
    await made.close()


@pytest.fixture
async def fragile_link(fragile: Redis) -> AsyncIterator[Link]:
    """Connections to the Redis that is harmed, with little patience."""
    made = Link(fragile.url, 0.3)
    yield made
    await made.close()
