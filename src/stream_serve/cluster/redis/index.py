"""`RedisIndex`: the index of several processes, in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_serve.cluster.index import KEPT, never
from stream_serve.cluster.redis import keys

if TYPE_CHECKING:
    from stream_serve.cluster.index import Lasts
    from stream_serve.cluster.redis.client import RedisClient


class RedisIndex:
    """An index that all processes on one Redis share. `ttl` is in seconds."""

    def __init__(self, client: RedisClient, *, ttl: float) -> None:
        self._client = client
        self._ttl = int(ttl * 1000)

    async def record(self, name: str, value: str, *, lasts: Lasts = never) -> list[str]:
        """Record a value as the newest one of a name; return those older than the newest `KEPT`."""
        del lasts  # Redis forgets no name before its time, and says so when it is full.
        key = keys.index(name)
        # In one transaction: a key that never expires would stay for ever.
        pipeline: Any = self._client.redis.pipeline(transaction=True)
        pipeline.lpush(key, value)
        pipeline.pexpire(key, self._ttl)
        pipeline.lrange(key, KEPT, -1)
        older: list[bytes] = (await self._client.call(pipeline.execute()))[-1]
        return [one.decode() for one in older]

    async def remove(self, name: str, value: str) -> None:
        """Take the newest record of a value back."""
        await self._client.run("LREM", keys.index(name), 1, value)

    async def newest(self, name: str) -> list[str]:
        """Return the values of a name, the newest first."""
        values: list[bytes] = await self._client.run("LRANGE", keys.index(name), 0, -1)
        return [value.decode() for value in values]
