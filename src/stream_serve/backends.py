"""The backends that the settings name: providers, event log, quotas, conversations.

What not every process needs is imported where it is needed: the databases' library, what Redis takes,
providers. So a command starts quickly, and an extra that is not installed is asked for by name.
"""

from __future__ import annotations

from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from stream_serve.cluster.local import LocalIndex, LocalPeers
from stream_serve.errors import HistoryUnavailable, SettingsError
from stream_serve.eventlog.memory import MemoryEventLog
from stream_serve.producers.base import Patience
from stream_serve.producers.demo import Advice, DemoProvider
from stream_serve.producers.provider import Model
from stream_serve.producers.router import Route, Router
from stream_serve.quotas.local import LocalQuotas
from stream_serve.runs.log_line import RunLog
from stream_serve.runs.service import Runs
from stream_serve.runs.spec import Bounds, Limits
from stream_serve.settings import Settings, explain_to_operator
from stream_serve.settings.extras import needs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from fastapi import FastAPI

    from stream_serve.cluster.base import Peers
    from stream_serve.cluster.index import Index
    from stream_serve.conversations.base import History
    from stream_serve.conversations.recorder import Persistence
    from stream_serve.eventlog.base import EventLog
    from stream_serve.producers import http1
    from stream_serve.producers.openai.provider import OpenAIProvider
    from stream_serve.producers.provider import Provider
    from stream_serve.quotas.base import Quotas
    from stream_serve.quotas.readers import Readers
    from stream_serve.settings import ModelSettings, ProviderSettings
    from stream_serve.streams.base import Store
    from stream_serve.streams.service import Streams

    Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[dict[str, object]]]


_MARGIN: Final = 60.0
_DATABASE_TIMEOUT: Final = 5.0
_MEMORY: Final = "memory"
_DATA: Final = Path("data")
_REDIS: Final = ("redis://", "rediss://", "unix://")
_STREAMS: Final = "SQLiteStore.path"
_RUNS: Final = "runs.db"
_ADVICE: Final = Advice(
    chinese="要接入真正的模型，请在 `.env` 里设置 `DASHSCOPE_API_KEY`（阿里云百炼），"
    "或设置 `STREAM_SERVE_UPSTREAM_URL` 和 `STREAM_SERVE_MODEL`（任何兼容 OpenAI 的服务），"
    "然后重新启动。",
    english="To connect a real model, set `DASHSCOPE_API_KEY` (Alibaba Cloud Bailian) in `.env`, or "
    "set `STREAM_SERVE_UPSTREAM_URL` and `STREAM_SERVE_MODEL` (any OpenAI-compatible server), and "
    "start again.",
)


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
    from stream_serve.producers.openai.endpoint import Endpoint
    from stream_serve.producers.openai.kinds import KINDS
    from stream_serve.producers.openai.provider import OpenAIProvider

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
    """Return how a provider is reached: through its own proxy, or through the environment's.

    Raises `SettingsError` if only the core is installed.
    """
    with needs("server", "Endpoint.url"):
        from stream_serve.producers import http1

    proxy = given.proxy
    if proxy is None:
        proxy = http1.proxy_for(given.url, Settings.proxies())
    return http1.Access(
        proxy=proxy or None,
        ca_file=given.ca_file,
        client_cert=given.client_cert,
        client_key=given.client_key,
    )


def check_access(settings: Settings) -> None:
    """Raise `SettingsError` for a proxy or a file that no provider can be reached with."""
    if settings.catalog is None:
        return
    with needs("server", "Endpoint.url"):
        from stream_serve.producers import http1

    for given in settings.catalog.providers:
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
        temperature=given.temperature,
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
        explain=explain_to_operator,
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
        return _own_log(settings), LocalPeers(), LocalQuotas(), LocalIndex(ttl=known)
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


def _own_log(settings: Settings) -> EventLog:
    """Return the event log of a process that shares its runs with none."""
    if settings.run_log == _MEMORY:
        return MemoryEventLog()
    from stream_serve.eventlog.sqlite.log import SQLiteEventLog

    return SQLiteEventLog(
        _beside(settings, _RUNS),
        flush_interval=settings.flush_interval,
        retention=settings.run_retention,
        kept=settings.max_kept_runs,
        kept_bytes=settings.max_kept_bytes,
    )


def _beside(settings: Settings, name: str) -> Path:
    """Return the path of a file beside the conversations' file, or where that would be."""
    from stream_serve.conversations.sql.files import plain_file

    return (plain_file(settings.database_url) or _DATA / "stream-serve.db").with_name(name)


def create_history(settings: Settings) -> History:
    """Return the place that keeps conversations, not opened yet.

    Raises `SettingsError`, and `HistoryUnavailable` if the library for it is not installed.
    """
    from stream_serve.conversations.base import Capacity
    from stream_serve.conversations.tokens import CHARACTERS

    try:
        from stream_serve.conversations.sql.history import SQLHistory
    except ModuleNotFoundError as error:
        raise HistoryUnavailable(
            f"conversations need the library {error.name}, which comes with the extra database: "
            "install stream-serve[database]",
            retryable=False,
        ) from None

    # A question that waits for the database must not hold up the end of the process.
    timeout = min(_DATABASE_TIMEOUT, settings.grace_timeout / 2)
    return SQLHistory(
        settings.database_url,
        lease=settings.lease,
        timeout=timeout,
        reach=settings.history_tokens * CHARACTERS,
        capacity=Capacity(
            messages=settings.max_conversation_messages,
            bytes=settings.max_conversation_bytes,
            conversations=settings.max_conversations_per_key,
            all_bytes=settings.max_conversation_bytes_per_key,
        ),
    )


def create_streams(settings: Settings, readers: Readers | None = None) -> Streams:
    """Return the streams, not opened yet: in Redis, in a file, or in memory, as the settings say.

    `readers` counts who follows; without it everybody may.
    Raises `SettingsError` for an address that is none.
    """
    from stream_serve.streams.base import Quota
    from stream_serve.streams.decisions import Rules
    from stream_serve.streams.service import Streams

    rules = Rules(stream_bytes=settings.max_stream_bytes, retention=settings.stream_retention)
    quota = Quota(settings.max_streams_per_key, settings.max_stream_bytes_per_key)
    return Streams(_create_store(settings), rules, quota, readers=readers)


def _create_store(settings: Settings) -> Store:
    """Return the store of the streams."""
    place = streams_place(settings)
    if place is None:
        from stream_serve.streams.memory import MemoryStore

        return MemoryStore()
    if isinstance(place, Path):
        from stream_serve.streams.sqlite import SQLiteStore

        return SQLiteStore(place)
    url, parameter = place
    with needs("redis", parameter):
        from stream_serve.streams.redis.store import RedisStore
    return RedisStore(url, settings.redis_timeout, url_parameter=parameter)


def streams_place(settings: Settings) -> Path | tuple[str, str] | None:
    """Return where streams are kept: in a file, in Redis (its URL, and what it is set by), or in memory.

    Raises `SettingsError` for an address that is none.
    """
    from stream_serve.conversations.sql.files import plain_file

    given = settings.streams_url
    if given is None:
        if settings.redis_url is not None:
            return settings.redis_url.get_secret_value(), "RedisClient.url"
        return _beside(settings, "streams.db")
    url = given.get_secret_value()
    if url == _MEMORY:
        return None
    if url.startswith(_REDIS):
        return url, "RedisStore.url"
    path = plain_file(url)
    if path is None:
        raise SettingsError(
            "it should be the path of a file, a URL like redis://user:password@host:6379/0, or memory",
            parameters=[_STREAMS],
        )
    return path


def streams_are_apart(settings: Settings) -> bool:
    """Return whether other processes can use the streams, too: all but those in memory."""
    return streams_place(settings) is not None


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
    if settings.redis_url is None and settings.run_log == _MEMORY:
        return "not used: runs live in one process, and end with it"
    if settings.redis_url is None:
        from stream_serve.conversations.sql.files import check_file

        return f"not used: runs live in one process, and in {check_file(_beside(settings, _RUNS))}"
    _check_redis(settings)
    from stream_serve.cluster.redis.client import RedisClient

    client = RedisClient(settings.redis_url.get_secret_value(), settings.redis_timeout)
    try:
        await client.run("PING")
    finally:
        await client.close()
    return "replies"


async def check_streams(settings: Settings) -> str:
    """Return where streams are kept, and in further lines what may make them get lost there.

    Raises `SettingsError`, `LogUnavailable`, `HistoryUnavailable`.
    """
    from stream_serve.conversations.sql.files import check_file

    place = streams_place(settings)
    if place is None:
        return "in memory: they are gone with the process"
    if isinstance(place, Path):
        return check_file(place)
    _check_streams(settings)
    from stream_serve.cluster.redis.client import RedisClient
    from stream_serve.streams.redis.durability import doubts

    url, parameter = place
    client = RedisClient(url, settings.redis_timeout, url_parameter=parameter)
    try:
        return "\n".join(["in Redis", *await doubts(client)])
    finally:
        await client.close()


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

    check_extras(settings)
    return await bring(settings.database_url)


def check_extras(settings: Settings) -> None:
    """Refuse now what could not be opened later: an address that cannot be understood, and libraries that
    are not installed. Raises `SettingsError`."""
    _check_address(settings)
    _check_redis(settings)
    _check_streams(settings)


def _check_address(settings: Settings) -> None:
    from stream_serve.conversations.sql.files import plain_file

    if plain_file(settings.database_url) is None:
        from stream_serve.conversations.sql.urls import POSTGRESQL, database_url

        if database_url(settings.database_url).drivername == POSTGRESQL:
            with needs("postgres", "SQLHistory.url"):
                import_module("asyncpg")


def _check_redis(settings: Settings) -> None:
    if settings.redis_url is not None:
        if settings.run_log != _MEMORY:
            raise SettingsError(
                "disk is for a process without Redis: with Redis runs are there, and survive it "
                "anyway. Leave one of the two away",
                parameters=["SQLiteEventLog.path", "RedisClient.url"],
            )
        with needs("redis", "RedisClient.url"):
            import_module("stream_serve.eventlog.redis.log")


def _check_streams(settings: Settings) -> None:
    place = streams_place(settings)
    if isinstance(place, tuple):
        with needs("redis", place[1]):
            import_module("stream_serve.streams.redis.store")
