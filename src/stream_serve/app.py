"""The composition root: `create_app(settings)` puts the parts together.

The web is imported where it is needed, so that a command starts quickly.
"""

from __future__ import annotations

from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from msgspec import Struct

from stream_serve import backends
from stream_serve.errors import (
    HistorySchemaError,
    HistoryUnavailable,
    SettingsError,
    StreamServeError,
)
from stream_serve.quotas.places import Places
from stream_serve.quotas.readers import Readers
from stream_serve.runs.log_line import RunLog
from stream_serve.runs.service import Runs
from stream_serve.settings import Settings, explain, explain_to_operator

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from fastapi import FastAPI
    from starlette.responses import Response

    from stream_serve.conversations.context import Conversations
    from stream_serve.conversations.recorder import Recorder
    from stream_serve.producers.provider import Provider
    from stream_serve.runs.log_line import RunLine
    from stream_serve.streams.service import Streams
    from stream_serve.web.hot import Hot
    from stream_serve.web.security import Access

    Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[dict[str, object]]]


_log = structlog.stdlib.get_logger("stream_serve.app")


def _nothing(*_: object) -> None:
    """Do nothing."""


class Hooks(Struct, frozen=True, kw_only=True):
    """What the server of an application does for it, or has it do.

    `on_start` is called with the runs and the streams when the application has started, before the first
    request; `on_piece` for each piece that a provider brings, `on_direct` for each request that the
    server takes past the application (`web.hot`). `log_run` writes the line of a run where the log in
    its usual way is not to. `open_later` is given what opens the conversations, for when the server
    listens: that loads the libraries of the database. Without it they are opened before.
    """

    on_start: Callable[[Runs, Streams], None] = _nothing
    on_piece: Callable[[], None] = _nothing
    on_direct: Callable[[], None] = _nothing
    log_run: Callable[[str, RunLine], None] | None = None
    open_later: Callable[[Callable[[], Coroutine[Any, Any, None]]], None] | None = None


def create_app(
    settings: Settings | None = None,
    *,
    provider: Provider | None = None,
    identified: bool = False,
    hooks: Hooks | None = None,
) -> FastAPI:
    """Return the whole service as an ASGI application.

    `settings` default to the environment's, and `provider` to the one that they configure. `identified`
    says that whoever calls the application names the owner of each request (`web.security.OWNER`).
    `hooks` are the server's. Raises `SettingsError`.
    """
    from fastapi import FastAPI

    from stream_serve import __version__
    from stream_serve.web import refusals
    from stream_serve.web.security import Access, Guard

    settings = settings or Settings.load()
    backends.check_access(settings)
    backends.check_extras(settings)
    app = FastAPI(
        title="stream-serve",
        version=__version__,
        summary="AI streaming chat over Server-Sent Events, with a stop that really stops",
        lifespan=_lifespan(settings, provider, hooks or Hooks()),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.settings = settings
    app.state.appending = Places(max(settings.max_append_bytes_per_key, settings.max_append_bytes))
    app.state.demo = provider is None and settings.catalog is None
    app.state.access = Access(settings, app.router.routes, identified=identified)
    app.add_middleware(Guard, access=app.state.access, refuse=refusals.refuse)
    _add_handlers(app)
    _add_routes(app)
    return app


def _add_handlers(app: FastAPI) -> None:
    """Let each error become a response in the shape of its door."""
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect

    from stream_serve.web import refusals

    app.add_exception_handler(StreamServeError, refusals.on_error)
    app.add_exception_handler(HTTPException, refusals.on_error)
    app.add_exception_handler(RequestValidationError, refusals.on_wrong_parameters)
    app.add_exception_handler(ClientDisconnect, refusals.on_gone)
    app.add_exception_handler(Exception, refusals.on_defect)


def _add_routes(app: FastAPI) -> None:
    from stream_serve.web.routes import (
        ag_ui,
        chat,
        conversations,
        live,
        models,
        openai,
        pages,
        responses,
        runs,
        stream_events,
        streams,
        ui_chat,
    )
    from stream_serve.web.security import PAGE, guarded

    # An append is short: it should not look for its route behind all others.
    app.router.routes[:0] = streams.routes
    doors = (openai, responses, ui_chat, ag_ui)
    more = (stream_events, conversations, pages)
    for router in (r.router for r in (chat, *doors, models, runs, live, *more)):
        # As they are: the guard asks each route itself.
        app.router.routes.extend(router.routes)
    show_description = guarded(PAGE)(partial(_show_description, app))
    app.add_route("/openapi.json", show_description, include_in_schema=False)
    for name in ("test-stream", "stream-page"):
        app.mount(f"/{name}", pages.Assets(name))


def _lifespan(
    settings: Settings,
    given: Provider | None,
    hooks: Hooks,
) -> Lifespan:
    """Return what the application lives by: it makes the runs, and ends them."""
    from stream_serve.conversations.sql.files import is_current, plain_file
    from stream_serve.web.chats import Chats

    file = plain_file(settings.database_url)
    new = file is not None and not file.exists()
    # What earlier processes left of their runs is stored in the conversations as soon as the runs open.
    recovers = settings.run_log == "disk" or settings.redis_url is not None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, object]]:
        conversations, recorder = _conversations(settings)
        provider = backends.create_provider(settings) if given is None else given
        readers = Readers(settings.max_readers_per_key)
        log, peers, quotas, index = backends.create_log(settings)
        runs = Runs(
            log,
            peers,
            quotas,
            backends.limits_of(settings),
            observers=[recorder, RunLog(hooks.log_run)],
            readers=readers,
            explain=explain,
            on_piece=hooks.on_piece,
        )
        streams = backends.create_streams(settings, readers)
        async with AsyncExitStack() as last:
            # The last one first: runs end before what they need.
            for one in (conversations, recorder, provider, streams):
                last.push_async_callback(one.close)
            if not recovers and hooks.open_later and file is not None and is_current(file):
                hooks.open_later(partial(_look_late, conversations))
            elif not new:
                await _look(conversations)
            last.push_async_callback(runs.close)
            try:
                await runs.open()
            except SettingsError as error:
                raise SettingsError(explain_to_operator(error)) from None
            await streams.open()
            hooks.on_start(runs, streams)
            yield {
                "hot": _hot(app, streams, settings, hooks.on_direct),
                "runs": runs,
                "provider": provider,
                "conversations": conversations,
                "chats": Chats(index, runs),
                "streams": streams,
            }

    return lifespan


def _conversations(settings: Settings) -> tuple[Conversations, Recorder]:
    """Return the conversations, and what stores answers in them; nothing is opened yet."""
    from stream_serve.conversations.context import Conversations
    from stream_serve.conversations.recorder import Recorder

    persistence = backends.persistence_of(settings)
    conversations = Conversations(
        partial(backends.create_history, settings),
        tokens=settings.history_tokens,
        closing=persistence.closing,
    )
    # An answer's lease is renewed with its text, so that has to happen often enough for both.
    interval = min(settings.save_interval, settings.lease / 3)
    return conversations, Recorder(conversations, interval=interval, persistence=persistence)


def _hot(
    app: FastAPI, streams: Streams, settings: Settings, on_direct: Callable[[], None]
) -> Hot | None:
    """Return what a server may call in place of the application; None where somebody else is told of each
    request."""
    from stream_serve.web.hot import Hot, doors_of
    from stream_serve.web.streams.appends import DirectAppends

    if _is_observed(app):
        return None
    access: Access = app.state.access
    most = settings.max_append_bytes
    places = app.state.appending
    appends = DirectAppends(access, streams, places, most=most, on_append=on_direct)
    return Hot(appends, doors_of(app, access, on_request=on_direct))


def _is_observed(app: FastAPI) -> bool:
    """Return whether OpenTelemetry is set up, which the framework tells of each request, or a middleware
    that is not ours."""
    from stream_serve.web.security import Guard

    telemetry = getattr(app, "_native_telemetry", None)
    if telemetry is not None and telemetry.enabled():
        return True
    return [one.cls for one in app.user_middleware] != [Guard]


async def _look(conversations: Conversations) -> None:
    """Open the conversations at start: a wrong schema is refused now, a database that is away later.

    Answers that a crash has cut are found here. Raises `HistorySchemaError`.
    """
    try:
        await conversations.history()
    except HistoryUnavailable as error:
        _log.warning("the conversations cannot be reached yet", error=explain_to_operator(error))


async def _look_late(conversations: Conversations) -> None:
    """Do the same once the server listens: a wrong schema is logged, and each question is told it."""
    try:
        await _look(conversations)
    except HistorySchemaError as error:
        _log.error("the conversations cannot be used", error=explain_to_operator(error))


async def _show_description(app: FastAPI, request: object) -> Response:
    from starlette.responses import JSONResponse

    from stream_serve.web.openapi import describe

    del request
    return JSONResponse(describe(app))
