"""The hot doors: where most runs are started, and what a server calls there past the framework.

How it works: what a framework does for each request costs more than a short run. So the server's protocol
(`server.protocol`) looks for the path of a `POST` among the `doors`, and calls what it finds in place of
the application. The guard, the endpoint and the errors are the application's own, and so is the response,
byte for byte. Every other server, and every other request, goes the way of all.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from stream_serve.errors import StreamServeError
from stream_serve.web import refusals
from stream_serve.web.asking import Asking
from stream_serve.web.routes import chat, openai
from stream_serve.web.security import policy_at
from stream_serve.web.stream import Streamed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import FastAPI
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from stream_serve.web.security import Access
    from stream_serve.web.streams.appends import DirectAppends

    Endpoint = Callable[[Request, Asking], Awaitable[Response]]

STATE: Final = "hot"
"""What is `Hot` in the state of the application's lifespan; without it there is nothing."""

_KEPT: Final = ("type", "extensions")
"""What a response that streams needs of the scope."""

_ENDPOINTS: Final[dict[str, Endpoint]] = {
    "/ai/chat/stream-sse": chat.stream_chat,
    "/v1/chat/completions": openai.create_chat_completion,
}


class Hot(Struct, frozen=True):
    """What a server calls past the framework: for whole appends `appends`, for a `POST` to one of the
    `doors` its ASGI application."""

    appends: DirectAppends
    doors: dict[bytes, ASGIApp]


def doors_of(
    app: FastAPI, access: Access, *, on_request: Callable[[], None]
) -> dict[bytes, ASGIApp]:
    """Return the doors by their paths; `on_request` is called at the beginning of each request."""
    return {
        path.encode(): HotDoor(app, access, endpoint, on_request=on_request)
        for path, endpoint in _ENDPOINTS.items()
    }


class HotDoor:
    """An endpoint of `app` as an ASGI application; `on_request` is called first for each request."""

    def __init__(
        self, app: FastAPI, access: Access, endpoint: Endpoint, *, on_request: Callable[[], None]
    ) -> None:
        self._app = app
        self._access = access
        self._endpoint = endpoint
        self._policy = policy_at(endpoint)
        self._on_request = on_request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request as `app` does. Raises a defect after its response: the server logs it.

        Cancelled, it lets go of what it streams, and returns.
        """
        self._on_request()
        scope["app"] = self._app
        response: Response | None = None
        try:
            response = await self._respond(Request(scope, receive, send))
            if isinstance(response, Streamed):
                await response.stream(_rest_of(scope), receive, send)
            else:
                await response(scope, receive, send)
        except asyncio.CancelledError:
            # The server ends, and has waited long enough for a client that does not read.
            return
        except Exception as defect:
            if response is None:
                told = await refusals.on_defect(Request(scope, receive, send), defect)
                await told(scope, receive, send)
            raise
        finally:
            if isinstance(response, Streamed):
                response.close()

    async def _respond(self, request: Request) -> Response:
        try:
            self._access.check(request.scope, self._policy)
            return await self._endpoint(request, Asking(request))
        except (StreamServeError, HTTPException) as error:
            return await refusals.on_error(request, error)
        except ClientDisconnect as error:
            return await refusals.on_gone(request, error)


def _rest_of(scope: Scope) -> Scope:
    """Return what a response that streams needs of a scope, and empty the scope.

    The server keeps the scope until the stream's end, and would keep with it what the request has said.
    """
    rest = {name: scope[name] for name in _KEPT if name in scope}
    scope.clear()
    return rest
