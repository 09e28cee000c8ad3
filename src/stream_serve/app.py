"""The composition root: `create_app(settings)` puts the parts together, and names the backends."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from stream_serve import __version__
from stream_serve.cluster.local import NoPeers
from stream_serve.cluster.redis.client import Link
from stream_serve.cluster.redis.lease import Lease
from stream_serve.cluster.redis.listener import Listener
from stream_serve.cluster.redis.peers import RedisPeers
from stream_serve.conversations.context import Conversations
from stream_serve.conversations.recorder import Recorder
from stream_serve.conversations.sql import migrate as migrations
from stream_serve.conversations.sql.history import SQLHistory
from stream_serve.conversations.sql.urls import database_url
from stream_serve.errors import HistoryError, HistoryUnavailable, LogUnavailable, RequestError
from stream_serve.eventlog.memory import MemoryStreamLog
from stream_serve.eventlog.redis.log import RedisStreamLog
from stream_serve.producers.demo import DemoUpstream
from stream_serve.producers.openai.provider import OpenAIUpstream
from stream_serve.runs.run import Bounds, Limits
from stream_serve.runs.service import Runs
from stream_serve.settings import Settings
from stream_serve.web import problems
from stream_serve.web.openapi import describe
from stream_serve.web.routes import chat, pages
from stream_serve.web.routes import conversations as web_conversations
from stream_serve.web.routes import runs as web_runs
from stream_serve.web.security import PAGE, Guard, guarded

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from stream_serve.cluster.base import Peers
    from stream_serve.eventlog.base import StreamLog
    from stream_serve.producers.base import Upstream


_MARGIN: Final = 60.0
_log = structlog.stdlib.get_logger("stream_serve.app")


def create_app(
    settings: Settings | None = None, *, on_start: Callable[[Runs], None] | None = None
) -> FastAPI:
    """Give the whole service as an ASGI application.

    `settings` default to the environment's. `on_start` is called with the runs when the
    application has started, before the first request. Raises `SettingsError`.
    """
    settings = settings or Settings.load()
    settings.provider()
    url = database_url(settings.database_url)
    new = url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, object]]:
        del app
        history = SQLHistory(settings.database_url, lease=settings.lease)
        conversations = Conversations(history, tokens=settings.history_tokens)
        # An answer's lease is renewed with its text, so that has to happen often enough for both.
        interval = min(settings.save_interval, settings.lease / 3)
        recorder = Recorder(history, interval=interval)
        runs = create_runs(settings, recorder, shared=True)

        try:
            await runs.open()
            if not new:
                await _look(conversations)
            if on_start is not None:
                on_start(runs)
            yield {"runs": runs, "conversations": conversations}
        finally:
            await runs.close()
            await recorder.close()
            await conversations.close()

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
    app.add_middleware(
        Guard, settings=settings, routes=app.router.routes, refuse=problems.from_error
    )
    app.add_exception_handler(RequestError, problems.on_request_error)
    app.add_exception_handler(HTTPException, problems.on_http_error)
    app.add_exception_handler(ClientDisconnect, problems.on_gone)
    app.add_exception_handler(Exception, problems.on_defect)
    app.add_exception_handler(HistoryError, problems.on_history_error)
    app.add_exception_handler(LogUnavailable, problems.on_log_error)
    for router in (chat.router, web_runs.router, web_conversations.router, pages.router):
        # As they are: the guard asks each route itself.
        app.router.routes.extend(router.routes)
    show_description = guarded(PAGE)(partial(_show_description, app))
    app.add_route("/openapi.json", show_description, include_in_schema=False)
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
        require_finish=settings.require_finish,
    )


def create_runs(
    settings: Settings, recorder: Recorder | None = None, *, shared: bool = False
) -> Runs:
    """Give the runs of a process. Needs a running event loop; `Runs.close` ends them.

    `shared` joins them to those of other processes, where the settings name a Redis.
    """
    limits = Limits(
        first_token=settings.first_token_timeout,
        idle=settings.idle_timeout,
        run=settings.run_timeout,
        retention=settings.run_retention,
        detached=settings.detached_timeout,
        bounds=Bounds(settings.max_run_bytes, settings.max_run_events),
        total=settings.max_runs,
        each=settings.max_runs_per_key,
        kept=settings.max_kept_runs,
        kept_bytes=settings.max_kept_bytes,
        coalesce=settings.coalesce_interval,
    )
    log, peers = create_log(settings) if shared else (MemoryStreamLog(), NoPeers())
    return Runs(create_upstream(settings), log, peers, limits, recorder)


def create_log(settings: Settings) -> tuple[StreamLog, Peers]:
    """Give the event log, and the way to the other processes: in Redis, where one is set."""
    if settings.redis_url is None:
        return MemoryStreamLog(), NoPeers()
    link = Link(settings.redis_url.get_secret_value(), settings.redis_timeout)
    listener = Listener(link)
    lease = Lease(link, settings.lease)
    longest = settings.run_timeout + _MARGIN
    log = RedisStreamLog(
        link,
        listener,
        lease,
        flush_interval=settings.flush_interval,
        live_ttl=longest + settings.run_retention,
        retention=settings.run_retention,
    )
    return log, RedisPeers(link, listener, lease, ttl=longest)


async def migrate(settings: Settings) -> str:
    """Bring the schema of the conversations' database up to date; give its version.

    Raises `HistorySchemaError`, `HistoryUnavailable`.
    """
    return await migrations.migrate(settings.database_url)


async def _look(conversations: Conversations) -> None:
    """Open the conversations at start: a wrong schema is refused now, a database that is away later.

    Answers that a crash has cut are found here. Raises `HistorySchemaError`.
    """
    try:
        await conversations.history()
    except HistoryUnavailable as error:
        _log.warning("the conversations cannot be reached yet", error=str(error))


async def _show_description(app: FastAPI, request: object) -> JSONResponse:
    del request
    return JSONResponse(describe(app))
