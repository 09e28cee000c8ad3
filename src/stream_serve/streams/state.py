"""`State`: all that is known of a stream but its bytes.

How it works: a stream's own bytes are kept under its data id, which is new each time that a stream is
created. A position counts from the beginning of the stream. A fork begins at a position of its source:
what is before belongs to its `lineage`, pieces of its ancestors' data; what it appends itself begins at
`base`. So nothing is copied, and a stream that has forks is only marked as deleted.

`version` grows with each change; whoever writes says which version the change was decided on.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct, field

from stream_serve.streams.errors import StreamUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON: Final = "application/json"
SLACK: Final = 1.0
"""Reads that come in this time after one another prolong a stream once: so a lifetime is never shorter
than it says, and at most so much longer."""

_PART: Final = 20
_MAX_TYPES: Final = 256

Key = tuple[str, str]
"""An owner, and the path of one of its streams."""


class Segment(Struct, frozen=True, array_like=True):
    """The positions from `start` to `end` of a fork are in the data `data`, from its beginning."""

    data: str
    start: int
    end: int


class Source(Struct, frozen=True, array_like=True):
    """What a stream was forked from, as the request said: a path, an offset, a sub-offset."""

    path: str
    offset: int | None
    sub: int


class Producer(Struct, frozen=True, array_like=True):
    """The newest append of an idempotent producer, and when it came."""

    epoch: int
    seq: int
    at: float


class Stop(Struct, frozen=True, array_like=True):
    """When somebody asked the producer to end, when it acknowledged, and the tail by then."""

    asked: float
    acknowledged: float | None = None
    tail: int = 0


class State(Struct, kw_only=True, omit_defaults=True):
    """A stream. Times are seconds since 1970, of the clock of whoever wrote.

    `touched` is when it was last read or written, `written` when it was last written. `closer` names the
    append of a producer that closed the stream. `depth` is how many streams it was forked from, one from
    another; `names` is how many bytes it takes to know its producers. `lost` says that its producer went
    silent for longer than its lease, which is `lease` seconds and ends at `leased`.
    """

    version: int = 0
    data: str
    content_type: str
    created: float
    touched: float
    written: float
    tail: int = 0
    base: int = 0
    lineage: tuple[Segment, ...] = ()
    source: Source | None = None
    depth: int = 0
    forks: int = 0
    deleted: bool = False
    closed: bool = False
    lost: bool = False
    ttl: int | None = None
    expires_at: float | None = None
    producers: dict[str, Producer] = field(default_factory=dict[str, Producer])
    names: int = 0
    closer: tuple[str, int, int] | None = None
    seq: str | None = None
    lease: float | None = None
    leased: float = 0.0
    stop: Stop | None = None

    @property
    def json(self) -> bool:
        """Whether its bytes are JSON messages."""
        return media_type(self.content_type) == JSON

    @property
    def slack(self) -> float:
        """How long a read prolongs nothing after another one."""
        return min(SLACK, (self.ttl or 0) / _PART)

    def expiry(self, retention: float) -> float:
        """Return when it expires; a stream that nobody writes to is kept for `retention` seconds."""
        last = self.written + retention
        if self.ttl is not None:
            last = min(last, self.touched + self.ttl + self.slack)
        if self.expires_at is not None:
            last = min(last, self.expires_at)
        return last

    def expired(self, now: float, retention: float) -> bool:
        """Return whether it has expired; what is deleted already has not."""
        return not self.deleted and now >= self.expiry(retention)

    def due(self, retention: float) -> float:
        """Return when something has to be done about it: it expires, or its producer is gone."""
        if self.deleted:
            return math.inf
        expiry = self.expiry(retention)
        leased = self.lease is not None and not self.closed
        return min(expiry, self.leased) if leased else expiry

    def parts(self, start: int, end: int) -> Iterator[Segment]:
        """Yield where the bytes from `start` to `end` are: pieces of data, each from and to a byte."""
        for one in (*self.lineage, Segment(self.data, self.base, self.tail)):
            low, high = max(start, one.start), min(end, one.end)
            if low < high:
                yield Segment(one.data, low - one.start, high - one.start)

    def lineage_to(self, position: int) -> tuple[Segment, ...]:
        """Return where the bytes before a position are, for a fork there."""
        own = Segment(self.data, self.base, self.tail)
        return tuple(
            Segment(one.data, one.start, min(one.end, position))
            for one in (*self.lineage, own)
            if one.start < min(one.end, position)
        )


encode: Final = msgspec.msgpack.Encoder().encode
"""Return a state as a store keeps it."""

_decode: Final = msgspec.msgpack.Decoder(State).decode


def decode(kept: bytes) -> State:
    """Return a state that `encode` has made. Raises `StreamUnreadable`."""
    try:
        return _decode(kept)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StreamUnreadable(
            "this stream cannot be read: it is damaged, or of a newer version. Take another name",
            for_operator=str(error),
        ) from None


@lru_cache(_MAX_TYPES)
def media_type(content_type: str) -> str:
    """Return a content type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()
