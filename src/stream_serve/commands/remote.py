"""Where a command writes a stream at a service that is named."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from stream_serve.client import AsyncClient
from stream_serve.client.jobs import ServicePlace
from stream_serve.client.requests import base
from stream_serve.commands.places import GIVE, KEY
from stream_serve.errors import ServiceProtocol, ServiceUnreachable, StreamServeError, Unauthorized
from stream_serve.library.jobs import key_of
from stream_serve.settings import variable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from stream_serve.jobs.base import Connect


def connect(url: str, name: str, key: str | None) -> Connect:
    """Return what gives the stream's place. Raises `ValueError` for a name or an address that is none."""
    _, path = key_of(name, None, None)
    base(url)

    @asynccontextmanager
    async def place() -> AsyncGenerator[ServicePlace]:
        async with AsyncClient(url, key=key) as client:
            yield ServicePlace(client, path)

    return place


def explain(error: StreamServeError, url: str, key: str | None) -> str:
    """Return what was asked, what came of it, and what to do. `key` is the variable that is named."""
    if isinstance(error, ServiceUnreachable):
        return f"{error}: start the service, or check the host and the port of --url"
    if isinstance(error, Unauthorized) and variable(key or KEY) is None:
        return f"the service at {url} wants an API key: {GIVE}"
    if isinstance(error, Unauthorized):
        return f"the service at {url} refuses the API key in {key or KEY}: put another one there"
    if isinstance(error, ServiceProtocol) or error.code.startswith("http_"):
        return f"{url} answers with {error}: check the host, the port and the path of --url"
    return f"the service at {url} answers: {error}"
