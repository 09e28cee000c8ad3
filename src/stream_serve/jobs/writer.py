"""`Writer`: brings what a job says to its place, in order, and keeps its lease.

How it works: one task sends one append after the other. Between the beginnings of two there are at least
`PAUSE` seconds: the first message after a silence goes at once, and what comes in a flood goes together.
Without messages an empty append renews the lease, three times in its length. An append that failed and
may succeed later is sent again, as it was; one that is too large is divided. What cannot be mended ends
the task: from then on `put` and `flush` raise it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from random import randrange
from typing import TYPE_CHECKING, Final, TypeVar

from stream_serve.errors import BodyTooLarge, StreamServeError
from stream_serve.jobs import messages
from stream_serve.jobs.errors import JobEnded, JobError, JobTaken
from stream_serve.jobs.outbox import MAX_WAITING, Outbox
from stream_serve.jobs.patience import Patience, Tries
from stream_serve.streams.errors import (
    ProducerGap,
    StaleProducer,
    StreamClosed,
    StreamConflict,
    StreamNotFound,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stream_serve.jobs.base import Place

    T = TypeVar("T")

LEASE: Final = 30.0
"""Seconds after which a job that is silent is taken for dead."""
PAUSE: Final = 0.02
"""So long may a message wait for others, which is not seen; fifty appends a second are no burden."""

_RENEWALS: Final = 3
_ROUNDS: Final = 100
"""How often others may be faster while a job is opened."""

_MICROSECONDS: Final = 1_000_000


class Writer:
    """Writes a job to `place`. It belongs to one event loop, and has to be closed."""

    def __init__(
        self,
        place: Place,
        *,
        lease: float = LEASE,
        patience: Patience | None = None,
        most: int = MAX_WAITING,
    ) -> None:
        self._place = place
        self._lease = lease
        self._patience = patience or Patience()
        self._outbox = Outbox(lease=lease, most=most)
        self._work = asyncio.Event()
        self._moved = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._hurried = False
        self.failure: StreamServeError | None = None
        """Why nothing is written any more."""
        self.away: StreamServeError | None = None
        """Why the last try failed, where it is tried again."""
        self.dropped = 0
        """How many messages `offer` has dropped."""
        self.stopped = asyncio.Event()
        """Set when somebody has asked the job to stop."""
        self.resumed = False
        """Whether the stream was there before."""

    @property
    def full(self) -> bool:
        """Whether as much waits as may."""
        return self._outbox.full

    @property
    def unsent(self) -> int:
        """How many messages the stream does not have, as far as it is known."""
        return self._outbox.said - self._outbox.kept

    async def open(self, *, again: bool = False) -> None:
        """Open the stream, so that nobody who opened it before can write to it any more.

        Where it has ended, `again` removes it and begins anew. Raises `JobEnded`, `StreamConflict`, and
        whatever else the place answers for good. Cancelled, the stream may have been opened.
        """
        await asyncio.shield(self.begin(again=again))

    def begin(self, *, again: bool = False) -> asyncio.Future[None]:
        """Begin to open the stream, and to send what is said; the future is as `open`."""
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sending = asyncio.create_task(self._live(opened, again=again), name="job")
        return opened

    async def put(self, message: bytes) -> None:
        """Let a message wait for its append, as soon as there is room.

        Raises why there will be none, and `ValueError` for one that is larger than all that may wait.
        """
        if len(message) > MAX_WAITING:
            raise ValueError(f"a message may have at most {MAX_WAITING} bytes: write it in parts")
        await asyncio.sleep(0)  # else a body that only speaks would let nobody send
        while self._outbox.full and self.failure is None:
            await self._moved.wait()
        self.check()
        self._outbox.put(message)
        self._work.set()

    async def offer(self, message: bytes) -> bool:
        """Let a message wait, or drop it if there is no room and nothing can be sent; never raises.

        After the end there is nothing to be said: that is not counted as dropped.
        """
        while self._outbox.full and self.failure is None and self.away is None:
            await self._moved.wait()
        if self._outbox.ended:
            return False
        if self.failure is not None or self._outbox.full:
            self.dropped += 1
            return False
        self._outbox.put(message)
        self._work.set()
        return True

    async def flush(self) -> None:
        """Wait until the stream has all that was said before. Raises why it never will."""
        wanted = self._outbox.said
        self._hurried = True
        self._work.set()
        while self._outbox.kept < wanted and self.failure is None:
            await self._moved.wait()
        if self._outbox.kept < wanted:
            self.check()

    async def finish(self, end: bytes) -> None:
        """Say the last message, and wait until the stream has it and is closed. Raises as `flush`."""
        self.check()
        if not self._outbox.given_up:
            self._outbox.put(end, last=True)
        await self.flush()

    async def close(self) -> None:
        """Let go. Without `finish` the stream ends when the lease is over."""
        for task in (self._sending, self._watching):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})

    def check(self) -> None:
        """Raise why nothing is written any more, if that is so."""
        if self.failure is not None:
            # A new one each time, since the traceback of one that is raised again grows.
            raise self.failure.with_traceback(None)

    async def moved(self) -> None:
        """Wait until something has been sent, or could not be."""
        await self._moved.wait()

    async def _live(self, opened: asyncio.Future[None], *, again: bool) -> None:
        """Open the stream, and then send and listen."""
        try:
            await self._claim(again=again)
        except Exception as error:  # noqa: BLE001 - whoever opens it is told
            self._fail(error if isinstance(error, StreamServeError) else _defect(error))
            opened.set_exception(error)
            opened.exception()  # nobody may wait for it
            return
        except BaseException:
            opened.cancel()
            raise
        self._watching = asyncio.create_task(self._watch(), name="job's stop")
        opened.set_result(None)
        try:
            await self._send()
        finally:
            self._watching.cancel()

    async def _claim(self, *, again: bool) -> None:
        """Be the one who writes the stream. What others do meanwhile is looked at anew."""
        epoch = _epoch()
        for _ in range(_ROUNDS):
            if not await self._prepare(again=again):
                continue
            first = self._outbox.begin(epoch)
            try:
                self._heard(await self._ask(partial(self._place.append, first)))
            except StaleProducer as newer:
                epoch = _epoch(newer.epoch)
            except (StreamClosed, StreamNotFound):
                continue  # it was there a moment ago
            else:
                return
        raise JobTaken("others open and end this job all the time: use another name")

    async def _prepare(self, *, again: bool) -> bool:
        """Make the stream, if it is not there. Returns False where others were faster with that."""
        found = await self._ask(self._place.find)
        if found is not None and not found.json:
            raise StreamConflict("the stream is there already, and not of JSON: use another name")
        if found is not None and found.closed and not again:
            how = "was lost" if found.lost else "has ended"
            raise JobEnded(f"the job {how}: use another name, or begin it again (again=True)")
        self.resumed = found is not None and not found.closed
        try:
            if found is not None and found.closed:
                with suppress(StreamNotFound):  # it is gone already
                    await self._ask(self._place.remove)
            if not self.resumed:
                await self._ask(self._place.create)
        except StreamConflict:
            return False
        return True

    async def _send(self) -> None:
        """Send one append after the other, until the last one or for as long as it can be."""
        try:
            over = False
            while not over:
                over = await self._send_next()
                self._tell()
        except StreamServeError as error:
            self._fail(_for_job(error))
        except Exception as error:  # noqa: BLE001 - whoever speaks is told, and would wait for ever else
            self._fail(_defect(error))

    async def _send_next(self) -> bool:
        """Send what is to be sent next, or a part of it; return whether it was the last."""
        await self._due()
        batch = self._outbox.take()
        try:
            self._heard(await self._ask(partial(self._place.append, batch)))
        except BodyTooLarge as error:
            if self.away is not None and await self._was_taken():
                self._outbox.probed()
                return batch.last
            if not self._outbox.divide():
                await self._give_up(len(batch.messages[0]) if batch.messages else 0, error)
            return False
        self._outbox.sent()
        return batch.last

    async def _was_taken(self) -> bool:
        """Return whether the stream has an append whose answer was lost before it was refused."""
        try:
            self._heard(await self._ask(partial(self._place.append, self._outbox.probe())))
        except ProducerGap:
            return False
        return True

    async def _give_up(self, size: int, error: BodyTooLarge) -> None:
        """Say that the job has failed, since a message is too large for its place; raise that."""
        why = BodyTooLarge(f"a message of {size} bytes cannot be written: {error}")
        end = messages.end("failed", error=messages.words_of(why))
        with suppress(BodyTooLarge):  # then the stream ends with the lease
            await self._ask(partial(self._place.append, self._outbox.give_up(end)))
        raise why

    def _fail(self, why: StreamServeError) -> None:
        self.failure = why
        self._tell()

    async def _due(self) -> None:
        """Wait until there is something to send, or the lease is to be renewed."""
        begun = asyncio.get_running_loop().time()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(begun + self._lease / _RENEWALS):
                while not self._outbox.waits:
                    self._work.clear()
                    await self._work.wait()
                rest = begun + PAUSE
                while not (self._hurried or self._outbox.full) and self._now() < rest:
                    self._work.clear()
                    with suppress(TimeoutError):
                        async with asyncio.timeout_at(rest):
                            await self._work.wait()
        self._hurried = False

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """Ask the place, again and again where that may help. Raises what it answers for good."""
        tries = Tries(self._patience)
        while True:
            try:
                answer = await call()
            except StreamServeError as error:
                if not error.retryable:
                    raise
                pause = tries.pause(error, error.retry_after)
                self.away = error
                self._tell()
                await asyncio.sleep(pause)
            else:
                self.away = None
                return answer

    async def _watch(self) -> None:
        try:
            await self._place.stopped()
        except StreamServeError:
            return  # whatever it is, the next append meets it
        self._heard(True)

    def _heard(self, stop: bool) -> None:
        if stop:
            self.stopped.set()

    def _tell(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _epoch(known: int = 0) -> int:
    """Return an epoch above all before, and that no other worker begins at this moment."""
    return max(int(time.time() * _MICROSECONDS), known + 1 + randrange(_MICROSECONDS))  # noqa: S311


def _defect(error: Exception) -> JobError:
    return JobError(f"the job cannot be written any more: {messages.words_of(error)}")


def _for_job(error: StreamServeError) -> StreamServeError:
    """Return what an error of the stream means for a job."""
    if isinstance(error, StaleProducer):
        return JobTaken("another worker has opened this job: end, and leave it to that one")
    if isinstance(error, StreamClosed):
        return JobEnded(
            "the job's stream has ended: nothing came for longer than its lease, or somebody closed it"
        )
    if isinstance(error, StreamNotFound):
        return JobEnded("the job's stream was removed")
    return error
