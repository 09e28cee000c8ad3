"""`Listener`: the one blocking reader of this process, for all the streams that it follows.

How it works: one connection waits in an `XREAD BLOCK` over all the keys that are watched. When the
set of keys changes, another connection ends that wait (`CLIENT UNBLOCK`) and it begins anew with the
new set. The place in each stream is kept here, so a connection that breaks loses nothing and doubles
nothing.
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

    from stream_serve.cluster.redis.client import BlockingConnection, Link

    Entry: TypeAlias = "tuple[bytes, dict[bytes, bytes]]"
    """An entry of a stream: its id and its fields."""
    Callback: TypeAlias = "Callable[[list[Entry]], None]"

_BLOCK: Final = 1.0
"""Seconds of one wait. It bounds how late a Redis that is frozen is noticed."""
_COUNT: Final = 32
"""Entries of one stream at once."""
_PAUSE: Final = 0.01, 1.0
"""Seconds before the first and before every later attempt at most, after an error."""
_MANY: Final = 200
_BREATH: Final = 5e-6
"""Seconds to wait for more, for each of many keys: it costs something to ask for all of them again."""

_log = structlog.stdlib.get_logger("stream_serve.stream_serve.cluster.redis.listener")


class _Watch(Struct, eq=False):
    after: bytes
    callback: Callback


class Listener:
    """Follows streams. The callbacks are called in the event loop, in the order of each stream; they
    must not wait. One that raises is called no more."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._watches: dict[str, _Watch] = {}
        self._version = 0
        self._reading: int | None = None
        self._client = 0
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Begin to read. Redis may be away; then it is tried again."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._run(), name="listener"),
                asyncio.create_task(self._wake(), name="listener-wake"),
            ]

    async def close(self) -> None:
        """Read no more."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def watch(self, key: str, after_id: bytes, callback: Callback) -> None:
        """Call `callback` with all entries of a stream behind an id, and with those that come.

        A key that is watched already is watched from the new place by the new callback.
        """
        self._watches[key] = _Watch(after_id, callback)
        self._change()

    def unwatch(self, key: str) -> None:
        """Call nobody for this key any more. Unknown is fine."""
        if self._watches.pop(key, None) is not None:
            self._change()

    def _change(self) -> None:
        self._version += 1
        self._changed.set()

    async def _run(self) -> None:
        first, most = _PAUSE
        pause = first
        while True:
            connection = self._link.blocking()
            try:
                await self._connect(connection)
                while True:
                    await self._read(connection)
                    pause = first
            except (RedisError, OSError) as error:
                log = _log.warning if pause == first else _log.debug
                log("the streams cannot be followed", error=str(self._link.unavailable(error)))
            except Exception:  # noqa: BLE001
                # All that comes from other processes comes through here: it must not end.
                _log.exception("the streams cannot be followed")
            finally:
                self._reading = None
                await connection.disconnect(nowait=True)
            await asyncio.sleep(pause)
            pause = min(pause * 2, most)

    async def _connect(self, connection: BlockingConnection) -> None:
        async with asyncio.timeout(self._link.timeout):
            await connection.connect()
            await connection.send_command("CLIENT", "ID")
            self._client = int(await connection.read_response())

    async def _read(self, connection: BlockingConnection) -> None:
        """Wait for entries once, and hand them over."""
        while not self._watches:
            self._changed.clear()
            await self._changed.wait()
        asked = dict(self._watches)
        self._reading = self._version
        async with asyncio.timeout(_BLOCK + self._link.timeout):
            await connection.send_command(
                *("XREAD", "COUNT", _COUNT, "BLOCK", int(_BLOCK * 1000), "STREAMS"),
                *asked,
                *(watch.after for watch in asked.values()),
            )
            reply: Any = await connection.read_response()
        self._reading = None
        for key, entries in reply or ():
            name = key.decode()
            # What was unwatched or watched anew, since it was asked for, is not this callback's.
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
            # One that fails must not take the others' entries with it.
            _log.exception("a callback of the listener failed: it is called no more", key=name)
            if self._watches.get(name) is watch:
                self.unwatch(name)

    async def _wake(self) -> None:
        """End the wait that does not know the newest set of keys."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._reading not in {None, self._version}:
                pause = 0.001
                try:
                    # No effect when the wait has not begun in Redis yet: once more, then.
                    await self._link.run("CLIENT UNBLOCK", self._client)
                except LogUnavailable as error:
                    _log.debug("a wait was not ended: it ends by itself", error=str(error))
                    pause = 0.1
                await asyncio.sleep(pause)
