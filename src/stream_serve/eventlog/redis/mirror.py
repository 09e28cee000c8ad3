"""Mirrors: the logs of other processes that somebody reads in this one.

How it works: a mirror is filled from Redis, from the log's first frame on, and is shared by all who
read the log here. What was written under one epoch comes through the process's one blocking reader.
Now and then the mirrors on which nothing came are looked at: where the epoch is another one (a process
took the log over, or its writer had to write it again), the mirror reads the new stream from its
beginning and goes on behind what it has. Where the log is not there, or ended without an end, its
writer has some time to write it again; then what follows is lost.

A mirror takes a frame only with the number that comes next, or past one that says itself that numbers
were left out. What it has already must come again as it was. Anything else means that frames are gone.
"""

from __future__ import annotations

import asyncio
import struct
import time
from typing import TYPE_CHECKING, Any, Final

import structlog

from stream_serve.cluster.redis import keys
from stream_serve.errors import LogLost, LogNotFound, LogUnavailable
from stream_serve.eventlog.frames import Frames, FramesReader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_serve.cluster.redis.client import Link
    from stream_serve.cluster.redis.listener import Listener

    Fields = Mapping[bytes, bytes]
    Entry = tuple[bytes, Fields]

_log = structlog.stdlib.get_logger("stream_serve.eventlog")

_LOOK_EVERY: Final = 1.0
_LOOKED_AT_ONCE: Final = 200
_PAGE: Final = 500
_AGAIN: Final = 0.1


def first_of(entry_id: bytes) -> int:
    """Give the number of an entry's first frame."""
    return int(entry_id.partition(b"-")[0])


def frames_of(fields: Fields) -> list[bytes]:
    """Give the frames of an entry. Raises `LogLost` for one that none of our writers made."""
    data, lengths = fields.get(b"d"), fields.get(b"n")
    if data is None or (lengths is not None and len(lengths) % 4):
        raise LogLost("an entry of the log is not one of ours")
    if lengths is None:
        return [data]
    frames: list[bytes] = []
    start = 0
    for (length,) in struct.iter_unpack("<I", lengths):
        frames.append(data[start : start + length])
        start += length
    return frames


class Mirror:
    """The frames of another process's log, as far as they have come."""

    __slots__ = ("_mirrors", "epoch", "frames", "missing_since", "moved", "name", "readers")

    def __init__(self, name: str, epoch: str, mirrors: Mirrors) -> None:
        self.name = name
        self.epoch = epoch
        self.frames = Frames()
        self.readers = 0
        self.moved = True
        """Something came since the last look."""
        self.missing_since: float | None = None
        self._mirrors = mirrors

    @property
    def key(self) -> str:
        """The stream that is read."""
        return keys.frames(self.name, self.epoch)

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.frames.finished or self.frames.lost

    def reader(self, after: int) -> FramesReader:
        """Give a reader; the mirror is there as long as it has one."""
        self.readers += 1
        return FramesReader(self.frames, after, self._let_go)

    def take(self, entries: Sequence[Entry]) -> None:
        """Add what has come."""
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
        """Add the frames that are new; raise `LogLost` when they do not belong behind the others."""
        mine = self.frames
        if first > mine.last + 1 and skipped:
            mine.skip(first - 1)
        if first > mine.last + 1 or (not frames and first != mine.last + 1):
            raise LogLost("frames of the log are gone")
        place = mine.place(first - 1)
        known = mine.list[place : place + len(frames)]
        if known != frames[: len(known)]:
            raise LogLost("the log has other frames now than it had")
        if len(known) < len(frames):
            mine.append(frames[len(known) :])

    def _let_go(self) -> None:
        self.readers -= 1
        if not self.readers:
            self._mirrors.forget(self)


class Mirrors:
    """The mirrors of this process, by the names of their logs.

    `patience` is how many seconds a writer has to write again what Redis has lost.
    """

    def __init__(self, link: Link, listener: Listener, *, patience: float) -> None:
        self._link = link
        self._listener = listener
        self._patience = patience
        self._mirrors: dict[str, Mirror] = {}
        self._loading: dict[Mirror, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to look after the mirrors."""
        self._task = asyncio.create_task(self._look_after(), name="mirrors")
        self._task.add_done_callback(_log_defect)

    async def close(self) -> None:
        """Let nothing more come; who reads waits on."""
        for mirror in list(self._mirrors.values()):
            self.forget(mirror)
        # More than once, for a cancellation may get lost: `asyncio.wait_for` of 3.11 does that.
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_AGAIN)

    async def read(self, name: str, after: int) -> FramesReader:
        """Give a reader of another process's log.

        Raises `LogNotFound`, `LogUnavailable`.
        """
        reply: bytes | None = await self._link.run("HGET", keys.meta(name), "epoch")
        if reply is None:
            raise LogNotFound(name)
        epoch = reply.decode()
        mirror = self._mirrors.get(name)
        if mirror is not None and _birth(mirror.epoch) != _birth(epoch):
            # The name was used again: what this log had is all that its readers get.
            self.lose(mirror)
            mirror = None
        if mirror is None:
            mirror = self._mirrors[name] = Mirror(name, epoch, self)
            self._follow(mirror)
        return mirror.reader(after)

    def lose(self, mirror: Mirror) -> None:
        """Tell the readers that what follows is gone; whoever comes later reads anew."""
        mirror.frames.lose()
        self.forget(mirror)

    def end(self, mirror: Mirror) -> None:
        """Let nothing more come."""
        self._listener.unwatch(mirror.key)
        if (task := self._loading.pop(mirror, None)) is not None:
            task.cancel()

    def forget(self, mirror: Mirror) -> None:
        """Forget a mirror that nobody reads, or nobody should."""
        self.end(mirror)
        if self._mirrors.get(mirror.name) is mirror:
            del self._mirrors[mirror.name]

    def _follow(self, mirror: Mirror) -> None:
        """Read a stream from its beginning, and on."""
        task = asyncio.create_task(self._load(mirror), name="mirror")
        self._loading[mirror] = task
        task.add_done_callback(_log_defect)

    async def _load(self, mirror: Mirror) -> None:
        """Read what is there in large pieces; the listener, who goes on, takes small ones."""
        after = b"0-0"
        full = True
        while full:
            words = (mirror.key, b"(" + after, "+", "COUNT", _PAGE)
            try:
                page: list[Entry] = await self._link.run("XRANGE", *words)
            except LogUnavailable:
                # The listener tries again until Redis is back.
                break
            if page:
                after = page[-1][0]
                mirror.take(page)
            full = len(page) == _PAGE
        if self._loading.pop(mirror, None) is not None and not mirror.over:
            self._listener.watch(mirror.key, after, mirror.take)

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            still = [mirror for mirror in self._mirrors.values() if self._is_still(mirror)]
            for place in range(0, len(still), _LOOKED_AT_ONCE):
                await self._look(still[place : place + _LOOKED_AT_ONCE])

    @staticmethod
    def _is_still(mirror: Mirror) -> bool:
        """Whether nothing has come since this was asked last."""
        moved, mirror.moved = mirror.moved, False
        if moved:
            mirror.missing_since = None
        return not moved and not mirror.over

    async def _look(self, mirrors: list[Mirror]) -> None:
        """Look whether the logs are what they were."""
        pipeline: Any = self._link.client.pipeline(transaction=False)
        for mirror in mirrors:
            pipeline.hmget(keys.meta(mirror.name), "epoch", "ended")
            pipeline.exists(mirror.key)
        try:
            replies: list[Any] = await self._link.call(pipeline.execute())
        except LogUnavailable:
            for mirror in mirrors:
                # When Redis is back, the writer needs its time to see what is missing.
                mirror.missing_since = None
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
                mirror.epoch = epoch
                mirror.missing_since = None
                self._follow(mirror)
            else:
                self.lose(mirror)
        elif epoch is not None and whole:
            mirror.missing_since = None
        elif mirror.missing_since is None:
            mirror.missing_since = time.monotonic()
        elif time.monotonic() - mirror.missing_since > self._patience:
            _log.warning("a log is gone before its end", log=mirror.name)
            self.lose(mirror)


def _birth(epoch: str) -> str:
    """Give what all epochs of one log begin with, and those of no other log of its name."""
    return epoch.partition(".")[0]


def _log_defect(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("logs cannot be followed, by a defect", exc_info=error)
