"""What all quotas promise, whatever counts; the backends are at the top."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

import pytest

from stream_serve.cluster.redis.client import RedisClient
from stream_serve.cluster.redis.lease import Lease
from stream_serve.quotas.local import LocalQuotas
from stream_serve.quotas.redis import RedisQuotas
from support.redis import shared_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stream_serve.quotas.base import Quotas

BACKENDS: Final = ["local", "redis"]


@pytest.fixture(params=BACKENDS)
async def quotas(request: pytest.FixtureRequest) -> AsyncIterator[Quotas]:
    """The quotas as one process sees them."""
    if request.param == "local":
        local = LocalQuotas()
        await local.open()
        yield local
        await local.close()
        return
    server = shared_server()
    server.flush()
    client = RedisClient(server.url, 5)
    lease = Lease(client, 5)
    quotas = RedisQuotas(client, lease, ttl=60)
    await quotas.open()
    await lease.open()
    yield quotas
    await quotas.close()
    await lease.close()
    await client.close()


@pytest.fixture
def owner() -> str:
    return secrets.token_urlsafe(16)


async def enters(quotas: Quotas, owner: str, name: str, most: int) -> None:
    """Wait until there is room."""
    async with asyncio.timeout(20):
        while not await quotas.enter(owner, name, most):
            await asyncio.sleep(0.005)


async def test_an_owner_has_no_more_runs_than_it_may_have(quotas: Quotas, owner: str) -> None:
    assert await quotas.enter(owner, "one", 2)
    assert await quotas.enter(owner, "two", 2)
    assert not await quotas.enter(owner, "three", 2)
    assert await quotas.enter(owner, "three", 3)


async def test_a_run_that_is_in_counts_once(quotas: Quotas, owner: str) -> None:
    assert await quotas.enter(owner, "one", 1)
    assert await quotas.enter(owner, "one", 1)
    assert not await quotas.enter(owner, "two", 1)
    assert await quotas.enter(owner, "two", 2)


async def test_owners_are_counted_apart(quotas: Quotas, owner: str) -> None:
    assert await quotas.enter(owner, "one", 1)
    assert await quotas.enter(owner + "'s friend", "one", 1)


async def test_a_run_that_left_makes_room(quotas: Quotas, owner: str) -> None:
    assert await quotas.enter(owner, "one", 1)
    quotas.leave(owner, "one")
    await enters(quotas, owner, "two", 1)
    assert not await quotas.enter(owner, "one", 1)


async def test_a_run_that_left_may_come_again(quotas: Quotas, owner: str) -> None:
    assert await quotas.enter(owner, "one", 1)
    quotas.leave(owner, "one")
    await enters(quotas, owner, "one", 1)
    assert not await quotas.enter(owner, "two", 1)


async def test_leaving_what_is_not_in_has_no_effect(quotas: Quotas, owner: str) -> None:
    quotas.leave(owner, "never")
    assert await quotas.enter(owner, "one", 1)
    quotas.leave(owner, "two")
    quotas.leave(owner + "'s friend", "one")
    assert not await quotas.enter(owner, "two", 1)


async def test_of_many_at_once_as_many_enter_as_may(quotas: Quotas, owner: str) -> None:
    entered = await asyncio.gather(
        *(quotas.enter(owner, f"run-{number}", 7) for number in range(100))
    )
    assert sum(entered) == 7


async def test_closing_twice_is_fine(quotas: Quotas, owner: str) -> None:
    assert await quotas.enter(owner, "one", 1)
    quotas.leave(owner, "one")
    await quotas.close()
    await quotas.close()
