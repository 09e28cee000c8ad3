"""A Redis that the tests of the event log may harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.redis import Redis, shared_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[Redis]:
    """An empty Redis, that may be harmed."""
    redis = shared_server()
    redis.flush()
    yield redis
    redis.thaw()
    redis.maxmemory(0)
