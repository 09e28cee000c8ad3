"""Both of our own clients behind one face, so that each test holds for both."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from stream_serve.client import AsyncAnswer, AsyncClient, Client, Patience

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from stream_serve.client import Answer, Receipt
    from stream_serve.events.types import Event

HASTE: Final = Patience(first=0.01, longest=0.05)


class Reading:
    """An answer of either client. What a plain client does is done in a thread."""

    def __init__(self, answer: Answer | AsyncAnswer) -> None:
        self.answer: Final = answer

    async def next(self) -> Event | None:
        if isinstance(self.answer, AsyncAnswer):
            return await anext(self.answer, None)
        return await asyncio.to_thread(next, self.answer, None)

    async def rest(self) -> list[Event]:
        events: list[Event] = []
        while (event := await self.next()) is not None:
            events.append(event)
        return events

    async def stop(self) -> Receipt:
        if isinstance(self.answer, AsyncAnswer):
            return await self.answer.stop()
        return await asyncio.to_thread(self.answer.stop)

    async def close(self) -> None:
        if isinstance(self.answer, AsyncAnswer):
            await self.answer.close()
        else:
            await asyncio.to_thread(self.answer.close)


class Either:
    """A client of either kind."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client: Final = client

    def chat(self, message: str | None = "你好", **fields: Any) -> Reading:
        return Reading(self.client.chat(message, **fields))

    def follow(self, run_id: str, after: int = 0) -> Reading:
        return Reading(self.client.follow(run_id, after=after))


@asynccontextmanager
async def opened(kind: str, url: str, **options: Any) -> AsyncGenerator[Either]:
    """Give a client that does not wait for long; at the end it is closed."""
    options = {"patience": HASTE, **options}
    if kind == "async":
        async with AsyncClient(url, **options) as client:
            yield Either(client)
    else:
        with Client(url, **options) as client:
            yield Either(client)
