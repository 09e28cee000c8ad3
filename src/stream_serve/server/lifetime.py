"""The server's lifetime: it starts, says where it listens and who answers, serves, and ends cleanly.

How it ends: at the first SIGTERM or SIGINT it drains. It takes no new runs and says that it is not
ready, but it answers, and the runs go on. When the last one is over, or when the grace time is nearly
used up and what is left was ended as interrupted, uvicorn closes the listener and lets the responses
finish in what remains of the grace time. A client that does not read is cut off before its end. A
second signal ends the process at once.

Several workers (`workers.py`) drain each for itself. One that has a successor retires: first it leaves
new connections to the others, which accept from the same socket, then it drains.
"""

from __future__ import annotations

import asyncio
import gc
import math
import os
import resource
import signal
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypedDict

import structlog
import uvicorn
from uvicorn.supervisors import ChangeReload

from stream_serve import __version__
from stream_serve import logging as logs
from stream_serve.app import create_app
from stream_serve.errors import SettingsError
from stream_serve.server.protocol import HttpProtocol
from stream_serve.server.workers import Channel, Supervisor
from stream_serve.settings import PLACEHOLDER_KEY, Settings, environment
from stream_serve.web.stream import Streaming

if TYPE_CHECKING:
    import socket
    from types import FrameType

    from stream_serve.runs.service import Runs


class _Options(TypedDict):
    """What every `uvicorn.Config` is given."""

    host: str
    port: int
    log_config: None
    access_log: bool
    server_header: bool
    workers: int
    limit_concurrency: int
    h11_max_incomplete_event_size: int
    http: type[HttpProtocol]


_MOST_FILES: Final = 1_048_576
_OTHER_FILES: Final = 24
_ROOM: Final = 65_536
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_MOST_RESERVE: Final = 5.0
_RELOAD_GRACE: Final = 1.0
_LINGER: Final = 0.5
_REFUSED: Final = 2
_log = structlog.stdlib.get_logger("stream_serve.server")


def serve(settings: Settings) -> None:
    """Serve until a signal comes. Raises `SettingsError` before anything is opened."""
    settings.check_exposure()
    if settings.workers > 1 and settings.redis_url is None:
        raise SettingsError(
            f"{settings.workers} workers need STREAM_SERVE_REDIS_URL: runs live in the memory of the "
            "process that started them, so that without Redis another worker could neither resume "
            "nor stop them. Set it to the URL of a Redis or Valkey, or serve with one worker"
        )
    logs.configure(settings.log_level, settings.log_format)
    for number in _SIGNALS:
        signal.signal(number, _leave)
    if settings.workers > 1:
        _supervise(settings)
    else:
        _Server(settings).run()


def serve_reloading(settings: Settings) -> None:
    """Serve for development: start again whenever a source file changes.

    Raises `SettingsError` before anything is opened.
    """
    settings.check_exposure()
    if settings.workers > 1:
        raise SettingsError(
            f"--reload serves with one process, and {settings.workers} workers are set: take "
            "--workers 1 (STREAM_SERVE_WORKERS, WEB_CONCURRENCY), or leave --reload away"
        )
    logs.configure(settings.log_level, settings.log_format)
    _hand_down(settings)
    config = uvicorn.Config("stream_serve.app:create_app", reload=True, **_options(settings))
    with config.bind_socket() as listener:
        announce(settings, _url(listener))
        ChangeReload(config, target=serve_reloaded, sockets=[listener]).run()


def serve_reloaded(sockets: list[socket.socket] | None) -> None:
    """Serve in the process that `serve_reloading` starts again and again."""
    _serve_below(sockets, None)


def serve_worker(listener: socket.socket, end: socket.socket) -> None:
    """Serve in a process that a `Supervisor` started; `end` is its end of their channel."""
    _serve_below([listener], end)


def announce(settings: Settings, url: str) -> None:
    """Say where the service listens and who answers."""
    provider = settings.provider()
    _log.info(
        "listening",
        url=url,
        page=f"{url}/test-stream.html",
        version=__version__,
        model=provider.model if provider is not None else "demo",
        keys=len(settings.api_keys),
        workers=settings.workers,
    )
    for name in Settings.unknown():
        _log.warning(f"{name} is not a setting of this service: is it misspelt?")
    if settings.placeholder_key:
        _log.warning(
            f"the API key is the placeholder {PLACEHOLDER_KEY}, which counts as no key: put your own "
            "into .env"
        )
    if "*" in (settings.cors_origins or ()):
        _log.warning(
            "STREAM_SERVE_CORS_ORIGINS is *: the pages of every site may call this service"
            + ("" if settings.api_keys else ", and spend the tokens of its provider")
        )
    if provider is None:
        _log.warning(
            "no provider is configured, so the built-in demo model answers: set DASHSCOPE_API_KEY "
            "(or STREAM_SERVE_UPSTREAM_URL and STREAM_SERVE_MODEL) in .env to connect a real one"
        )


class _Server(uvicorn.Server):
    """uvicorn's server, which says where it listens, and drains before it ends.

    Alone, it decides itself; below a supervisor (with a `channel`) or a reloader (with a `grace` of
    its own), those decide when it is not to end in peace.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        channel: socket.socket | None = None,
        grace: float | None = None,
    ) -> None:
        app = Streaming(create_app(settings, on_start=self._adopt))
        super().__init__(uvicorn.Config(app, **_options(settings)))
        self._settings = settings
        self._alone = channel is None and grace is None
        self._grace = settings.grace_timeout if grace is None else grace
        self._reserve = min(_MOST_RESERVE, self._grace / 4) if grace is None else grace
        self._end_of_channel = channel
        self._channel: Channel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runs: Runs | None = None
        self._told = False
        self._draining: asyncio.Task[None] | None = None
        self._retiring: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve from the start to the end."""
        self._loop = asyncio.get_running_loop()
        if self._end_of_channel is not None:
            self._channel = Channel(self._end_of_channel)
            self._channel.open(self._retire)
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and announce the address that the system gave."""
        await super().startup(sockets)
        if not self.started:
            return
        _make_room()
        _tame_collector()
        if self._channel is not None:
            self._channel.serve()
        elif self._alone:
            announce(self._settings, _url(self.servers[0].sockets[0]))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end at the first signal; alone, end at once at the second one.

        uvicorn's own would close the listener first. Python calls it between any two steps.
        """
        del frame
        if self._loop is not None and not self._told:
            self._told = True
            self._loop.call_soon_threadsafe(self._end)
        elif self._alone:
            os._exit(128 + sig)

    def _adopt(self, runs: Runs) -> None:
        self._runs = runs

    def _end(self) -> None:
        """Drain, once; while it starts, there is nothing to drain."""
        if self._runs is None or not self.started:
            self.should_exit = True
        elif self._draining is None:
            self._draining = asyncio.create_task(self._drain(self._runs))

    def _retire(self) -> None:
        if self._runs is None or not self.started:
            self.should_exit = True
        else:
            self._retiring = asyncio.create_task(self._leave_and_end())

    async def _leave_and_end(self) -> None:
        """Leave new connections to the other workers; when those that are open have no request on
        the way any more, drain."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(_LINGER)
        for connection in list(self.server_state.connections):
            connection.shutdown()
        self._end()

    async def _drain(self, runs: Runs) -> None:
        """Let the runs end within the grace time, end what is left, and let uvicorn shut down."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._grace
        patient = self._grace > self._reserve
        runs.drain()
        if patient and runs.running:
            _log.info(
                "draining: the runs may finish, a second signal ends them at once",
                runs=runs.running,
                seconds=self._grace - self._reserve,
            )
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(end - self._reserve):
                    await runs.idle()
            if patient and runs.running:
                _log.warning("the grace time is over: runs are interrupted", runs=runs.running)
        finally:
            runs.interrupt()
            loop.call_at(end - self._reserve / 2, self._cut)
            self.config.timeout_graceful_shutdown = max(1, math.ceil(end - loop.time()))
            self.should_exit = True

    def _cut(self) -> None:
        """Cut off the clients that do not read: what they were sent would hold the end."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def _supervise(settings: Settings) -> None:
    create_app(settings)  # wrong settings are refused here, and not by each worker
    _hand_down(settings)
    with uvicorn.Config("", **_options(settings)).bind_socket() as listener:
        supervisor = Supervisor(
            serve_worker,
            listener,
            settings.workers,
            grace=settings.grace_timeout,
            announce=partial(announce, settings, _url(listener)),
        )
        code = asyncio.run(supervisor.run())
    sys.exit(code)


def _serve_below(sockets: list[socket.socket] | None, channel: socket.socket | None) -> None:
    """Serve in a process of our own making, with the settings as they are now."""
    signal.signal(signal.SIGTERM, _leave)
    try:
        settings = Settings.load()
        logs.configure(settings.log_level, settings.log_format)
        server = _Server(
            settings, channel=channel, grace=_RELOAD_GRACE if channel is None else None
        )
    except SettingsError as error:
        sys.stderr.write(f"stream-serve: {error}\n")
        sys.exit(_REFUSED)
    server.run(sockets)


def _hand_down(settings: Settings) -> None:
    """Leave what the command line said to the processes that read the settings again."""
    os.environ.update(
        environment(
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            log_level=settings.log_level,
            allow_anonymous=settings.allow_anonymous,
        )
    )


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _options(settings: Settings) -> _Options:
    return {
        "host": settings.host,
        "port": settings.port,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "workers": 1,  # uvicorn would read WEB_CONCURRENCY
        "limit_concurrency": _connections(),
        "h11_max_incomplete_event_size": settings.max_head_bytes,  # `HttpProtocol` reads it, too
        "http": HttpProtocol,
    }


def _connections() -> int:
    """Say how many connections may be open: a run needs one on each side, and some are for others.

    The process takes as many descriptors as it may have. Further connections get 503 from uvicorn.
    """
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(_MOST_FILES if most == resource.RLIM_INFINITY else most, _MOST_FILES)
    with suppress(ValueError, OSError):  # some systems allow less than they say
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
        now = wanted
    return max(1, (now - _OTHER_FILES) // 2)


def _make_room() -> None:
    """Let the kernel's table of this process's descriptors have its size from the beginning.

    Each time that it grows, the kernel holds up a process with threads for some 20 ms.
    """
    files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], _ROOM)
    with suppress(OSError):
        null = os.open(os.devnull, os.O_RDONLY)
        try:
            os.close(os.dup2(null, files - 1))
        finally:
            os.close(null)


def _tame_collector() -> None:
    """Let the garbage collector hold up no stream for long.

    What is here at the start stays: it need not be looked through again. A stream makes and frees
    thousands of objects and leaves next to none behind, so that looking rarely is enough.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 5, 20)


def _leave(number: int, frame: FrameType | None) -> None:
    del number, frame
    sys.exit(0)
