"""`Startup`: why the application does not start, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_serve.errors import StreamServeError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Startup:
    """An ASGI layer around an application. `refusal` is our error that has ended its start.

    uvicorn is told that the start has failed, and not the traceback that the framework sends with it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.refusal: StreamServeError | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        failed: list[Message] = []

        async def tell(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failed.append(message)
            else:
                await send(message)

        try:
            await self._app(scope, receive, tell)
        except StreamServeError as error:
            if not failed:
                raise
            self.refusal = error
            await send({"type": "lifespan.startup.failed", "message": ""})
        finally:
            if self.refusal is None:
                for message in failed:
                    await send(message)
