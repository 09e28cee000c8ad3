"""The service inside a test: a real uvicorn on a free port, in the test's own event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Self

import uvicorn

from stream_serve.app import Hooks, create_app
from stream_serve.server.pacing import Coalescer
from stream_serve.server.protocol import HttpProtocol
from stream_serve.settings import Settings
from stream_serve.web.hot import STATE
from stream_serve.web.stream import Streaming

if TYPE_CHECKING:
    from types import TracebackType

    from stream_serve.runs.service import Runs
    from stream_serve.streams.service import Streams

UPSTREAM_KEY = "sk-canary-0123456789abcdef"
HOLDS: Final = {"idle_timeout": 3600.0}
"""Settings for answers that a test holds, however long that takes on a busy machine."""


class Service:
    """The service with some settings; `url` once it runs.

    With `plain` the application runs under uvicorn as it comes, as in somebody else's server;
    `root_path` is uvicorn's, `coalescer` paces the loop. Without `direct` nothing goes past the
    application.
    """

    def __init__(self, **settings: Any) -> None:
        plain = bool(settings.pop("plain", False))
        root_path = str(settings.pop("root_path", ""))
        self._direct = bool(settings.pop("direct", True))
        coalescer: Coalescer | None = settings.pop("coalescer", None)
        if "upstream_url" in settings:
            settings.setdefault("upstream_api_key", UPSTREAM_KEY)
            settings.setdefault("model", "answer")
        self.settings = Settings.load(port=0, **settings)
        self.url = ""
        self._parts: list[tuple[Runs, Streams]] = []
        coalescer = coalescer or Coalescer(self.settings.coalesce_interval)
        hooks = Hooks(
            on_start=lambda runs, streams: self._parts.append((runs, streams)),
            on_piece=coalescer.count,
            on_direct=coalescer.hurry,
        )
        app = create_app(self.settings, hooks=hooks)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app if plain else Streaming(app, on_request=coalescer.hurry),
                port=0,
                log_config=None,
                access_log=False,
                server_header=False,
                root_path=root_path,
                h11_max_incomplete_event_size=self.settings.max_head_bytes,
                http="h11" if plain else HttpProtocol,
            )
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def runs(self) -> Runs:
        return self._parts[0][0]

    @property
    def streams(self) -> Streams:
        return self._parts[0][1]

    @property
    def connections(self) -> list[Any]:
        """The connections of its clients that are open."""
        return list(self._server.server_state.connections)

    async def __aenter__(self) -> Self:
        config = self._server.config
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup()
        if not self._direct:
            self._server.lifespan.state[STATE] = None
        host, port = self._server.servers[0].sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}"
        self._task = asyncio.create_task(self._server.main_loop())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.runs.interrupt()
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        await self._server.shutdown()
