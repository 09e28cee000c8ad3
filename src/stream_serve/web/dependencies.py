"""What the routes need from the application, given by FastAPI's dependency injection.

They are coroutine functions, which have nothing to wait for: FastAPI calls others in a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fastapi import Request

if TYPE_CHECKING:
    from stream_serve.conversations.context import Conversations
    from stream_serve.runs.service import Runs
    from stream_serve.settings import Settings


async def runs_of(request: Request) -> Runs:
    """Give the runs of the process; they live as long as the application's lifespan."""
    return cast("Runs", request.state.runs)


async def conversations_of(request: Request) -> Conversations:
    """Give the conversations; they live as long as the application's lifespan."""
    return cast("Conversations", request.state.conversations)


async def settings_of(request: Request) -> Settings:
    """Give the settings that the application was made with."""
    return cast("Settings", request.app.state.settings)
