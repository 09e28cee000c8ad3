"""Services of other kinds, and pages in a real Chromium."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import pytest

from support.browser import browser
from support.history import postgres_place
from support.host import application
from support.service import HOLDS, Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from playwright.async_api import Page

    from stream_serve.testing import ScriptedUpstream
    from support.chat import Serve
    from support.history import Place
    from support.host import App
    from support.site import Site

KEY: Final = "sk-caller-0123456789"


class KeyedService(Service):
    """A service that wants a key."""

    key = KEY


@pytest.fixture
async def demo_service() -> AsyncIterator[Service]:
    """The service with nothing configured: the demo model answers."""
    async with Service() as running:
        yield running


@pytest.fixture
async def keyed_service(upstream: ScriptedUpstream) -> AsyncIterator[KeyedService]:
    """The service in front of the scripted upstream, with a key."""
    async with KeyedService(upstream_url=upstream.url, api_keys=KEY) as running:
        yield running


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """A PostgreSQL database with the schema."""
    made = await postgres_place()
    yield made
    await made.close()


@pytest.fixture
async def page_context() -> AsyncIterator[Callable[..., Awaitable[Page]]]:
    """Open pages; the test fails for any console error and any request to another host."""
    async with browser() as open_page:
        yield open_page


@pytest.fixture
async def serve(upstream: ScriptedUpstream, tmp_path: Path) -> AsyncIterator[Serve]:
    """Return what starts a service whose provider does one thing."""
    database = f"sqlite:///{tmp_path / 'conversations.db'}"
    async with AsyncExitStack() as stack:

        async def start(model: str) -> Service:
            service = Service(
                upstream_url=upstream.url, database_url=database, model=model, **HOLDS
            )
            return await stack.enter_async_context(service)

        yield start


@pytest.fixture
async def app(site: Site) -> AsyncIterator[App]:
    """Return an application at another origin than the site, which may embed its chat page."""
    async with application(site.url.rstrip("/")) as running:
        yield running
