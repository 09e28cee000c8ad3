"""AI streaming chat over Server-Sent Events, with a stop that really stops."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stream_serve.errors import RunFailure, StreamServeError, UpstreamError
    from stream_serve.events.types import (
        Chunk,
        Extra,
        Reasoning,
        Source,
        ToolArguments,
        ToolCall,
    )
    from stream_serve.jobs.errors import JobEnded, JobError, JobTaken, Stopped
    from stream_serve.jobs.job import Job
    from stream_serve.jobs.twin import SyncJob
    from stream_serve.library.streams import Streams
    from stream_serve.producers.provider import ChatRequest

__version__ = "0.1.0"

__all__ = [
    "ChatRequest",
    "Chunk",
    "Extra",
    "Job",
    "JobEnded",
    "JobError",
    "JobTaken",
    "Reasoning",
    "RunFailure",
    "Source",
    "Stopped",
    "StreamServeError",
    "Streams",
    "SyncJob",
    "ToolArguments",
    "ToolCall",
    "UpstreamError",
    "__version__",
]

_PLACES: Final = {
    **dict.fromkeys(("RunFailure", "StreamServeError", "UpstreamError"), "errors"),
    **dict.fromkeys(
        ("Chunk", "Extra", "Reasoning", "Source", "ToolArguments", "ToolCall"), "events.types"
    ),
    **dict.fromkeys(("JobEnded", "JobError", "JobTaken", "Stopped"), "jobs.errors"),
    "ChatRequest": "producers.provider",
    "Job": "jobs.job",
    "Streams": "library.streams",
    "SyncJob": "jobs.twin",
}
"""Where each public name is: it is imported when it is used first."""


if not TYPE_CHECKING:  # a type checker would believe that any name is there

    def __getattr__(name: str) -> object:
        """Return a public name. Raises `AttributeError` for any other."""
        place = _PLACES.get(name)
        if place is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{place}"), name)
