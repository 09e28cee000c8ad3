"""Fixtures: a real Redis and connections to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_serve.cluster.redis.client import RedisClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.redis import Redis


@pytest.fixture
async def client(server: Redis) -> AsyncIterator[RedisClient]:
    """Connections to the shared Redis."""
    made = RedisClient(server.url, 5)
    yield made
    await made.close()


@pytest.fixture
async def fragile_client(fragile: Redis) -> AsyncIterator[RedisClient]:
    """Connections to the Redis that is harmed, with little patience."""
    made = RedisClient(fragile.url, 0.3)
    yield made
    await made.close()


@pytest.fixture
async def patient_client(fragile: Redis) -> AsyncIterator[RedisClient]:
    """Connections to the Redis that is harmed, with patience as long as it is not."""
    made = RedisClient(fragile.url, 20)
    yield made
    await made.close()
