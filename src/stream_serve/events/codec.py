"""The native format: the one place that makes the bytes of events, and the one that reads them.

A frame is one Server-Sent Event: `id:` is the event's number, `data:` its JSON. The types `start`,
`chunk`, `end` and `error` with their fields are the article's; a client that was written for it
ignores the others. The event log keeps frames, so that all readers share one encoding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Struct

from stream_serve.events import sse, types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.events.types import Delta, Event

ERROR_TITLE: Final = "服务器内部错误"
"""The article's text for `error.error`, the same for every failure; `code` tells them apart."""

_NO_BOUND: Final = 1 << 62
_ID: Final = len(b"id: ")
_ERROR: Final = b'"type":"error"'
_DATA: Final = b"\ndata: "


class Error(Struct, frozen=True, rename="camel", tag_field="type", tag="error", omit_defaults=True):
    """The run ended badly; the text so far stays valid."""

    error: str
    message: str
    code: str
    retryable: bool
    retry_after: Annotated[float, Meta(description="seconds")] | None = None
    provider_code: Annotated[str, Meta(description="the provider's own code")] | None = None
    request_id: Annotated[str, Meta(description="the provider's id of the request")] | None = None
    saved: Annotated[bool, Meta(description=types.SAVED)] | None = None

    @classmethod
    def of(cls, event: types.Error) -> Error:
        """Return a failure as the article writes it."""
        return cls(
            ERROR_TITLE,
            event.message,
            event.code,
            event.retryable,
            event.retry_after,
            event.provider_code,
            event.request_id,
            event.saved,
        )


def encode(event: Event) -> bytes:
    """Return an event as JSON: UTF-8, one line, nothing that could end an SSE line."""
    return _encode(Error.of(event) if isinstance(event, types.Error) else event)


def frame(number: int, event: Event) -> bytes:
    """Return the frame of one event."""
    return sse.FRAME % (number, encode(event))


def frames(deltas: Sequence[Delta], after: int) -> list[bytes]:
    """Return the frames of deltas; the first has the number that follows `after`."""
    if len(deltas) == 1:
        return [sse.FRAME % (after + 1, _encode(deltas[0]))]
    return [sse.FRAME % (number, _encode(delta)) for number, delta in enumerate(deltas, after + 1)]


def decode(data: bytes) -> Event:
    """Return the event whose JSON this is. Raises `msgspec.MsgspecError` for anything else."""
    return _decode(data)


def read(data: bytes) -> list[tuple[int, Event]]:
    """Return the events in whole frames, with their numbers."""
    return [(int(event.id), _decode(event.data)) for event in sse.Parser(_NO_BOUND).feed(data)]


def split(data: bytes) -> list[tuple[int, Event]]:
    """Return what `read` does, at once, for frames that are known to be those of this module."""
    events: list[tuple[int, Event]] = []
    for one in data.split(sse.BETWEEN)[:-1]:
        number, _, value = one.partition(_DATA)
        events.append((int(number[_ID:]), _decode(value)))
    return events


def values(data: bytes) -> list[tuple[int, bytes]]:
    """Return what `split` does, with the events as their JSON."""
    parts = [one.partition(_DATA) for one in data.split(sse.BETWEEN)[:-1]]
    return [(int(number[_ID:]), value) for number, _, value in parts]


def may_fail(data: bytes) -> bool:
    """Return whether there may be an error in frames; there is none where this is False."""
    return _ERROR in data


class Reader:
    """Reads events from frames that come in pieces of any size."""

    def __init__(self) -> None:
        self._parser = sse.Parser(_NO_BOUND)

    def feed(self, piece: bytes) -> list[Event]:
        """Return the events that a piece completes."""
        return [_decode(event.data) for event in self._parser.feed(piece)]


_encode: Final = msgspec.json.Encoder().encode
# The title is the same for every failure: it is not read.
_decode: Final = msgspec.json.Decoder(types.Event).decode
