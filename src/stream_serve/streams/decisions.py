"""The rules of streams: what becomes of one by a request (Durable Streams 1.0; stop and lease are ours).

How it works: a `Draft` is a stream as it would be after the requests that were decided so far, and the
bytes that they append. A function here takes a draft and a request, changes the draft and returns the
answer; or it raises, and has changed nothing. Nothing is read or written: `service` loads the state, and
commits the draft if the stream has not changed meanwhile; otherwise it decides again.

    create    absent -> open | closed                 again with the same words: no change
    append    open -> open | closed                   by a producer again: no change
    delete    any -> absent, or with forks -> deleted
    fork      any -> the same, and one fork more       deleted: refused
    release   a fork is gone; deleted, without forks -> absent
    lapse     open -> closed (lost)                    the producer's lease has run out
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from stream_serve.errors import BadRequest
from stream_serve.streams import messages
from stream_serve.streams.errors import (
    ProducerGap,
    StaleProducer,
    StreamClosed,
    StreamConflict,
    StreamGone,
    StreamNotFound,
    StreamsFull,
)
from stream_serve.streams.state import Producer, Source, State, Stop, media_type

if TYPE_CHECKING:
    from collections.abc import Callable

BINARY: Final = "application/octet-stream"
MAX_PRODUCERS: Final = 1_000
"""Of one stream. Its state is written with each append, so that this bounds the cost of one."""

MAX_NAMES: Final = 131_072
"""Bytes that it takes to know them, for the same reason: 130 for each, or longer names of fewer."""

MAX_DEPTH: Final = 100
"""Forks of forks: each read looks through them, and so does the removal of the last one."""

PRODUCER_KEPT: Final = 604_800.0
"""When there are too many, those are forgotten that were silent for so long (5.2.1: seven days)."""

_PRODUCER: Final = 32
"""Bytes that a producer takes beside its name."""

_MICROSECONDS: Final = 1_000_000
_LOST: Final = {"type": "end", "finishReason": "lost"}


class Rules(Struct, frozen=True):
    """The bounds of each stream: its bytes, and the seconds that it is kept after the last append."""

    stream_bytes: int
    retention: float


class Create(Struct, frozen=True, kw_only=True):
    """Make a stream, or find it as it should be. `data` is as it is kept.

    Without a content type it is one of bytes, and a fork has that of its source.
    """

    content_type: str | None = None
    ttl: int | None = None
    expires_at: float | None = None
    closed: bool = False
    data: bytes = b""


class Fork(Struct, frozen=True):
    """Where a stream is forked: as the request says, and the position that this is in the source."""

    origin: Source
    position: int


class Append(Struct, frozen=True, kw_only=True):
    """Append `data`, which is as it is kept, and close the stream if `close` says so.

    `producer` is the id, the epoch and the number of an idempotent producer's append. `lease` is how long
    the producer may be silent from now on. `acknowledge` says that it has heard of the stop.
    """

    data: bytes
    content_type: str | None = None
    close: bool = False
    seq: str | None = None
    producer: tuple[str, int, int] | None = None
    lease: float | None = None
    acknowledge: bool = False


class Created(Struct, frozen=True):
    """The stream is there; `new` if this request made it."""

    new: bool
    content_type: str
    tail: int
    closed: bool


class Appended(Struct, frozen=True):
    """The stream has the data. `new` is False for what it had already.

    `seq` is the newest number of the producer, `stop` whether it is asked to end.
    """

    new: bool
    tail: int
    closed: bool
    stop: bool
    epoch: int = 0
    seq: int = 0


class Draft:
    """A stream, `state`, as it would be, and the `pieces` that are appended to its data.

    `state` is None where there is none. `before` is the stream as it is.
    """

    __slots__ = ("before", "changed", "pieces", "state")

    def __init__(self, state: State | None) -> None:
        self.before = state
        self.state = state
        self.pieces: list[bytes] = []
        self.changed = False

    @property
    def data(self) -> bytes:
        """All that is appended."""
        return self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)

    def change(self) -> State:
        """Return the state to change. What the draft was made of stays as it is."""
        if self.state is None:
            raise StreamNotFound(NOT_FOUND)
        if not self.changed:
            self.changed = True
            self.state = replace(self.state, version=self.state.version + 1)
            if self.state.producers:
                self.state.producers = dict(self.state.producers)
        return self.state

    def replace(self, state: State | None) -> None:
        """Be another stream, or none."""
        self.changed = True
        self.state = state

    def put(self, data: bytes, now: float) -> State:
        """Append bytes; return the state to change."""
        state = self.change()
        state.written = state.touched = now
        if data:
            state.tail += len(data)
            self.pieces.append(data)
        return state


NOT_FOUND: Final = "there is no such stream"
_GONE: Final = "the stream was deleted, and is kept only for its forks: use another name"


def found(state: State | None, now: float, rules: Rules) -> State:
    """Return a stream that a request may see. Raises `StreamNotFound`, `StreamGone`."""
    if state is None:
        raise StreamNotFound(NOT_FOUND)
    if state.deleted:
        raise StreamGone(_GONE)
    if state.expired(now, rules.retention):
        if state.forks:
            raise StreamGone("the stream has expired, and is kept only for its forks")
        raise StreamNotFound(NOT_FOUND)
    return state


def create(draft: Draft, request: Create, now: float, rules: Rules) -> Created:
    """Make the stream, or find it as the request says (5.1). An expired one must be removed before.

    Raises `BadRequest`, `StreamConflict`, `StreamsFull`.
    """
    _check_lifetime(request)
    state = draft.state
    if state is not None:
        wanted = media_type(request.content_type or BINARY)
        _check_same(state, request, wanted, source=None)
        return _created(state, new=False)
    _check_size(len(request.data), rules)
    draft.replace(_new(request, request.content_type or BINARY, now))
    return _begun(draft, request, now)


def fork(
    source: Draft, draft: Draft, request: Create, at: Fork, now: float, rules: Rules
) -> Created:
    """Make a stream of what another one has before a position (4.2), or find it as the request says.

    Raises `BadRequest`, `StreamConflict`, `StreamNotFound`, `StreamsFull`.
    """
    _check_lifetime(request)
    if draft.state is not None:
        wanted = media_type(request.content_type or draft.state.content_type)
        _check_same(draft.state, request, wanted, source=at.origin)
        return _created(draft.state, new=False)
    parent = source.state
    if parent is not None and (
        parent.deleted or (parent.forks and parent.expired(now, rules.retention))
    ):
        raise StreamConflict("the source was deleted, and is kept only for its forks")
    parent = found(parent, now, rules)
    if request.content_type and media_type(request.content_type) != media_type(parent.content_type):
        raise StreamConflict(f"a fork has the type of its source, {parent.content_type}")
    if at.position > parent.tail:
        raise BadRequest("Stream-Fork-Offset: it is beyond the end of the source")
    if parent.depth >= MAX_DEPTH:
        raise StreamConflict(f"a fork may be at most {MAX_DEPTH} forks away from the first stream")
    _check_size(at.position + len(request.data), rules)
    made = _new(request, request.content_type or parent.content_type, now)
    made.tail = made.base = at.position
    made.lineage = parent.lineage_to(at.position)
    made.source = at.origin
    made.depth = parent.depth + 1
    if request.ttl is None and request.expires_at is None:
        made.ttl, made.expires_at = parent.ttl, parent.expires_at
    source.change().forks += 1
    draft.replace(made)
    return _begun(draft, request, now)


def append(draft: Draft, request: Append, now: float, rules: Rules) -> Appended:
    """Append to the stream, close it, or both (5.2).

    Raises `BadRequest`, `StreamNotFound`, `StreamGone`, `StreamClosed`, `StreamConflict`,
    `StaleProducer`, `ProducerGap`, `StreamsFull`.
    """
    state = found(draft.state, now, rules)
    if not request.data and not (request.close or request.lease or request.acknowledge):
        raise BadRequest("the body is empty: send what is to be appended, or Stream-Closed: true")
    if state.closed:
        return _append_to_closed(state, request)
    if request.data and media_type(request.content_type or "") != media_type(state.content_type):
        raise StreamConflict(f"the stream's type is {state.content_type}: send this one")
    epoch = seq = 0
    if request.producer is not None:
        name, epoch, seq = request.producer
        known = state.producers.get(name)
        if known is not None and not _follows(known, epoch, seq):
            return _answer(state, new=False, epoch=epoch, seq=known.seq)
        if known is None and seq:
            raise ProducerGap(_MISSING, expected=0, received=seq)
        if known is None and _crowded(state, name):
            _check_producers(state, name, now)
    if request.seq is not None and state.seq is not None and not _above(request.seq, state.seq):
        raise StreamConflict("Stream-Seq: it is not above the one of the last append")
    _check_size(state.tail + len(request.data), rules)
    state = draft.put(request.data, now)
    if request.producer is not None:
        _remember(state, request.producer, now)
    if request.seq is not None:
        state.seq = request.seq
    _renew(state, request, now)
    if request.close:
        state.closed, state.closer = True, request.producer
    return _answer(state, new=True, epoch=epoch, seq=seq)


def touch(draft: Draft, now: float, rules: Rules) -> State:
    """Return a stream that is read, which prolongs its sliding lifetime. Raises as `found` does."""
    state = found(draft.state, now, rules)
    if state.ttl is not None and now - state.touched >= state.slack:
        state = draft.change()
        state.touched = now
    return state


def stop(draft: Draft, now: float, rules: Rules) -> Stop:
    """Ask the producer to end; asking again changes nothing. Returns what is known of it.

    Raises as `found` does.
    """
    state = found(draft.state, now, rules)
    if state.stop is None:
        state = draft.change()
        # Who has closed the stream has nothing more to hear.
        state.stop = Stop(now, now if state.closed else None, state.tail)
    return state.stop


def lapse(draft: Draft, now: float) -> None:
    """Close a stream whose producer was silent for longer than its lease.

    Readers get a typed end: the mark `lost`, and in a JSON stream a last message.
    """
    state = draft.state
    if state is None or state.deleted or state.closed or state.lease is None or now < state.leased:
        return
    state = draft.put(_end(now) if state.json else b"", now)
    state.closed = state.lost = True


def delete(draft: Draft, now: float, rules: Rules, *, closed: bool = False) -> Source | None:
    """Remove the stream, or only mark it as deleted while it has forks (5.4).

    With `closed` only one that is closed. Returns the source that is to be released. Raises as `found`
    does, `StreamConflict`.
    """
    state = found(draft.state, now, rules)
    if closed and not state.closed:
        raise StreamConflict("the stream is not closed: it was to be deleted only if it is")
    return remove(draft)


def expire(draft: Draft, now: float, rules: Rules) -> Source | None:
    """Remove an expired stream as `delete` does; one that has not expired stays."""
    state = draft.state
    return remove(draft) if state is not None and state.expired(now, rules.retention) else None


def release(draft: Draft) -> Source | None:
    """Let a source go that a fork had. Returns the source's own source, if it is removed, too."""
    if draft.state is None:
        return None
    state = draft.change()
    state.forks -= 1
    return remove(draft) if state.deleted and not state.forks else None


def remove(draft: Draft) -> Source | None:
    """Remove the stream, or mark it as deleted; returns the source that is to be released."""
    state = draft.state
    if state is None:
        return None
    if state.forks:
        draft.change().deleted = True
        return None
    draft.replace(None)
    return state.source


def _new(request: Create, content_type: str, now: float) -> State:
    return State(
        # No later stream of this name has a version of this one, unless the clock is set back.
        version=int(now * _MICROSECONDS),
        data=secrets.token_hex(8),
        content_type=content_type,
        created=now,
        touched=now,
        written=now,
        ttl=request.ttl,
        expires_at=request.expires_at,
    )


def _begun(draft: Draft, request: Create, now: float) -> Created:
    state = draft.put(request.data, now)
    state.closed = request.closed
    return _created(state, new=True)


def _created(state: State, *, new: bool) -> Created:
    return Created(new, state.content_type, state.tail, state.closed)


def _check_lifetime(request: Create) -> None:
    if request.ttl is not None and request.expires_at is not None:
        raise BadRequest("send Stream-TTL or Stream-Expires-At, and not both")


def _check_same(state: State, request: Create, wanted: str, *, source: Source | None) -> None:
    """Raise `StreamConflict` if the stream is not what the request would have made."""
    if state.deleted:
        raise StreamConflict(_GONE)
    inherits = source is not None and request.ttl is None and request.expires_at is None
    differs: dict[str, Callable[[], bool]] = {
        "content type": lambda: media_type(state.content_type) != wanted,
        "lifetime": lambda: (
            not inherits and (state.ttl, state.expires_at) != (request.ttl, request.expires_at)
        ),
        "end (open or closed)": lambda: state.closed != request.closed,
        "source": lambda: state.source != source,
    }
    for what, is_other in differs.items():
        if is_other():
            raise StreamConflict(f"the stream is there already, with another {what}")


def _check_size(size: int, rules: Rules) -> None:
    if size > rules.stream_bytes:
        raise StreamsFull(
            f"a stream may have at most {rules.stream_bytes} bytes: begin another one",
            parameters=["Rules.stream_bytes"],
        )


def _append_to_closed(state: State, request: Append) -> Appended:
    if request.producer is not None:
        name, epoch, seq = request.producer
        if request.producer == state.closer:
            return _answer(state, new=False, epoch=epoch, seq=seq)
        known = state.producers.get(name)
        if known is not None and epoch < known.epoch:
            raise StaleProducer(_STALE, epoch=known.epoch)
    elif not request.data and request.close:
        return _answer(state, new=False)
    raise StreamClosed("the stream is closed: nothing can be appended", tail=state.tail)


_STALE: Final = (
    "a newer instance of this producer writes: end, or begin an epoch above that in Producer-Epoch"
)
_MISSING: Final = "earlier appends of this producer are missing"


def _follows(known: Producer, epoch: int, seq: int) -> bool:
    """Return whether an append of a producer is new; False if the stream has it (5.2.1)."""
    if epoch < known.epoch:
        raise StaleProducer(_STALE, epoch=known.epoch)
    if epoch > known.epoch:
        if seq:
            raise BadRequest("Producer-Seq: a new epoch begins with 0")
        return True
    if seq > known.seq + 1:
        raise ProducerGap(_MISSING, expected=known.seq + 1, received=seq)
    return seq > known.seq


def _crowded(state: State, name: str) -> bool:
    """Return whether there is no place for one more producer."""
    return len(state.producers) >= MAX_PRODUCERS or state.names + _cost(name) > MAX_NAMES


def _cost(name: str) -> int:
    return len(name) + _PRODUCER


def _recent(state: State, now: float) -> dict[str, Producer]:
    """Return the producers that are not forgotten for a new one."""
    return {k: one for k, one in state.producers.items() if now - one.at <= PRODUCER_KEPT}


def _check_producers(state: State, name: str, now: float) -> None:
    """Raise `StreamsFull` if too few producers can be forgotten for a new one."""
    kept = _recent(state, now)
    if len(kept) >= MAX_PRODUCERS or sum(map(_cost, kept)) + _cost(name) > MAX_NAMES:
        raise StreamsFull(
            f"a stream may have {MAX_PRODUCERS} producers at a time, whose names have at most "
            f"{MAX_NAMES} bytes together: use another stream"
        )


def _remember(state: State, producer: tuple[str, int, int], now: float) -> None:
    name, epoch, seq = producer
    if name not in state.producers:
        if _crowded(state, name):
            state.producers = _recent(state, now)
        state.producers[name] = Producer(epoch, seq, now)
        state.names = sum(map(_cost, state.producers))
    else:
        state.producers[name] = Producer(epoch, seq, now)


def _renew(state: State, request: Append, now: float) -> None:
    """Renew the producer's lease, and take note of what it says of the stop."""
    if request.lease is not None:
        state.lease = request.lease
    if state.lease is not None:
        state.leased = now + state.lease
    asked = state.stop
    if asked is not None and asked.acknowledged is None and (request.acknowledge or request.close):
        state.stop = Stop(asked.asked, now, state.tail)


def _above(seq: str, last: str) -> bool:
    return seq.encode("utf-8", "surrogatepass") > last.encode("utf-8", "surrogatepass")


def _answer(state: State, *, new: bool, epoch: int = 0, seq: int = 0) -> Appended:
    return Appended(new, state.tail, state.closed, state.stop is not None, epoch, seq)


def _time_text(now: float) -> str:
    text = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _end(now: float) -> bytes:
    return msgspec.json.encode({**_LOST, "at": _time_text(now)}) + messages.END
