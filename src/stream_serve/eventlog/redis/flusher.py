"""The flusher: the one task of a process that sends to Redis what the writers have written.

How it works: a writer appends frames in memory, and marks itself once when it has something new. The
flusher sends the new frames of all logs in one round, one entry for each log, and then rests for the
flush interval. An entry is:

    XADD <frames> NOMKSTREAM <number of the first frame>-0  d <frames, joined>
         [n <their lengths as little-endian uint32>]   absent for a single frame
         [e 1]   the log ends here: the last frame and the end are written in one step
         [g 1]   numbers were skipped before the first frame

An entry does not change between its sending and its acknowledgement. After an error, a broken connection
or a missing stream, the log is in doubt. Before its next entry is sent, `verify.lua` finds out how much
of the log Redis has. If Redis has lost something, the script begins the log again. If the log belongs to
another process now, the script says so. A new connection puts every log in doubt, because it may lead to
another Redis.

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

from stream_serve.cluster.redis.keys import unfinished
from stream_serve.cluster.redis.scripts import load
from stream_serve.errors import LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from stream_serve.cluster.redis.client import RedisClient
    from stream_serve.cluster.redis.lease import Lease
    from stream_serve.eventlog.redis.writer import Command, RedisLogWriter, Reply, Request, Word

Some = TypeVar("Some")

_pack: Final = cast("Callable[[Command], bytes]", hiredis.pack_command)
"""Encodes a command. The client's own encoder is written in Python and too slow for this path."""

_log = structlog.stdlib.get_logger("stream_serve.eventlog")

_ROUND_BYTES: Final = 4_194_304
"""A round takes no further log as soon as its entries are as long as this."""
_VERIFIED_AT_ONCE: Final = 100
"""Logs in doubt that are verified in one round."""
_LONGEST_PAUSE: Final = 1.0
"""Seconds between two rounds that fail, at most."""
_LAST_PAUSE: Final = 0.01
"""Seconds between two rounds while the flusher closes."""


class Flusher:
    """Sends to Redis what the writers of this process write. `logs` are these writers by name.

    `interval` is the rest between two rounds, `live_ttl` how long a log may be written, `retention` how
    long a finished log is kept, all in seconds. `lost` is called with each writer whose log belongs to
    another process now.
    """

    def __init__(
        self,
        client: RedisClient,
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
        self._client = client
        self._lease = lease
        self._interval = interval
        self._lost = lost
        # Not from the pool, which would reconnect silently: then no log would be in doubt.
        self._connection: Any = client.blocking()
        self._marked: list[RedisLogWriter] = []
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
        """Start the task."""
        self._task = asyncio.create_task(self._run(), name="flusher")

    async def close(self, timeout: float) -> None:
        """Send what is unsent, for at most `timeout` seconds, and end the task."""
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

    def add(self, log: RedisLogWriter) -> None:
        """Send what this writer writes from now on."""
        self.logs[log.name] = log

    def pop(self, name: str) -> RedisLogWriter | None:
        """Send nothing more of a log, and return its writer, or None if there is none."""
        return self.logs.pop(name, None)

    def script(self, name: str, names: Sequence[str], words: Sequence[Word]) -> Command:
        """Return the command that runs a script.

        It has the script in full: a round is sent at once, and cannot stop at an unknown hash.
        """
        return ("EVAL", load("stream_serve.eventlog.redis", name), len(names), *names, *words)

    def mark(self, log: RedisLogWriter) -> None:
        """Record that a log has something to send. A writer calls this once until its next request."""
        self._marked.append(log)
        self._wake.set()

    def doubt(self, log: RedisLogWriter, reply: Reply = None) -> None:
        """Find out how much of a log Redis has, before its next entry is sent."""
        if not log.lost:
            log.hold()
            self._doubts += 1
            self._doubted.pop(log, None)
            self._doubted[log] = self._doubts
        if isinstance(reply, ResponseError):
            self._failed = True
            if not self._pause:
                _log.warning("Redis refused an entry of a log", log=log.name, reason=str(reply))

    def doubt_all(self) -> None:
        """Find out how much of each log Redis has, before its next entry is sent."""
        for log in self.logs.values():
            self.doubt(log)
        self._wake.set()

    def release(self, log: RedisLogWriter) -> None:
        """Record that a log needs no other process to finish it if this process dies."""
        if self.logs.get(log.name) is log:
            self._released.add(log.name)
            self._wake.set()

    def remove(self, log: RedisLogWriter) -> asyncio.Future[None]:
        """Have Redis forget a log, after all entries on their way. The future is done when it has."""
        log.hold()
        removed = self._removals[log] = asyncio.get_running_loop().create_future()
        self._wake.set()
        return removed

    def lose(self, log: RedisLogWriter) -> None:
        """Stop sending a log that belongs to another process now."""
        if not log.lost:
            log.lose()
            self._doubted.pop(log, None)
            self._lost(log)

    def beat(self) -> None:
        """Go on if the lease is valid again, and check the connection with the next round."""
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
                # Even a defect must not end the task that sends all logs.
                if not isinstance(error, LogUnavailable):
                    _log.exception("logs cannot be sent to Redis, by a defect")
                elif not self._pause:
                    _log.warning("logs cannot be sent to Redis", reason=str(error))
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
        """True while there is something to send."""
        return bool(self._marked or self._doubted or self._released or self._removals)

    async def _round(self) -> bool:
        """Send one entry of each log that has something new; return True if there is more to send.

        Raises `LogUnavailable`. Then it is not known which entries have reached Redis.
        """
        ripe = asyncio.get_running_loop().time() >= self._not_before
        if not self._connection.is_connected:
            if not ripe:
                return False
            await self._bounded(self._connection.connect())
            self.doubt_all()
        requests: list[Request] = []
        hurry = ripe and self._verify(requests)
        hurry = self._write(requests) or hurry
        for log in self._removals:
            requests += [(command, partial(self._on_removed, log)) for command in log.removal()]
            self._released.add(log.name)
        if released := list(self._released):
            requests.append((("SREM", unfinished(self.me), *released), _ignore))
        if not requests and not self._probe:
            return False
        self._probe = False
        commands = [command for command, _ in requests] or [("PING",)]
        replies = await self._bounded(self._exchange(commands))
        self._released.difference_update(released)
        for (_, handle), reply in zip(requests, replies, strict=False):
            handle(reply)
        return hurry

    def _verify(self, requests: list[Request]) -> bool:
        """Add requests about logs that are in doubt; return True if there are more such logs."""
        live: list[str] = []
        more = len(self._doubted) > _VERIFIED_AT_ONCE
        chunk = list(islice(self._doubted.items(), _VERIFIED_AT_ONCE))
        for log, doubt in chunk:
            if log.lost or self.logs.get(log.name) is not log:
                del self._doubted[log]
                continue
            requests.append((log.verification(), partial(self._on_verified, log, doubt)))
            if not log.ended:
                live.append(log.name)
        if live:
            requests.append((("SADD", unfinished(self.me), *live), _ignore))
        return more

    def _on_verified(self, log: RedisLogWriter, doubt: int, reply: Reply) -> None:
        if log.lost:
            return
        if not log.verified(reply):
            self.doubt(log, reply)
        elif self._doubted.get(log) == doubt:
            # Otherwise the log came into doubt again during this call.
            del self._doubted[log]
            log.resume()

    def _on_removed(self, log: RedisLogWriter, reply: Reply) -> None:
        if isinstance(reply, ResponseError):
            self._failed = True
        elif (removed := self._removals.pop(log, None)) is not None and not removed.done():
            removed.set_result(None)

    def _write(self, requests: list[Request]) -> bool:
        """Add the next request of each marked log; return True if there is more to send."""
        marked, self._marked = self._marked, []
        size, hurry = 0, False
        for place, log in enumerate(marked):
            if size > _ROUND_BYTES:
                self._marked = marked[place:]
                return True
            if log.lost or log in self._doubted or self.logs.get(log.name) is not log:
                continue
            if (request := log.request()) is not None:
                requests.append(request)
                size += sum(len(word) for word in request[0] if isinstance(word, bytes))
                hurry = hurry or log.more
        return hurry

    async def _bounded(self, awaitable: Awaitable[Some]) -> Some:
        try:
            async with asyncio.timeout(self._client.timeout):
                return await awaitable
        except (RedisError, OSError) as error:
            raise self._client.unavailable(error) from None

    async def _exchange(self, commands: list[Command]) -> list[Reply]:
        """Send commands and return their replies; the error of a command is its reply."""
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
    """Ignore a reply: the command is sent again when it matters."""
