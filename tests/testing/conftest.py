"""A client of the scripted upstream for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from testing.client import KEY, Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stream_serve.testing import ScriptedUpstream


@pytest.fixture
async def client(upstream: ScriptedUpstream) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(headers=headers, auto_decompress=False) as session:
        yield Client(session, upstream)
