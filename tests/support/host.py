"""Somebody else's application inside a test: a plain uvicorn on a free port, in the test's own loop."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import uvicorn
from fastapi import Header
from starlette.applications import Starlette

from stream_serve import ChatRequest, Streams

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.types import ASGIApp


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncGenerator[str]:
    """Serve an application, and yield its URL; readers that are left at the end are cut off."""
    config = uvicorn.Config(
        app, port=0, log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    task = asyncio.create_task(server.main_loop())
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await task
        await server.shutdown()


@dataclass(frozen=True)
class App:
    """An application whose users have tokens, with the chat page at `url`."""

    url: str
    valid: set[str]


@asynccontextmanager
async def application(embed_origins: str) -> AsyncGenerator[App]:
    """Serve an application with a chat page that may be in pages of other origins; "token-1" is valid.

    What stands before the hyphen of a token is the user.
    """
    valid = {"token-1"}

    async def who(authorization: Annotated[str, Header()] = "") -> str | None:
        token = authorization.removeprefix("Bearer ")
        return token.partition("-")[0] if token in valid else None

    streams = Streams.memory(owner=who, embed_origins=embed_origins)

    @streams.chat
    async def answer(request: ChatRequest) -> AsyncGenerator[str]:
        yield f"You said: {request.question}"

    host = Starlette(lifespan=lambda _: streams.lifespan())
    host.mount("/ai", streams.routes())
    async with serving(host) as url:
        yield App(f"{url}/ai", valid)
