"""Who asks: the surrounding application says it, by a dependency of its own."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from fastapi import Depends, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from stream_serve.web.security import OWNER

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_KNOWN: Final = "stream_serve.known"


_host: Final = ContextVar[object]("stream_serve_host", default=None)


class _Overrides:
    """The overrides of dependencies of the application that a request comes from."""

    @property
    def dependency_overrides(self) -> dict[Callable[..., object], Callable[..., object]]:
        """Return them; a Starlette application has none."""
        return getattr(_host.get(), "dependency_overrides", {})


class _Unsent(Response):
    """Sends nothing: the request is answered when the dependency and what it opened are over."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Do what the dependency has left to be done."""
        del scope, receive, send
        if self.background is not None:
            await self.background()


def gate(app: ASGIApp, owner: Callable[..., object]) -> ASGIApp:
    """Return an application that asks `owner` whose each request is, before `app` answers it.

    `owner` is a dependency of FastAPI, with whatever it depends on; what it raises is the response. It
    sees the surrounding application and its state, whose `dependency_overrides` count. What it opens is
    closed before the answer begins: a stream must not hold a connection for as long as it goes on. A body
    that it reads is there again.
    """
    outer = FastAPI(openapi_url=None)
    outer.router.dependency_overrides_provider = _Overrides()

    @outer.api_route("/{path:path}", methods=_METHODS)
    async def pass_on(request: Request, who: object = Depends(owner)) -> Response:
        request.scope[_KNOWN].append(who)
        return _Unsent()

    # Not `outer` itself, which would name itself as the request's application.
    known_by = outer.build_middleware_stack()

    async def ask(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_preflight(scope):
            await app(scope, receive, send)
            return
        known: list[object] = []
        taken: list[Message] = []

        async def take() -> Message:
            taken.append(await receive())
            return taken[-1]

        async def refuse(message: Message) -> None:
            known.clear()
            await send(message)

        async def take_again() -> Message:
            return taken.pop(0) if taken else await receive()

        token = _host.set(scope.get("app"))
        try:
            await known_by({"app": outer, **scope, _KNOWN: known}, take, refuse)
        finally:
            _host.reset(token)
        if known:
            await app({**scope, OWNER: known[0]}, take_again, send)

    return ask


def _is_preflight(scope: Scope) -> bool:
    """Return whether a browser asks if it may ask; it says nothing of who asks."""
    names = {name for name, _ in scope["headers"]}
    return scope["method"] == "OPTIONS" and b"access-control-request-method" in names
