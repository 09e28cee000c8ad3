"""The composition root: `create_app(settings)` puts the parts together, and names the backends."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from stream_serve import __version__
from stream_serve.errors import RequestError
from stream_serve.runs import Limits, Runs
from stream_serve.settings import Settings
from stream_serve.streams.memory import MemoryStreamLog
from stream_serve.upstream.demo import DemoUpstream
from stream_serve.upstream.openai import OpenAIUpstream
from stream_serve.web import chat, pages, problems
from stream_serve.web import runs as web_runs
from stream_serve.web.gate import Gate
from stream_serve.web.openapi import describe

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from stream_serve.upstream.base import Upstream


def create_app(
    settings: Settings | None = None, *, on_start: Callable[[Runs], None] | None = None
) -> FastAPI:
    """Give the whole service as an ASGI application.

    `settings` default to the environment's. `on_start` is called with the runs when the
    application has started, before the first request. Raises `SettingsError`.
    """
    settings = settings or Settings.load()
    settings.provider()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, Runs]]:
        del app
        runs = create_runs(settings)
        try:
            if on_start is not None:
                on_start(runs)
            yield {"runs": runs}
        finally:
            await runs.close()

    app = FastAPI(
        title="stream-serve",
        version=__version__,
        summary="AI streaming chat over Server-Sent Events, with a stop that really stops",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.settings = settings
    app.add_middleware(Gate, settings=settings, refuse=problems.from_error)
    app.add_exception_handler(RequestError, problems.on_request_error)
    app.add_exception_handler(HTTPException, problems.on_http_error)
    app.add_exception_handler(Exception, problems.on_defect)
    for router in (chat.router, web_runs.router, pages.router):
        app.include_router(router)
    app.add_route("/openapi.json", partial(_show_description, app), include_in_schema=False)
    app.mount("/test-stream", pages.Assets())
    return app


def create_upstream(settings: Settings) -> Upstream:
    """Give the configured provider, or the demo model. Needs a running event loop."""
    provider = settings.provider()
    if provider is None:
        return DemoUpstream()
    return OpenAIUpstream(
        provider,
        connect_timeout=settings.connect_timeout,
        max_event_bytes=settings.max_event_bytes,
    )


def create_runs(settings: Settings) -> Runs:
    """Give the runs of a process. Needs a running event loop; `Runs.close` ends them."""
    limits = Limits(
        first_token=settings.first_token_timeout,
        idle=settings.idle_timeout,
        run=settings.run_timeout,
        retention=settings.run_retention,
        bytes=settings.max_run_bytes,
    )
    return Runs(create_upstream(settings), MemoryStreamLog(), limits)


async def _show_description(app: FastAPI, request: object) -> JSONResponse:
    del request
    return JSONResponse(describe(app))
