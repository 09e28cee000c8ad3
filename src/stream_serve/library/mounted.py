"""`Mounted`: the service as an application that another one mounts, below any prefix.

How it works: what the service has below `/ai` is there at the prefix itself, too: an application that
mounts it at `/ai` has the service's own addresses. A server tells only the outermost application that it
starts and ends. So the parts of the service live as long as the surrounding application, if that runs our
lifespan in its own. If nobody does, they begin with the first request and end with the event loop.
"""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import structlog
from starlette.routing import Router

from stream_serve.errors import NotStarted
from stream_serve.library.gate import gate
from stream_serve.web import refusals

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send

    from stream_serve.library.folder import Folder

_PREFIX: Final = "/ai"
_PAGES: Final = "streams"
_OF_A_STREAM: Final = (["events"], ["stop"])
"""The last parts of what is below `/ai/streams/`; all others name the page of a stream."""
_HOW: Final = "pass lifespan=streams.lifespan to FastAPI, or enter streams.lifespan() in your own"
_FAILED: Final = "the streams could not start; the log says why"
_log: Final = structlog.stdlib.get_logger("stream_serve.library")


class _Life:
    """The time that the parts run, in one event loop. `state` is what requests are given."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.state: asyncio.Future[dict[str, Any]] = self.loop.create_future()
        self.over = False

    @property
    def goes_on(self) -> bool:
        """False when it is over, or its loop is."""
        return not (self.over or self.loop.is_closed())

    def fail(self) -> None:
        """Record that the parts could not start."""
        if not self.state.done():
            self.state.set_exception(NotStarted(_FAILED))
            self.state.exception()  # nobody may wait for it

    @property
    def failed(self) -> bool:
        """Whether the parts could not start."""
        return self.state.done() and self.state.exception() is not None


class Mounted:
    """The application `inner`. `owner` is a dependency that says whose a request is, None for nobody.

    `folder` is what is only there for it: it is cleared when the parts have ended.
    """

    def __init__(
        self, inner: FastAPI, owner: Callable[..., object] | None, folder: Folder | None = None
    ) -> None:
        self._inner = inner
        self._folder = folder
        self._app: ASGIApp = self._answer if owner is None else gate(self._answer, owner)
        self._alone = Router(lifespan=self.lifespan)
        paths = (str(getattr(route, "path", "")) for route in inner.router.routes)
        self._own = {path.split("/")[2] for path in paths if path.startswith(f"{_PREFIX}/")}
        self._life: _Life | None = None
        self._holder: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None]:
        """Run the parts of the service; at the end its runs are interrupted, and all is closed.

        Raises `RuntimeError` where they run already, and what a service raises that cannot start.
        """
        del app
        if self._life is not None and self._life.goes_on:
            raise RuntimeError("these streams run already: each application has its own")
        async with self._live(self._begin()):
            yield

    @property
    def running(self) -> tuple[asyncio.AbstractEventLoop, dict[str, Any]] | None:
        """The event loop that the parts run in, and what requests are given; None if they do not run."""
        life = self._life
        if life is None or not life.goes_on or not life.state.done() or life.failed:
            return None
        return life.loop, life.state.result()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; a server that runs this alone tells it of its beginning and its end."""
        if scope["type"] == "lifespan":
            await self._alone(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the service answer, in its own state: the surrounding application's is not its own."""
        try:
            state = await self._started()
        except NotStarted as error:
            await refusals.refuse(scope, error)(scope, receive, send)
        else:
            inner = {**scope, **self._place(scope), "state": dict(state)}
            await self._inner(inner, receive, send)

    def _begin(self) -> _Life:
        self._life = _Life()
        return self._life

    @asynccontextmanager
    async def _live(self, life: _Life) -> AsyncGenerator[None]:
        try:
            async with self._inner.router.lifespan_context(self._inner) as state:
                life.state.set_result(dict(state or {}))
                try:
                    yield
                finally:
                    life.over = True
        finally:
            life.over = True
            life.fail()
            if self._folder is not None:
                self._folder.clear()

    async def _started(self) -> dict[str, Any]:
        """Return what requests are given; start the parts if nobody has. Raises `NotStarted`."""
        life = self._life
        if life is None or life.failed or life.loop is not asyncio.get_running_loop():
            if life is not None and life.goes_on:
                raise NotStarted(f"these streams run in another event loop: {_HOW}")
            _log.warning(f"the streams start with the first request: for a clean end, {_HOW}")
            life = self._begin()
            # Not in the context of the request, whose caller is nobody's but its own.
            self._holder = asyncio.create_task(
                self._hold(life), name="stream-serve", context=contextvars.Context()
            )
        elif life.over:
            raise NotStarted("the application ends: try again in some seconds")
        return await asyncio.shield(life.state)

    async def _hold(self, life: _Life) -> None:
        """Run the parts until the event loop ends, which cancels this."""
        try:
            async with self._live(life):
                await asyncio.get_running_loop().create_future()
        except Exception:  # noqa: BLE001 - whoever waits has been told, and the next request tries again
            _log.exception(_FAILED)

    def _place(self, scope: Scope) -> dict[str, object]:
        """Return where the service has what a path names, if that is what it has below `/ai`."""
        root, path = str(scope.get("root_path", "")), str(scope["path"])
        rest = path.removeprefix(root)
        first, *more = rest[1:].split("/")
        if first not in self._own or (first == _PAGES and more[-1:] not in _OF_A_STREAM):
            return {}
        raw = bytes(scope.get("raw_path") or path.encode())
        at = len(root.encode()) if raw.startswith(root.encode()) else 0
        return {
            "path": f"{root}{_PREFIX}{rest}",
            "raw_path": raw[:at] + _PREFIX.encode() + raw[at:],
        }
