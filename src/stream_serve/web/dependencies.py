"""The objects of the application that routes need, for FastAPI's dependency injection.

These functions are coroutines although they wait for nothing, because FastAPI calls plain functions in
a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fastapi import Request

if TYPE_CHECKING:
    from stream_serve.conversations.context import Conversations
    from stream_serve.producers.provider import Provider
    from stream_serve.runs.service import Runs
    from stream_serve.settings import Settings
    from stream_serve.streams.service import Streams
    from stream_serve.web.chats import Chats


async def runs_of(request: Request) -> Runs:
    """Return the runs of this process."""
    return cast("Runs", request.state.runs)


async def provider_of(request: Request) -> Provider:
    """Return the provider of this process."""
    return cast("Provider", request.state.provider)


async def conversations_of(request: Request) -> Conversations:
    """Return the conversations of this process."""
    return cast("Conversations", request.state.conversations)


async def chats_of(request: Request) -> Chats:
    """Return the chats of this process."""
    return cast("Chats", request.state.chats)


async def streams_of(request: Request) -> Streams:
    """Return the streams of this process."""
    return cast("Streams", request.state.streams)


async def settings_of(request: Request) -> Settings:
    """Return the settings that the application was created with."""
    return cast("Settings", request.app.state.settings)
