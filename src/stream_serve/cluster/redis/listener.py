"""`Listener`: the one blocking reader of this process, for all the streams that it follows.

How it works: one connection waits in an `XREAD BLOCK` for all watched keys. When the set of keys
changes, another connection ends that wait (`CLIENT UNBLOCK`), and the next wait has the new set. The
position in each stream is kept here, so that a connection that breaks loses and repeats nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import structlog
from msgspec import Struct
from redis.exceptions import RedisError

from stream_serve.errors import LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.cluster.redis.client import BlockingConnection, RedisClient

    Entry: TypeAlias = "tuple[bytes, dict[bytes, bytes]]"
    """An entry of a stream: its id and its fields."""
    Callback: TypeAlias = "Callable[[list[Entry]], None]"

_BLOCK: Final = 1.0
"""Seconds of one wait: a frozen Redis is noticed no later than that."""
_COUNT: Final = 32
"""Entries of one stream in one reply."""
_PAUSE: Final = 0.01, 1.0
"""Seconds before the first attempt after an error, and the most before a later one."""
_MANY: Final = 200
_BREATH: Final = 5e-6
"""Seconds of rest for each key, above `_MANY` keys: asking for all of them again costs time."""

_log = structlog.stdlib.get_logger("stream_serve.cluster")


class _Watch(Struct, eq=False):
    after: bytes
    callback: Callback


class Listener:
    """Follows streams, and calls back in the event loop, in the order of each stream.

    A callback must not wait. One that raises is not called again.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._watches: dict[str, _Watch] = {}
        self._version = 0
        self._reading: int | None = None
        self._reader_id = 0
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Begin to read. If Redis is away, it is tried again."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._run(), name="listener"),
                asyncio.create_task(self._wake(), name="listener-wake"),
            ]

    async def close(self) -> None:
        """Stop reading."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def watch(self, key: str, after_id: bytes, callback: Callback) -> None:
        """Call `callback` with all entries of a stream after an id, and with new ones as they arrive.

        If the key is watched already, the new position and the new callback replace the old ones.
        """
        self._watches[key] = _Watch(after_id, callback)
        self._change()

    def unwatch(self, key: str) -> None:
        """Stop watching a key. An unknown key is fine."""
        if self._watches.pop(key, None) is not None:
            self._change()

    def _change(self) -> None:
        self._version += 1
        self._changed.set()

    async def _run(self) -> None:
        first, most = _PAUSE
        pause = first
        while True:
            connection = self._client.blocking()
            try:
                await self._connect(connection)
                while True:
                    await self._read(connection)
                    pause = first
            except (RedisError, OSError) as error:
                log = _log.warning if pause == first else _log.debug
                log("the streams cannot be followed", error=str(self._client.unavailable(error)))
            except Exception:  # noqa: BLE001
                # Everything from other processes arrives through this task, so it must not end.
                _log.exception("the streams cannot be followed, by a defect")
            finally:
                self._reading = None
                await connection.disconnect(nowait=True)
            await asyncio.sleep(pause)
            pause = min(pause * 2, most)

    async def _connect(self, connection: BlockingConnection) -> None:
        async with asyncio.timeout(self._client.timeout):
            await connection.connect()
            await connection.send_command("CLIENT", "ID")
            self._reader_id = int(await connection.read_response())

    async def _read(self, connection: BlockingConnection) -> None:
        """Wait once for entries, and pass them to the callbacks."""
        while not self._watches:
            self._changed.clear()
            await self._changed.wait()
        asked = dict(self._watches)
        self._reading = self._version
        async with asyncio.timeout(_BLOCK + self._client.timeout):
            await connection.send_command(
                *("XREAD", "COUNT", _COUNT, "BLOCK", int(_BLOCK * 1000), "STREAMS"),
                *asked,
                *(watch.after for watch in asked.values()),
            )
            reply: Any = await connection.read_response()
        self._reading = None
        for key, entries in reply or ():
            name = key.decode()
            # The key may have been unwatched, or watched anew, during the wait.
            if self._watches.get(name) is asked[name]:
                self._hand_over(name, asked[name], entries)
        if reply and len(asked) > _MANY:
            await asyncio.sleep(min(len(asked) * _BREATH, 0.02))

    def _hand_over(self, name: str, watch: _Watch, raw: list[Any]) -> None:
        entries = [(number, dict(zip(flat[::2], flat[1::2], strict=True))) for number, flat in raw]
        watch.after = entries[-1][0]
        try:
            watch.callback(entries)
        except Exception:  # noqa: BLE001
            # The other callbacks must get their entries all the same.
            _log.exception("a callback of the listener failed: it is not called again", key=name)
            if self._watches.get(name) is watch:
                self.unwatch(name)

    async def _wake(self) -> None:
        """End each wait that was begun with an older set of keys."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._reading not in {None, self._version}:
                pause = 0.001
                try:
                    # This does nothing if the wait has not begun in Redis yet, so it is repeated.
                    await self._client.run("CLIENT UNBLOCK", self._reader_id)
                except LogUnavailable as error:
                    _log.debug(
                        "a wait for entries was not ended: it ends by itself", error=str(error)
                    )
                    pause = 0.1
                await asyncio.sleep(pause)
