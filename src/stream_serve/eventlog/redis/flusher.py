"""The one task of a process that brings what its writers write to Redis.

How it works: a writer appends to frames in memory and says once that it has something new. The flusher
sends what is new of all logs in one go, one entry a log, and then rests for the flush interval:

    XADD <frames> NOMKSTREAM <number of the first frame>-0  d <frames, joined>
         [n <their lengths as little-endian uint32>]   absent for a single frame
         [e 1]   the log ends here: what has the last frame says so, in one step
         [g 1]   numbers were left out before the first frame

An entry that was sent stays as it is until it is acknowledged. After an answer that is none (an error,
a broken connection, a stream that is not there) the log is in doubt: `verify.lua` tells, before the
next entry, how much of it Redis has, begins it again when Redis has lost something, and says when it
is another process's now. A new connection puts every log in doubt, for it may lead to another Redis.

Nothing is sent while the lease is not valid.
"""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import hiredis
import structlog
from redis.exceptions import RedisError, ResponseError

from stream_serve.cluster.redis import keys
from stream_serve.cluster.redis.scripts import load
from stream_serve.errors import LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from stream_serve.cluster.redis.client import Link
    from stream_serve.cluster.redis.lease import Lease
    from stream_serve.eventlog.redis.writer import Asked, Command, RedisLogWriter, Reply, Word

Some = TypeVar("Some")

_pack: Final = cast("Callable[[Command], bytes]", hiredis.pack_command)
"""Encodes a command. The client's own way is in Python, and here it would be felt."""

_log = structlog.stdlib.get_logger("stream_serve.eventlog")

_ROUND_BYTES: Final = 4_194_304
_VERIFIED_AT_ONCE: Final = 100
_LONGEST_PAUSE: Final = 1.0
_LAST_PAUSE: Final = 0.01


class Flusher:
    """Brings to Redis what the writers of this process write; `logs` are theirs by name.

    `lost` is called with each writer whose log is another process's now.
    """

    def __init__(
        self,
        link: Link,
        lease: Lease,
        *,
        interval: float,
        live_ttl: float,
        retention: float,
        lost: Callable[[RedisLogWriter], None],
    ) -> None:
        self.logs: dict[str, RedisLogWriter] = {}
        self.live_ttl = round(live_ttl * 1000)
        self.retention = round(retention * 1000)
        self.me = lease.me
        self._link = link
        self._lease = lease
        self._interval = interval
        self._lost = lost
        # Not one of the pool, which renews them without a word when they break.
        self._connection: Any = link.blocking()
        self._dirty: list[RedisLogWriter] = []
        self._doubted: dict[RedisLogWriter, int] = {}
        self._doubts = 0
        self._released: set[str] = set()
        self._removals: dict[RedisLogWriter, asyncio.Future[None]] = {}
        self._wake = asyncio.Event()
        self._probe = False
        self._failed = False
        self._pause = 0.0
        self._not_before = 0.0
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="flusher")

    async def close(self, timeout: float) -> None:
        """Send what is there, if that can be done in time, and end."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            try:
                await asyncio.wait({self._task}, timeout=timeout)
            finally:
                self._task.cancel()
            # More than once, for a cancellation may get lost: `asyncio.wait_for` of 3.11 does that.
            while (await asyncio.wait({self._task}, timeout=_LAST_PAUSE))[1]:
                self._task.cancel()
        await self._connection.disconnect(nowait=True)

    def script(self, name: str, names: Sequence[str], words: Sequence[Word]) -> Command:
        """Return the command that runs a script: in full, for a round is sent at once and cannot stop
        at a hash that Redis does not know."""
        return ("EVAL", load("stream_serve.eventlog.redis", name), len(names), *names, *words)

    def mark(self, log: RedisLogWriter) -> None:
        """Take note that a log has something new."""
        log.dirty = True
        self._dirty.append(log)
        self._wake.set()

    def doubt(self, log: RedisLogWriter, reply: Reply = None) -> None:
        """Ask before the next entry how much of a log Redis has."""
        if not log.lost:
            log.dirty = True
            self._doubts += 1
            self._doubted.pop(log, None)
            self._doubted[log] = self._doubts
        if isinstance(reply, ResponseError):
            self._failed = True
            if not self._pause:
                _log.warning("Redis refused a part of a log", log=log.name, reason=str(reply))

    def doubt_all(self) -> None:
        """Ask before the next entry of each log how much of it Redis has."""
        for log in self.logs.values():
            self.doubt(log)
        self._wake.set()

    def release(self, log: RedisLogWriter) -> None:
        """Leave nothing of a log to others when this process is gone."""
        if self.logs.get(log.name) is log:
            self._released.add(log.name)
            self._wake.set()

    def remove(self, log: RedisLogWriter) -> asyncio.Future[None]:
        """Have Redis forget a log, behind all that is on its way; done when it has."""
        log.dirty = True
        removed = self._removals[log] = asyncio.get_running_loop().create_future()
        self._wake.set()
        return removed

    def lose(self, log: RedisLogWriter) -> None:
        """Send nothing of a log any more."""
        if not log.lost:
            log.lose()
            self._doubted.pop(log, None)
            self._lost(log)

    def beat(self) -> None:
        """Go on if the lease was not valid, and look whether the connection is still there."""
        self._probe = True
        self._wake.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._closing or self._busy:
            if not self._closing or not self._lease.valid:
                await self._wake.wait()
            self._wake.clear()
            if not self._lease.valid:
                continue
            self._failed = False
            try:
                hurry = await self._round()
            except Exception as error:  # noqa: BLE001
                # A defect, too, must not end what brings all logs to Redis.
                if not isinstance(error, LogUnavailable):
                    _log.exception("logs cannot be brought to Redis, by a defect")
                elif not self._pause:
                    _log.warning("logs cannot be brought to Redis", reason=str(error))
                self._failed = True
                hurry = False
                self.doubt_all()
            if self._failed:
                self._pause = min(_LONGEST_PAUSE, max(self._interval, self._pause * 2))
                self._not_before = loop.time() + self._pause
                loop.call_at(self._not_before, self._wake.set)
            elif not self._doubted:
                self._pause = 0.0
            if hurry:
                self._wake.set()
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(_LAST_PAUSE if self._closing else self._interval)

    @property
    def _busy(self) -> bool:
        """Whether something is to be sent."""
        return bool(self._dirty or self._doubted or self._released or self._removals)

    async def _round(self) -> bool:
        """Send one entry of each log that has something new; True when more is there already.

        Raises `LogUnavailable`; what of it has come through is not known then.
        """
        ripe = asyncio.get_running_loop().time() >= self._not_before
        if not self._connection.is_connected:
            if not ripe:
                return False
            await self._bounded(self._connection.connect())
            self.doubt_all()
        asked: list[Asked] = []
        hurry = ripe and self._ask(asked)
        hurry = self._write(asked) or hurry
        for log in self._removals:
            asked += [(command, partial(self._on_removed, log)) for command in log.removal()]
            self._released.add(log.name)
        if released := list(self._released):
            asked.append((("SREM", keys.logs(self.me), *released), _ignore))
        if not asked and not self._probe:
            return False
        self._probe = False
        commands = [command for command, _ in asked] or [("PING",)]
        replies = await self._bounded(self._exchange(commands))
        self._released.difference_update(released)
        for (_, handle), reply in zip(asked, replies, strict=False):
            handle(reply)
        return hurry

    def _ask(self, asked: list[Asked]) -> bool:
        """Ask about logs that are in doubt; True when there are more of them."""
        live: list[str] = []
        more = len(self._doubted) > _VERIFIED_AT_ONCE
        chunk = list(islice(self._doubted.items(), _VERIFIED_AT_ONCE))
        for log, doubt in chunk:
            if log.lost or self.logs.get(log.name) is not log:
                del self._doubted[log]
                continue
            asked.append((log.question(), partial(self._answered, log, doubt)))
            if not log.ended:
                live.append(log.name)
        if live:
            asked.append((("SADD", keys.logs(self.me), *live), _ignore))
        return more

    def _answered(self, log: RedisLogWriter, doubt: int, reply: Reply) -> None:
        if log.lost:
            return
        if not log.verified(reply):
            self.doubt(log, reply)
        elif self._doubted.get(log) == doubt:
            # Otherwise there came a new doubt while this one was on its way.
            del self._doubted[log]
            log.dirty = False
            log.go_on()

    def _on_removed(self, log: RedisLogWriter, reply: Reply) -> None:
        if isinstance(reply, ResponseError):
            self._failed = True
        elif (removed := self._removals.pop(log, None)) is not None and not removed.done():
            removed.set_result(None)

    def _write(self, asked: list[Asked]) -> bool:
        """Take the next entries of the logs that have something new; True when more is there."""
        dirty, self._dirty = self._dirty, []
        size, hurry = 0, False
        for place, log in enumerate(dirty):
            if size > _ROUND_BYTES:
                self._dirty = dirty[place:]
                return True
            if log.lost or log in self._doubted or self.logs.get(log.name) is not log:
                continue
            log.dirty = False
            if (command := log.command()) is not None:
                asked.append(command)
                size += sum(len(word) for word in command[0] if isinstance(word, bytes))
                hurry = hurry or log.cut
        return hurry

    async def _bounded(self, awaitable: Awaitable[Some]) -> Some:
        try:
            async with asyncio.timeout(self._link.timeout):
                return await awaitable
        except (RedisError, OSError) as error:
            raise self._link.unavailable(error) from None

    async def _exchange(self, commands: list[Command]) -> list[Reply]:
        """Send commands and give their answers, an error of a command as what it is."""
        connection = self._connection
        await connection.send_packed_command([b"".join(map(_pack, commands))])
        replies: list[Reply] = []
        for _ in commands:
            try:
                replies.append(await connection.read_response())
            except ResponseError as error:
                replies.append(error)
        return replies


def _ignore(reply: Reply) -> None:
    """Take an answer that changes nothing: what was asked is asked again when it matters."""
