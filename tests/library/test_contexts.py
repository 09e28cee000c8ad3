"""What the library does for everybody is in the context of no caller, and what is stuck has a bound."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from typing import TYPE_CHECKING, Final

import aiohttp
from fastapi import FastAPI
from structlog.testing import capture_logs

from stream_serve import ChatRequest, Streams
from stream_serve.producers import functions
from support.host import serving
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Generator

    import pytest

ASK: Final = {"message": "hi"}
WHO: contextvars.ContextVar[object] = contextvars.ContextVar("caller")


def hosted(streams: Streams) -> FastAPI:
    app = FastAPI()
    app.mount("/ai", streams.routes())
    return app


async def status(session: aiohttp.ClientSession, chat: str) -> int:
    async with session.post(chat, json=ASK) as response:
        await response.read()
        return response.status


class Caller:
    """Who asks."""


async def test_what_begins_with_the_first_request_keeps_nothing_of_who_made_it() -> None:
    known: list[weakref.ref[Caller]] = []

    async def owner() -> str:
        caller = Caller()
        known.append(weakref.ref(caller))
        WHO.set(caller)
        return "alice"

    streams = Streams.memory(owner=owner)
    async with serving(hosted(streams)) as url, aiohttp.ClientSession() as session:
        path, text = f"{url}/ai/v1/stream/a", {"Content-Type": "text/plain", "Stream-TTL": "60"}
        assert (await session.put(path, headers=text)).status == 201
        first = await session.get(f"{path}?offset=-1&live=sse")
        other = await session.get(f"{path}?offset=-1&live=sse")
        first.close()

        def all_but_the_reader_are_gone() -> bool:
            gc.collect()
            return [one() is None for one in known] == [True, True, False]

        await until(all_but_the_reader_are_gone)
        other.close()


async def test_generators_that_do_not_end_are_bounded_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(functions, "MAX_LEFT", 1)
    streams = Streams.memory()
    go_on = threading.Event()

    @streams.chat
    def stuck(request: ChatRequest) -> Generator[str]:
        yield "one"
        go_on.wait()
        yield "two"

    async with serving(hosted(streams)) as url, aiohttp.ClientSession() as session:
        chat = f"{url}/ai/chat/stream-sse"
        with capture_logs() as logs:
            reader = await session.post(chat, json=ASK)
            await reader.content.readuntil(b'"one"}\n\n')
            run_id = reader.headers["X-Run-Id"]
            await session.post(f"{url}/ai/runs/{run_id}/stop")
        left = [one for one in logs if "left to itself" in one["event"]]
        assert [one["run_id"] for one in left] == [run_id]
        refused = await session.post(chat, json=ASK)
        assert refused.status == 503
        assert refused.headers["Retry-After"]
        assert "do not end" in (await refused.json())["detail"]
        go_on.set()
        async with asyncio.timeout(10):
            while await status(session, chat) != 200:
                await asyncio.sleep(0.01)
