"""What Redis's configuration means for streams: which of them may get lost with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stream_serve.errors import LogUnavailable

if TYPE_CHECKING:
    from stream_serve.cluster.redis.client import RedisClient

_POLICY: Final = "noeviction"


async def doubts(client: RedisClient) -> list[str]:
    """Return what may make a Redis lose streams, and what to do about it. Raises `LogUnavailable`.

    That it loses the last second with `appendfsync everysec` is no doubt: it is the default.
    """
    found: list[str] = []
    facts = await _facts(client)
    if facts.get("aof_enabled") == "0":
        found.append("appendonly is no, so all streams are gone when Redis ends: set it to yes")
    elif await _fsync(client) == "no":
        found.append(
            "appendfsync is no, so half a minute may be missing after a loss of power: set it to "
            "everysec, or to always"
        )
    policy = facts.get("maxmemory_policy", _POLICY)
    if policy != _POLICY:
        found.append(
            f"maxmemory-policy is {policy}, so a full Redis throws data away: set it to {_POLICY}"
        )
    return found


async def _facts(client: RedisClient) -> dict[str, str]:
    """Return what Redis says of its persistence and its memory."""
    found: dict[str, Any] = {
        **await client.run("INFO", "persistence"),
        **await client.run("INFO", "memory"),
    }
    return {name: str(value) for name, value in found.items()}


async def _fsync(client: RedisClient) -> str:
    """Return when Redis makes sure of what it has written; empty where it may not be asked."""
    try:
        reply: dict[str, str] = await client.run("CONFIG GET", "appendfsync")
    except LogUnavailable:
        return ""
    return reply.get("appendfsync", "")
