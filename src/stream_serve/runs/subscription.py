"""A reader's hold on a run, wherever the run is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.eventlog.base import LogReader
    from stream_serve.runs.run import Run


class Attachment:
    """One reader of a run; `close` lets go of it. `run` is None when another process has it.

    `moved` says that the reader was ended here, before the run's end, to go on at another process.
    """

    __slots__ = ("_on_close", "moved", "reader", "run", "run_id")

    def __init__(
        self, run_id: str, reader: LogReader, *, run: Run | None, on_close: Callable[[], None]
    ) -> None:
        self.run_id = run_id
        self.reader = reader
        self.run = run
        self.moved = False
        self._on_close: Callable[[], None] | None = on_close

    def move(self) -> None:
        """End the reader here; its client is to go on elsewhere."""
        self.moved = True
        self.reader.close()

    def close(self) -> None:
        """Let go; what becomes of a run that nobody reads is for its order to say. Twice is fine."""
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            self.reader.close()
            on_close()
