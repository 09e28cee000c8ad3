"""`Jobs`: where the jobs of this process write, with or without an application that serves.

How it works: where the parts of the service run in the same event loop, a job writes to their streams.
Otherwise all jobs of a loop share streams of their own in the same store, which are opened with the first
job and closed with the last. A store in memory is only where the service runs.
"""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from stream_serve.errors import NotStarted
from stream_serve.jobs.portal import Borrowed, Portal
from stream_serve.jobs.store import StorePlace
from stream_serve.runs import names
from stream_serve.web.security import owner_of_key
from stream_serve.web.streams.request import path_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection

    from pydantic import SecretStr

    from stream_serve.jobs.base import Connect
    from stream_serve.jobs.portal import Loop
    from stream_serve.streams.service import Streams
    from stream_serve.streams.state import Key

    Running = Callable[[], tuple[asyncio.AbstractEventLoop, dict[str, Any]] | None]

_ONLY_HERE: Final = (
    "these streams are kept in the memory of the application that serves them, which does not run {}: "
    "enter its lifespan, or keep them in a file (Streams.sqlite)"
)
_TAKEN_FIRST: Final = "runs/"
_TAKEN_LAST: Final = ("/stop", "/control")


class Shared:
    """Streams that are open for as long as anybody in the event loop uses them."""

    def __init__(self, make: Callable[[], Streams]) -> None:
        self._make = make
        self._users = 0
        self._streams: Streams | None = None
        self._opening: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def use(self) -> AsyncGenerator[Streams]:
        """Give the streams, open."""
        if self._streams is None or self._opening is None:
            self._streams = self._make()
            # Others use it, too: it is in the context of none of them.
            context = contextvars.Context()
            self._opening = asyncio.create_task(self._streams.open(), context=context)
        streams, opening = self._streams, self._opening
        self._users += 1
        try:
            await asyncio.shield(opening)
            yield streams
        finally:
            self._users -= 1
            if not self._users:
                self._streams = self._opening = None
                opening.cancel()
                await streams.close()


class Jobs:
    """`make` makes streams of the store, not opened yet; `running` says where the service runs.

    `apart` is False for a store that is nowhere else.
    """

    def __init__(self, make: Callable[[], Streams], running: Running, *, apart: bool) -> None:
        self._make = make
        self._running = running
        self._apart = apart
        self._shared: WeakKeyDictionary[asyncio.AbstractEventLoop, Shared] = WeakKeyDictionary()
        self._portal = Portal()

    def connect(self, key: Key) -> Connect:
        """Return what gives the place of a job."""

        @asynccontextmanager
        async def place() -> AsyncGenerator[StorePlace]:
            async with self._streams() as streams:
                yield StorePlace(streams, key)

        return place

    def loop(self) -> Loop:
        """Return what runs a job for threads."""
        if self._apart:
            return self._portal
        running = self._running()
        if running is None:
            raise NotStarted(_ONLY_HERE.format("now"))
        return Borrowed(running[0])

    @asynccontextmanager
    async def _streams(self) -> AsyncGenerator[Streams]:
        running, here = self._running(), asyncio.get_running_loop()
        if running is not None and running[0] is here:
            yield running[1]["streams"]
        elif self._apart:
            shared = self._shared.setdefault(here, Shared(self._make))
            async with shared.use() as streams:
                yield streams
        else:
            raise NotStarted(_ONLY_HERE.format("in this event loop"))


def key_of(name: str, owner: str | None, key: str | None, keys: Collection[SecretStr] = ()) -> Key:
    """Return the stream that a job's name means. Raises `StreamNotFound`, `ValueError`.

    Of another key than `keys`, where there are some, nobody would ever see it.
    """
    if owner is not None and key is not None:
        raise ValueError("owner and key: give one of them")
    if owner is not None and not names.is_owner(owner):
        raise ValueError(f"owner: it {names.OWNER_RULE}")
    if key is not None and not is_known(key, keys):
        raise ValueError("key: it is none of STREAM_SERVE_API_KEYS: give one of them")
    if name.startswith(_TAKEN_FIRST) or name.endswith(_TAKEN_LAST):
        raise ValueError("name: no stream can begin with runs/, or end with /stop or /control")
    return (owner_of_key(key) if key is not None else owner or ""), path_of(name)


def is_known(key: str, keys: Collection[SecretStr]) -> bool:
    """Return whether a key is one of `keys`, or whether there are none."""
    return not keys or key in {one.get_secret_value() for one in keys}
