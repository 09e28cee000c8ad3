"""`RedisClient`: this process's connections to Redis, and what their errors mean."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

import structlog
from redis.asyncio import Connection, ConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from stream_serve.errors import LogUnavailable, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio.client import Pipeline
    from redis.asyncio.connection import AbstractConnection

Reply = TypeVar("Reply")

_AT_ONCE: Final = 64
"""Calls at once. Others wait in line."""
_REFUSED: Final = (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    NoPermissionError,
)
_URL: Final = "RedisClient.url"
_ROOM: Final = "keep finished runs for less time", ("Limits.retention",)

_log = structlog.stdlib.get_logger("stream_serve.cluster")


class BlockingConnection(Protocol):
    """A connection for one user alone, as far as it is used. Replies come as Redis sends them."""

    async def connect(self) -> None:
        """Connect and log in."""
        ...

    async def send_command(self, *words: str | bytes | float) -> None:
        """Send a command."""
        ...

    async def read_response(self) -> Any:
        """Return the next reply. Raises the error that Redis replies with."""
        ...

    async def disconnect(self, *, nowait: bool) -> None:
        """Close the connection; with `nowait`, without waiting for anything."""
        ...


class Script:
    """A Lua script. It is run by its hash, and sent in full only if Redis does not know it."""

    def __init__(self, redis: Redis, text: str) -> None:
        self._redis = cast("Any", redis)
        self._text = text
        self._hash = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[str], args: Sequence[str | bytes | float]) -> Any:
        """Run the script and return its reply. Await this inside `RedisClient.call`."""
        numbered = (len(keys), *keys, *args)
        try:
            return await self._redis.execute_command("EVALSHA", self._hash, *numbered)
        except NoScriptError:
            return await self._redis.execute_command("EVAL", self._text, *numbered)

    def queue(
        self, pipeline: Pipeline, keys: Sequence[str], args: Sequence[str | bytes | float]
    ) -> None:
        """Add the script to a pipeline, in full: a pipeline cannot stop at an unknown hash."""
        cast("Any", pipeline).execute_command("EVAL", self._text, len(keys), *keys, *args)


class RedisClient:
    """The connections to one Redis. A call may take `timeout` seconds.

    The lease calls `mark_down` after a beat that failed. From then until `mark_up` every other call
    fails at once, so that nobody waits for a Redis that is known to be away.

    Errors say that `url_parameter` sets the URL, and how to make `room` in a full Redis: in words, and by
    which parameters.
    """

    def __init__(
        self,
        url: str,
        timeout: float,
        *,
        url_parameter: str = _URL,
        room: tuple[str, tuple[str, ...]] = _ROOM,
    ) -> None:
        self.timeout = timeout
        self._url_parameters = (url_parameter,)
        self._room = room
        self._up = True
        self._closed = False
        self._kind, self._options = _options(url, self._url_parameters)
        self.where = _where(self._kind, self._options)
        """Where Redis is: for logs, never for callers."""
        self._pool = ConnectionPool(self._kind, max_connections=_AT_ONCE + 1, **self._options)
        # The pool raises when all its connections are in use. Its own waiting line may lose a
        # connection to a cancellation; this one does not.
        self._line = asyncio.Semaphore(_AT_ONCE)
        self._always = asyncio.Semaphore(1)
        self._scripts: dict[str, Script] = {}
        self.redis: Final = Redis(connection_pool=self._pool)
        """The library's client, for use inside `call`: it has no time limit of its own. It returns
        bytes, in the shapes of RESP2."""

    @property
    def up(self) -> bool:
        """False while Redis is known to be away."""
        return self._up

    def mark_up(self) -> None:
        """Record that Redis replies."""
        self._up = True

    def mark_down(self) -> None:
        """Record that Redis is away: calls fail at once."""
        self._up = False

    async def call(self, awaitable: Awaitable[Reply], *, always: bool = False) -> Reply:
        """Return the reply to a command, a pipeline or a script, which may take `timeout` seconds in all.

        With `always` it is also sent while Redis is known to be away, and one such call at a time waits
        for no other: a lease must not run out behind a crowd. Raises `LogUnavailable`. After that, and
        after a cancellation, Redis may have run the command, or may still run it.
        """
        try:
            if not (self._up or always):
                raise LogUnavailable(
                    "Redis does not reply: is it running?", for_operator=self.where
                )
            line = self._always if always else self._line
            async with asyncio.timeout(self.timeout), line:
                if self._closed:  # perhaps since it waits in line
                    raise LogUnavailable("the connections to Redis are closed")
                return await awaitable
        except (RedisError, OSError) as error:
            # Not chained: the text of a pipeline's error contains what was sent, users' messages too.
            raise self.unavailable(error) from None
        finally:
            # A coroutine that was never awaited would warn. Closing one that is done has no effect.
            if isinstance(awaitable, Coroutine):
                awaitable.close()

    async def run(self, *words: str | bytes | float, always: bool = False) -> Any:
        """Run one command and return its reply, as `call` does."""
        return await self.call(cast("Any", self.redis).execute_command(*words), always=always)

    def script(self, text: str) -> Script:
        """Return the script with this text (see `scripts.load`)."""
        script = self._scripts.get(text)
        if script is None:
            script = self._scripts[text] = Script(self.redis, text)
        return script

    def blocking(self) -> BlockingConnection:
        """Return a new connection outside the pool, not yet connected. Its user sets all time limits."""
        return cast("BlockingConnection", self._kind(**self._options))

    def unavailable(self, error: Exception) -> LogUnavailable:
        """Return an error that says in a sentence what this one means and what to do about it."""
        parameters, where = self._url_parameters, self.where
        match error:
            case BusyLoadingError():
                text, parameters = "Redis is still reading its data: wait a little", ()
            case RedisError() if isinstance(error, _REFUSED):
                text = "Redis refuses the user or the password: look at its URL"
            case OutOfMemoryError():
                words, parameters = self._room
                text = f"Redis is full: raise its maxmemory, or {words}"
            case ReadOnlyError():
                text = "Redis is a replica: its URL has to name the primary"
            case RedisTimeoutError() | TimeoutError():
                text = (
                    f"Redis did not reply within {self.timeout:g} s: look at its load and at "
                    "the network, or wait longer"
                )
                parameters = ("RedisClient.timeout",)
            case RedisConnectionError() | OSError():
                text = "Redis cannot be reached: is it running, and is its URL right?"
            case _:
                # The error of a pipeline quotes the command first; Redis's own words come last.
                words = str(error).rpartition("of pipeline caused error: ")[2]
                text, parameters = "Redis replied with an error, which the log has", ()
                where = f"{where}: {words[:200]}"
                _log.warning("Redis replied with an error", server=self.where, error=words[:200])
        return LogUnavailable(text, parameters=parameters, for_operator=where)

    async def close(self) -> None:
        """Close the connections. Waiting calls fail, and all later ones."""
        self._closed = True
        try:
            async with asyncio.timeout(self.timeout):
                await self._pool.disconnect()
        except (RedisError, OSError) as error:
            _log.warning("a connection to Redis could not be closed cleanly", error=str(error))


def _options(
    url: str, parameters: tuple[str, ...]
) -> tuple[type[AbstractConnection], dict[str, Any]]:
    try:
        options = cast("dict[str, Any]", {**parse_url(url)})
    except ValueError:
        raise SettingsError(
            "the URL of Redis is not one like redis://user:password@host:6379/0, rediss:// for TLS, "
            "or unix:///path/of/a/socket",
            parameters=parameters,
        ) from None
    kind: type[AbstractConnection] = options.pop("connection_class", Connection)
    options |= {
        # The time limits are set here, around whole calls. The client's own use `asyncio.wait_for`,
        # which before Python 3.12 loses a cancellation that comes together with a result.
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "decode_responses": False,
        "protocol": 2,
        # A repeated command may run twice, and only its caller knows whether that is harmless.
        "retry": Retry(NoBackoff(), 0),
        # Without it each connection reads the version of the library from its files anew.
        "driver_info": DriverInfo(),
    }
    try:
        kind(**options)
    except TypeError as error:
        raise SettingsError(
            f"the URL of Redis has an option that is not known: {error}", parameters=parameters
        ) from None
    return kind, options


def _where(kind: type[AbstractConnection], options: dict[str, Any]) -> str:
    if issubclass(kind, Connection):
        return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    return str(options.get("path"))
