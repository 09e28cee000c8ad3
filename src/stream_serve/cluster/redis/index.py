"""`RedisIndex`: the index of several processes, in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_serve.cluster.index import KEPT
from stream_serve.cluster.redis import keys

if TYPE_CHECKING:
    from stream_serve.cluster.redis.client import RedisClient


class RedisIndex:
    """An index that all processes on one Redis share. `ttl` is in seconds."""

    def __init__(self, client: RedisClient, *, ttl: float) -> None:
        self._client = client
        self._ttl = int(ttl * 1000)

    async def record(self, name: str, value: str) -> None:
        """Record a value as the newest one of a name."""
        key = keys.index(name)
        # In one transaction: a key that never expires would stay for ever.
        pipeline: Any = self._client.redis.pipeline(transaction=True)
        pipeline.lpush(key, value)
        pipeline.ltrim(key, 0, KEPT - 1)
        pipeline.pexpire(key, self._ttl)
        await self._client.call(pipeline.execute())

    async def remove(self, name: str, value: str) -> None:
        """Take the newest record of a value back."""
        await self._client.run("LREM", keys.index(name), 1, value)

    async def newest(self, name: str) -> list[str]:
        """Return the newest values of a name, the newest first."""
        values: list[bytes] = await self._client.run("LRANGE", keys.index(name), 0, KEPT - 1)
        return [value.decode() for value in values]
