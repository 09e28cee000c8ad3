"""Our own JavaScript client, where the clock is not what it was."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from clients.conftest import Door
from stream_serve.testing import ANSWER, pieces
from support.clients import own_program
from support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_serve.testing import ScriptedUpstream
    from support.clients import Program

TEXT: Final = "".join(pieces(ANSWER, size=4, tokens=40))


@pytest.fixture
def program() -> Iterator[Program]:
    made = own_program("client")
    yield made
    made.close()


@pytest.mark.parametrize("hours", [1, -1], ids=["after a sleep", "set back"])
async def test_a_clock_that_jumps_costs_one_connection_and_no_word(
    program: Program, upstream: ScriptedUpstream, hours: int
) -> None:
    """Its patience does not count the hours, and it does not wait for hours to find a dead connection."""
    async with (
        Door(upstream_url=upstream.url, heartbeat_interval=0.2) as door,
        Proxy(door.url) as network,
    ):
        question = {"message": "hi", "model": "answer?tokens=40&interval=0.02"}
        asking = asyncio.create_task(
            program.run("clock", url=network.url, question=question, hours=hours)
        )
        await upstream.until(
            lambda: bool(upstream.requests) and upstream.requests[0].events_sent >= 3
        )
        network.freeze("POST")
        found = await asking
    assert found["error"] is None
    assert found["text"] == TEXT
    assert found["states"].count("lost") == 1
    assert len(upstream.requests) == 1
