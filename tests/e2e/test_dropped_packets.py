"""A provider whose packets no longer come, and of which the kernel says nothing."""

from __future__ import annotations

import asyncio

import pytest

from support.dropping import in_network


@pytest.mark.parametrize("end", ["silence", "stop"])
async def test_a_run_ends_though_every_packet_of_its_provider_is_dropped(end: str) -> None:
    """The limit of silence ends it, or a stop, whose receipt does not wait for the network."""
    await asyncio.to_thread(in_network, "-m", "support.dropped", end)
