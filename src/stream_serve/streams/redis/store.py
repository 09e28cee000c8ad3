"""`RedisStore`: streams in Redis, for any number of processes and hosts.

How it works: all commits that wait are made by one run of a script, which checks versions and totals
and writes each of them as a whole or not at all. While it is on its way, the next ones gather. Whoever
watches a stream is told by Redis on the stream's channel; own commits are left out.

The bytes of a data are in chunks of one size in a hash, and what follows the last chunk is a string. So
an append copies at most a chunk however long the data is, a read takes the chunks that it needs, and the
data of a long stream is freed in the background. One long string would be copied to grow, would have up
to twice the memory that it needs, and would be freed while all others wait; an entry for each append
would cost more than a short append itself.

What is acknowledged survives the end of this process. Whether it survives the end of Redis is a matter of
Redis's configuration: see `durability`. Where Redis has lost its newest data, the versions that are known
here may name other states by now, so that nothing is taken as known after a new connection.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import structlog

from stream_serve.cluster.redis.client import RedisClient
from stream_serve.cluster.redis.scripts import load
from stream_serve.cluster.redis.subscriber import Subscriber
from stream_serve.errors import LogUnavailable
from stream_serve.streams.base import Totals, excess
from stream_serve.streams.errors import StreamsUnavailable
from stream_serve.streams.redis import keys
from stream_serve.streams.redis.durability import doubts
from stream_serve.streams.state import decode, encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from stream_serve.streams.base import Change, Quota
    from stream_serve.streams.state import Key, State

_HERE: Final = "stream_serve.streams.redis"
_URL: Final = "RedisStore.url"
_CHUNK: Final = 65_536
"""Bytes of a chunk. It is a part of how streams are kept: no other one can read them."""

_ASK_AGAIN: Final = 30.0
"""Seconds until a Redis that did not say how it keeps streams is asked again."""

_MAX_GROUP: Final = 250
_MAX_BYTES: Final = 16_777_216
"""Commits in one run of the script, and their bytes: Redis does nothing else meanwhile."""

_log = structlog.stdlib.get_logger("stream_serve.streams")


class _Commit:
    """Changes that wait to be made."""

    __slots__ = ("changes", "done", "quota", "size")

    def __init__(self, changes: Sequence[Change], quota: Quota, done: asyncio.Future[bool]) -> None:
        self.changes = changes
        self.quota = quota
        self.done = done
        self.size = sum([len(one.data) for one in changes])

    @property
    def removes(self) -> bool:
        """Whether a stream is removed."""
        return any(one.state is None for one in self.changes)

    def fail(self, error: BaseException) -> None:
        """Tell whoever waits."""
        if not self.done.done():
            self.done.set_exception(error)


class RedisStore:
    """Streams in the Redis of `url`. A call may take `timeout` seconds.

    `url_parameter` is what the URL is set by, for errors. Raises `SettingsError` for a URL that is none.
    """

    def __init__(self, url: str, timeout: float, *, url_parameter: str = _URL) -> None:
        # Connections of its own: a stop of a run does not wait behind reads of long streams, and this may
        # be another Redis than that of the runs.
        self._client = RedisClient(
            url,
            timeout,
            url_parameter=url_parameter,
            room=("delete streams", ()),
        )
        self._me = _new_name()
        self._changed: Callable[[Key | None], None] = lambda _: None
        self._watched: dict[str, Key] = {}
        self._subscriber = Subscriber(self._client, heard=self._on_heard, missed=self._on_missed)
        self._commit = self._client.script(load(_HERE, "commit"))
        self._read = self._client.script(load(_HERE, "read"))
        self._waiting: deque[_Commit] = deque()
        self._due = asyncio.Event()
        self._connected = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    async def open(self, changed: Callable[[Key | None], None]) -> None:
        """Begin to listen. If Redis is away, it is tried again."""
        self._changed = changed
        await self._subscriber.open()
        self._tasks = [
            asyncio.create_task(self._run(), name="streams"),
            asyncio.create_task(self._warn(), name="streams-durability"),
        ]

    async def close(self) -> None:
        """Finish what waits, for as long as a call may take, and close the connections."""
        self._closed = True
        try:
            async with asyncio.timeout(self._client.timeout):
                await self._idle.wait()
        except TimeoutError:
            _log.warning("appends that wait for Redis at the end are not made")
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for commit in self._waiting:
            commit.fail(_ending())
        self._waiting.clear()
        await self._subscriber.close()
        await self._client.close()

    async def load(self, key: Key) -> State | None:
        """Return the state."""
        found = await self._call(self._client.run("HGET", keys.stream(*key), "s"))
        return None if found is None else decode(found)

    def commit(self, changes: Sequence[Change], quota: Quota) -> asyncio.Future[bool]:
        """Let the task make the changes, with all that waits."""
        done = asyncio.get_running_loop().create_future()
        commit = _Commit(changes, quota, done)
        if self._closed:
            commit.fail(_ending())
        else:
            self._waiting.append(commit)
            self._idle.clear()
            self._due.set()
        return done

    async def read(self, data_id: str, start: int, end: int) -> bytes:
        """Return the bytes, which may be in many chunks."""
        if start >= end:
            return b""
        names = (keys.chunks(data_id), keys.tail(data_id))
        run = self._read(names, (_CHUNK, start, end))
        pieces: list[bytes] = await self._call(self._client.call(run))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def watch(self, key: Key) -> None:
        """Listen to changes of others from now on."""
        channel = keys.stream(*key)
        self._watched[channel] = key
        self._subscriber.subscribe(channel)

    def unwatch(self, key: Key) -> None:
        """Listen no more."""
        channel = keys.stream(*key)
        self._watched.pop(channel, None)
        self._subscriber.unsubscribe(channel)

    async def due(self, now: float, most: int) -> list[Key]:
        """Return what is due."""
        words = ("ZRANGEBYSCORE", keys.DUE, "-inf", repr(now), "LIMIT", 0, most)
        found: list[bytes] = await self._call(self._client.run(*words))
        parts = (one.decode().partition("\0") for one in found)
        return [(owner, path) for owner, _, path in parts]

    async def totals(self, owner: str) -> Totals:
        """Return what an owner has."""
        words = ("HMGET", keys.totals(owner), "streams", "bytes")
        streams, size = await self._call(self._client.run(*words))
        return Totals(int(streams or 0), int(size or 0))

    async def _call(self, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except LogUnavailable as error:
            raise _unavailable(error) from None

    async def _run(self) -> None:
        """Make the commits that wait, again and again."""
        while True:
            await self._due.wait()
            self._due.clear()
            while batch := self._take():
                await self._make(batch)
            self._idle.set()

    def _take(self) -> list[_Commit]:
        """Return the commits that are made next. Those whose caller has gone are left out."""
        batch: list[_Commit] = []
        size = 0
        while self._waiting and len(batch) < _MAX_GROUP:
            size += self._waiting[0].size
            if batch and size > _MAX_BYTES:
                break
            commit = self._waiting.popleft()
            if not commit.done.done():
                batch.append(commit)
        # A full Redis lets a script go on that has begun with a removal, which is never refused.
        batch.sort(key=lambda one: not one.removes)
        return batch

    async def _make(self, batch: list[_Commit]) -> None:
        """Make commits, and tell who waits for them."""
        names, words = [keys.DUE], [_CHUNK, self._me, len(batch)]
        for commit in batch:
            _put(commit, names, words)
        try:
            replies = await self._client.call(self._commit(names, words))
        except LogUnavailable as error:
            self._doubt(batch)
            for commit in batch:
                commit.fail(_unavailable(error))
        except Exception as error:  # noqa: BLE001
            # Without this task nothing would be committed any more.
            _log.exception("commits failed, by a defect")
            for commit in batch:
                commit.fail(error)
        except BaseException:
            for commit in batch:
                commit.fail(_ending())
            raise
        else:
            for commit, reply in zip(batch, replies, strict=True):
                _settle(commit, reply)

    def _doubt(self, batch: list[_Commit]) -> None:
        """Have it looked up what has become of commits that may have been made, or may still be made.

        What Redis makes of them from now on is as from somebody else.
        """
        self._me = _new_name()
        for commit in batch:
            for one in commit.changes:
                self._changed(one.key)

    async def _warn(self) -> None:
        """Warn of a Redis that keeps streams less well than it could: of each that is connected to.

        Another one may be behind the same address after a while.
        """
        said: list[str] = []
        while True:
            await self._connected.wait()
            self._connected.clear()
            try:
                found = await doubts(self._client)
            except LogUnavailable as error:
                _log.debug("Redis does not say how it keeps streams", error=str(error))
                asyncio.get_running_loop().call_later(_ASK_AGAIN, self._connected.set)
                continue
            for doubt in found:
                if doubt not in said:
                    _log.warning("streams may get lost with Redis", reason=doubt)
            said = found

    def _on_heard(self, channel: str, who: bytes) -> None:
        key = self._watched.get(channel)
        if key is not None and who != self._me:
            self._changed(key)

    def _on_missed(self) -> None:
        self._connected.set()
        self._changed(None)


def _put(commit: _Commit, names: list[str], words: list[Any]) -> None:
    """Add a commit to what the script takes."""
    changes, quota = commit.changes, commit.quota
    names.append(keys.totals(changes[0].key[0]))
    words += (
        len(changes),
        sum([one.streams for one in changes]),
        sum([one.bytes for one in changes]),
        quota.streams,
        quota.bytes,
    )
    for one in changes:
        names += (keys.stream(*one.key), keys.chunks(one.data_id), keys.tail(one.data_id))
        words += (
            one.version,
            "" if one.state is None else one.state.version,
            b"" if one.state is None else encode(one.state),
            one.data,
            "" if one.due is None else repr(one.due),
            keys.member(*one.key),
        )


def _settle(commit: _Commit, reply: int | list[int]) -> None:
    """Tell who waits for a commit what the script replied."""
    if commit.done.done():
        return
    if isinstance(reply, int):
        commit.done.set_result(reply == 1)
        return
    changes = commit.changes
    full = excess(
        Totals(*reply),
        commit.quota,
        streams=sum([one.streams for one in changes]),
        size=sum([one.bytes for one in changes]),
    )
    commit.fail(full or StreamsUnavailable("others fill the streams of this key: try again"))


def _unavailable(error: LogUnavailable) -> StreamsUnavailable:
    return StreamsUnavailable(
        str(error), parameters=error.parameters, for_operator=error.for_operator
    )


def _new_name() -> bytes:
    return secrets.token_bytes(6)


def _ending() -> StreamsUnavailable:
    return StreamsUnavailable("this process ends: try again")
