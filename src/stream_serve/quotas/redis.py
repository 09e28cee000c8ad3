"""`RedisQuotas`: the runs of each owner, counted in Redis by all processes together.

How it works: each owner has a sorted set of the names of its runs. `enter` asks Redis, because the reply
decides. `leave` only records that a name has to go; a task sends such changes, in pipelines, and tries
again at each beat of the lease until Redis has them. If Redis loses its data, every process counts its
own runs again.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Final

import structlog

from stream_serve.cluster.redis.scripts import load
from stream_serve.errors import LogUnavailable

if TYPE_CHECKING:
    from stream_serve.cluster.redis.client import RedisClient
    from stream_serve.cluster.redis.lease import Lease

_ENTER: Final = load("stream_serve.quotas", "enter")
_AT_ONCE: Final = 500
"""Changes that are sent in one pipeline."""
_NO_BOUND: Final = 1_000_000_000

_log = structlog.stdlib.get_logger("stream_serve.quotas")


def key(owner: str) -> str:
    """Return the key of a sorted set: the names of an owner's runs, by the time of Redis in ms at which
    each stops counting."""
    return f"stream-serve:{{{owner}}}:runs"


class RedisQuotas:
    """The counts of all processes that share a Redis.

    `ttl` is how many seconds a run counts if its process was killed before it could `leave`: longer
    than any run.
    """

    def __init__(self, client: RedisClient, lease: Lease, *, ttl: float) -> None:
        self._client = client
        self._lease = lease
        self._ttl = int(ttl * 1000)
        self._entered: set[tuple[str, str]] = set()
        # The changes that Redis does not have yet: True counts the run, False stops counting it.
        self._unsent: dict[tuple[str, str], bool] = {}
        self._due = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start the task that sends, and follow the lease."""
        self._lease.on_beat.append(self._on_beat)
        self._lease.on_missing.append(self._count_again)
        self._sender = asyncio.create_task(self._run(), name="quotas")

    async def close(self) -> None:
        """Send the changes that are unsent: one attempt, which takes no longer than a call may."""
        sender, self._sender = self._sender, None
        if sender is None:
            return
        self._lease.on_beat.remove(self._on_beat)
        self._lease.on_missing.remove(self._count_again)
        sender.cancel()
        await asyncio.wait([sender])
        try:
            await self._send()
        except LogUnavailable as error:
            _log.warning(
                "runs that are over still count: they stop by themselves",
                runs=len(self._unsent),
                error=str(error),
            )

    async def enter(self, owner: str, name: str, most: int) -> bool:
        """Count a run of an owner, if it has fewer than `most` over all processes."""
        self._unsent.pop((owner, name), None)
        script = self._client.script(_ENTER)
        entered = await self._client.call(script([key(owner)], [name, most, self._ttl]))
        if entered:
            self._entered.add((owner, name))
        return bool(entered)

    def leave(self, owner: str, name: str) -> None:
        """Stop counting a run, as soon as Redis can be told."""
        self._entered.discard((owner, name))
        self._unsent[owner, name] = False
        self._due.set()

    def _on_beat(self) -> None:
        if self._unsent:
            self._due.set()

    def _count_again(self) -> None:
        """Count all runs again, because Redis may have lost them."""
        self._unsent = dict.fromkeys(self._entered, True) | self._unsent
        self._due.set()

    async def _run(self) -> None:
        """Send the changes as they come. Those that fail are sent again at a later beat."""
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._send()
            except LogUnavailable as error:
                _log.debug("the counts are sent again at the next beat", error=str(error))
            except Exception:  # noqa: BLE001
                # Without this task no run of this process would ever leave.
                _log.exception("the counts were not sent, by a defect")

    async def _send(self) -> None:
        script = self._client.script(_ENTER)
        while self._unsent:
            sent = dict(itertools.islice(self._unsent.items(), _AT_ONCE))
            pipeline = self._client.redis.pipeline(transaction=False)
            for (owner, name), counts in sent.items():
                if counts:
                    script.queue(pipeline, [key(owner)], [name, _NO_BOUND, self._ttl])
                else:
                    pipeline.zrem(key(owner), name)
            await self._client.call(pipeline.execute())
            for run, counts in sent.items():
                # A newer change of the same run, made while this one was sent, is still unsent.
                if self._unsent.get(run) is counts:
                    del self._unsent[run]
