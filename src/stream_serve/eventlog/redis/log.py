"""`RedisStreamLog`: the event log of several processes, kept in Redis.

How it works: the logs that this process writes are in its memory, and its readers read them there; the
`Flusher` brings them to Redis. The logs of other processes are followed in `Mirrors`. A log belongs to
the process that claimed its name, under an epoch that is in the name of the stream with its frames.
Where the lease of a process runs out, the others take over what it has not finished: the stream gets
the name of a new epoch, the old writer writes into nothing, and an `Orphan` is finished by whoever was
first. A process that was frozen for longer than its lease does the same with its own logs.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from stream_serve.cluster.redis import keys
from stream_serve.cluster.redis.scripts import load
from stream_serve.errors import (
    LogExists,
    LogForbidden,
    LogNotFound,
    LogUnavailable,
    StreamServeError,
)
from stream_serve.eventlog.base import LogInfo
from stream_serve.eventlog.frames import FramesReader
from stream_serve.eventlog.redis.flusher import Flusher
from stream_serve.eventlog.redis.mirror import Mirrors, first_of, frames_of
from stream_serve.eventlog.redis.writer import RedisLogWriter, lengths_of, new_epoch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence

    from stream_serve.cluster.redis.client import Link
    from stream_serve.cluster.redis.lease import Lease
    from stream_serve.cluster.redis.listener import Listener
    from stream_serve.eventlog.base import Orphan
    from stream_serve.eventlog.redis.mirror import Entry

_log = structlog.stdlib.get_logger("stream_serve.eventlog")

_HERE: Final = "stream_serve.eventlog.redis"
_PAGE: Final = 500
_AGAIN: Final = 0.1
_TAKEOVERS: Final = 8
_LOOKS: Final = 3


class RedisOrphan:
    """A log of a process that is gone, under an epoch of ours."""

    def __init__(self, log: RedisStreamLog, name: str, epoch: str, frames: list[bytes]) -> None:
        self._log = log
        self._name = name
        self._epoch = epoch
        self._frames = frames
        self.finished = False
        """Whether it has its end."""

    @property
    def name(self) -> str:
        """The log's name."""
        return self._name

    @property
    def frames(self) -> list[bytes]:
        """All frames that reached Redis."""
        return self._frames

    async def finish(self, frames: Sequence[bytes], *, first: int, note: bytes) -> None:
        """Append the last frames and the end in one step.

        Raises `LogUnavailable`; it can be repeated then.
        """
        words = (first, b"".join(frames), lengths_of(frames))
        if await self._log.end(self._name, self._epoch, note, words):
            self.finished = True


class RedisStreamLog:
    """Logs that all processes on one Redis share.

    `flush_interval` is the time between two times that what is new goes to Redis, `live_ttl` how long
    a log may be written at most, `retention` how long one is kept behind its end, all in seconds.
    """

    def __init__(
        self,
        link: Link,
        listener: Listener,
        lease: Lease,
        *,
        flush_interval: float,
        live_ttl: float,
        retention: float,
    ) -> None:
        self._link = link
        self._listener = listener
        self._lease = lease
        self._flusher = Flusher(
            link,
            lease,
            interval=flush_interval,
            live_ttl=live_ttl,
            retention=retention,
            lost=self._on_lost,
        )
        self._mirrors = Mirrors(link, listener, patience=lease.seconds)
        self._busy: set[str] = set()
        """Names that are being claimed, or given up."""
        self._lapses = 0
        self._beaten = asyncio.Event()
        self._chores: set[asyncio.Task[Any]] = set()
        self._takeovers: dict[str, asyncio.Task[None]] = {}
        self._lost: Callable[[str], None] | None = None
        self._orphaned: Callable[[Orphan], Awaitable[None]] | None = None

    @property
    def ready(self) -> bool:
        """Whether Redis answered when it was asked last."""
        return self._link.up

    async def open(
        self, *, lost: Callable[[str], None], orphaned: Callable[[Orphan], Awaitable[None]]
    ) -> None:
        """Begin to renew the lease, to flush and to listen; Redis may be away."""
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
        """Flush, leave what is not finished to other processes, and close the connections."""
        await self._flusher.close(self._link.timeout)
        while tasks := set(self._chores):
            # More than once, for a cancellation may get lost: `asyncio.wait_for` of 3.11 does that.
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_AGAIN)
        await self._mirrors.close()
        await self._lease.close()
        await self._listener.close()
        await self._link.close()

    async def create(self, name: str, about: bytes = b"") -> RedisLogWriter:
        """Claim a name. Raises `LogExists`, `LogForbidden`, `LogUnavailable`."""
        if name in self._flusher.logs:
            raise LogExists(name)
        if name in self._busy or not self._lease.valid:
            raise LogUnavailable(
                "this process cannot claim the name now: try again in some seconds"
            )
        log = RedisLogWriter(name, about, new_epoch(), self._flusher)
        self._busy.add(name)
        # A task of its own: what comes of a claim is to be known even when nobody waits for it.
        task = asyncio.create_task(self._make(log))
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
        try:
            await asyncio.wait({task})
        except BaseException:
            task.add_done_callback(partial(self._unmake, log))
            raise
        return task.result()

    async def forbid(self, name: str, seconds: float) -> bool:
        """Let nobody claim a name. Raises `LogUnavailable`."""
        if name in self._flusher.logs:
            return False
        names = (keys.meta(name), keys.forbidden(name))
        return await self._run("forbid", names, (round(seconds * 1000),)) == 1

    async def look(self, name: str) -> LogInfo:
        """Say what is known of a log. Raises `LogNotFound`, `LogUnavailable`."""
        if (log := self._flusher.logs.get(name)) is not None:
            return LogInfo(
                about=log.about,
                last=log.last,
                finished=log.frames.finished,
                note=log.kept_note,
                home=None,
            )
        for _ in range(_LOOKS):
            if (info := await self._look(name)) is not None:
                return info
        raise LogUnavailable("the log is being written again, or taken over: try again in a second")

    async def read(self, name: str, after: int = 0) -> FramesReader:
        """Give a reader, from memory where the log is ours. Raises `LogNotFound`, `LogUnavailable`."""
        if (log := self._flusher.logs.get(name)) is not None:
            return FramesReader(log.frames, after)
        return await self._mirrors.read(name, after)

    async def drop(self, name: str) -> None:
        """Forget a log of ours; a Redis that is away forgets it when it is back, or by itself."""
        log = self._flusher.logs.pop(name, None)
        if log is None or log.lost:
            return
        await asyncio.wait({self._give_up(log)}, timeout=self._link.timeout)

    async def end(self, name: str, epoch: str, note: bytes, last: tuple[int, bytes, bytes]) -> bool:
        """Finish a log whose epoch is ours; False when it is not. For `RedisOrphan`."""
        names = (keys.meta(name), keys.frames(name, epoch))
        words = (epoch, note, self._flusher.retention, *last)
        return await self._run("end", names, words) == 1

    async def _run(
        self, script: str, names: Sequence[str], words: Sequence[str | bytes | int]
    ) -> Any:
        return await self._link.call(self._link.script(load(_HERE, script))(names, words))

    async def _make(self, log: RedisLogWriter) -> RedisLogWriter:
        name = log.name
        sent, lapses = self._link.up, self._lapses
        try:
            answer = await self._claim(log)
        except BaseException:
            if sent:
                # The claim may have been made, or be made yet.
                self._do(self._give_up_later(log))
            else:
                self._busy.discard(name)
            raise
        if lapses != self._lapses:
            self._give_up(log)
            raise LogUnavailable("this process was frozen while it claimed the name: try again")
        if answer != b"ok":
            try:
                await self._link.run("SREM", keys.logs(self._lease.me), name)
            finally:
                self._busy.discard(name)
            raise LogExists(name) if answer == b"exists" else LogForbidden(name)
        self._busy.discard(name)
        self._flusher.logs[name] = log
        return log

    def _unmake(self, log: RedisLogWriter, task: asyncio.Task[RedisLogWriter]) -> None:
        """Give up a log that nobody waited for."""
        if (
            not task.cancelled()
            and task.exception() is None
            and self._flusher.logs.pop(log.name, None)
        ):
            self._give_up(log)

    async def _give_up_later(self, log: RedisLogWriter) -> None:
        """Give up a log when Redis has answered a beat: by then it has seen the claim, if ever."""
        self._beaten.clear()
        await self._beaten.wait()
        self._give_up(log)

    async def _claim(self, log: RedisLogWriter) -> bytes:
        """Note that the log is ours to look after, then claim its name."""
        me, name = self._lease.me, log.name
        pipeline: Any = self._link.client.pipeline(transaction=False)
        pipeline.sadd(keys.logs(me), name)
        names = (keys.meta(name), keys.frames(name, log.epoch), keys.forbidden(name))
        words = (log.epoch, me, log.about, self._flusher.live_ttl)
        self._link.script(load(_HERE, "claim")).queue(pipeline, names, words)
        _, answer = await self._link.call(pipeline.execute())
        return answer

    def _give_up(self, log: RedisLogWriter) -> asyncio.Future[None]:
        """Have Redis forget a log, however long that takes; its name is busy until then."""
        self._busy.add(log.name)
        gone = self._flusher.remove(log)
        gone.add_done_callback(lambda _: self._busy.discard(log.name))
        return gone

    async def _look(self, name: str) -> LogInfo | None:
        """Look at a log in Redis; None when it was moved in between, or its frames are gone."""
        fields = ("epoch", "process", "about", "note", "ended")
        epoch, process, about, note, ended = await self._link.run("HMGET", keys.meta(name), *fields)
        if epoch is None:
            raise LogNotFound(name)
        key = keys.frames(name, epoch.decode())
        pipeline: Any = self._link.client.pipeline(transaction=False)
        pipeline.exists(key)
        pipeline.xrevrange(key, count=1)
        there, tail = await self._link.call(pipeline.execute())
        if not there:
            return None
        last, finished = 0, ended is not None
        for entry_id, entry in tail:
            last = first_of(entry_id) + len(frames_of(entry)) - 1
            finished = finished or b"e" in entry
        return LogInfo(about=about, last=last, finished=finished, note=note, home=process.decode())

    def _on_beat(self) -> None:
        self._beaten.set()
        self._flusher.beat()

    def _on_lost(self, log: RedisLogWriter) -> None:
        _log.warning("a log of this process is another one's to finish now", log=log.name)
        if self._lost is not None and not log.ended:
            self._lost(log.name)

    def _on_lapse(self) -> None:
        """Give up what others may have taken over, and take over what they have not."""
        self._lapses += 1
        lapsed = [log for log in self._flusher.logs.values() if not log.ended and not log.lost]
        for log in lapsed:
            self._flusher.lose(log)
        if lapsed:
            self._do(self._take_over_ours([log.name for log in lapsed]))

    def _on_dead(self, process: str) -> None:
        if process not in self._takeovers and process != self._lease.me:
            task = self._do(self._take_over(process))
            self._takeovers[process] = task
            task.add_done_callback(lambda _: self._takeovers.pop(process, None))

    async def _take_over(self, process: str) -> None:
        """Finish what a process has left, and forget it when nothing of that remains."""
        try:
            names = await self._link.run("SMEMBERS", keys.logs(process))
            await self._adopt_all(process, [name.decode() for name in names])
            if not await self._link.run("SCARD", keys.logs(process)):
                await self._lease.remove(process)
        except LogUnavailable as error:
            _log.warning("the logs of a process that is gone wait", reason=str(error))

    async def _take_over_ours(self, names: list[str]) -> None:
        """Finish our own logs, which we may not write any more."""
        while names:
            self._beaten.clear()
            await self._beaten.wait()
            names = await self._adopt_all(self._lease.me, names)

    async def _adopt_all(self, process: str, names: list[str]) -> list[str]:
        """Finish logs, some at once; give the names of those that remain."""
        # Each process begins somewhere else, so that they share the work.
        random.shuffle(names)
        queue = iter(names)
        remain: list[str] = []
        async with asyncio.TaskGroup() as group:
            for _ in range(min(_TAKEOVERS, len(names))):
                group.create_task(self._adopt_each(process, queue, remain))
        return remain

    async def _adopt_each(self, process: str, queue: Iterable[str], remain: list[str]) -> None:
        for name in queue:
            try:
                done = await self._adopt(process, name)
                if done:
                    await self._link.run("SREM", keys.logs(process), name)
            except StreamServeError as error:
                _log.warning("a log waits to be finished", log=name, reason=str(error))
                done = False
            except Exception:  # noqa: BLE001
                # One log must not keep the others from their end.
                _log.exception("a log cannot be finished, by a defect", log=name)
                done = False
            if not done:
                remain.append(name)

    async def _adopt(self, process: str, name: str) -> bool:
        """Finish a log of a process that is gone; False when there is something left to do."""
        if (ours := self._flusher.logs.get(name)) is not None and not ours.lost:
            return True
        reply = await self._link.run("HGET", keys.meta(name), "epoch")
        if reply is None:
            return True
        old = reply.decode()
        epoch = new_epoch(old)
        names = (keys.meta(name), keys.frames(name, old), keys.frames(name, epoch))
        lease = round(self._lease.seconds * 1000)
        words = (process, old, epoch, self._lease.me, lease, self._flusher.retention)
        answer = await self._run("fence", names, words)
        if answer != b"taken":
            return answer == b"gone"
        orphan = RedisOrphan(self, name, epoch, await self._load(names[2]))
        if self._orphaned is not None:
            await self._orphaned(orphan)
        return orphan.finished

    async def _load(self, key: str) -> list[bytes]:
        frames: list[bytes] = []
        after, full = b"0-0", True
        while full:
            page: list[Entry] = await self._link.run(
                "XRANGE", key, b"(" + after, "+", "COUNT", _PAGE
            )
            for after, fields in page:  # noqa: B007
                frames += frames_of(fields)
            full = len(page) == _PAGE
        return frames

    def _do(self, chore: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Do something in a task of our own, which ends with us."""
        task = asyncio.create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._chores.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a chore of the logs failed by a defect", exc_info=error)
