"""`Streams`: durable streams of this process, in whichever store.

How it works: `decisions` says what becomes of a stream, a `Store` keeps it, and the `Sequencer` takes the
requests of each stream in order. Reads go to the store; only followers are told what is new.

In the background, streams that are due are removed, or closed where a lease has run out.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
from msgspec import Struct

from stream_serve.errors import BadRequest, StreamServeError
from stream_serve.quotas.readers import Readers
from stream_serve.streams import decisions, messages
from stream_serve.streams.decisions import Append, Appended, Create, Created, Draft, Fork, Rules
from stream_serve.streams.entry import Entry, Follower
from stream_serve.streams.sequencer import ATTEMPTS, Sequencer, busy, ending
from stream_serve.streams.state import Source, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.streams.base import Quota, Store
    from stream_serve.streams.state import Key, Stop

_SWEEP: Final = 0.5
_SWEPT: Final = 500
_PUT_OFF: Final = 60.0
_LONGEST: Final = 10.0
"""Seconds that one stream may keep the others which are due."""

_GRACE: Final = 30.0
"""Seconds that a producer has to come back whose lease ran out while no process was there to hear it."""

_KEEPS: Final = 4
_KEEP: Final = 0.05
"""A stream with live readers is read again each fourth part of its lifetime, and not more often."""

_PIECE: Final = 1_048_576
_LOOK: Final = 16_384
"""As much is read first to find a last message, which is mostly short."""

_log = structlog.stdlib.get_logger("stream_serve.streams")


class Page(Struct, frozen=True):
    """What was read: `data` from `start` to `end`, of the stream as it was then."""

    data: bytes
    start: int
    end: int
    state: State

    @property
    def last(self) -> bool:
        """Whether it reaches the end of the stream."""
        return self.end == self.state.tail


class Streams:
    """The streams of all owners.

    `readers` counts those who follow; `clock` says the time in seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        rules: Rules,
        quota: Quota,
        *,
        readers: Readers | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self.rules = rules
        self._readers = readers or Readers()
        self._clock = clock
        self._put_off: dict[Key, float] = {}
        self._failing: set[Key] = set()
        self._opened = self._until = 0.0
        self._sequencer = Sequencer(store, quota, retention=rules.retention, clock=clock)

    @property
    def closed(self) -> bool:
        """Whether `close` was called: nothing can be done with any stream any more."""
        return self._sequencer.closed

    async def open(self) -> None:
        """Begin to see to what is due. Raises `StreamsUnavailable`."""
        await self._store.open(self._sequencer.on_changed)
        self._sequencer.spawn(self._sweep())

    def let_go(self) -> None:
        """Let go of all live readers: they come back with their offset, to another process."""
        self._sequencer.let_go()

    async def close(self) -> None:
        """End. Whoever waits gets `StreamsUnavailable`; what is committed stays."""
        await self._sequencer.close()
        await self._store.close()

    async def create(self, key: Key, request: Create) -> Created:
        """Make a stream, or find it as it should be. Raises as `decisions.create` does."""
        await self._clear(key)
        return await self._sequencer.submit(key, partial(self._decide, decisions.create, request))

    def append(self, key: Key, request: Append) -> asyncio.Future[Appended]:
        """Append, close, or both. The future raises as `decisions.append` does, `StreamsUnavailable`.

        Cancelled, it was appended or not.
        """
        return self._sequencer.submit(key, partial(self._decide, decisions.append, request))

    async def describe(self, key: Key) -> State:
        """Return the newest state. Raises `StreamNotFound`, `StreamGone`."""
        return decisions.found(await self._store.load(key), self._clock(), self.rules)

    async def read(self, key: Key, start: int | None, most: int) -> Page:
        """Read about `most` bytes from `start`, None for the end; of JSON whole messages.

        Raises `StreamNotFound`, `StreamGone`, and `BadRequest` for a position that is none.
        """
        state = await self.touch(key)
        return await self.page(state, state.tail if start is None else start, most)

    async def touch(self, key: Key) -> State:
        """Return the newest state for a reader, who prolongs a sliding lifetime. Raises as `describe`."""
        state = await self.describe(key)
        if state.ttl is not None and self._clock() - state.touched >= state.slack:
            return await self._sequencer.submit(key, self._touch)
        return state

    async def page(self, state: State, start: int, most: int) -> Page:
        """Return the bytes of a state from `start` on. Raises `BadRequest`, `StreamNotFound`."""
        if start > state.tail:
            raise BadRequest("offset: it is beyond the end of the stream")
        end = min(state.tail, start + most)
        if not state.json or start == state.tail:
            return Page(await self._sequencer.bytes_of(state, start, end), start, end, state)
        before = min(1, start)
        data = await self._sequencer.bytes_of(state, start - before, end)
        if before and not data.startswith(messages.END):
            raise BadRequest("offset: no message begins there: take the one of an earlier response")
        data = data[before:]
        whole = data.rfind(messages.END) + 1
        while not whole and end < state.tail:
            # One message is longer than what was asked for: it is read to its end.
            more = await self._sequencer.bytes_of(state, end, min(state.tail, end + _PIECE))
            found = more.find(messages.END) + 1
            whole = found and len(data) + found
            data += more
            end += len(more)
        return Page(data[:whole], start, start + whole, state)

    async def last(self, state: State) -> bytes:
        """Return the last message of a stream of JSON, without what ends it; nothing if it is empty.

        Raises `StreamNotFound`.
        """
        data, start, most = b"", state.tail, _LOOK
        while start and messages.END not in data[:-1]:
            before, start, most = start, max(0, start - most), most * 2
            data = await self._sequencer.bytes_of(state, start, before) + data
        return data[:-1].rpartition(messages.END)[2]

    async def fork(
        self, key: Key, request: Create, source: str, offset: int | None, sub: int
    ) -> Created:
        """Make a stream of the beginning of another one of the same owner; see `decisions.fork`.

        `offset` is the position, None for the end; `sub` counts messages, or bytes, from there.
        """
        await self._clear(key)
        origin, parent_key = Source(source, offset, sub), (key[0], source)
        for attempt in range(ATTEMPTS):
            async with self._sequencer.held(parent_key):
                parent, draft = (
                    await self._sequencer.loaded(parent_key),
                    await self._sequencer.loaded(key),
                )
                at = Fork(origin, await self._position(parent.state, offset, sub))
                now = self._clock()
                answer = decisions.fork(parent, draft, request, at, now, self.rules)
                if await self._sequencer.commit({parent_key: parent, key: draft}):
                    return answer
            await _pause(attempt)
        raise busy()

    async def delete(self, key: Key, *, closed: bool = False) -> None:
        """Remove a stream; while it has forks, only its name. With `closed` only one that is closed.

        Raises `StreamNotFound`, `StreamGone`, `StreamConflict`.
        """
        decide = partial(decisions.delete, closed=closed)
        await self._remove(key, lambda draft: decide(draft, self._clock(), self.rules))

    async def stop(self, key: Key) -> Stop:
        """Ask the producer to end; return what is known of it. Raises `StreamNotFound`, `StreamGone`."""
        return await self._sequencer.submit(
            key, lambda draft: decisions.stop(draft, self._clock(), self.rules)
        )

    async def follow(self, key: Key) -> Follower:
        """Return a follower of a stream, whose state is the newest, and which counts as a reader.

        Raises as `describe`, `TooManyReaders`, and `StreamsUnavailable` while the process ends.
        """
        leave = self._readers.admit(key[0])
        try:
            follower = await self.listen(key)
        except BaseException:
            leave()
            raise
        follower.then(leave)
        return follower

    async def listen(self, key: Key) -> Follower:
        """Return a follower as `follow` does, which counts as no reader: a job of this process."""
        if self._sequencer.leaving:
            raise ending()
        await self.touch(key)
        entry = self._sequencer.entry(key)
        if not entry.followers:
            self._store.watch(key)
        follower = Follower(entry, partial(self._unfollow, entry))
        try:
            # What has changed since the stream was looked at would be told to nobody.
            await self._sequencer.reload(entry)
            decisions.found(entry.state, self._clock(), self.rules)
        except BaseException:
            follower.close()
            raise
        self._keep(entry)
        return follower

    # What follows decides requests, one batch of a stream after another.

    def _decide(self, rule: Callable[..., Any], request: object, draft: Draft) -> Any:
        return rule(draft, request, self._clock(), self.rules)

    def _touch(self, draft: Draft) -> State:
        return decisions.touch(draft, self._clock(), self.rules)

    # What follows changes several streams at once.

    async def _remove(self, key: Key, decide: Callable[[Draft], Source | None]) -> None:
        """Remove a stream, and those that are only kept for it."""
        for attempt in range(ATTEMPTS):
            async with self._sequencer.held(key):
                drafts = {key: await self._sequencer.loaded(key)}
                source = decide(drafts[key])
                while source is not None:
                    parent = (key[0], source.path)
                    drafts[parent] = await self._sequencer.loaded(parent)
                    source = decisions.release(drafts[parent])
                if await self._sequencer.commit(drafts):
                    return
            await _pause(attempt)
        raise busy()

    async def _clear(self, key: Key) -> None:
        """Remove a stream that has expired, for a new one of its name."""
        state = await self._store.load(key)
        if state is not None and state.expired(self._clock(), self.rules.retention):
            await self._remove(key, self._expire)

    def _expire(self, draft: Draft) -> Source | None:
        return decisions.expire(draft, self._clock(), self.rules)

    async def _position(self, state: State | None, offset: int | None, sub: int) -> int:
        """Return the position that an offset and a sub-offset mean. Raises `BadRequest`."""
        if state is None:
            return 0
        start = state.tail if offset is None else offset
        if not state.json:
            if sub and start + sub > state.tail:
                raise BadRequest(_SUB)
            return start + sub
        while start <= state.tail:
            page = await self.page(state, start, _PIECE)
            place = messages.after(page.data, sub)
            if place is not None:
                return start + place
            if page.last:
                raise BadRequest(_SUB)
            sub -= page.data.count(messages.END)
            start = page.end
        return start

    def _unfollow(self, entry: Entry) -> None:
        if not entry.followers:
            self._store.unwatch(entry.key)
            entry.piece = None

    def _keep(self, entry: Entry) -> None:
        """Prolong the life of a stream while it has live readers (5.1, "TTL resets")."""
        if entry.keeping is not None or entry.state is None or entry.state.ttl is None:
            return
        # It goes on for as long as there are readers, in the context of none of them.
        entry.keeping = asyncio.get_running_loop().call_later(
            max(entry.state.ttl / _KEEPS, _KEEP), self._kept, entry, context=contextvars.Context()
        )

    def _kept(self, entry: Entry) -> None:
        entry.keeping = None
        if entry.followers and not self._sequencer.closed:
            self._sequencer.submit(entry.key, self._touch).add_done_callback(_look)
            self._keep(entry)

    async def _sweep(self) -> None:
        """See to streams that are due, for ever."""
        self._opened, self._until = self._clock(), time.monotonic() + _GRACE
        failed = False
        while True:
            await asyncio.sleep(_SWEEP)
            now = time.monotonic()
            self._put_off = {key: until for key, until in self._put_off.items() if until > now}
            try:
                # Those that are put off are due, too, and before all others.
                keys = await self._store.due(self._clock(), _SWEPT + len(self._put_off))
                failed = False
            except StreamServeError as error:
                log = _log.debug if failed else _log.warning
                where = error.for_operator or None
                log("it is not known which streams are due", error=str(error), server=where)
                failed = True
                continue
            for key in keys:
                if key not in self._put_off:
                    await self._try_to_see_to(key)

    async def _try_to_see_to(self, key: Key) -> None:
        """See to a stream that is due; one that cannot be is put off, and keeps no other one waiting."""
        try:
            async with asyncio.timeout(_LONGEST):
                await self._see_to(key)
            self._failing.discard(key)
        except Exception as error:  # noqa: BLE001 - a defect: it is logged, and others go on
            self._put_off[key] = time.monotonic() + _PUT_OFF
            known = error if isinstance(error, StreamServeError) else None
            log = _log.debug if key in self._failing else _log.warning
            self._failing.add(key)
            log(
                "a stream that is due cannot be seen to: it is put off",
                path=key[1],
                error=str(error),
                server=(known.for_operator or None) if known else None,
                exc_info=None if known else error,
            )

    async def _see_to(self, key: Key) -> None:
        """Remove a stream that has expired, end one whose producer is gone, or say when it is due."""
        state = await self._store.load(key)
        if state is not None and state.expired(self._clock(), self.rules.retention):
            await self._remove(key, self._expire)
        elif state is not None and self._may_come_back(state):
            self._put_off[key] = self._until
        else:
            # Where the owner has no room left, the end is told to the readers all the same.
            await self._sequencer.submit(key, self._lapse, free=True)

    def _may_come_back(self, state: State) -> bool:
        """Return whether a lease ran out while no process was there, not long ago."""
        leased = state.lease is not None and not state.closed
        return leased and state.leased <= self._opened and time.monotonic() < self._until

    def _lapse(self, draft: Draft) -> None:
        decisions.lapse(draft, self._clock())
        if draft.state is not None:
            draft.change()  # with it goes the time when it is due next


def _look(done: asyncio.Future[Any]) -> None:
    """Take note of how something ended that nobody waits for."""
    if not done.cancelled():
        done.exception()


async def _pause(attempt: int) -> None:
    await asyncio.sleep(random.uniform(0, 0.002 * (attempt + 1)))  # noqa: S311 - not a secret


_SUB: Final = "Stream-Fork-Sub-Offset: it is beyond the end of the source"
