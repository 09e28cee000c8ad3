"""Fixtures: the scripted upstream, the service in front of it, and a client that is not ours."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp
import pytest
import structlog
import uvloop
from hypothesis import HealthCheck, settings

from stream_serve.testing import ScriptedUpstream
from support.redis import Redis, shared_server
from support.service import Service
from support.simulated import SimulatedLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping


# What an example or its making takes in seconds says something about the machine only.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fast", settings.get_profile("tests"), max_examples=20)
settings.load_profile("tests")
# A failing test shows the log, whose tracebacks take longer than the tests if they show all variables.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

TESTS: Final = Path(__file__).parent
SLOW_FOLDERS: Final = {"bench", "clients", "deploy", "e2e", "redis", "sql", "sqlite", "testing"}
SLOW_FIXTURES: Final = {"fragile", "page_context", "postgresql", "server"}
SLOW_BACKENDS: Final = {"postgresql", "redis", "redis-other", "sqlite"}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import nothing from a folder without a fast test when only those are asked for."""
    only_fast = config.getoption("markexpr") == "fast"
    return True if only_fast and SLOW_FOLDERS.intersection(_below(collection_path)) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as `fast` what needs no other process and no database, and has no mark that it is slow."""
    for item in items:
        if not is_slow(item):
            item.add_marker(pytest.mark.fast)


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays until the end: all modules and all tests."""
    gc.collect()
    gc.freeze()


def is_slow(item: pytest.Item) -> bool:
    """Tell a slow test by its mark, its folder, its fixtures, or the backend that it runs on."""
    if item.get_closest_marker("slow") is not None or SLOW_FOLDERS.intersection(_below(item.path)):
        return True
    if not isinstance(item, pytest.Function):
        return False
    backends = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return bool(SLOW_FIXTURES.intersection(item.fixturenames)) or any(
        backend in SLOW_BACKENDS for backend in backends if isinstance(backend, str)
    )


def _below(path: Path) -> tuple[str, ...]:
    """Name the folders below this one only: a clone may itself be in a folder of any name."""
    return path.relative_to(TESTS).parts if path.is_relative_to(TESTS) else ()


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run on uvloop, as the server does; tests marked `both_loops` on asyncio's own, too, and those
    marked `simulated_time` on a loop that never waits, and only there unless they have both marks."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {}
    both = item.get_closest_marker("both_loops") is not None
    simulated = item.get_closest_marker("simulated_time") is not None
    if simulated:
        factories["simulated"] = SimulatedLoop
    if both or not simulated:
        factories["uvloop"] = uvloop.new_event_loop
    if both:
        factories["asyncio"] = asyncio.new_event_loop
    return factories


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine reaches a test: neither its environment nor a `.env` file."""
    others = {"DASHSCOPE_API_KEY", "PORT", "WEB_CONCURRENCY"}
    proxies = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    for name in list(os.environ):
        if name.startswith("STREAM_SERVE_") or name in others or name.lower() in proxies:
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
