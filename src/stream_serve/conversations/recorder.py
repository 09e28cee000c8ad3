"""Storing the answers of runs that belong to a conversation, without ever holding up a stream.

How it works: an answer that is being generated is touched every few seconds (its lease renewed, its
text so far stored), by one task for the whole process. When it ends it is stored, with a bound on the
time; if that fails the stream says `saved: false`, and storing is tried again in the background, with
growing pauses, until it succeeds or the time for it is over.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import stamina
import structlog

from stream_serve.errors import HistoryError

if TYPE_CHECKING:
    from stream_serve.conversations.base import Answer, History, Turn
    from stream_serve.runs.run import Run

_log = structlog.stdlib.get_logger("stream_serve.recorder")

_RETRY_SECONDS: Final = 600.0
_CLOSE_SECONDS: Final = 5.0


class Recorder:
    """Stores answers in a history. `interval` is the time between two touches, in seconds."""

    def __init__(self, history: History, *, interval: float) -> None:
        self._history = history
        self._interval = interval
        self._live: dict[Run, Turn] = {}
        self._toucher: asyncio.Task[None] | None = None
        self._retries: set[asyncio.Task[None]] = set()

    def begin(self, run: Run, turn: Turn) -> None:
        """Look after a run's answer until `finish`."""
        self._live[run] = turn
        if self._toucher is None:
            self._toucher = asyncio.create_task(self._touch(), name="touch answers")

    async def finish(self, run: Run, turn: Turn) -> bool:
        """Store a settled run's answer; False when it could not be stored (yet)."""
        self._live.pop(run, None)
        return await self.store(run.id, turn, run.answer())

    def abandon(self, run: Run) -> None:
        """Look after a run's answer no more: another process stores it."""
        self._live.pop(run, None)

    async def store(self, run_id: str, turn: Turn, answer: Answer) -> bool:
        """Store an answer as it ended; False when it could not be stored (yet), or never will be:
        its conversation was deleted."""
        try:
            return await self._history.finish(turn, answer)
        except HistoryError as error:
            _log.warning("an answer is not stored yet", run_id=run_id, error=str(error))
            retry = asyncio.create_task(self._retry(run_id, turn, answer))
            self._retries.add(retry)
            retry.add_done_callback(self._retries.discard)
            return False

    async def close(self) -> None:
        """Give what is not stored yet a last chance, and end."""
        if self._toucher is not None:
            self._toucher.cancel()
            await asyncio.wait([self._toucher])
        if self._retries:
            await asyncio.wait(self._retries, timeout=_CLOSE_SECONDS)
        for retry in list(self._retries):
            retry.cancel()
        if self._retries:
            await asyncio.wait(self._retries)

    async def _touch(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            for run, turn in list(self._live.items()):
                if run.state.terminal:
                    continue
                try:
                    await self._history.touch(turn, run.answer())
                except HistoryError as error:
                    _log.warning("an answer cannot be touched", run_id=run.id, error=str(error))

    async def _retry(self, run_id: str, turn: Turn, answer: Answer) -> None:
        stored = False
        try:
            async for attempt in stamina.retry_context(
                on=HistoryError,
                attempts=None,
                timeout=_RETRY_SECONDS,
                wait_initial=0.5,
                wait_max=15.0,
            ):
                with attempt:
                    stored = await self._history.finish(turn, answer)
        except HistoryError as error:
            _log.error("an answer could not be stored", run_id=run_id, error=str(error))
        else:
            if stored:
                _log.info("an answer is stored after all", run_id=run_id)
