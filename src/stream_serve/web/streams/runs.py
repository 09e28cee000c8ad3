"""`RunReadable`: a run as a JSON stream, whose messages are its events in the native format.

A position is the number of the event before it: the offsets of a run are the numbers in its `id:` fields.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from stream_serve.errors import StreamServeError
from stream_serve.events import codec
from stream_serve.streams import messages
from stream_serve.streams.entry import Entry, Follower
from stream_serve.streams.service import Page
from stream_serve.streams.state import JSON, State

if TYPE_CHECKING:
    from stream_serve.runs.service import Runs
    from stream_serve.runs.subscription import Subscription

_ENDED: Final = frozenset({"completed", "stopped", "failed"})
_ENDS: Final = (b'{"type":"end"', b'{"type":"error"')
_log = structlog.stdlib.get_logger("stream_serve.web")


class RunReadable:
    """A run of an owner."""

    def __init__(self, runs: Runs, run_id: str, owner: str | None) -> None:
        self._runs = runs
        self._run_id = run_id
        self._owner = owner

    async def describe(self) -> State:
        """Return the run as a stream. Raises `RunNotFound`, `RunUnreachable`, `LogUnavailable`."""
        state = await self._runs.state(self._run_id, owner=self._owner)
        return self._state(state.newest, closed=state.state in _ENDED)

    async def read(self, start: int | None, most: int) -> Page:
        """Return events after a number. Raises as `describe`, and `CursorBeyondLog`, `LogLost`."""
        if start is None:
            state = await self.describe()
            return Page(b"", state.tail, state.tail, state)
        subscription = await self._subscribe(start)
        if subscription is None:
            return Page(b"", start, start, self._state(start, closed=True))
        try:
            data, end, closed = await self._events(subscription, start, most)
        finally:
            subscription.close()
        tail = end if closed else max(end, subscription.newest)
        return Page(data, start, end, self._state(tail, closed=closed))

    async def follow(self) -> Follower:
        """Return a follower, which is told of each event that comes. Raises as `describe`."""
        entry = Entry(("", self._run_id))
        entry.state = await self.describe()
        subscription = await self._subscribe(entry.state.tail)
        if subscription is None:
            entry.state = self._state(entry.state.tail, closed=True)
            return Follower(entry, lambda: None)
        task = asyncio.get_running_loop().create_task(self._feed(entry, subscription))

        def leave() -> None:
            task.cancel()
            subscription.close()

        return Follower(entry, leave)

    async def _subscribe(self, after: int) -> Subscription | None:
        return await self._runs.subscribe(self._run_id, owner=self._owner, after=after)

    async def _events(
        self, subscription: Subscription, start: int, most: int
    ) -> tuple[bytes, int, bool]:
        """Return the events that are there, the number of the last one, and whether it is the end."""
        pieces: list[bytes] = []
        size, end, closed = 0, start, False
        while end < subscription.newest and size < most and not closed:
            frames = await subscription.reader.read()
            if frames is None:
                break
            for number, value in codec.values(frames):
                pieces.append(value + messages.END)
                size += len(value)
                end, closed = number, value.startswith(_ENDS)
        return b"".join(pieces), end, closed

    async def _feed(self, entry: Entry, subscription: Subscription) -> None:
        """Tell a follower of the events of a run, until its end."""
        try:
            while (frames := await subscription.reader.read()) is not None:
                values = codec.values(frames)
                if values and entry.state is not None:
                    number, last = values[-1]
                    data = b"".join([value + messages.END for _, value in values])
                    state = self._state(number, closed=last.startswith(_ENDS))
                    entry.become(state, data, start=entry.state.tail)
        except StreamServeError as error:
            _log.warning("a run cannot be read on as a stream", error=str(error))
        if entry.state is not None and not entry.state.closed:
            entry.become(None)

    def _state(self, tail: int, *, closed: bool) -> State:
        return State(
            data=self._run_id,
            content_type=JSON,
            created=0.0,
            touched=0.0,
            written=0.0,
            tail=tail,
            closed=closed,
        )
