"""Stores the answers of runs that belong to a conversation, without delaying any stream.

How it works: the recorder observes runs. While answers are generated, one task for the whole process
touches them every few seconds, which renews their leases and stores their text so far. When a run is
settled, its answer is stored; the time for that is bounded. If it fails, the stream's last event has
`saved: false`, and the recorder tries again in the background with growing pauses for up to ten minutes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import stamina
import structlog

from stream_serve.conversations.base import Answer, Status
from stream_serve.errors import HistoryError, RunInterrupted
from stream_serve.runs.lifecycle import State
from stream_serve.runs.observers import Observer
from stream_serve.runs.view import milliseconds

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from stream_serve.conversations.context import Conversations
    from stream_serve.events.transcript import Transcript
    from stream_serve.events.types import Error, MessageRef
    from stream_serve.runs.run import Run

_log = structlog.stdlib.get_logger("stream_serve.conversations")

_RETRY_SECONDS: Final = 600.0
_CLOSE_SECONDS: Final = 5.0
_STATUSES: Final = {
    State.COMPLETED: Status.COMPLETE,
    State.STOPPED: Status.STOPPED,
    State.FAILED: Status.FAILED,
}


class Recorder(Observer):
    """Stores the answers of conversations. `interval` is the seconds between two touches."""

    def __init__(self, conversations: Conversations, *, interval: float) -> None:
        self._conversations = conversations
        self._interval = interval
        self._live: dict[Run, MessageRef] = {}
        self._toucher: asyncio.Task[None] | None = None
        self._retries: set[asyncio.Task[None]] = set()

    def began(self, run: Run) -> None:
        """Touch the answer of this run from now on, if it belongs to a conversation."""
        if run.ref is not None:
            self._live[run] = run.ref
            if self._toucher is None:
                self._toucher = asyncio.create_task(self._touch(), name="touch answers")

    def settled(self, run: Run) -> Awaitable[bool] | None:
        """Return the storing of the answer; it is True when the answer is stored.

        None if the run has no conversation, or if another process has recovered it and stores it.
        """
        ref = self._live.pop(run, None)
        if ref is None or run.lost:
            return None
        return self._store(run.id, ref, answer_of(run))

    def recovered(
        self, run_id: str, transcript: Transcript, error: Error
    ) -> Awaitable[bool] | None:
        """Return the storing of a recovered run's answer as interrupted, with its text so far."""
        start = transcript.start
        if start is None or start.ref is None:
            return None
        answer = Answer(
            status=Status.INTERRUPTED,
            content=transcript.text,
            reasoning=transcript.reasoning or None,
            error=error.code,
        )
        return self._store(run_id, start.ref, answer)

    async def _store(self, run_id: str, ref: MessageRef, answer: Answer) -> bool:
        """Store the end of an answer; return False if that failed, or if it was deleted meanwhile.

        After a failure it is tried again in the background.
        """
        try:
            return await (await self._conversations.history()).finish(ref, answer)
        except HistoryError as error:
            _log.warning("an answer is not stored yet", run_id=run_id, error=str(error))
            retry = asyncio.create_task(self._retry(run_id, ref, answer))
            self._retries.add(retry)
            retry.add_done_callback(self._retries.discard)
            return False

    async def close(self) -> None:
        """Stop touching, wait up to five seconds for answers that are not stored yet, and stop."""
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
        """Touch all live answers again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            for run, ref in list(self._live.items()):
                if run.state.terminal:
                    continue
                try:
                    history = await self._conversations.history()
                    await history.touch(ref, answer_of(run))
                except HistoryError as error:
                    _log.warning("an answer cannot be touched", run_id=run.id, error=str(error))

    async def _retry(self, run_id: str, ref: MessageRef, answer: Answer) -> None:
        """Store the end of an answer, with pauses of 0.5 to 15 s between the attempts."""
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
                    history = await self._conversations.history()
                    stored = await history.finish(ref, answer)
        except HistoryError as error:
            _log.error("an answer could not be stored", run_id=run_id, error=str(error))
        else:
            if stored:
                _log.info("an answer is stored after all", run_id=run_id)


def answer_of(run: Run) -> Answer:
    """Return the fields to store for the answer of a run in its present state."""
    error = run.error
    if not run.state.terminal:
        status = Status.GENERATING
    elif error is not None and error.code == RunInterrupted.code:
        status = Status.INTERRUPTED
    else:
        status = _STATUSES[run.state]
    transcript = run.transcript
    return Answer(
        status=status,
        content=transcript.text,
        reasoning=transcript.reasoning or None,
        usage=run.usage,
        first_token_ms=milliseconds(run.first_token_seconds),
        error=error.code if error is not None else None,
    )
