"""Streams for tests: a place of each kind, and a clock that a test moves."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stream_serve.streams.base import Quota
from stream_serve.streams.decisions import Append, Rules
from stream_serve.streams.memory import MemoryStore
from stream_serve.streams.redis.store import RedisStore
from stream_serve.streams.service import Streams
from stream_serve.streams.sqlite import SQLiteStore
from support.redis import shared_server

if TYPE_CHECKING:
    from stream_serve.streams.base import Store

BACKENDS: Final = ["memory", "sqlite", "redis"]
SHARED: Final = [kind for kind in BACKENDS if kind != "memory"]
"""Every kind of store, and those that several processes can use. What a new one needs for the suites is
a branch in `Place._store`."""

RULES: Final = Rules(stream_bytes=1_000_000, retention=1_000_000)
QUOTA: Final = Quota(1_000, 10_000_000)
TEXT: Final = "text/plain"


class Place:
    """Where streams are kept. `store` makes another user of it, as another process would be."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self._folder = folder
        self._memory = MemoryStore()
        self._opened: list[Store] = []
        if kind == "redis":
            shared_server().flush()

    @property
    def shared(self) -> bool:
        """Whether several processes can use it."""
        return self.kind in SHARED

    @property
    def url(self) -> str:
        """What a service is told to use it."""
        if self.kind == "redis":
            return shared_server().url
        return str(self._folder / "streams.db") if self.shared else self.kind

    async def store(self, changed: list[tuple[str, str] | None] | None = None) -> Store:
        """Return an open user; it adds to `changed` what others have changed."""
        made = self._store()
        await made.open((changed if changed is not None else []).append)
        self._opened.append(made)
        return made

    async def streams(
        self, rules: Rules = RULES, quota: Quota = QUOTA, clock: Clock | None = None
    ) -> Streams:
        """Return open streams, which `close` closes."""
        made = Streams(self._store(), rules, quota, clock=clock or time.time)
        await made.open()
        self._opened.append(made)  # pyright: ignore[reportArgumentType] - it is closed, and no more
        return made

    async def other(self, streams: Streams) -> Streams:
        """Return streams of another user of the place, or the same where there can be none."""
        return await self.streams() if self.shared else streams

    async def close(self) -> None:
        """Close all users."""
        for one in self._opened:
            await one.close()

    def _store(self) -> Store:
        if self.kind == "redis":
            return RedisStore(self.url, 5.0)
        return SQLiteStore(Path(self.url)) if self.shared else self._memory


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def text(data: bytes, **more: object) -> Append:
    """Return an append to a stream of text."""
    return Append(data=data, content_type=TEXT, **more)  # type: ignore[arg-type]
