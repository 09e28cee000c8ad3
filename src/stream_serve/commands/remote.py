"""Where a command writes a stream at a service that is named."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from stream_serve.client import AsyncClient
from stream_serve.client.jobs import ServicePlace
from stream_serve.client.requests import base
from stream_serve.library.jobs import key_of

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
