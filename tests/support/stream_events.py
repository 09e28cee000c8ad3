"""Streams as the clients of runs read them: their messages as events."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

JSON: Final = {"Content-Type": "application/json"}
CLOSED: Final = {"Stream-Closed": "true"}


class Events:
    """One open response: `next` and `rest` give its events, each with its id and its kind."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.comments = 0

    async def next(self) -> tuple[str, Any] | None:
        """Return the id of the next event, and its data; None at the end."""
        number, data = "", None
        async with asyncio.timeout(PATIENCE):
            while raw := await self.response.content.readline():
                line = raw.decode().rstrip("\n")
                if line.startswith("id: "):
                    number = line[4:]
                elif line.startswith("data: "):
                    data = line[6:]
                elif line.startswith(":"):
                    self.comments += 1
                elif not line and data is not None:
                    return number, json.loads(data)
        return None

    async def rest(self) -> list[tuple[str, Any]]:
        """Return all events up to the end."""
        found: list[tuple[str, Any]] = []
        while (event := await self.next()) is not None:
            found.append(event)
        return found


@asynccontextmanager
async def follow(
    client: aiohttp.ClientSession, url: str, name: str, after: str = "", **headers: str
) -> AsyncGenerator[Events]:
    """Read a stream of a service; `after` is what the client has had."""
    if after:
        headers["Last-Event-ID"] = after
    async with client.get(f"{url}/ai/streams/{name}/events", headers=headers) as response:
        assert response.status == 200, await response.text()
        yield Events(response)
