"""What all peers promise, whatever lies between them; the backends are at the top."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

import pytest

from stream_serve.cluster.local import NoPeers
from stream_serve.cluster.redis.client import Link
from stream_serve.cluster.redis.lease import Lease
from stream_serve.cluster.redis.listener import Listener
from stream_serve.cluster.redis.peers import RedisPeers
from stream_serve.errors import PeerUnreachable
from support.redis import shared_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stream_serve.cluster.base import Peers

BACKENDS: Final = ["alone", "redis"]


async def refuse(process: str, question: str, data: bytes) -> bytes:
    raise AssertionError(f"{process} asks {question}")


def ignore(process: str) -> None:
    """Nobody is to be gone."""


@pytest.fixture(params=BACKENDS)
async def peers(request: pytest.FixtureRequest) -> AsyncIterator[Peers]:
    """The peers of a process that is alone."""
    if request.param == "alone":
        alone = NoPeers()
        await alone.open(refuse, gone=ignore)
        yield alone
        await alone.close()
        return
    server = shared_server()
    server.flush()
    link = Link(server.url, 5)
    listener, lease = Listener(link), Lease(link, 5)
    peers = RedisPeers(link, listener, lease, ttl=60)
    await peers.open(refuse, gone=ignore)
    await listener.open()
    await lease.open()
    yield peers
    await peers.close()
    await lease.close()
    await listener.close()
    await link.close()


@pytest.fixture
def owner() -> str:
    return secrets.token_urlsafe(16)


async def enters(peers: Peers, owner: str, name: str, most: int) -> None:
    """Wait until there is room."""
    async with asyncio.timeout(20):
        while not await peers.enter(owner, name, most):
            await asyncio.sleep(0.005)


async def test_an_owner_has_no_more_runs_than_it_may_have(peers: Peers, owner: str) -> None:
    assert await peers.enter(owner, "one", 2)
    assert await peers.enter(owner, "two", 2)
    assert not await peers.enter(owner, "three", 2)
    assert await peers.enter(owner, "three", 3)


async def test_a_run_that_is_in_counts_once(peers: Peers, owner: str) -> None:
    assert await peers.enter(owner, "one", 1)
    assert await peers.enter(owner, "one", 1)
    assert not await peers.enter(owner, "two", 1)
    assert await peers.enter(owner, "two", 2)


async def test_owners_are_counted_apart(peers: Peers, owner: str) -> None:
    assert await peers.enter(owner, "one", 1)
    assert await peers.enter(owner + "'s friend", "one", 1)


async def test_a_run_that_left_makes_room(peers: Peers, owner: str) -> None:
    assert await peers.enter(owner, "one", 1)
    peers.leave(owner, "one")
    await enters(peers, owner, "two", 1)
    assert not await peers.enter(owner, "one", 1)


async def test_a_run_that_left_may_come_again(peers: Peers, owner: str) -> None:
    assert await peers.enter(owner, "one", 1)
    peers.leave(owner, "one")
    await enters(peers, owner, "one", 1)
    assert not await peers.enter(owner, "two", 1)


async def test_leaving_what_is_not_in_has_no_effect(peers: Peers, owner: str) -> None:
    peers.leave(owner, "never")
    assert await peers.enter(owner, "one", 1)
    peers.leave(owner, "two")
    peers.leave(owner + "'s friend", "one")
    assert not await peers.enter(owner, "two", 1)


async def test_of_many_at_once_as_many_enter_as_may(peers: Peers, owner: str) -> None:
    entered = await asyncio.gather(
        *(peers.enter(owner, f"run-{number}", 7) for number in range(100))
    )
    assert sum(entered) == 7


async def test_a_process_that_is_not_there_is_unreachable_at_once(peers: Peers) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(PeerUnreachable):
            await peers.ask("nobody", "state", b"run", timeout=60)


async def test_telling_nobody_is_no_error(peers: Peers) -> None:
    await peers.tell("nobody", "readers", b"1")
