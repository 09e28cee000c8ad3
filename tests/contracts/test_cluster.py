"""What all peers promise, whatever lies between them; the backends are at the top."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from stream_serve.cluster.local import LocalPeers
from stream_serve.cluster.redis.client import RedisClient
from stream_serve.cluster.redis.lease import Lease
from stream_serve.cluster.redis.listener import Listener
from stream_serve.cluster.redis.peers import RedisPeers
from stream_serve.errors import PeerUnreachable
from support.redis import shared_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stream_serve.cluster.base import Peers

BACKENDS: Final = ["local", "redis"]


async def refuse(process: str, question: str, data: bytes) -> bytes:
    raise AssertionError(f"{process} asks {question}")


def ignore(process: str) -> None:
    """Nobody is to be gone."""


@pytest.fixture(params=BACKENDS)
async def peers(request: pytest.FixtureRequest) -> AsyncIterator[Peers]:
    """The peers of a process that is alone."""
    if request.param == "local":
        local = LocalPeers()
        await local.open(refuse, gone=ignore)
        yield local
        await local.close()
        return
    server = shared_server()
    server.flush()
    client = RedisClient(server.url, 5)
    listener, lease = Listener(client), Lease(client, 5)
    peers = RedisPeers(client, listener, lease)
    await peers.open(refuse, gone=ignore)
    await listener.open()
    await lease.open()
    yield peers
    await peers.close()
    await lease.close()
    await listener.close()
    await client.close()


async def test_a_process_that_is_not_there_is_unreachable_at_once(peers: Peers) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(PeerUnreachable):
            await peers.ask("nobody", "state", b"run", timeout=60)


async def test_telling_nobody_is_no_error(peers: Peers) -> None:
    await peers.tell("nobody", "readers", b"1")
