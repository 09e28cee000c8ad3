"""Pieces of an answer that follow each other, joined into one for a reader that gets many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from stream_serve.events.types import Chunk, Reasoning, ToolArguments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.events.types import Event

_PIECES: Final = (Chunk, Reasoning, ToolArguments)


def coalesced(events: Sequence[tuple[int, Event]], after: int) -> list[tuple[int, Event]]:
    """Return events with pieces of the same part joined, each with the number of its last piece.

    Events up to the number `after` stay as they are.
    """
    found: list[tuple[int, Event]] = []
    texts: list[str] = []
    for number, event in events:
        if isinstance(event, _PIECES):
            if texts and _continues(found[-1][1], event):
                texts.append(event.content)
                found[-1] = (number, event)
                continue
            _join(found, texts)
            texts = [event.content] if number > after else []
        else:
            _join(found, texts)
            texts = []
        found.append((number, event))
    _join(found, texts)
    return found


def _continues(event: Event, piece: Chunk | Reasoning | ToolArguments) -> bool:
    if isinstance(piece, ToolArguments):
        return isinstance(event, ToolArguments) and event.index == piece.index
    return type(event) is type(piece)


def _join(found: list[tuple[int, Event]], texts: Sequence[str]) -> None:
    if len(texts) > 1:
        number, event = found[-1]
        found[-1] = (number, msgspec.structs.replace(event, content="".join(texts)))
