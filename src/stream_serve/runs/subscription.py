"""A reader's hold on a run, wherever the run is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_serve.events import codec
from stream_serve.quotas.readers import both

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from stream_serve.eventlog.base import LogReader
    from stream_serve.events.types import Event


class Subscription:
    """One reader of a run. `redirected` says that the reader was ended here, before the run's end: its
    client is to go on at another process.

    `newest` is the number of the run's newest event when the reader came; 0 for a run that it began.
    """

    __slots__ = ("_on_close", "newest", "reader", "redirected", "run_id")

    def __init__(
        self, run_id: str, reader: LogReader, *, on_close: Callable[[], None], newest: int = 0
    ) -> None:
        self.run_id = run_id
        self.reader = reader
        self.newest = newest
        self.redirected = False
        self._on_close: Callable[[], None] | None = on_close

    async def events(self) -> AsyncIterator[Event]:
        """Yield the events as they come, to the end of the run, or of the reader."""
        reader = codec.Reader()
        while (data := await self.reader.read()) is not None:
            for event in reader.feed(data):
                yield event

    def then(self, leave: Callable[[], None]) -> None:
        """Call this, too, when it is closed; at once, if it is."""
        if self._on_close is None:
            leave()
        else:
            self._on_close = both(self._on_close, leave)

    def redirect(self) -> None:
        """End the reader here; its client is to go on at another process."""
        self.redirected = True
        self.reader.close()

    def close(self) -> None:
        """Let go; the run's spec says what becomes of a run that nobody reads. Twice is fine."""
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            self.reader.close()
            on_close()
