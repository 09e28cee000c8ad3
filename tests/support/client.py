"""Reading a stream as a client would, with nothing of ours in it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

Json = dict[str, Any]


class Stream:
    """One open event stream: `next` and `rest` give its events as JSON with their number as `id`.

    The `id` of a tool call is its `callId`.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.comments: list[str] = []

    @property
    def run_id(self) -> str:
        return self.response.headers["X-Run-Id"]

    async def next(self) -> Json | None:
        """Return the next event, None at the end of the stream."""
        number, data = "", None
        async with asyncio.timeout(PATIENCE):
            while raw := await self.response.content.readline():
                line = raw.decode().rstrip("\n")
                if line.startswith("id: "):
                    number = line[4:]
                elif line.startswith("data: "):
                    data = line[6:]
                elif line.startswith(":"):
                    self.comments.append(line)
                    return await self.next()
                elif data is not None:
                    event: Json = json.loads(data)
                    call_id = {"callId": event.pop("id")} if "id" in event else {}
                    return {"id": int(number), **event, **call_id}
        return None

    async def until(self, kind: str) -> Json:
        """Skip to the next event of a type."""
        while (event := await self.next()) is not None:
            if event["type"] == kind:
                return event
        raise AssertionError(f"the stream ended without {kind}")

    async def rest(self) -> list[Json]:
        events: list[Json] = []
        while (event := await self.next()) is not None:
            events.append(event)
        return events

    def drop(self) -> None:
        """Go away, as a closed tab does."""
        self.response.close()


@asynccontextmanager
async def ask(
    client: aiohttp.ClientSession, url: str, *, key: str | None = None, **body: Any
) -> AsyncGenerator[Stream]:
    """Post to the article's endpoint and give the stream; `message` has a default."""
    if not {"messages", "toolResults"} & body.keys():
        body.setdefault("message", "你好")
    headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
    async with client.post(f"{url}/ai/chat/stream-sse", json=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        yield Stream(response)


async def stop(client: aiohttp.ClientSession, url: str, run_id: str) -> Json:
    """Stop a run and give the receipt."""
    async with client.post(f"{url}/ai/runs/{run_id}/stop") as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def show(client: aiohttp.ClientSession, url: str, run_id: str) -> Json:
    """Return a run's state."""
    async with client.get(f"{url}/ai/runs/{run_id}") as response:
        assert response.status == 200, await response.text()
        return await response.json()


def text(events: list[Json], kind: str = "chunk") -> str:
    return "".join(event["content"] for event in events if event["type"] == kind)
