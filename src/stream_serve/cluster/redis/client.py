"""`Link`: this process's connections to Redis, and what their errors mean."""

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
_REFUSED: Final = (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    NoPermissionError,
)
_SETTING: Final = "STREAM_SERVE_REDIS_URL"

_log = structlog.stdlib.get_logger("stream_serve.stream_serve.cluster.redis.client")


class BlockingConnection(Protocol):
    """What is used of a connection that is nobody else's. Replies come as Redis sends them."""

    async def connect(self) -> None:
        """Connect and log in."""
        ...

    async def send_command(self, *words: str | bytes | float) -> None:
        """Send a command."""
        ...

    async def read_response(self) -> Any:
        """Wait for the reply to what was sent first. Raises what Redis answers with as an error."""
        ...

    async def disconnect(self, *, nowait: bool) -> None:
        """Close it; with `nowait` at once."""
        ...


class Script:
    """A script, run by its hash where Redis knows it."""

    def __init__(self, client: Redis, text: str) -> None:
        self._client = cast("Any", client)
        self._text = text
        self._hash = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[str], args: Sequence[str | bytes | float]) -> Any:
        """Run it, inside `Link.call`. What Redis does not know (any more) is sent in full."""
        numbered = (len(keys), *keys, *args)
        try:
            return await self._client.execute_command("EVALSHA", self._hash, *numbered)
        except NoScriptError:
            return await self._client.execute_command("EVAL", self._text, *numbered)

    def queue(
        self, pipeline: Pipeline, keys: Sequence[str], args: Sequence[str | bytes | float]
    ) -> None:
        """Add it to a pipeline, in full: a pipeline cannot stop at a hash that is not known."""
        cast("Any", pipeline).execute_command("EVAL", self._text, len(keys), *keys, *args)


class Link:
    """The connections to one Redis. `timeout` is that of a call, in seconds.

    `up` is kept by the lease: False after a beat that failed. Then every other call fails at once,
    and nobody waits for what is known not to answer.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self.timeout = timeout
        self.up = True
        self._closed = False
        self._kind, self._options = _options(url)
        self._where = _where(self._kind, self._options)
        self._pool = ConnectionPool(self._kind, max_connections=_AT_ONCE, **self._options)
        # The pool raises when all its connections are in use. Its own waiting line may lose a
        # connection to a cancellation; this one does not.
        self._line = asyncio.Semaphore(_AT_ONCE)
        self._scripts: dict[str, Script] = {}
        self.client: Final = Redis(connection_pool=self._pool)
        """For use inside `call`: it has no time limit of its own. What it gives is bytes, in the
        shapes of RESP2."""

    async def call(self, awaitable: Awaitable[Reply], *, always: bool = False) -> Reply:
        """Wait for what a command, a pipeline or a script gives: `timeout` seconds for all of it.

        With `always` also while Redis is known to be away. Raises `LogUnavailable`; then, and when
        it is cancelled, the command may have been done, or may still be.
        """
        try:
            if self._closed:
                raise LogUnavailable("the connections to Redis are closed")
            if not (self.up or always):
                raise LogUnavailable(f"{self._where} does not answer: is it running?")
            async with asyncio.timeout(self.timeout), self._line:
                return await awaitable
        except (RedisError, OSError) as error:
            # Not chained: the text of a pipeline's error has what was sent, people's words too.
            raise self.unavailable(error) from None
        finally:
            # One that was never begun warns when it is thrown away; no effect on another.
            if isinstance(awaitable, Coroutine):
                awaitable.close()

    async def run(self, *words: str | bytes | float, always: bool = False) -> Any:
        """Run one command and give its reply, as `call` does."""
        return await self.call(cast("Any", self.client).execute_command(*words), always=always)

    def script(self, text: str) -> Script:
        """Return a script, by its text (see `scripts.load`)."""
        script = self._scripts.get(text)
        if script is None:
            script = self._scripts[text] = Script(self.client, text)
        return script

    def blocking(self) -> BlockingConnection:
        """Make a connection that is not in the pool. Nothing has a time limit but its user's."""
        return cast("BlockingConnection", self._kind(**self._options))

    def unavailable(self, error: Exception) -> LogUnavailable:
        """Say in a sentence what an error means and what to do about it."""
        where = self._where
        match error:
            case BusyLoadingError():
                text = f"{where} is still reading its data: wait a little"
            case RedisError() if isinstance(error, _REFUSED):
                text = f"{where} refuses the user or the password: look at {_SETTING}"
            case OutOfMemoryError():
                text = f"{where} is full: raise its maxmemory, or lower STREAM_SERVE_RUN_RETENTION"
            case ReadOnlyError():
                text = f"{where} is a replica: let {_SETTING} name the primary"
            case RedisTimeoutError() | TimeoutError():
                text = (
                    f"{where} did not answer within {self.timeout:g} s: look at its load and at "
                    "the network, or raise STREAM_SERVE_REDIS_TIMEOUT"
                )
            case RedisConnectionError() | OSError():
                text = f"{where} cannot be reached: is it running, and is {_SETTING} right?"
            case _:
                # In a pipeline Redis's own words come last, behind all that was sent.
                words = str(error).rpartition("of pipeline caused error: ")[2]
                text = f"{where} answered with an error: {words[:200]}"
        return LogUnavailable(text)

    async def close(self) -> None:
        """Close the connections; calls that wait, and all later ones, fail."""
        self._closed = True
        try:
            async with asyncio.timeout(self.timeout):
                await self._pool.disconnect()
        except (RedisError, OSError) as error:
            _log.warning("a connection to Redis was not closed in order", error=str(error))


def _options(url: str) -> tuple[type[AbstractConnection], dict[str, Any]]:
    try:
        options = cast("dict[str, Any]", {**parse_url(url)})
    except ValueError:
        raise SettingsError(
            f"{_SETTING} is not a URL like redis://user:password@host:6379/0, rediss:// for TLS, "
            "or unix:///path/of/a/socket"
        ) from None
    kind: type[AbstractConnection] = options.pop("connection_class", Connection)
    options |= {
        # The time limits are set here, around whole calls. The client's own use `asyncio.wait_for`,
        # which before Python 3.12 loses a cancellation that comes together with a result.
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "decode_responses": False,
        "protocol": 2,
        # A command that is sent again by itself may be done twice; who sent it knows what that does.
        "retry": Retry(NoBackoff(), 0),
    }
    try:
        kind(**options)
    except TypeError as error:
        raise SettingsError(f"{_SETTING} has an option that is not known: {error}") from None
    return kind, options


def _where(kind: type[AbstractConnection], options: dict[str, Any]) -> str:
    if issubclass(kind, Connection):
        return f"Redis at {options.get('host', 'localhost')}:{options.get('port', 6379)}"
    return f"Redis at {options.get('path')}"
