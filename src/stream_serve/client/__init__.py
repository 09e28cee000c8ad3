"""A client of the service that carries the hard parts: it reconnects, starts once, and really stops.

    with Client("http://localhost:3000") as client:
        for event in client.chat("Hello"):
            ...

`AsyncClient` is the same for asyncio. `docs/clients.md` says what they promise.
"""

from __future__ import annotations

try:
    from stream_serve.client.asynchronous import AsyncAnswer, AsyncClient, AsyncTail
    from stream_serve.client.synchronous import Answer, Client, Tail
except ModuleNotFoundError as _error:
    if _error.name == "httpx2":
        _error.msg = "stream_serve.client needs httpx2: install stream-serve[client]"
    raise
from stream_serve.client.patience import Patience
from stream_serve.client.receipt import Receipt
from stream_serve.client.tail import StreamReceipt
from stream_serve.events.types import (
    Chunk,
    End,
    Extra,
    Reasoning,
    Source,
    Start,
    ToolArguments,
    ToolCall,
    Usage,
)

__all__ = [
    "Answer",
    "AsyncAnswer",
    "AsyncClient",
    "AsyncTail",
    "Chunk",
    "Client",
    "End",
    "Extra",
    "Patience",
    "Reasoning",
    "Receipt",
    "Source",
    "Start",
    "StreamReceipt",
    "Tail",
    "ToolArguments",
    "ToolCall",
    "Usage",
]
