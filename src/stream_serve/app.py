"""The composition root: `create_app(settings)` puts the parts together, and names the backends.

What not every process needs is imported where it is needed: the databases' library, what Redis takes,
the web. So a command starts quickly, and an extra that is not installed is asked for by name.
"""

from __future__ import annotations

from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from stream_serve.cluster.local import LocalIndex, LocalPeers
from stream_serve.errors import HistoryUnavailable, SettingsError, StreamServeError
from stream_serve.eventlog.memory import MemoryEventLog
from stream_serve.producers import http1
from stream_serve.producers.base import Patience
from stream_serve.producers.demo import Advice, DemoProvider
from stream_serve.producers.openai.endpoint import Endpoint
from stream_serve.producers.openai.kinds import KINDS
from stream_serve.producers.openai.provider import OpenAIProvider
from stream_serve.producers.provider import Model
from stream_serve.producers.router import Route, Router
from stream_serve.quotas.local import LocalQuotas
from stream_serve.runs.observers import RunLog
from stream_serve.runs.service import Runs
from stream_serve.runs.spec import Bounds, Limits
from stream_serve.settings import Settings, explain

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from fastapi import FastAPI
    from starlette.responses import Response

    from stream_serve.cluster.base import Peers
    from stream_serve.cluster.index import Index
    from stream_serve.conversations.base import History
    from stream_serve.conversations.context import Conversations
    from stream_serve.conversations.recorder import Persistence
    from stream_serve.eventlog.base import EventLog
    from stream_serve.producers.provider import Provider
    from stream_serve.quotas.base import Quotas
    from stream_serve.settings import ModelSettings, ProviderSettings

    Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[dict[str, object]]]


_MARGIN: Final = 60.0
_DATABASE_TIMEOUT: Final = 5.0
_CHARACTERS_PER_TOKEN: Final = 8
"""More than any text has: so much of a conversation's path is read for each token of the budget."""
_ADVICE: Final = Advice(
    chinese="要接入真正的模型，请在 `.env` 里设置 `DASHSCOPE_API_KEY`（阿里云百炼），"
    "或设置 `STREAM_SERVE_UPSTREAM_URL` 和 `STREAM_SERVE_MODEL`（任何兼容 OpenAI 的服务），"
    "然后重新启动。",
    english="To connect a real model, set `DASHSCOPE_API_KEY` (Alibaba Cloud Bailian) in `.env`, or "
    "set `STREAM_SERVE_UPSTREAM_URL` and `STREAM_SERVE_MODEL` (any OpenAI-compatible server), and "
    "start again.",
)
_log = structlog.stdlib.get_logger("stream_serve.app")


def create_app(
    settings: Settings | None = None,
    *,
    on_start: Callable[[Runs], None] | None = None,
    on_piece: Callable[[], None] = lambda: None,
) -> FastAPI:
    """Return the whole service as an ASGI application.

    `settings` default to the environment's. `on_start` is called with the runs when the application
    has started, before the first request; `on_piece` for each piece that a provider brings. Raises
    `SettingsError`.
    """
    from fastapi import FastAPI
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect

    from stream_serve import __version__
    from stream_serve.web import refusals
    from stream_serve.web.routes import (
        ag_ui,
        chat,
        conversations,
        models,
        openai,
        pages,
        responses,
        runs,
        ui_chat,
    )
    from stream_serve.web.security import PAGE, Guard, guarded

    settings = settings or Settings.load()
    _check_access(settings)
    _check_extras(settings)
    app = FastAPI(
        title="stream-serve",
        version=__version__,
        summary="AI streaming chat over Server-Sent Events, with a stop that really stops",
        lifespan=_lifespan(settings, on_start, on_piece),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.settings = settings
    app.add_middleware(Guard, settings=settings, routes=app.router.routes, refuse=refusals.refuse)
    app.add_exception_handler(StreamServeError, refusals.on_error)
    app.add_exception_handler(HTTPException, refusals.on_error)
    app.add_exception_handler(RequestValidationError, refusals.on_wrong_parameters)
    app.add_exception_handler(ClientDisconnect, refusals.on_gone)
    app.add_exception_handler(Exception, refusals.on_defect)
    doors = (openai, responses, ui_chat, ag_ui)
    for router in (r.router for r in (chat, *doors, models, runs, conversations, pages)):
        # As they are: the guard asks each route itself.
        app.router.routes.extend(router.routes)
    show_description = guarded(PAGE)(partial(_show_description, app))
    app.add_route("/openapi.json", show_description, include_in_schema=False)
    app.mount("/test-stream", pages.Assets())
    return app


def _lifespan(
    settings: Settings,
    on_start: Callable[[Runs], None] | None,
    on_piece: Callable[[], None],
) -> Lifespan:
    """Return what the application lives by: it makes the runs, and ends them."""
    from stream_serve.conversations.context import Conversations
    from stream_serve.conversations.recorder import Recorder
    from stream_serve.conversations.sql.files import plain_file
    from stream_serve.web.chats import Chats

    file = plain_file(settings.database_url)
    new = file is not None and not file.exists()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, object]]:
        del app
        persistence = persistence_of(settings)
        conversations = Conversations(
            partial(create_history, settings),
            tokens=settings.history_tokens,
            closing=persistence.closing,
        )
        # An answer's lease is renewed with its text, so that has to happen often enough for both.
        interval = min(settings.save_interval, settings.lease / 3)
        recorder = Recorder(conversations, interval=interval, persistence=persistence)
        provider = create_provider(settings)
        log, peers, quotas, index = create_log(settings)
        runs = Runs(
            log,
            peers,
            quotas,
            limits_of(settings),
            observers=[recorder, RunLog()],
            explain=explain,
            on_piece=on_piece,
        )
        async with AsyncExitStack() as last:
            # The last one first: runs end before what they need.
            for one in (conversations, recorder, provider, runs):
                last.push_async_callback(one.close)
            await runs.open()
            if not new:
                await _look(conversations)
            if on_start is not None:
                on_start(runs)
            yield {
                "runs": runs,
                "provider": provider,
                "conversations": conversations,
                "chats": Chats(index, runs),
            }

    return lifespan


def create_provider(settings: Settings) -> Provider:
    """Return the configured providers as one, or the demo model. Needs a running event loop."""
    catalog = settings.catalog
    if catalog is None:
        return DemoProvider(_ADVICE)
    if catalog.file is None:
        return create_endpoint(settings, catalog.providers[0], model=catalog.default)
    return Router(
        {one.name: create_endpoint(settings, one) for one in catalog.providers},
        [_route(one) for one in catalog.models],
        default=catalog.default,
        fallback=catalog.fallback,
        only_listed=catalog.only_listed,
    )


def create_endpoint(
    settings: Settings, given: ProviderSettings, *, model: str = ""
) -> OpenAIProvider:
    """Return one of the configured providers, whose default is `model`. Needs a running event loop.

    Its kind says what is usual, its own traits what is not.
    """
    kind = KINDS[given.kind]
    traits = {name: None if value == "none" else value for name, value in given.traits.items()}
    return OpenAIProvider(
        Endpoint(
            given.url,
            given.key,
            model,
            given.key_name,
            msgspec.structs.replace(kind.traits, **traits),
            auth=kind.auth,
            extra_headers=given.headers,
            extra_body=given.body,
        ),
        patience=Patience(given.timeouts.first_token, given.timeouts.idle),
        connect_timeout=given.timeouts.connect,
        max_event_bytes=settings.max_event_bytes,
        access=access_of(given),
    )


def create_each(settings: Settings) -> list[tuple[ProviderSettings, Provider, OpenAIProvider]]:
    """Return every configured provider for itself: what was said of it, a provider whose errors name
    what it is set by, and the server to close. Needs a running event loop."""
    catalog = settings.catalog
    found: list[tuple[ProviderSettings, Provider, OpenAIProvider]] = []
    for given in catalog.providers if catalog is not None else ():
        server = create_endpoint(settings, given)
        alone = Router({given.name: server}, [], default="", fallback=given.name)
        by_file = catalog is not None and catalog.file is not None
        found.append((given, alone if by_file else server, server))
    return found


def access_of(given: ProviderSettings) -> http1.Access:
    """Return how a provider is reached: through its own proxy, or through the environment's."""
    proxy = given.proxy
    if proxy is None:
        proxy = http1.proxy_for(given.url, Settings.proxies())
    return http1.Access(
        proxy=proxy or None,
        ca_file=given.ca_file,
        client_cert=given.client_cert,
        client_key=given.client_key,
    )


def _check_access(settings: Settings) -> None:
    """Raise `SettingsError` for a proxy or a file that no provider can be reached with."""
    for given in settings.catalog.providers if settings.catalog is not None else ():
        try:
            http1.check(access_of(given))
        except SettingsError as error:
            raise SettingsError(f"provider {given.name}: {error}") from None


def _route(given: ModelSettings) -> Route:
    target = given.targets[0]
    model = Model(
        name=given.name,
        context=given.context,
        thinks=given.thinks,
        sees=given.sees,
        tools=given.tools,
    )
    return Route(model, target.provider, target.model)


@asynccontextmanager
async def local_runs(settings: Settings) -> AsyncGenerator[tuple[Runs, Provider]]:
    """Open runs of this process alone, and the provider; they end with the block."""
    provider = create_provider(settings)
    runs = Runs(
        MemoryEventLog(),
        LocalPeers(),
        LocalQuotas(),
        limits_of(settings),
        observers=[RunLog()],
        explain=explain,
    )
    async with AsyncExitStack() as last:
        last.push_async_callback(provider.close)
        last.push_async_callback(runs.close)
        yield runs, provider


def limits_of(settings: Settings) -> Limits:
    """Return the limits of runs."""
    return Limits(
        run=settings.run_timeout,
        retention=settings.run_retention,
        detached=settings.detached_timeout,
        bounds=Bounds(settings.max_run_bytes, settings.max_run_events),
        total=settings.max_runs,
        each=settings.max_runs_per_key,
        kept=settings.max_kept_runs,
        kept_bytes=settings.max_kept_bytes,
    )


def create_log(settings: Settings) -> tuple[EventLog, Peers, Quotas, Index]:
    """Return the event log, the peers, the quotas and the index: in Redis if the settings name one.

    Raises `SettingsError` for a URL that is none.
    """
    longest = settings.run_timeout + _MARGIN
    known = longest + settings.run_retention
    if settings.redis_url is None:
        return MemoryEventLog(), LocalPeers(), LocalQuotas(), LocalIndex(ttl=known)
    from stream_serve.cluster.redis.client import RedisClient
    from stream_serve.cluster.redis.index import RedisIndex
    from stream_serve.cluster.redis.lease import Lease
    from stream_serve.cluster.redis.listener import Listener
    from stream_serve.cluster.redis.peers import RedisPeers
    from stream_serve.eventlog.redis.log import RedisEventLog
    from stream_serve.quotas.redis import RedisQuotas

    client = RedisClient(settings.redis_url.get_secret_value(), settings.redis_timeout)
    listener = Listener(client)
    lease = Lease(client, settings.lease)
    log = RedisEventLog(
        client,
        listener,
        lease,
        flush_interval=settings.flush_interval,
        live_ttl=known,
        retention=settings.run_retention,
    )
    peers = RedisPeers(client, listener, lease)
    return log, peers, RedisQuotas(client, lease, ttl=longest), RedisIndex(client, ttl=known)


def create_history(settings: Settings) -> History:
    """Return the place that keeps conversations, not opened yet. Raises `SettingsError`."""
    from stream_serve.conversations.base import Capacity
    from stream_serve.conversations.sql.history import SQLHistory

    # A question that waits for the database must not hold up the end of the process.
    timeout = min(_DATABASE_TIMEOUT, settings.grace_timeout / 2)
    return SQLHistory(
        settings.database_url,
        lease=settings.lease,
        timeout=timeout,
        reach=settings.history_tokens * _CHARACTERS_PER_TOKEN,
        capacity=Capacity(
            messages=settings.max_conversation_messages,
            bytes=settings.max_conversation_bytes,
            conversations=settings.max_conversations_per_key,
            all_bytes=settings.max_conversation_bytes_per_key,
        ),
    )


def persistence_of(settings: Settings) -> Persistence:
    """Return how long answers are tried to be stored.

    At the end of the process its readers still get their ends, and the database is closed, in the last
    part of the grace time: so none of these steps takes more than a small part of it.
    """
    from stream_serve.conversations.recorder import Persistence

    return Persistence(
        saving=min(settings.save_timeout, settings.grace_timeout / 10),
        retrying=settings.save_retry_timeout,
        closing=min(settings.save_timeout, settings.grace_timeout / 20),
        bytes=settings.max_unsaved_bytes,
    )


async def check_redis(settings: Settings) -> str:
    """Return what is true of Redis. Raises `SettingsError`, `LogUnavailable`."""
    if settings.redis_url is None:
        return "not used: runs live in one process"
    _check_redis(settings)
    from stream_serve.cluster.redis.client import RedisClient

    client = RedisClient(settings.redis_url.get_secret_value(), settings.redis_timeout)
    try:
        await client.run("PING")
    finally:
        await client.close()
    return "replies"


async def check_database(settings: Settings) -> str:
    """Return what is true of the conversations' database, and change nothing in it.

    Raises `SettingsError`, `HistoryError`.
    """
    from stream_serve.conversations.sql.files import check_file, plain_file

    _check_address(settings)
    file = plain_file(settings.database_url)
    if file is not None:
        return check_file(file)
    from stream_serve.conversations.sql.urls import POSTGRESQL, database_url

    if database_url(settings.database_url).drivername != POSTGRESQL:
        return "a file"
    history = create_history(settings)
    await history.open()
    await history.close()
    return "replies, and its schema is right"


async def migrate(settings: Settings) -> str:
    """Bring the schema of the conversations' database up to date; return its version.

    Raises `HistorySchemaError`, `HistoryUnavailable`, `SettingsError`.
    """
    from stream_serve.conversations.sql.migrate import migrate as bring

    _check_extras(settings)
    return await bring(settings.database_url)


def _check_extras(settings: Settings) -> None:
    """Refuse now what could not be opened later: an address of a database that cannot be understood,
    and libraries that are not installed. Raises `SettingsError`."""
    _check_address(settings)
    _check_redis(settings)


def _check_address(settings: Settings) -> None:
    from stream_serve.conversations.sql.files import plain_file

    if plain_file(settings.database_url) is None:
        from stream_serve.conversations.sql.urls import POSTGRESQL, database_url

        if database_url(settings.database_url).drivername == POSTGRESQL:
            with _needs("postgres", "SQLHistory.url"):
                import_module("asyncpg")


def _check_redis(settings: Settings) -> None:
    if settings.redis_url is not None:
        with _needs("redis", "RedisClient.url"):
            import_module("stream_serve.eventlog.redis.log")


@contextmanager
def _needs(extra: str, parameter: str) -> Generator[None]:
    """Raise `SettingsError` for a library that comes with an extra and is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"this needs the library {error.name}, which comes with the extra {extra}: install "
            f"stream-serve[{extra}], or do without the setting",
            parameters=[parameter],
        ) from None


async def _look(conversations: Conversations) -> None:
    """Open the conversations at start: a wrong schema is refused now, a database that is away later.

    Answers that a crash has cut are found here. Raises `HistorySchemaError`.
    """
    try:
        await conversations.history()
    except HistoryUnavailable as error:
        _log.warning("the conversations cannot be reached yet", error=explain(error))


async def _show_description(app: FastAPI, request: object) -> Response:
    from starlette.responses import JSONResponse

    from stream_serve.web.openapi import describe

    del request
    return JSONResponse(describe(app))
