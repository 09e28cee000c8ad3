"""What deltas say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_serve.events.types import Chunk, Reasoning

if TYPE_CHECKING:
    from stream_serve.events.types import Delta


def content_of(delta: Delta) -> str:
    """Return the text of a delta that has to be text or thinking."""
    assert isinstance(delta, Chunk | Reasoning), delta
    return delta.content
