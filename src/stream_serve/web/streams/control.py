"""What the producer of a stream has to know, as it changes: `GET {stream}/control?live=sse`.

How it works: an event `control` has all of it, and comes at once and with each change: a stop is asked
for, it is acknowledged, the stream is closed, its lease has run out, it is removed. With the last three
the response ends. Appends are not told. So a producer that comes back needs no cursor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from stream_serve.web.stream import EventStream
from stream_serve.web.streams.live import Live
from stream_serve.web.streams.response import BROWSER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream_serve.streams.entry import Follower
    from stream_serve.streams.state import State
    from stream_serve.web.streams.readable import Readable

_EVENT: Final = b"event: control\ndata: %b\n\n"


class Control(Struct, frozen=True, rename="camel"):
    """What a producer is told."""

    stop_requested: bool
    stop_acknowledged: bool
    stream_closed: bool
    stream_lost: bool
    stream_deleted: bool


_DELETED: Final = Control(
    stop_requested=False,
    stop_acknowledged=False,
    stream_closed=False,
    stream_lost=False,
    stream_deleted=True,
)


def told(state: State) -> bytes:
    """Return what a producer is told of a state, as JSON."""
    return msgspec.json.encode(_of(state))


async def live(readable: Readable, *, heartbeat: float, headers: Mapping[str, str]) -> EventStream:
    """Return what a producer has to know, as it changes. Raises `StreamError`."""
    reader = ControlReader(await readable.follow())
    return EventStream(Live(reader), heartbeat=heartbeat, headers={**BROWSER, **headers})


class ControlReader:
    """Reads what changes for a producer."""

    def __init__(self, follower: Follower) -> None:
        state = follower.state
        self._follower = follower
        self._data = "" if state is None else state.data
        self._told: Control | None = None
        self._count = 0
        self._nudged = False
        follower.serve = self._serve

    @property
    def cursor(self) -> int:
        """A number that grows with every event."""
        return self._count

    @property
    def over(self) -> bool:
        """False: only `read` finds that out."""
        return False

    def there(self) -> bytes:
        """Return nothing: only `read` finds what is there."""
        return b""

    async def read(self, write: Callable[[bytes], bool] | None = None) -> bytes | None:
        """Return the next event, None at the end, `b""` after a nudge; see `eventlog.base.LogReader`."""
        del write
        while not self._follower.closed:
            now = self._now()
            if now != self._told:
                self._told = now
                self._count += 1
                return _EVENT % msgspec.json.encode(now)
            if now.stream_closed or now.stream_deleted:
                break
            if self._nudged:
                self._nudged = False
                return b""
            await self._follower.wait()
        return None

    def nudge(self) -> None:
        """Make a waiting `read` return `b""`."""
        self._nudged = True
        self._follower.nudge()

    def close(self) -> None:
        """Let go of the stream."""
        self._follower.close()

    def _now(self) -> Control:
        state = self._follower.state
        return _DELETED if state is None or state.data != self._data else _of(state)

    def _serve(self) -> bool:
        """Return whether the reader may go on waiting: an append is nothing new for it."""
        return self._now() == self._told


def _of(state: State) -> Control:
    asked = state.stop
    return Control(
        stop_requested=asked is not None,
        stop_acknowledged=asked is not None and asked.acknowledged is not None,
        stream_closed=state.closed,
        stream_lost=state.lost,
        stream_deleted=state.deleted,
    )
