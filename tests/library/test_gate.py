"""Who asks: what a dependency of the surrounding application sees, and what it leaves behind."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
from starlette.responses import PlainTextResponse, Response

from stream_serve import ChatRequest, Streams
from support.host import serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from starlette.middleware.base import RequestResponseEndpoint

ASK = {"message": "hi"}


def hosted(owner: Callable[..., object]) -> FastAPI:
    """Return an application with a state of both kinds, whose streams say who asks."""
    streams = Streams.memory(owner=owner)

    @streams.chat
    async def answer(request: ChatRequest) -> AsyncGenerator[str]:
        yield f"{request.owner} says {request.question}"

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[dict[str, str]]:
        async with streams.lifespan():
            yield {"alice": "alice"}

    app = FastAPI(lifespan=lifespan)
    app.state.bob = "bob"
    app.mount("/ai", streams.routes())
    return app


async def said(owner: Callable[..., object]) -> str:
    async with serving(hosted(owner)) as url, aiohttp.ClientSession() as session:
        response = await session.post(f"{url}/ai/chat/stream-sse", json=ASK)
        return await response.text()


async def of_lifespan(request: Request) -> str:
    return request.state.alice


async def of_application(request: Request) -> str:
    return request.app.state.bob


async def of_path(request: Request) -> str:
    assert request.url.path == "/ai/chat/stream-sse"
    return "carol"


async def of_body(request: Request) -> str:
    return (await request.json())["message"]


@pytest.mark.parametrize(
    ("owner", "name"),
    [(of_lifespan, "alice"), (of_application, "bob"), (of_path, "carol"), (of_body, "hi")],
)
async def test_a_dependency_sees_the_request_as_its_application_does(
    owner: Callable[..., object], name: str
) -> None:
    assert f'"content":"{name} says hi"' in await said(owner)


async def test_what_a_dependency_opens_is_closed_before_the_answer_begins() -> None:
    seen: list[str] = []

    async def connection() -> AsyncGenerator[str]:
        seen.append("opened")
        yield "alice"
        seen.append("closed")

    async def owner(later: BackgroundTasks, name: str = Depends(connection)) -> AsyncGenerator[str]:
        later.add_task(seen.append, "noted")
        yield name
        seen.append("left")

    streams = Streams.memory(owner=owner)

    @streams.chat
    async def answer(request: ChatRequest) -> AsyncGenerator[str]:
        seen.append("answered")
        yield "yes"

    app = FastAPI(lifespan=streams.lifespan)
    app.mount("/ai", streams.routes())
    async with serving(app) as url, aiohttp.ClientSession() as session:
        response = await session.post(f"{url}/ai/chat/stream-sse", json=ASK)
        assert '"content":"yes"' in await response.text()
    assert seen == ["opened", "noted", "left", "closed", "answered"]


async def test_a_dependency_that_refuses_at_its_end_lets_nobody_in() -> None:
    async def owner() -> AsyncGenerator[str]:
        yield "alice"
        raise HTTPException(429, "too often")

    async with serving(hosted(owner)) as url, aiohttp.ClientSession() as session:
        response = await session.post(f"{url}/ai/chat/stream-sse", json=ASK)
        assert response.status == 429
        assert await response.json() == {"detail": "too often"}


async def test_the_applications_overrides_of_dependencies_count() -> None:
    async def session() -> str:
        raise HTTPException(401)

    async def owner(name: str = Depends(session)) -> str:
        return name

    def alice() -> str:
        return "alice"

    one, other = hosted(owner), hosted(owner)
    one.dependency_overrides[session] = alice
    async with aiohttp.ClientSession() as client, serving(one) as url, serving(other) as strict:
        response = await client.post(f"{url}/ai/chat/stream-sse", json=ASK)
        assert '"content":"alice says hi"' in await response.text()
        refused = await client.post(f"{strict}/ai/chat/stream-sse", json=ASK)
        assert refused.status == 401


class NotLoggedIn(Exception):
    """An error of the surrounding application."""


@pytest.mark.parametrize(
    ("raised", "status"), [(NotLoggedIn("who?"), 500), (HTTPException(401, "who?"), 401)]
)
async def test_the_applications_exception_handlers_are_for_its_own_routes_and_its_middleware_for_all(
    raised: Exception, status: int
) -> None:
    async def owner() -> str:
        raise raised

    def handle(_: Request, error: Exception) -> Response:
        return PlainTextResponse(f"handled: {type(error).__name__}", 418)

    async def watch(request: Request, go_on: RequestResponseEndpoint) -> Response:
        response = await go_on(request)
        response.headers["X-Ours"] = "yes"
        return response

    app = hosted(owner)
    app.get("/own")(owner)
    app.add_exception_handler(NotLoggedIn, handle)
    app.add_exception_handler(HTTPException, handle)
    app.middleware("http")(watch)
    async with serving(app) as url, aiohttp.ClientSession() as session:
        own = await session.get(f"{url}/own")
        assert (own.status, own.headers["X-Ours"]) == (418, "yes")
        response = await session.post(f"{url}/ai/chat/stream-sse", json=ASK)
        assert (response.status, response.headers["X-Ours"]) == (status, "yes")
        assert "handled" not in await response.text()
