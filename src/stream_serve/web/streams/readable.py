"""`Readable`: what can be read as a stream, whoever writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stream_serve.streams.entry import Follower
    from stream_serve.streams.service import Page, Streams
    from stream_serve.streams.state import Key, State


class Readable(Protocol):
    """One stream, for its readers."""

    async def describe(self) -> State:
        """Return what is known of it. Raises `StreamError`."""
        ...

    async def read(self, start: int | None, most: int) -> Page:
        """Return about `most` bytes from a position, None for the end.

        Raises `StreamError`, `BadRequest`.
        """
        ...

    async def follow(self) -> Follower:
        """Return a follower, which has to be closed. Raises `StreamError`."""
        ...


class StreamReadable:
    """A stream of an owner."""

    def __init__(self, streams: Streams, key: Key) -> None:
        self._streams = streams
        self._key = key

    async def describe(self) -> State:
        """Return the newest state."""
        return await self._streams.describe(self._key)

    async def read(self, start: int | None, most: int) -> Page:
        """Read, which prolongs a sliding lifetime."""
        return await self._streams.read(self._key, start, most)

    async def follow(self) -> Follower:
        """Follow."""
        return await self._streams.follow(self._key)
