"""A page with `useChat`, as the service sees it: what it sends, and what it makes of the stream."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from yarl import URL

from support.ui_messages import Message, message_of
from support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

Json = dict[str, Any]


def user(text: str = "你好", message_id: str = "u1") -> Json:
    return {"id": message_id, "role": "user", "parts": [{"type": "text", "text": text}]}


class UIStream:
    """One open stream, and the message that it has made so far."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.message = Message()
        self.text = ""

    @property
    def run_id(self) -> str:
        return self.response.headers["X-Run-Id"]

    async def next(self) -> bool:
        """Read the next event; return False at the end."""
        block = ""
        async with asyncio.timeout(PATIENCE):
            while line := (await self.response.content.readline()).decode():
                block += line
                if line == "\n":
                    break
        self.text += block
        message_of(block, self.message)
        return bool(block)

    async def until(self, part: str) -> None:
        """Read up to a part of a kind."""
        while f'"type":"{part}"' not in self.text:
            assert await self.next(), f"the stream ended without {part}: {self.text}"

    async def rest(self) -> Message:
        """Read to the end; return the message, of which the stream has said the end."""
        while await self.next():
            pass
        assert self.text.endswith("data: [DONE]\n\n")
        return self.message

    def drop(self) -> None:
        """Go away, as a closed tab does."""
        self.response.close()


@asynccontextmanager
async def chat(
    client: aiohttp.ClientSession,
    url: str,
    *messages: Json,
    chat_id: str | None = "chat-1",
    key: str | None = None,
    headers: dict[str, str] | None = None,
    **body: Any,
) -> AsyncGenerator[UIStream]:
    """Send messages as `useChat` does, and give the stream."""
    sent = {"messages": [*messages] or [user()], "trigger": "submit-message", **body}
    if chat_id is not None:
        sent["id"] = chat_id
    async with client.post(
        f"{url}/api/chat", json=sent, headers={**_key(key), **(headers or {})}
    ) as response:
        assert response.status == 200, await response.text()
        yield UIStream(response)


@asynccontextmanager
async def resume(
    client: aiohttp.ClientSession, url: str, chat_id: str = "chat-1", *, key: str | None = None
) -> AsyncGenerator[UIStream | None]:
    """Ask for the answer that is under way in a chat, as `resume: true` does; None for a 204."""
    address = URL(f"{url}/api/chat/{encoded(chat_id)}/stream", encoded=True)
    async with client.get(address, headers=_key(key)) as response:
        assert response.status in {200, 204}, await response.text()
        yield UIStream(response) if response.status == 200 else None


async def stop(
    client: aiohttp.ClientSession,
    url: str,
    chat_id: str = "chat-1",
    *,
    key: str | None = None,
    **body: Any,
) -> Json | None:
    """Stop a chat and return the receipt; None for a 204."""
    address = URL(f"{url}/api/chat/{encoded(chat_id)}/stop", encoded=True)
    sent: Json = {"json": body} if body else {}
    async with client.post(address, headers=_key(key), **sent) as response:
        assert response.status in {200, 204}, await response.text()
        return await response.json() if response.status == 200 else None


def encoded(chat_id: str) -> str:
    """Return what JavaScript's `encodeURIComponent` does."""
    return quote(chat_id, safe="!'()*~", encoding="utf-8")


def _key(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}
