"""Services of other kinds, and pages in a real Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from support.browser import browser
from support.history import postgres_place
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from playwright.async_api import Page

    from stream_serve.testing import ScriptedUpstream
    from support.history import Place

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
