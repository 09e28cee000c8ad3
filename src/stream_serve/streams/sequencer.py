"""`Sequencer`: takes the requests of each stream in order, decides them, and commits what they change.

How it works: requests wait in the stream's `Entry` until they are decided, on the state that this process
knows; whether that was the newest one, the commit tells. If another process was faster, the newest state
is loaded and all are decided again. An answer that changes nothing is given only on a state that was
loaded for it.

What changes several streams holds one of them, is decided on states that are loaded for it, and is the
only such change of its owner at a time in this process.
"""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from weakref import WeakValueDictionary

from stream_serve.errors import StreamServeError
from stream_serve.streams.base import FREE, Change
from stream_serve.streams.decisions import Draft
from stream_serve.streams.entry import Entry, Waiting
from stream_serve.streams.errors import StreamNotFound, StreamsFull, StreamsUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from stream_serve.streams.base import Quota, Store
    from stream_serve.streams.state import Key, State

ATTEMPTS: Final = 50
"""How often a change is decided again because others were faster, before the caller is told so."""

_MAX_ENTRIES: Final = 10_000
"""Streams that are known here without a reader or a writer; of others the state is loaded."""

_PIECE: Final = 1_048_576
"""As much as others have appended is read for all followers at once."""

_MOST: Final = 8_388_608
"""Bytes that requests bring which are decided together: they are one write of the store."""

_AGAIN: Final = 0.25
"""Seconds between two attempts to load a stream for its followers."""

_Answer = TypeVar("_Answer")


class Sequencer:
    """What this process knows of streams, and who waits for them. `retention` is that of the rules."""

    def __init__(
        self, store: Store, quota: Quota, *, retention: float, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._quota = quota
        self._retention = retention
        self._clock = clock
        self._entries: dict[Key, Entry] = {}
        self._most = _MAX_ENTRIES
        self._tasks: set[asyncio.Task[None]] = set()
        self._several: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.closed = False
        self.leaving = False

    def let_go(self) -> None:
        """Let go of all followers, who come back at another process; whoever comes now is refused."""
        self.leaving = True
        for entry in tuple(self._entries.values()):
            for follower in tuple(entry.followers):
                follower.close()

    async def close(self) -> None:
        """End. Whoever waits gets `StreamsUnavailable`, and followers their end."""
        self.closed = True
        self.let_go()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for entry in tuple(self._entries.values()):
            for one in entry.waiting:
                if not one.done.done():
                    one.done.set_exception(ending())
            entry.waiting.clear()

    def submit(
        self, key: Key, decide: Callable[[Draft], _Answer], *, free: bool = False
    ) -> asyncio.Future[_Answer]:
        """Decide a request when it is its turn; the future has the answer once it is committed.

        `decide` may run several times. A `free` request takes no notice of the quota. The future raises
        what `decide` does, `StreamsFull`, `StreamsUnavailable`. Cancelled, it was done or not.
        """
        entry = self.entry(key)
        done = asyncio.get_running_loop().create_future()
        if self.closed:
            done.set_exception(ending())
            return done
        one = Waiting(decide, done, free=free)
        if entry.known and not (entry.busy or entry.waiting):
            entry.busy = True
            self._work(entry, [one], fresh=False)
            return done
        entry.waiting.append(one)
        if not entry.busy:
            self._next(entry)
        return done

    @asynccontextmanager
    async def held(self, key: Key) -> AsyncGenerator[Entry]:
        """Have a stream alone in this process, and be the only one who changes several of its owner."""
        async with self._several.setdefault(key[0], asyncio.Lock()):
            entry = self.entry(key)
            granted = asyncio.get_running_loop().create_future()
            entry.waiting.append(Waiting(None, granted))
            if not entry.busy:
                self._next(entry)
            try:
                await granted
                yield entry
            finally:
                if granted.done() and not granted.cancelled() and granted.exception() is None:
                    self._next(entry)

    async def loaded(self, key: Key) -> Draft:
        """Return the newest state, to decide on."""
        return Draft(await self._store.load(key))

    async def commit(self, drafts: dict[Key, Draft]) -> bool:
        """Make all of the drafts true, or none. Returns False if another process was faster."""
        changed = {key: draft for key, draft in drafts.items() if draft.changed}
        if not changed:
            return True
        changes = [_change(key, draft, self._due(draft)) for key, draft in changed.items()]
        try:
            return await self._store.commit(changes, self._quota)
        finally:
            for key in changed:
                self.on_changed(key)

    def entry(self, key: Key) -> Entry:
        """Return what is known of a stream."""
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= self._most:
                self._entries = {k: one for k, one in self._entries.items() if not one.idle}
                # While many are in use, not each new one looks for others to forget.
                self._most = max(_MAX_ENTRIES, 2 * len(self._entries))
            entry = self._entries[key] = Entry(key)
        return entry

    def on_changed(self, key: Key | None) -> None:
        """Find out what has become of a stream that somebody else has changed; None: of all of them."""
        if key is None:
            for one in tuple(self._entries):
                self.on_changed(one)
            return
        entry = self._entries.get(key)
        if entry is None:
            return
        entry.known = False
        entry.due = None
        if entry.followers and not entry.reloading and not self.closed:
            entry.reloading = True
            self.spawn(self._show(entry))

    async def reload(self, entry: Entry) -> None:
        """Load the newest state, and the bytes that its followers lack."""
        while True:
            changes, before = entry.changes, entry.state
            entry.known = True
            state = await self._store.load(entry.key)
            data = await self._lacking(entry, before, state)
            if changes == entry.changes and entry.known:
                entry.become(state, data)
                return
            if entry.known and _is_as_new(entry.state, state):
                return  # a commit, or another one who loaded, was faster

    async def _lacking(self, entry: Entry, before: State | None, state: State | None) -> bytes:
        """Return what followers lack, if it is not too much and still there."""
        if not entry.followers or before is None or state is None or before.data != state.data:
            return b""
        if not 0 < state.tail - before.tail <= _PIECE:
            return b""
        try:
            return await self.bytes_of(state, before.tail, state.tail)
        except StreamNotFound:
            return b""

    async def bytes_of(self, state: State, start: int, end: int) -> bytes:
        """Return the bytes of a stream, its own and those of its ancestors."""
        pieces = [
            await self._store.read(one.data, one.start, one.end) for one in state.parts(start, end)
        ]
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if len(data) != end - start:
            raise StreamNotFound("the stream was deleted while it was read")
        return data

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the background, until the end, in the context of no request."""
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _next(self, entry: Entry) -> None:
        """Begin with what waits for a stream; nobody else is at it."""
        entry.busy = False
        while entry.waiting and entry.waiting[0].done.done():
            entry.waiting.popleft()
        if not entry.waiting or self.closed:
            return
        entry.busy = True
        if entry.waiting[0].decide is None:
            entry.waiting.popleft().done.set_result(None)
        elif entry.known:
            self._work(entry, entry.batch(), fresh=False)
        else:
            self.spawn(self._load_and_work(entry))

    async def _load_and_work(self, entry: Entry) -> None:
        """Decide what waits on the newest state."""
        try:
            await self.reload(entry)
        except StreamServeError as error:
            entry.known = False
            self._fail(entry, entry.batch(), error)
            return
        except BaseException:
            entry.known = False
            self._fail(entry, entry.batch(), ending())
            raise
        self._work(entry, entry.batch(), fresh=True)

    def _work(self, entry: Entry, batch: list[Waiting], *, fresh: bool) -> None:
        """Decide requests, and commit what they change."""
        if not batch:
            self._next(entry)
            return
        draft = Draft(entry.state)
        before = _tail(entry.state)
        answers: list[Any] = []
        for one in batch:
            if _tail(draft.state) - before >= _MOST:
                entry.put_back(batch[len(answers) :])
                del batch[len(answers) :]
                break
            try:
                answers.append(cast("Any", one.decide)(draft))
            except StreamServeError as error:
                answers.append(error)
            except Exception as error:  # noqa: BLE001 - a defect: raised where the requests wait
                self._fail(entry, batch, error)
                return
        if draft.changed:
            change = self._change(entry, draft)
            done = self._store.commit([change], FREE if batch[0].free else self._quota)
            if done.done():
                self._committed(entry, draft, batch, answers, done)
            else:
                done.add_done_callback(partial(self._committed, entry, draft, batch, answers))
        elif fresh:
            _settle(batch, answers)
            self._next(entry)
        else:
            self._again(entry, batch)

    def _again(self, entry: Entry, batch: list[Waiting]) -> None:
        """Decide on the newest state."""
        if self.closed:
            self._fail(entry, batch, ending())
        else:
            entry.put_back(batch)
            self.spawn(self._load_and_work(entry))

    def _committed(
        self,
        entry: Entry,
        draft: Draft,
        batch: list[Waiting],
        answers: list[Any],
        done: asyncio.Future[bool],
    ) -> None:
        """Tell who waited what has become of it, or decide again."""
        if done.cancelled():
            self._fail(entry, batch, ending())
            return
        error = done.exception()
        if error is None and done.result():
            entry.attempts = 0
            entry.become(draft.state, draft.data)
            _settle(batch, answers)
            if entry.alone:
                # One after another, and not one inside another.
                asyncio.get_running_loop().call_soon(self._next, entry)
            else:
                self._next(entry)
            return
        entry.due = None
        if error is None and entry.attempts < ATTEMPTS:
            entry.attempts += 1
            self._again(entry, batch)
        elif isinstance(error, StreamsFull) and len(batch) > 1:
            # Some of them may fit, each for itself.
            entry.alone = len(batch)
            entry.put_back(batch)
            self._work(entry, entry.batch(), fresh=False)
        else:
            entry.attempts = 0
            entry.known = entry.known and isinstance(error, StreamsFull)
            self._fail(entry, batch, error or busy())

    def _fail(self, entry: Entry, batch: list[Waiting], error: BaseException) -> None:
        for one in batch:
            if not one.done.done():
                one.done.set_exception(error)
        self._next(entry)

    def _change(self, entry: Entry, draft: Draft) -> Change:
        """Return the change that makes the draft true."""
        due = self._due(draft)
        if entry.due is not None and due is not None and self._clock() < entry.due <= due:
            # A time that moves on is written when the one before it has come: not with each append.
            return _change(entry.key, draft, None)
        entry.due = due
        return _change(entry.key, draft, due)

    def _due(self, draft: Draft) -> float | None:
        """Return when the stream is due next; None where there is none any more."""
        return None if draft.state is None else draft.state.due(self._retention)

    async def _show(self, entry: Entry) -> None:
        """Tell the followers what has changed, as soon as the store says it."""
        try:
            while entry.followers:
                try:
                    await self.reload(entry)
                except StreamServeError:
                    entry.known = False
                    await asyncio.sleep(_AGAIN)
                else:
                    return
        finally:
            entry.reloading = False


def _is_as_new(known: State | None, loaded: State | None) -> bool:
    """Return whether what is known is for sure no older than what was loaded."""
    return known is not None and loaded is not None and known.version >= loaded.version


def _change(key: Key, draft: Draft, due: float | None) -> Change:
    """Return the change that makes a draft true; `due` is when the stream is due, None: as before."""
    before, state = draft.before, draft.state
    version = 0 if before is None else before.version
    if state is None:
        if before is None:
            raise ValueError("nothing becomes nothing")
        size = before.tail - before.base + before.names
        return Change(
            key=key, version=version, state=None, data_id=before.data, streams=-1, bytes=-size
        )
    data = draft.data
    return Change(
        key=key,
        version=version,
        state=state,
        data_id=state.data,
        data=data,
        due=due,
        streams=before is None,
        bytes=len(data) + state.names - (0 if before is None else before.names),
    )


def _tail(state: State | None) -> int:
    return 0 if state is None else state.tail


def _settle(batch: list[Waiting], answers: list[Any]) -> None:
    """Give each request its answer, which is an error where it was refused."""
    for one, answer in zip(batch, answers, strict=True):
        if one.done.done():
            continue
        if isinstance(answer, StreamServeError):
            one.done.set_exception(answer)
        else:
            one.done.set_result(answer)


def ending() -> StreamsUnavailable:
    """Return the error of a request that comes too late."""
    return StreamsUnavailable("this process ends: try again")


def busy() -> StreamsUnavailable:
    """Return the error of a change that others have always been faster than."""
    return StreamsUnavailable("others change this stream faster than this process can: try again")
