"""`Subscriber`: hears what is published on channels of Redis, over one connection of this process.

How it works: one task has the connection and reads, and one writes: which channels are added and which
are left, and a PING when there is nothing else, so that a connection that is dead is noticed. What is
published while there is no connection is lost. So whoever subscribes is told when that may have happened,
and looks for itself.

The `Listener` loses nothing, but asks for all of its streams again after each entry. This is for many
channels, whose messages only say that something has changed.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.cluster.redis.client import BlockingConnection, RedisClient

_QUIET: Final = 1.0
"""Seconds after which a connection on which nothing is sent is tried."""
_PAUSE: Final = 0.01, 1.0
"""Seconds before the first attempt after an error, and the most before a later one."""

_log = structlog.stdlib.get_logger("stream_serve.cluster")


class Subscriber:
    """Calls back in the event loop: `heard` with a channel and a message, `missed` for all channels.

    `heard` is also called with an empty message, as soon as a subscription has begun: what was published
    before was not heard. `missed` is called when a new connection is made: all that was known before it
    may be no more, for Redis may have lost its newest data. Callbacks must not wait.
    """

    def __init__(
        self,
        client: RedisClient,
        *,
        heard: Callable[[str, bytes], None],
        missed: Callable[[], None],
    ) -> None:
        self._client = client
        self._heard = heard
        self._missed = missed
        self._channels: set[str] = set()
        self._unsent: set[str] = set()
        """Channels that were added or left since the writer has looked."""
        self._changed = asyncio.Event()
        self._pause, self._longest = _PAUSE
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to listen. If Redis is away, it is tried again."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="subscriber")

    async def close(self) -> None:
        """Stop listening."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def subscribe(self, channel: str) -> None:
        """Listen to a channel."""
        self._channels.add(channel)
        self._change(channel)

    def unsubscribe(self, channel: str) -> None:
        """Stop listening to a channel. An unknown one is fine."""
        self._channels.discard(channel)
        self._change(channel)

    def _change(self, channel: str) -> None:
        self._unsent.add(channel)
        self._changed.set()

    async def _run(self) -> None:
        while True:
            connection = self._client.blocking()
            try:
                async with asyncio.timeout(self._client.timeout):
                    await connection.connect()
                self._missed()
                await self._listen(connection)
            except (RedisError, OSError) as error:
                log = _log.warning if self._pause == _PAUSE[0] else _log.debug
                log("the channels cannot be heard", error=str(self._client.unavailable(error)))
            except Exception:  # noqa: BLE001
                # Whatever other processes change is told by this task, so it must not end.
                _log.exception("the channels cannot be heard, by a defect")
            finally:
                await connection.disconnect(nowait=True)
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, self._longest)

    async def _listen(self, connection: BlockingConnection) -> None:
        """Pass on what comes, until the connection breaks."""
        writer = asyncio.create_task(self._write(connection), name="subscriber-writer")
        try:
            while True:
                async with asyncio.timeout(_QUIET + self._client.timeout):
                    reply: Any = await connection.read_response()
                self._pause = _PAUSE[0]
                self._pass_on(reply)
        finally:
            writer.cancel()
            await asyncio.wait([writer])
            if not writer.cancelled():
                writer.exception()  # the reader has found the same

    def _pass_on(self, reply: Any) -> None:
        """Pass on a message, and the beginning of a subscription. The reply to a PING is neither."""
        kind = reply[0]
        if kind in {b"message", b"subscribe"} and (channel := reply[1].decode()) in self._channels:
            self._heard(channel, reply[2] if kind == b"message" else b"")

    async def _write(self, connection: BlockingConnection) -> None:
        """Tell Redis which channels this process listens to."""
        asked: set[str] = set()
        self._unsent = set(self._channels)
        while True:
            unsent, self._unsent = self._unsent, set()
            self._changed.clear()
            new = [one for one in unsent if one in self._channels and one not in asked]
            old = [one for one in unsent if one in asked and one not in self._channels]
            asked.update(new)
            asked.difference_update(old)
            if new:
                await connection.send_command("SUBSCRIBE", *new)
            if old:
                await connection.send_command("UNSUBSCRIBE", *old)
            if not (new or old):
                await connection.send_command("PING")
            with suppress(TimeoutError):
                async with asyncio.timeout(_QUIET):
                    await self._changed.wait()
