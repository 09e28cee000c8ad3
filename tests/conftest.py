"""Fixtures: the scripted upstream, the service in front of it, and a client that is not ours."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import aiohttp
import pytest
import uvloop

from stream_serve.testing import ScriptedUpstream
from support.redis import Redis, shared_server
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run on uvloop, as the server does; tests marked `both_loops` on asyncio's own, too."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "uvloop": uvloop.new_event_loop
    }
    if item.get_closest_marker("both_loops") is not None:
        factories["asyncio"] = asyncio.new_event_loop
    return factories


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine reaches a test: neither its environment nor a `.env` file."""
    for name in list(os.environ):
        if name.startswith("STREAM_SERVE_") or name in {
            "DASHSCOPE_API_KEY",
            "PORT",
            "WEB_CONCURRENCY",
        }:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    """A provider that plays the scenario which the model names."""
    async with ScriptedUpstream() as server:
        yield server


@pytest.fixture
async def service(upstream: ScriptedUpstream) -> AsyncIterator[Service]:
    """The service, in front of the scripted upstream, without keys."""
    async with Service(upstream_url=upstream.url) as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A client with no limit on connections."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


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
