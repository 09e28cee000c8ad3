"""The service that other people's clients ask: with keys and without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from stream_serve.testing import ANSWER
from support.browser import browser
from support.proxy import Proxy
from support.service import Service
from support.tabs import prepare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

    from stream_serve.testing import ScriptedUpstream

KEY: Final = "sk-caller-0123456789"
BEATS: Final = "answer?tokens=4&interval=0.1"
BEATEN: Final = ANSWER[:16]


class Door(Service):
    """A service, and how its clients reach it."""

    key = "any"

    @property
    def words(self) -> dict[str, Any]:
        """What every case of a client is told."""
        return {"base_url": f"{self.url}/v1", "key": self.key}


class KeyedDoor(Door):
    """A service that wants a key."""

    key = KEY


@pytest.fixture(params=["with keys", "without keys"])
async def door(request: pytest.FixtureRequest, upstream: ScriptedUpstream) -> AsyncIterator[Door]:
    """The service in front of the scripted provider."""
    keyed = request.param == "with keys"
    made = (
        KeyedDoor(upstream_url=upstream.url, api_keys=KEY)
        if keyed
        else Door(upstream_url=upstream.url)
    )
    async with made as running:
        yield running


@pytest.fixture
async def keyed_door(upstream: ScriptedUpstream) -> AsyncIterator[Door]:
    """The service in front of the scripted provider, with a key."""
    async with KeyedDoor(upstream_url=upstream.url, api_keys=KEY) as running:
        yield running


@pytest.fixture
async def beating_door(upstream: ScriptedUpstream) -> AsyncIterator[Door]:
    """A service whose streams have heartbeats between the tokens of `BEATS`."""
    async with Door(upstream_url=upstream.url, heartbeat_interval=0.02) as running:
        yield running


@pytest.fixture
async def network(upstream: ScriptedUpstream) -> AsyncIterator[Proxy]:
    """A network to a service that can be cut."""
    async with (
        Service(upstream_url=upstream.url, streams_url="memory") as service,
        Proxy(service.url) as proxy,
    ):
        yield proxy


@pytest.fixture
async def first(network: Proxy) -> AsyncIterator[Page]:
    """A page with the client."""
    async with browser() as open_page:
        page = await open_page()
        await prepare(page, network)
        yield page
