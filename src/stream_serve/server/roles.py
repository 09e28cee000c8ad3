"""What the process of `serve` does: serve alone, supervise workers, or serve anew after each change."""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.supervisors import ChangeReload

from stream_serve import logging as logs
from stream_serve.app import create_app
from stream_serve.errors import SettingsError
from stream_serve.server.announcement import announce, say_cannot_listen
from stream_serve.server.children import serve_reloaded, serve_worker
from stream_serve.server.lifetime import Server
from stream_serve.server.options import listener_url, uvicorn_options
from stream_serve.server.tuning import tune_garbage_collector
from stream_serve.server.workers import Supervisor
from stream_serve.settings import Settings, environment

if TYPE_CHECKING:
    import socket


def serve(settings: Settings) -> None:
    """Serve until a signal ends the process, with one worker or several.

    Raises `SettingsError` before any socket or file is opened, and, with one worker, `StreamServeError`
    for what keeps it from starting; `SystemExit` with the exit code of the supervisor when there are
    several.
    """
    settings.check_exposure()
    if settings.workers > 1 and settings.redis_url is None:
        raise SettingsError(
            f"{settings.workers} workers need STREAM_SERVE_REDIS_URL: runs live in the memory of the "
            "process that started them, so that without Redis another worker could neither resume "
            "nor stop them. Set it to the URL of a Redis or Valkey, or serve with one worker"
        )
    log_run = logs.configure(settings.log_level, settings.log_format)
    if settings.workers > 1:
        _supervise(settings)
    else:
        Server(settings, log_run=log_run).run()


def serve_reloading(settings: Settings) -> None:
    """Serve for development: restart the server process whenever a source file changes.

    Raises `SettingsError` before any socket or file is opened.
    """
    settings.check_exposure()
    if settings.workers > 1:
        raise SettingsError(
            f"--reload serves with one process, and {settings.workers} workers are set: take "
            "--workers 1 (STREAM_SERVE_WORKERS, WEB_CONCURRENCY), or leave --reload away"
        )
    logs.configure(settings.log_level, settings.log_format)
    _export_overrides(settings)
    config = uvicorn.Config("stream_serve.app:create_app", reload=True, **uvicorn_options(settings))
    with _bound(config, settings) as listener:
        announce(settings, listener_url(listener))
        tune_garbage_collector()
        ChangeReload(config, target=serve_reloaded, sockets=[listener]).run()


def _supervise(settings: Settings) -> None:
    """Bind the listener and run a supervisor over the workers; exit with its code."""
    create_app(settings)  # rejects wrong settings here rather than in each worker
    _export_overrides(settings)
    with _bound(uvicorn.Config("", **uvicorn_options(settings)), settings) as listener:
        supervisor = Supervisor(
            serve_worker,
            listener,
            settings.workers,
            grace=settings.grace_timeout,
            announce=partial(announce, settings, listener_url(listener)),
        )
        tune_garbage_collector()
        code = asyncio.run(supervisor.run())
    sys.exit(code)


def _bound(config: uvicorn.Config, settings: Settings) -> socket.socket:
    """Return a socket that is bound to the address; exit, with words, where the system refuses it."""
    try:
        return config.bind_socket()
    except SystemExit:
        say_cannot_listen(settings)
        raise


def _export_overrides(settings: Settings) -> None:
    """Write the command line's options to the environment, where child processes read them."""
    os.environ.update(
        environment(
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            log_level=settings.log_level,
            allow_anonymous=settings.allow_anonymous,
        )
    )
