"""`Lease`: this process's sign of life in Redis, and the signs of life that it sees of the others.

How it works: every process renews its lease in one sorted set, five times in the length of a lease, by
the clock of Redis (a beat). If the lease of a process has run out, all others judge it dead and recover
what it wrote. A process judges only if its own beats have succeeded for the length of a lease without a
break: after an outage of Redis every lease has run out, and all processes need the time to renew theirs.

A process that was frozen (or whose host was) may have been judged dead. It notices that by its own clock
before it sends anything.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import structlog

from stream_serve.cluster.redis import keys
from stream_serve.cluster.redis.scripts import load
from stream_serve.errors import LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.cluster.redis.client import RedisClient

    Callbacks: TypeAlias = "list[Callable[[], None]]"

_BEAT: Final = load("stream_serve.cluster.redis", "beat")
_BEATS: Final = 5
"""Beats in a lease."""

_log = structlog.stdlib.get_logger("stream_serve.cluster")


class Lease:
    """The lease of this process, `seconds` long.

    `clock` returns seconds, which pass also while the process is frozen. Callbacks are added to the
    `on_...` lists before `open`. They are called in the event loop and must not wait.
    """

    def __init__(
        self, client: RedisClient, seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.me: Final = secrets.token_urlsafe(12)
        """The id of this process: new at every start."""
        self.seconds: Final = seconds
        self.alive: frozenset[str] = frozenset()
        """The processes with a lease, this one included, as of the last beat."""
        self.inbox = True
        """False when Redis did not have this process's inbox at the last beat."""
        self.on_beat: Callbacks = []
        """Called after each beat that succeeded."""
        self.on_dead: list[Callable[[str], None]] = []
        """Called with a process whose lease has run out, at each beat until it is removed."""
        self.on_missing: Callbacks = []
        """Called when Redis no longer knows this process: Redis lost its data, or we were judged dead."""
        self.on_lapse: Callbacks = []
        """Called when this process was frozen for longer than its lease."""
        self._client = client
        self._clock = clock
        self._ticked = clock()
        self._valid_until = float("-inf")
        self._steady_since: float | None = None
        self._known = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def valid(self) -> bool:
        """True while nobody can have judged this process dead."""
        return self._clock() < self._valid_until

    @property
    def steady(self) -> bool:
        """True when the beats have succeeded for the length of a lease without a break.

        Then a process that is not among the `alive` is gone. Before that it may only need the time to
        come back after an outage.
        """
        since = self._steady_since
        return since is not None and self._clock() - since >= self.seconds

    async def open(self) -> None:
        """Beat once, then keep beating in a task. If Redis is away, it is tried again."""
        if self._tasks:
            return
        self._ticked = self._clock()
        self._tasks = [asyncio.create_task(self._watch_clock(), name="lease-clock")]
        await self._beat()
        self._tasks.append(asyncio.create_task(self._run(), name="lease"))

    async def close(self) -> None:
        """Stop beating, and end the lease now, so that nobody has to wait until it runs out."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._valid_until = float("-inf")
        try:
            await self._leave()
        except LogUnavailable as error:
            _log.warning("the lease was not ended: it runs out by itself", error=str(error))

    async def remove(self, process: str) -> None:
        """Forget a dead process, all of whose logs are finished."""
        await self._client.run("ZREM", keys.PROCESSES, process)

    async def _leave(self) -> None:
        if await self._client.run("EXISTS", keys.unfinished(self.me)):
            # Other processes finish the logs that are left. They find them by a lease that has run out.
            await self._client.run("ZADD", keys.PROCESSES, "XX", 0, self.me)
        else:
            await self.remove(self.me)

    async def _run(self) -> None:
        while True:
            up = self._client.up
            await asyncio.sleep(self.seconds / _BEATS if up else min(1.0, self.seconds / 10))
            try:
                await self._beat()
            except Exception as error:  # noqa: BLE001
                # A process without a lease loses all its runs, so it tries again after any error.
                _log.exception("the lease was not renewed")
                self._failed(error)

    async def _watch_clock(self) -> None:
        """Look at the clock often, also while a beat waits for Redis: a long gap means a freeze."""
        while True:
            self._notice()
            await asyncio.sleep(min(1.0, self.seconds / 10))

    def _notice(self) -> None:
        now = self._clock()
        gap, self._ticked = now - self._ticked, now
        if gap > self.seconds:
            _log.warning("this process was frozen for longer than its lease", seconds=round(gap, 1))
            # All processes of a host freeze together, so the others may need time, too.
            self._steady_since = None
            self._call(self.on_lapse)

    async def _beat(self) -> None:
        self._notice()
        began = self._clock()
        lease = int(self.seconds * 1000)
        pipeline = self._client.redis.pipeline(transaction=False)
        self._client.script(_BEAT).queue(pipeline, [keys.PROCESSES], [self.me, lease])
        pipeline.pexpire(keys.inbox(self.me), lease)
        try:
            beat, inbox = await self._client.call(pipeline.execute(), always=True)
        except LogUnavailable as error:
            self._failed(error)
            return
        self.inbox = bool(inbox)
        self._succeeded(began, beat)

    def _failed(self, error: Exception) -> None:
        self._steady_since = None
        if self._client.up:
            self._client.mark_down()
            _log.warning(
                "Redis is away; it is tried again until it is back",
                error=str(error),
                server=self._client.where,
            )

    def _succeeded(self, began: float, beat: Any) -> None:
        # Notice a freeze that happened during the call before doing anything else.
        self._notice()
        now = self._clock()
        self._valid_until = began + self.seconds
        if not self._client.up:
            self._client.mark_up()
            _log.info("Redis is back")
        if self._steady_since is None or now - began > self.seconds / 2:
            # A slow beat counts as a break: the beats of the others may have been as slow.
            self._steady_since = now
        was, run_out, alive = beat
        missing = self._known and not was
        self._known = True
        self.alive = frozenset(process.decode() for process in alive)
        if missing:
            self._steady_since = now
            _log.warning("Redis had forgotten this process: it lost data, or we were too slow")
            self._call(self.on_missing)
        self._call(self.on_beat)
        if self.steady:
            for process in run_out:
                self._call(self.on_dead, process.decode())

    def _call(self, callbacks: list[Callable[..., None]], *arguments: str) -> None:
        for callback in callbacks:
            try:
                callback(*arguments)
            except Exception:  # noqa: BLE001
                # A defect of a callback must not end the lease.
                _log.exception("a callback of the lease failed, by a defect")
