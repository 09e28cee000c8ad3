"""`EventsReader`: a JSON stream in the words of a run's events, for whatever reads runs.

How it works: each message is an event, and its `id:` is the offset behind it: what a reader comes back
with. A stream whose last message is a typed end, such as a job's, has said how it ended. Any other one
that is closed ends with `{"type":"end","finishReason":"completed"}`; the number of that is past the end
of the stream, so that a reader who has had it asks for nothing more. An `error` has no number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec import Struct

from stream_serve.errors import BadRequest
from stream_serve.events import codec, sse
from stream_serve.streams import messages
from stream_serve.streams.decisions import NOT_FOUND
from stream_serve.streams.errors import StreamConflict, StreamNotFound
from stream_serve.web import problems
from stream_serve.web.body import invalid
from stream_serve.web.streams.live import Live, LiveReader
from stream_serve.web.streams.readable import StreamReadable

if TYPE_CHECKING:
    from starlette.requests import Request

    from stream_serve.errors import StreamServeError
    from stream_serve.streams.entry import Follower, Piece
    from stream_serve.streams.service import Streams
    from stream_serve.streams.state import Key, State
    from stream_serve.web.streams.readable import Readable

_MAX_DIGITS: Final = 16
_FRAME: Final = b"id: %016d\ndata: %b\n\n"
_END: Final = b'{"type":"end","finishReason":"completed"}'
_SAID: Final = b"finishReason"
_NAME: Final = "events"
_ENDED: Final = "ended"
_CURSOR: Final = "should be the id of an event of this stream"
_OTHER: Final = (
    "the stream's type is {}, and only the messages of a stream of application/json can be read as "
    "events: read this one at /v1/stream/"
)


class _End(Struct, rename="camel"):
    """The last message of a job."""

    type: Literal["end"]
    finish_reason: str


def cursor_of(request: Request) -> int:
    """Return the position behind the last event that a client has, 0 for none. Raises `InvalidFields`."""
    for name, text in (
        ("Last-Event-ID", request.headers.get("last-event-id")),
        ("after", request.query_params.get("after")),
    ):
        if text:
            if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
                raise invalid(name, _CURSOR)
            return int(text)
    return 0


async def follow(streams: Streams, key: Key, after: int) -> Events | None:
    """Return the events of a stream after a position; None if it is closed and was read to its end.

    Raises `StreamError`, `StreamConflict` for a stream that is not of JSON, `InvalidFields`.
    """
    follower = await streams.follow(key)
    try:
        state = _json(follower)
        ends = await _look(streams, state, after)
        if state.closed and (after > state.tail or ends):
            follower.close()
            return None
        reader = EventsReader(StreamReadable(streams, key), follower, after, ends=ends)
        return Events(reader, newest=state.tail)
    except BaseException:
        follower.close()
        raise


def _json(follower: Follower) -> State:
    """Return what is known of a stream. Raises `StreamNotFound`, `StreamConflict`."""
    state = follower.state
    if state is None:
        raise StreamNotFound(NOT_FOUND)
    if not state.json:
        raise StreamConflict(_OTHER.format(state.content_type))
    return state


async def _look(streams: Streams, state: State, after: int) -> bool:
    """Return whether the message before a position is the stream's last one, and a typed end.

    Raises `InvalidFields` for a position that no event has.
    """
    if after == state.tail:
        return is_end(await streams.last(state))
    if not (state.closed and after == state.tail + 1):
        try:
            await streams.page(state, after, 1)
        except BadRequest:
            raise invalid("after", _CURSOR) from None
    return False


def is_end(message: bytes) -> bool:
    """Return whether a message is the end of a job."""
    if _SAID not in message:
        return False
    try:
        msgspec.json.decode(message, type=_End)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


def frames(data: bytes, end: int) -> bytes:
    """Return the events of messages that end at a position."""
    position = end - len(data)
    found: list[bytes] = []
    for message in data.split(messages.END)[:-1]:
        position += len(message) + 1
        found.append(_FRAME % (position, message))
    return b"".join(found)


class Events(Live):
    """The events of a stream, as responses take them; `newest` is its end when they began."""

    reader: EventsReader

    def __init__(self, reader: EventsReader, *, newest: int) -> None:
        super().__init__(reader)
        self.newest = newest

    @property
    def redirected(self) -> bool:
        """Whether the client is to come back for the rest."""
        return self.reader.interrupted


class EventsReader(LiveReader):
    """A reader from `start` on; `ends` says that the message before that is a typed end."""

    _life = None

    def __init__(self, readable: Readable, follower: Follower, start: int, *, ends: bool) -> None:
        super().__init__(readable, follower, start, None)
        self._ends = ends

    def _shared(self, piece: Piece, state: State) -> bytes | None:
        """Return the events of a change, as all readers have it."""
        found = piece.shared.get(_NAME)
        if found is None:
            found = piece.shared[_NAME] = self._event(piece.data, piece.end)
            piece.shared[_ENDED] = b"1" if self._ends else b""
        self._ends = bool(piece.shared[_ENDED])
        self._position = piece.end
        return found + self._control(state, up_to_date=True)

    def _event(self, data: bytes, end: int) -> bytes:
        last = data.rfind(messages.END, 0, len(data) - 1) + 1
        self._ends = is_end(data[last:])
        return frames(data, end)

    def _control(self, state: State, *, up_to_date: bool) -> bytes:
        """Return the end of a stream that has said none itself."""
        del up_to_date
        if state.closed and self._position == state.tail and not self._ends:
            return _FRAME % (state.tail + 1, _END)
        return b""

    def _gone(self) -> None:
        if not self._ended:
            self._kept = _told(StreamNotFound("the stream was deleted, or has expired"))
        super()._gone()

    def _failed(self, error: StreamServeError) -> bytes | None:
        super()._failed(error)
        return None if error.retryable else _told(error)


def _told(error: StreamServeError) -> bytes:
    return sse.UNNUMBERED % codec.encode(problems.event(error))
