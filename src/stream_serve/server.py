"""The server's lifetime: it starts, says where it listens and who answers, serves, and ends cleanly.

How it ends: at the first SIGTERM or SIGINT the runs are ended as interrupted, so that every open
stream gets its terminal event and every provider connection is closed; then uvicorn lets the responses
finish within the grace time. A second signal ends the process at once.
"""

from __future__ import annotations

import asyncio
import math
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypedDict

import structlog
import uvicorn

from stream_serve import __version__, logs
from stream_serve.app import create_app
from stream_serve.settings import PLACEHOLDER_KEY, Settings, environment

if TYPE_CHECKING:
    import socket
    from types import FrameType

    from fastapi import FastAPI

    from stream_serve.runs import Runs


class _Options(TypedDict):
    """What `uvicorn.run` and `uvicorn.Config` are given alike."""

    host: str
    port: int
    log_config: None
    access_log: bool
    server_header: bool
    timeout_graceful_shutdown: int
    limit_concurrency: int


_MOST_FILES: Final = 1_048_576
_OTHER_FILES: Final = 24
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_log = structlog.stdlib.get_logger("stream_serve.server")


def serve(settings: Settings) -> None:
    """Serve until a signal comes. Raises `SettingsError` before anything is opened."""
    settings.check_exposure()
    logs.configure(settings.log_level, settings.log_format)
    app = create_app(settings, on_start=_end_with_signals)
    for number in _SIGNALS:
        # uvicorn raises the signal again once it has served: that is a clean end.
        signal.signal(number, _leave)
    _Server(uvicorn.Config(app, **_options(settings)), settings).run()


def serve_reloading(settings: Settings) -> None:
    """Serve for development: start again whenever a source file changes."""
    settings.check_exposure()
    logs.configure(settings.log_level, settings.log_format)
    os.environ.update(
        environment(
            host=settings.host,
            port=settings.port,
            log_level=settings.log_level,
            allow_anonymous=settings.allow_anonymous,
        )
    )
    announce(settings, f"http://{settings.host}:{settings.port}")
    uvicorn.run(
        "stream_serve.server:create_reloaded_app",
        factory=True,
        reload=True,
        **_options(settings),
    )


def create_reloaded_app() -> FastAPI:
    """Make the application in the process that `serve_reloading` starts again and again."""
    settings = Settings.load()
    logs.configure(settings.log_level, settings.log_format)
    return create_app(settings, on_start=_end_with_signals)


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
    )
    for name in Settings.unknown():
        _log.warning(f"{name} is not a setting of this service: is it misspelt?")
    if settings.placeholder_key:
        _log.warning(
            f"the API key is the placeholder {PLACEHOLDER_KEY}, which counts as no key: put your own "
            "into .env"
        )
    if provider is None:
        _log.warning(
            "no provider is configured, so the built-in demo model answers: set DASHSCOPE_API_KEY "
            "(or STREAM_SERVE_UPSTREAM_URL and STREAM_SERVE_MODEL) in .env to connect a real one"
        )


class _Server(uvicorn.Server):
    """uvicorn's server, which says where it listens once it does."""

    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config)
        self._settings = settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and announce the address that the system gave."""
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            name = f"[{host}]" if ":" in host else host
            announce(self._settings, f"http://{name}:{port}")


def _options(settings: Settings) -> _Options:
    return {
        "host": settings.host,
        "port": settings.port,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": math.ceil(settings.grace_timeout),
        "limit_concurrency": _connections(),
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


def _leave(number: int, frame: FrameType | None) -> None:
    del number, frame
    sys.exit(0)


def _end_with_signals(runs: Runs) -> None:
    """End the runs at the first signal, before uvicorn begins to wait for the responses.

    uvicorn has set its own handlers by now; each of ours calls the one that it stands before.
    """
    loop = asyncio.get_running_loop()
    told = False
    for number in _SIGNALS:
        previous = signal.getsignal(number)

        def handle(number: int, frame: FrameType | None, previous: object = previous) -> None:
            nonlocal told
            if told:
                os._exit(128 + number)
            told = True
            loop.call_soon_threadsafe(runs.interrupt)
            if callable(previous):
                previous(number, frame)

        signal.signal(number, handle)
