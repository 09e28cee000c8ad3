"""`RedisEventLog`: the event log of several processes, kept in Redis.

How it works: the logs that this process writes are in its memory, where its own readers read them. The
`Flusher` sends them to Redis. The logs of other processes are followed in `Mirrors`. A log belongs to
the process that claimed its name, under an epoch that is part of the key of its frames.

If the lease of a process runs out, the other processes recover its unfinished logs. The stream gets a key
with a new epoch, so that the old writer reaches nothing. The first process that does this finishes the
log, as an `Orphan`. A process that was frozen for longer than its lease recovers its own logs like that.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from stream_serve.cluster.redis.keys import unfinished
from stream_serve.cluster.redis.scripts import load
from stream_serve.errors import (
    LogExists,
    LogForbidden,
    LogNotFound,
    LogUnavailable,
    StreamServeError,
)
from stream_serve.eventlog.base import LogInfo
from stream_serve.eventlog.frames import FramesReader, lengths_of
from stream_serve.eventlog.redis import keys
from stream_serve.eventlog.redis.flusher import Flusher
from stream_serve.eventlog.redis.mirror import Mirrors, first_of, frames_of
from stream_serve.eventlog.redis.writer import RedisLogWriter, new_epoch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence

    from stream_serve.cluster.redis.client import RedisClient
    from stream_serve.cluster.redis.lease import Lease
    from stream_serve.cluster.redis.listener import Listener
    from stream_serve.eventlog.base import Orphan
    from stream_serve.eventlog.redis.mirror import Entry

_log = structlog.stdlib.get_logger("stream_serve.eventlog")

_HERE: Final = "stream_serve.eventlog.redis"
_PAGE: Final = 500
"""Entries that are loaded in one call."""
_AGAIN: Final = 0.1
"""Seconds between two cancellations of a task."""
_RECOVERIES: Final = 8
"""Logs that are recovered at once."""
_LOOKS: Final = 3
"""Attempts to look at a log that moves to another epoch meanwhile."""


class RedisOrphan:
    """A log of a process that is gone. This process has given it a new epoch."""

    def __init__(self, log: RedisEventLog, name: str, epoch: str, frames: list[bytes]) -> None:
        self._log = log
        self._name = name
        self._epoch = epoch
        self._frames = frames
        self.finished = False
        """True if the log is finished."""

    @property
    def name(self) -> str:
        """The log's name."""
        return self._name

    @property
    def frames(self) -> list[bytes]:
        """All frames that reached Redis."""
        return self._frames

    async def finish(self, frames: Sequence[bytes], *, first: int, summary: bytes) -> None:
        """Append the last frames and the end in one step.

        Raises `LogUnavailable`. Calling it again then is fine.
        """
        words = (first, b"".join(frames), lengths_of(frames))
        if await self._log.end(self._name, self._epoch, summary, words):
            self.finished = True


class RedisEventLog:
    """Logs that all processes on one Redis share.

    New frames are sent to Redis every `flush_interval`. A log may be written for `live_ttl` at most, and
    is kept for `retention` after its end. All are in seconds.
    """

    def __init__(
        self,
        client: RedisClient,
        listener: Listener,
        lease: Lease,
        *,
        flush_interval: float,
        live_ttl: float,
        retention: float,
    ) -> None:
        self._client = client
        self._listener = listener
        self._lease = lease
        self._flusher = Flusher(
            client,
            lease,
            interval=flush_interval,
            live_ttl=live_ttl,
            retention=retention,
            lost=self._on_lost,
        )
        self._mirrors = Mirrors(client, listener, patience=lease.seconds)
        self._busy: set[str] = set()
        """Names that are being claimed or released."""
        self._lapses = 0
        self._beaten = asyncio.Event()
        self._chores: set[asyncio.Task[Any]] = set()
        self._recoveries: dict[str, asyncio.Task[None]] = {}
        self._lost: Callable[[str], None] | None = None
        self._orphaned: Callable[[Orphan], Awaitable[None]] | None = None

    @property
    def ready(self) -> bool:
        """False while Redis is known to be away."""
        return self._client.up

    async def open(
        self, *, lost: Callable[[str], None], orphaned: Callable[[Orphan], Awaitable[None]]
    ) -> None:
        """Begin to renew the lease, to flush and to listen. If Redis is away, it is tried again."""
        self._lost = lost
        self._orphaned = orphaned
        lease = self._lease
        lease.on_beat.append(self._on_beat)
        lease.on_missing.append(self._flusher.doubt_all)
        lease.on_lapse.append(self._on_lapse)
        lease.on_dead.append(self._on_dead)
        self._flusher.open()
        self._mirrors.open()
        await self._listener.open()
        await lease.open()

    async def close(self) -> None:
        """Flush, leave unfinished logs to other processes, and close the connections."""
        await self._flusher.close(self._client.timeout)
        while tasks := set(self._chores):
            # More than once, for a cancellation may get lost: `asyncio.wait_for` of 3.11 does that.
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_AGAIN)
        await self._mirrors.close()
        await self._lease.close()
        await self._listener.close()
        await self._client.close()

    async def create(self, name: str, fingerprint: bytes = b"") -> RedisLogWriter:
        """Claim a name. Raises `LogExists`, `LogForbidden`, `LogUnavailable`."""
        if name in self._flusher.logs:
            raise LogExists(name)
        if name in self._busy or not self._lease.valid:
            raise LogUnavailable(
                "this process cannot claim the name now: try again in some seconds"
            )
        log = RedisLogWriter(name, fingerprint, new_epoch(), self._flusher)
        self._busy.add(name)
        # The claim has a task of its own, because its outcome matters also after a cancellation.
        task = asyncio.create_task(self._make(log))
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
        try:
            await asyncio.wait({task})
        except BaseException:
            task.add_done_callback(partial(self._undo, log))
            raise
        return task.result()

    async def forbid(self, name: str, seconds: float) -> bool:
        """Forbid a name for some seconds; return False if a log has it. Raises `LogUnavailable`."""
        if name in self._flusher.logs:
            return False
        names = (keys.meta(name), keys.forbidden(name))
        return await self._run("forbid", names, (round(seconds * 1000),)) == 1

    async def look(self, name: str) -> LogInfo:
        """Return what is known of a log. Raises `LogNotFound`, `LogUnavailable`."""
        if (log := self._flusher.logs.get(name)) is not None:
            return LogInfo(
                fingerprint=log.fingerprint,
                last=log.last,
                finished=log.frames.finished,
                summary=log.summary,
                process=None,
            )
        for _ in range(_LOOKS):
            if (info := await self._look(name)) is not None:
                return info
        raise LogUnavailable("the log is being written again, or recovered: try again in a second")

    async def read(self, name: str, after: int = 0) -> FramesReader:
        """Return a reader, of our memory if the log is ours. Raises `LogNotFound`, `LogUnavailable`."""
        if (log := self._flusher.logs.get(name)) is not None:
            return FramesReader(log.frames, after)
        return await self._mirrors.read(name, after)

    async def erase(self, name: str) -> bool:
        """Forget a finished log whose process has had no lease for the length of one.

        Raises `LogUnavailable`.
        """
        epoch, process = await self._client.run("HMGET", keys.meta(name), "epoch", "process")
        if epoch is None or not self._lease.steady or process.decode() in self._lease.alive:
            return False
        names = (keys.meta(name), keys.frames(name, epoch.decode()), keys.erased(name))
        return await self._run("erase", names, (process, epoch)) == 1

    async def drop(self, name: str) -> bool:
        """Forget a log of ours. If Redis is away, it forgets the log as soon as it is back."""
        log = self._flusher.pop(name)
        if log is None or log.lost:
            return log is None
        gone, _ = await asyncio.wait({self._release(log)}, timeout=self._client.timeout)
        return bool(gone)

    async def end(
        self, name: str, epoch: str, summary: bytes, last: tuple[int, bytes, bytes]
    ) -> bool:
        """Finish an orphan; return False if its epoch is not `epoch` any more. For `RedisOrphan`."""
        names = (keys.meta(name), keys.frames(name, epoch))
        words = (epoch, summary, self._flusher.retention, *last)
        return await self._run("end", names, words) == 1

    async def _run(
        self, script: str, names: Sequence[str], words: Sequence[str | bytes | int]
    ) -> Any:
        return await self._client.call(self._client.script(load(_HERE, script))(names, words))

    async def _make(self, log: RedisLogWriter) -> RedisLogWriter:
        name = log.name
        sent, lapses = self._client.up, self._lapses
        try:
            reply = await self._claim(log)
        except BaseException:
            if sent:
                # Redis may have run the claim, or may still run it.
                self._do(self._release_later(log))
            else:
                self._busy.discard(name)
            raise
        if lapses != self._lapses:
            self._release(log)
            raise LogUnavailable("this process was frozen while it claimed the name: try again")
        if reply != b"ok":
            try:
                await self._client.run("SREM", unfinished(self._lease.me), name)
            finally:
                self._busy.discard(name)
            raise LogExists(name) if reply == b"exists" else LogForbidden(name)
        self._busy.discard(name)
        self._flusher.add(log)
        return log

    def _undo(self, log: RedisLogWriter, task: asyncio.Task[RedisLogWriter]) -> None:
        """Release the name of a log whose `create` was cancelled."""
        made = not task.cancelled() and task.exception() is None
        if made and self._flusher.pop(log.name) is not None:
            self._release(log)

    async def _release_later(self, log: RedisLogWriter) -> None:
        """Release a name after the next beat: Redis has run the claim by then, or never will."""
        self._beaten.clear()
        await self._beaten.wait()
        self._release(log)

    async def _claim(self, log: RedisLogWriter) -> bytes:
        """Add the log to our unfinished ones, then claim its name."""
        me, name = self._lease.me, log.name
        pipeline: Any = self._client.redis.pipeline(transaction=False)
        pipeline.sadd(unfinished(me), name)
        names = (keys.meta(name), keys.frames(name, log.epoch), keys.forbidden(name))
        words = (log.epoch, me, log.fingerprint, self._flusher.live_ttl)
        self._client.script(load(_HERE, "claim")).queue(pipeline, names, words)
        _, reply = await self._client.call(pipeline.execute())
        return reply

    def _release(self, log: RedisLogWriter) -> asyncio.Future[None]:
        """Have Redis forget a log, however long that takes. Its name is busy until then."""
        self._busy.add(log.name)
        gone = self._flusher.remove(log)
        gone.add_done_callback(lambda _: self._busy.discard(log.name))
        return gone

    async def _look(self, name: str) -> LogInfo | None:
        """Look at a log in Redis. None if its epoch changed meanwhile, or its frames are lost."""
        fields = ("epoch", "process", "about", "note", "ended")
        epoch, process, fingerprint, summary, ended = await self._client.run(
            "HMGET", keys.meta(name), *fields
        )
        if epoch is None:
            raise LogNotFound(name)
        key = keys.frames(name, epoch.decode())
        pipeline: Any = self._client.redis.pipeline(transaction=False)
        pipeline.exists(key)
        pipeline.xrevrange(key, count=1)
        there, tail = await self._client.call(pipeline.execute())
        if not there:
            return None
        last, finished = 0, ended is not None
        for entry_id, entry in tail:
            last = first_of(entry_id) + len(frames_of(entry)) - 1
            finished = finished or b"e" in entry
        return LogInfo(
            fingerprint=fingerprint,
            last=last,
            finished=finished,
            summary=summary,
            process=process.decode(),
        )

    def _on_beat(self) -> None:
        self._beaten.set()
        self._flusher.beat()

    def _on_lost(self, log: RedisLogWriter) -> None:
        if log.ended:
            _log.warning("another process has erased a log of this process", log=log.name)
            self._flusher.pop(log.name)
            return
        _log.warning("another process finishes a log of this process now", log=log.name)
        if self._lost is not None:
            self._lost(log.name)

    def _on_lapse(self) -> None:
        """Lose our unfinished logs, and recover those that no other process has recovered."""
        self._lapses += 1
        lapsed = [log for log in self._flusher.logs.values() if not log.ended and not log.lost]
        for log in lapsed:
            self._flusher.lose(log)
        if lapsed:
            self._do(self._recover_ours([log.name for log in lapsed]))

    def _on_dead(self, process: str) -> None:
        if process not in self._recoveries and process != self._lease.me:
            task = self._do(self._recover(process))
            self._recoveries[process] = task
            task.add_done_callback(lambda _: self._recoveries.pop(process, None))

    async def _recover(self, process: str) -> None:
        """Finish the logs of a dead process, and forget the process when none is left."""
        try:
            names = await self._client.run("SMEMBERS", unfinished(process))
            await self._adopt_all(process, [name.decode() for name in names])
            if not await self._client.run("SCARD", unfinished(process)):
                await self._lease.remove(process)
        except LogUnavailable as error:
            _log.warning(
                "the logs of a process that is gone are recovered later", reason=str(error)
            )

    async def _recover_ours(self, names: list[str]) -> None:
        """Finish our own logs, which this process may not write any more."""
        while names:
            self._beaten.clear()
            await self._beaten.wait()
            names = await self._adopt_all(self._lease.me, names)

    async def _adopt_all(self, process: str, names: list[str]) -> list[str]:
        """Finish logs, several at once, and return the names of those that remain."""
        # In random order, so that the processes share the work.
        random.shuffle(names)
        queue = iter(names)
        remain: list[str] = []
        async with asyncio.TaskGroup() as group:
            for _ in range(min(_RECOVERIES, len(names))):
                group.create_task(self._adopt_each(process, queue, remain))
        return remain

    async def _adopt_each(self, process: str, queue: Iterable[str], remain: list[str]) -> None:
        for name in queue:
            try:
                done = await self._adopt(process, name)
                if done:
                    await self._client.run("SREM", unfinished(process), name)
            except StreamServeError as error:
                _log.warning("a log is recovered later", log=name, reason=str(error))
                done = False
            except Exception:  # noqa: BLE001
                # A defect with one log must not stop the recovery of the others.
                _log.exception("a log cannot be recovered, by a defect", log=name)
                done = False
            if not done:
                remain.append(name)

    async def _adopt(self, process: str, name: str) -> bool:
        """Finish a log of a process that is gone; return False if it has to be tried again."""
        if (ours := self._flusher.logs.get(name)) is not None and not ours.lost:
            return True
        stored = await self._client.run("HGET", keys.meta(name), "epoch")
        if stored is None:
            return True
        old = stored.decode()
        epoch = new_epoch(old)
        names = (keys.meta(name), keys.frames(name, old), keys.frames(name, epoch))
        lease = round(self._lease.seconds * 1000)
        words = (process, old, epoch, self._lease.me, lease, self._flusher.retention)
        reply = await self._run("fence", names, words)
        if reply != b"taken":
            return reply == b"gone"
        orphan = RedisOrphan(self, name, epoch, await self._load(names[2]))
        if self._orphaned is not None:
            await self._orphaned(orphan)
        return orphan.finished

    async def _load(self, key: str) -> list[bytes]:
        frames: list[bytes] = []
        after, full = b"0-0", True
        while full:
            page: list[Entry] = await self._client.run(
                "XRANGE", key, b"(" + after, "+", "COUNT", _PAGE
            )
            for after, fields in page:  # noqa: B007
                frames += frames_of(fields)
            full = len(page) == _PAGE
        return frames

    def _do(self, chore: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run a chore in a task, which `close` cancels."""
        task = asyncio.create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._chores.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a chore of the logs failed by a defect", exc_info=error)
