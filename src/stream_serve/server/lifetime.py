"""The lifetime of the server: startup, main loop, drain and shutdown.

How it works: at the first SIGTERM or SIGINT the server drains. It rejects new runs and reports that it
is not ready, but it still serves requests, and its runs go on. The drain is over when the last run has
ended, or shortly before the grace time is used up; runs that are left then are interrupted, and readers
of streams are let go, who come back to another process. After that uvicorn closes the listener and lets
the responses finish in what is left of the grace time. Clients that do not read are disconnected before
it ends. A second signal ends the process at once.

With several workers (`workers.py`) each drains for itself. A worker that has been replaced retires: it
closes its copy of the listener, so that new connections go to the other workers, and then it drains.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog
import uvicorn

from stream_serve import logging as logs
from stream_serve.app import Hooks, create_app
from stream_serve.errors import StreamServeError
from stream_serve.server.announcement import announce, say_cannot_listen
from stream_serve.server.options import listener_url, uvicorn_options
from stream_serve.server.pacing import Coalescer
from stream_serve.server.startup import Startup
from stream_serve.server.tuning import preallocate_descriptor_table, tune_garbage_collector
from stream_serve.server.workers import SupervisorChannel
from stream_serve.settings import Settings, explain_to_operator
from stream_serve.web.stream import Streaming

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine
    from types import FrameType

    from stream_serve.runs.service import Runs
    from stream_serve.streams.service import Streams

_MAX_RESPONSE_GRACE: Final = 5.0
_RELOAD_GRACE: Final = 1.0
_IDLE_LINGER: Final = 0.5
_EXIT_BAD_SETTINGS: Final = 2
_log = structlog.stdlib.get_logger("stream_serve.server")


def serve_child(sockets: list[socket.socket] | None, *, channel: socket.socket | None) -> None:
    """Serve in a child process, which reads the settings from the environment again."""
    try:
        settings = Settings.load()
        log_run = logs.configure(settings.log_level, settings.log_format)
        grace = _RELOAD_GRACE if channel is None else None
        server = Server(settings, log_run=log_run, channel=channel, grace=grace)
        server.run(sockets)
    except StreamServeError as error:
        sys.stderr.write(f"stream-serve: {explain_to_operator(error)}\n")
        sys.exit(_EXIT_BAD_SETTINGS)


class Server(uvicorn.Server):
    """uvicorn's server, which announces its address and drains before it shuts down.

    A server in a child process has a parent that announces the address and kills it if it must: the
    supervisor at the other end of `channel`, or the reloader, which sets a short `grace` (seconds).
    A server with neither is standalone and does that itself.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        log_run: logs.Write | None,
        channel: socket.socket | None = None,
        grace: float | None = None,
    ) -> None:
        self._after_start: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._opening: list[asyncio.Task[None]] = []
        coalescer = Coalescer(settings.coalesce_interval)
        hooks = Hooks(
            on_start=self._started_with,
            on_piece=coalescer.count,
            on_direct=coalescer.hurry,
            log_run=log_run,
            open_later=self._after_start.append,
        )
        self._startup = Startup(create_app(settings, hooks=hooks))
        # A request takes many turns of the event loop: the coalescer must not sleep in each of them.
        streaming = Streaming(self._startup, on_request=coalescer.hurry)
        super().__init__(uvicorn.Config(streaming, **uvicorn_options(settings)))
        self._settings = settings
        self._standalone = channel is None and grace is None
        self._grace = settings.grace_timeout if grace is None else grace
        # The last part of the grace time is for the responses to finish after the runs have ended.
        self._response_grace = min(_MAX_RESPONSE_GRACE, self._grace / 4) if grace is None else grace
        self._channel_socket = channel
        self._channel: SupervisorChannel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runs: Runs | None = None
        self._streams: Streams | None = None
        self._signalled = False
        self._drain_task: asyncio.Task[None] | None = None
        self._retire_task: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on `sockets` from startup to shutdown; a worker sends heartbeats from the beginning."""
        self._loop = asyncio.get_running_loop()
        if self._channel_socket is not None:
            self._channel = SupervisorChannel(self._channel_socket)
            self._channel.open(on_retire=self._retire)
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application and the listeners, tune the process, and announce that it serves.

        What the application has left for then (`Hooks.open_later`) goes on in tasks after that.
        Raises `StreamServeError` for what keeps the application from starting.
        """
        try:
            await super().startup(sockets)
        except SystemExit:
            if self._startup.refusal is not None:
                raise self._startup.refusal from None
            if not self.lifespan.should_exit:
                say_cannot_listen(self._settings)
            raise
        if not self.started:
            return
        preallocate_descriptor_table()
        tune_garbage_collector()
        if self._channel is not None:
            self._channel.send_ready()
        elif self._standalone:
            announce(self._settings, listener_url(self.servers[0].sockets[0]))
        self._opening = [asyncio.create_task(work()) for work in self._after_start]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain at the first signal; a standalone server exits at once at the second.

        Replaces uvicorn's method, which would close the listener first. Python runs signal handlers
        between any two instructions, so that this one only schedules the work.
        """
        del frame
        if self._loop is not None and not self._signalled:
            self._signalled = True
            self._loop.call_soon_threadsafe(self._begin_drain)
        elif self._standalone:
            os._exit(128 + sig)

    def _started_with(self, runs: Runs, streams: Streams) -> None:
        self._runs = runs
        self._streams = streams

    def _begin_drain(self) -> None:
        """Start to drain, if that has not begun; a server that is still starting just exits."""
        if self._runs is None or not self.started:
            self.should_exit = True
        elif self._drain_task is None:
            self._drain_task = asyncio.create_task(self._drain(self._runs))

    def _retire(self) -> None:
        """Start to retire; a server that is still starting just exits."""
        if self._runs is None or not self.started:
            self.should_exit = True
        else:
            self._retire_task = asyncio.create_task(self._close_listeners_and_drain())

    async def _close_listeners_and_drain(self) -> None:
        """Leave new connections to the other workers, close the idle ones, and then drain.

        A short wait before idle connections are closed lets requests arrive that are on their way.
        """
        for server in self.servers:
            server.close()
        await asyncio.sleep(_IDLE_LINGER)
        for connection in list(self.server_state.connections):
            connection.shutdown()
        self._begin_drain()

    async def _drain(self, runs: Runs) -> None:
        """Wait for the runs within the grace time, interrupt those left, and start the shutdown."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._grace
        waits = self._grace > self._response_grace
        runs.drain()
        if waits and runs.running:
            _log.info(
                "draining: the runs may finish, a second signal ends them at once",
                runs=runs.running,
                seconds=self._grace - self._response_grace,
            )
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline - self._response_grace):
                    await runs.idle()
            if waits and runs.running:
                _log.warning("the grace time is over: runs are interrupted", runs=runs.running)
        finally:
            runs.interrupt()
            if self._streams is not None:
                self._streams.let_go()
            loop.call_at(deadline - self._response_grace / 2, self._abort_connections)
            self.config.timeout_graceful_shutdown = max(1, math.ceil(deadline - loop.time()))
            self.should_exit = True

    def _abort_connections(self) -> None:
        """Disconnect clients that do not read: their unsent data would delay the shutdown."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
