"""Chat completion chunks as a server writes them, and what the reader makes of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stream_serve.producers.openai.chunks import Reading

if TYPE_CHECKING:
    from stream_serve.events.types import Delta


def wire(chunk: object) -> bytes:
    """A chunk as a server writes it, with lone surrogates as escapes."""
    return json.dumps(chunk).encode()


def choice(delta: object, finish_reason: object = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def read(*chunks: object) -> tuple[Reading, list[Delta]]:
    """Take chunks (JSON values, or bytes as they are)."""
    reading, deltas = Reading(), list[Any]()
    for chunk in chunks:
        reading.add(chunk if isinstance(chunk, bytes) else wire(chunk), deltas)
    return reading, deltas


def said(*chunks: object) -> list[Delta]:
    return read(*chunks)[1]
