"""Mirrors: the logs of other processes that somebody reads in this one.

How it works: a mirror is filled from Redis, from the first frame of the log on, and is shared by all
readers of that log in this process. The frames of one epoch arrive through the one blocking reader of
the process. Mirrors that received nothing for a while are checked. If the epoch of the log has changed
(another process recovered the log, or its writer had to write it again), the mirror reads the new stream
from its beginning, and adds the frames that it does not have. If the log does not exist, or was marked
as ended without its end, its writer has some time to write it again. After that the mirror is lost.

A mirror accepts a frame only if it has the next number, or if its entry says that numbers were skipped.
Frames that the mirror has already must arrive unchanged. Anything else means that frames are lost.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import structlog

from stream_serve.errors import LogLost, LogNotFound, LogUnavailable
from stream_serve.eventlog.frames import Frames, FramesReader, split
from stream_serve.eventlog.redis import keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_serve.cluster.redis.client import RedisClient
    from stream_serve.cluster.redis.listener import Listener

    Fields = Mapping[bytes, bytes]
    Entry = tuple[bytes, Fields]

_log = structlog.stdlib.get_logger("stream_serve.eventlog")

_CHECK_EVERY: Final = 1.0
_CHECKED_AT_ONCE: Final = 200
_PAGE: Final = 500
"""Entries that are loaded in one call."""
_AGAIN: Final = 0.1


def first_of(entry_id: bytes) -> int:
    """Return the number of an entry's first frame."""
    return int(entry_id.partition(b"-")[0])


def frames_of(fields: Fields) -> list[bytes]:
    """Return the frames of an entry. Raises `LogLost` for an entry that no writer of ours made."""
    data, lengths = fields.get(b"d"), fields.get(b"n")
    if data is None or (lengths is not None and len(lengths) % 4):
        raise LogLost("the log has an entry that no process of this service wrote")
    if lengths is None:
        return [data]
    return split(data, lengths)


class Mirror:
    """The frames of another process's log, as far as they have arrived."""

    __slots__ = ("_mirrors", "_missing_since", "_readers", "epoch", "frames", "moved", "name")

    def __init__(self, name: str, epoch: str, mirrors: Mirrors) -> None:
        self.name = name
        self.epoch = epoch
        self.frames = Frames()
        self.moved = True
        """True if something arrived since the last check."""
        self._readers = 0
        self._missing_since: float | None = None
        self._mirrors = mirrors

    @property
    def key(self) -> str:
        """The key of the stream that is read."""
        return keys.frames(self.name, self.epoch)

    @property
    def over(self) -> bool:
        """True if nothing more will arrive."""
        return self.frames.finished or self.frames.lost

    def reader(self, after: int) -> FramesReader:
        """Return a new reader. The mirror exists as long as it has readers."""
        self._readers += 1
        return FramesReader(self.frames, after, self._let_go)

    def is_still(self) -> bool:
        """Return whether nothing has arrived since the last call, and more may arrive."""
        moved, self.moved = self.moved, False
        if moved:
            self._missing_since = None
        return not moved and not self.over

    def found(self) -> None:
        """Record that the stream exists, or that nobody knows."""
        self._missing_since = None

    def is_gone(self, patience: float) -> bool:
        """Record that the stream is missing, and return whether it has been for `patience` seconds."""
        now = time.monotonic()
        if self._missing_since is None:
            self._missing_since = now
        return now - self._missing_since > patience

    def switch(self, epoch: str) -> None:
        """Go on with the stream of another epoch, which is read from its beginning."""
        self.epoch = epoch
        self._missing_since = None

    def receive(self, entries: Sequence[Entry]) -> None:
        """Add the entries that arrived."""
        self.moved = True
        for entry_id, fields in entries:
            try:
                self._add(first_of(entry_id), frames_of(fields), skipped=b"g" in fields)
            except LogLost as error:
                _log.warning(str(error), log=self.name, after=self.frames.last)
                self._mirrors.lose(self)
                return
            if b"e" in fields:
                self.frames.finish()
                self._mirrors.end(self)
                return

    def _add(self, first: int, frames: list[bytes], *, skipped: bool) -> None:
        """Add the frames that are new. Raises `LogLost` when they do not follow the others."""
        mine = self.frames
        if first > mine.last + 1 and skipped:
            mine.skip(first - 1)
        if first > mine.last + 1 or (not frames and first != mine.last + 1):
            raise LogLost("frames of the log are missing")
        place = mine.place(first - 1)
        known = mine.list[place : place + len(frames)]
        if known != frames[: len(known)]:
            raise LogLost("the log has other frames now than before")
        if len(known) < len(frames):
            mine.append(frames[len(known) :])

    def _let_go(self) -> None:
        self._readers -= 1
        if not self._readers:
            self._mirrors.forget(self)


class Mirrors:
    """The mirrors of this process, by the names of their logs.

    A writer has `patience` seconds to write again what Redis has lost.
    """

    def __init__(self, client: RedisClient, listener: Listener, *, patience: float) -> None:
        self._client = client
        self._listener = listener
        self._patience = patience
        self._mirrors: dict[str, Mirror] = {}
        self._loading: dict[Mirror, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start the task that checks the mirrors."""
        self._task = asyncio.create_task(self._check_all(), name="mirrors")
        self._task.add_done_callback(_log_defect)

    async def close(self) -> None:
        """Stop following the logs. Reads that wait go on waiting."""
        for mirror in list(self._mirrors.values()):
            self.forget(mirror)
        # More than once, for a cancellation may get lost: `asyncio.wait_for` of 3.11 does that.
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_AGAIN)

    async def read(self, name: str, after: int) -> FramesReader:
        """Return a reader of another process's log. Raises `LogNotFound`, `LogUnavailable`."""
        reply: bytes | None = await self._client.run("HGET", keys.meta(name), "epoch")
        if reply is None:
            raise LogNotFound(name)
        epoch = reply.decode()
        mirror = self._mirrors.get(name)
        if mirror is not None and _birth(mirror.epoch) != _birth(epoch):
            # The name was used again, so nothing can follow for the readers of the old log.
            self.lose(mirror)
            mirror = None
        if mirror is None:
            mirror = self._mirrors[name] = Mirror(name, epoch, self)
            self._follow(mirror)
        return mirror.reader(after)

    def lose(self, mirror: Mirror) -> None:
        """Tell the readers that the next frames are lost, and forget the mirror."""
        mirror.frames.lose()
        self.forget(mirror)

    def end(self, mirror: Mirror) -> None:
        """Stop following the log of a mirror."""
        self._listener.unwatch(mirror.key)
        if (task := self._loading.pop(mirror, None)) is not None:
            task.cancel()

    def forget(self, mirror: Mirror) -> None:
        """Stop following the log of a mirror, and give the next reader another mirror."""
        self.end(mirror)
        if self._mirrors.get(mirror.name) is mirror:
            del self._mirrors[mirror.name]

    def _follow(self, mirror: Mirror) -> None:
        """Begin to follow a stream from its beginning."""
        task = asyncio.create_task(self._load(mirror), name="mirror")
        self._loading[mirror] = task
        task.add_done_callback(_log_defect)

    async def _load(self, mirror: Mirror) -> None:
        """Read the existing entries in large pages, then let the listener follow with its small ones."""
        after = b"0-0"
        full = True
        while full:
            words = (mirror.key, b"(" + after, "+", "COUNT", _PAGE)
            try:
                page: list[Entry] = await self._client.run("XRANGE", *words)
            except LogUnavailable:
                # The listener goes on from here as soon as Redis is back.
                break
            if page:
                after = page[-1][0]
                mirror.receive(page)
            full = len(page) == _PAGE
        if self._loading.pop(mirror, None) is not None and not mirror.over:
            self._listener.watch(mirror.key, after, mirror.receive)

    async def _check_all(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_EVERY)
            still = [mirror for mirror in self._mirrors.values() if mirror.is_still()]
            for place in range(0, len(still), _CHECKED_AT_ONCE):
                await self._check(still[place : place + _CHECKED_AT_ONCE])

    async def _check(self, mirrors: list[Mirror]) -> None:
        """Find out whether the logs still exist under the epochs that are followed."""
        pipeline: Any = self._client.redis.pipeline(transaction=False)
        for mirror in mirrors:
            pipeline.hmget(keys.meta(mirror.name), "epoch", "ended")
            pipeline.exists(mirror.key)
        try:
            replies: list[Any] = await self._client.call(pipeline.execute())
        except LogUnavailable:
            for mirror in mirrors:
                # As soon as Redis is back, the writer needs its time to find out what is missing.
                mirror.found()
            return
        for mirror, (epoch, ended), stream in zip(
            mirrors, replies[::2], replies[1::2], strict=True
        ):
            if self._mirrors.get(mirror.name) is mirror and not mirror.over and not mirror.moved:
                self._judge(mirror, epoch and epoch.decode(), whole=bool(stream and not ended))

    def _judge(self, mirror: Mirror, epoch: str | None, *, whole: bool) -> None:
        if epoch is not None and epoch != mirror.epoch:
            if _birth(epoch) == _birth(mirror.epoch):
                self.end(mirror)
                mirror.switch(epoch)
                self._follow(mirror)
            else:
                self.lose(mirror)
        elif epoch is not None and whole:
            mirror.found()
        elif mirror.is_gone(self._patience):
            _log.warning("a log was lost before its end", log=mirror.name)
            self.lose(mirror)


def _birth(epoch: str) -> str:
    """Return the part that all epochs of one log share, and that no other log of its name has."""
    return epoch.partition(".")[0]


def _log_defect(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("logs of other processes cannot be followed, by a defect", exc_info=error)
