"""`Entry`: what this process knows of one stream, and the requests that wait for it.

How it works: requests of one stream are decided one after another. All that wait when the one before has
been committed are decided together, and are one change of the store. A stream can
be held: whoever holds it has it alone in this process.

A follower is at a position. A change that begins there is passed to it as it is, and all followers share
what they make of it; any other follower reads from the store.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import structlog

from stream_serve.quotas.readers import both

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.streams.decisions import Draft
    from stream_serve.streams.state import Key, State

    Decide = Callable[[Draft], Any]

MAX_BATCH: Final = 1_000
"""Requests that are decided together."""

_log: Final = structlog.stdlib.get_logger("stream_serve.streams")


class Waiting:
    """A request that waits: how it is decided, and who is told; without `decide`, whoever holds.

    No quota is asked for a `free` one, which is decided alone.
    """

    __slots__ = ("decide", "done", "free")

    def __init__(
        self, decide: Decide | None, done: asyncio.Future[Any], *, free: bool = False
    ) -> None:
        self.decide = decide
        self.done = done
        self.free = free


class Piece:
    """The newest bytes of a stream, from `start` to `end`. `shared` is what its readers make of it."""

    __slots__ = ("data", "end", "shared", "start")

    def __init__(self, start: int, end: int, data: bytes) -> None:
        self.start = start
        self.end = end
        self.data = data
        self.shared: dict[str, bytes] = {}


class Entry:
    """A stream in this process. `state` is as it was when it was `known`; `due` is what the store has."""

    __slots__ = (
        "alone",
        "attempts",
        "busy",
        "changes",
        "due",
        "followers",
        "keeping",
        "key",
        "known",
        "piece",
        "reloading",
        "state",
        "waiting",
    )

    def __init__(self, key: Key) -> None:
        self.key = key
        self.state: State | None = None
        self.known = False
        self.due: float | None = None
        self.busy = False
        self.alone = 0
        self.changes = 0
        self.reloading = False
        self.attempts = 0
        self.waiting: deque[Waiting] = deque()
        self.followers: set[Follower] = set()
        self.piece: Piece | None = None
        self.keeping: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is lost if it is forgotten."""
        return not (self.busy or self.waiting or self.followers)

    def batch(self) -> list[Waiting]:
        """Take the requests that are decided next: all up to one that holds the stream."""
        most = 1 if self.alone else MAX_BATCH
        self.alone = max(0, self.alone - 1)
        taken: list[Waiting] = []
        while self.waiting and len(taken) < most and self.waiting[0].decide is not None:
            if taken and (taken[0].free or self.waiting[0].free):
                break
            one = self.waiting.popleft()
            if not one.done.done():  # else whoever asked has gone
                taken.append(one)
        return taken

    def put_back(self, batch: list[Waiting]) -> None:
        """Let requests wait again, before all others."""
        self.waiting.extendleft(reversed(batch))

    def become(self, state: State | None, data: bytes = b"", *, start: int | None = None) -> None:
        """Take note of the newest state, and of the bytes that it has more; tell the followers.

        The bytes begin at the position `start`; without it a position is one of a byte.
        """
        before = self.state
        self.state, self.known = state, True
        self.changes += 1
        if not self.followers:
            self.piece = None
            return
        if state is not None and data:
            start = state.tail - len(data) if start is None else start
            self.piece = Piece(start, state.tail, data)
        if (
            before is None
            or state is None
            or before.tail != state.tail
            or _told(before) != _told(state)
        ):
            for follower in tuple(self.followers):
                follower.changed()


def _told(state: State) -> tuple[object, ...]:
    """Return what followers are told of a stream, beside its bytes."""
    return state.data, state.closed, state.stop, state.deleted


class Follower:
    """A reader that waits for changes of a stream. It has to be closed.

    `serve`, if it is set, is called for each change, at once; it returns whether `wait` goes on waiting.
    """

    __slots__ = ("_on_close", "_waiter", "entry", "serve")

    def __init__(self, entry: Entry, on_close: Callable[[], None]) -> None:
        self.entry = entry
        self.serve: Callable[[], bool] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._on_close: Callable[[], None] | None = on_close
        entry.followers.add(self)

    @property
    def closed(self) -> bool:
        """Whether it was let go of, by its reader or because the process ends."""
        return self._on_close is None

    @property
    def state(self) -> State | None:
        """The newest state that is known here; None if the stream is gone."""
        return self.entry.state

    async def wait(self, timeout: float | None = None) -> None:
        """Wait for a change, or for `nudge`; closed, it does not wait. Raises `TimeoutError`."""
        if self.closed:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                await self._waiter
        finally:
            self._waiter = None

    def changed(self) -> None:
        """Serve the reader, and end its wait if it cannot be served."""
        if self._waiter is None:
            return
        try:
            served = self.serve is not None and self.serve()
        except Exception:  # noqa: BLE001
            # A defect of one reader, who meets it again; whoever writes, and the others, go on.
            _log.exception("a reader of a stream cannot be served, by a defect")
            served = False
        if not served:
            self.nudge()

    def then(self, leave: Callable[[], None]) -> None:
        """Call this, too, when it is closed; at once, if it is."""
        if self._on_close is None:
            leave()
        else:
            self._on_close = both(self._on_close, leave)

    def nudge(self) -> None:
        """End the wait; without one, do nothing."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """Let go of the stream; a wait ends. Twice is fine."""
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            self.entry.followers.discard(self)
            self.nudge()
            on_close()
