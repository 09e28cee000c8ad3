"""`StorePlace`: a job's stream in a store that this process uses itself."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from stream_serve.errors import NotStarted, StreamServeError
from stream_serve.jobs.base import PRODUCER, Found
from stream_serve.streams.decisions import Append, Create
from stream_serve.streams.errors import StreamNotFound
from stream_serve.streams.messages import END
from stream_serve.streams.sequencer import ending
from stream_serve.streams.state import JSON

if TYPE_CHECKING:
    from collections.abc import Generator

    from stream_serve.jobs.outbox import Batch
    from stream_serve.streams.service import Streams
    from stream_serve.streams.state import Key

_OVER: Final = (
    "the application whose streams this job writes has ended: end the job before its lifespan does, or "
    "open it in a process of its own"
)


class StorePlace:
    """The stream `key` of `streams`."""

    def __init__(self, streams: Streams, key: Key) -> None:
        self._streams = streams
        self._key = key

    async def find(self) -> Found | None:
        """Return what is there."""
        try:
            with self._open():
                state = await self._streams.describe(self._key)
        except StreamNotFound:
            return None
        return Found(state.json, state.closed, state.lost)

    async def create(self) -> None:
        """Make the stream."""
        with self._open():
            await self._streams.create(self._key, Create(content_type=JSON))

    async def remove(self) -> None:
        """Remove it, if it is closed."""
        with self._open():
            await self._streams.delete(self._key, closed=True)

    async def append(self, batch: Batch) -> bool:
        """Append; the future's error is that of the stream."""
        request = Append(
            data=b"".join([message + END for message in batch.messages]),
            content_type=JSON,
            close=batch.last,
            producer=(PRODUCER, batch.epoch, batch.number),
            lease=batch.lease,
        )
        with self._open():
            return (await self._streams.append(self._key, request)).stop

    async def stopped(self) -> None:
        """Follow the stream until it is asked to stop. Raises `StreamsUnavailable` at the end."""
        follower = await self._streams.listen(self._key)
        try:
            while follower.state is None or follower.state.stop is None:
                if follower.closed:
                    raise ending()  # it waits for nothing any more
                await follower.wait()
        finally:
            follower.close()

    @contextmanager
    def _open(self) -> Generator[None]:
        """Say that the streams are closed for good, where that is why something failed."""
        try:
            yield
        except StreamServeError as error:
            if not self._streams.closed:
                raise
            raise NotStarted(_OVER, retryable=False) from error
