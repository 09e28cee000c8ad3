"""Stores the answers of runs that belong to a conversation, without delaying any stream.

How it works: the recorder observes runs. While answers are generated, one task for the whole process
touches them every few seconds, which renews their leases and stores their text so far. When a run is
settled, its answer is stored in a task of its own. The end of the run waits for the first attempt, and
not longer than `Patience.saving`: then, or if the attempt fails, the stream's last event has `saved:
false`, and the task goes on in the background, with growing pauses between its attempts.

What waits in the background is bounded in time and in bytes. What is not stored when the process ends
is found by its lease, which has expired then, and becomes `interrupted` with the text stored last.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import stamina
import structlog
from msgspec import Struct

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

_STATUSES: Final = {
    State.COMPLETED: Status.COMPLETE,
    State.STOPPED: Status.STOPPED,
    State.FAILED: Status.FAILED,
}


class Persistence(Struct, frozen=True, kw_only=True):
    """How long, and with how much, the recorder insists on storing answers. Times are in seconds.

    `saving` is how long the end of a run waits, `retrying` how long storing is tried again after that,
    `closing` how long the end of the process waits. `bytes` is the size of all texts that wait.
    """

    saving: float = 1.0
    retrying: float = 600.0
    closing: float = 1.0
    bytes: int = 268_435_456


class Recorder(Observer):
    """Stores the answers of conversations. `interval` is the seconds between two touches."""

    def __init__(
        self,
        conversations: Conversations,
        *,
        interval: float,
        persistence: Persistence = Persistence(),  # noqa: B008 - it never changes
    ) -> None:
        self._conversations = conversations
        self._interval = interval
        self._persistence = persistence
        self._live: dict[Run, MessageRef] = {}
        self._toucher: asyncio.Task[None] | None = None
        self._unsaved: dict[asyncio.Task[None], int] = {}
        """What is being stored, and the bytes of each."""

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
            tool_calls=transcript.tool_calls or None,
            sources=transcript.sources or None,
            ending=error,
        )
        return self._store(run_id, start.ref, answer)

    async def _store(self, run_id: str, ref: MessageRef, answer: Answer) -> bool:
        """Store the end of an answer; return False if that failed, or if it was deleted meanwhile.

        False also if it takes too long. After that, and after a failure, it goes on in the background.
        """
        first: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._save(run_id, ref, answer, first), name=f"save {run_id}")
        self._unsaved[task] = 2 * _characters(answer)
        task.add_done_callback(self._saved)
        await asyncio.wait([first], timeout=self._persistence.saving)
        if not first.done():
            _log.warning("an answer is not stored yet: the database is slow", run_id=run_id)
        return first.done() and first.result()

    async def close(self) -> None:
        """Stop touching, wait a moment for answers that are not stored yet, and give up."""
        if self._toucher is not None:
            self._toucher.cancel()
        if self._unsaved:
            await asyncio.wait(self._unsaved, timeout=self._persistence.closing)
        if self._unsaved:
            _log.error(
                "answers are not stored at the end of the process; they will be found interrupted, "
                "with the text that was stored last",
                answers=len(self._unsaved),
            )
        for task in list(self._unsaved):
            task.cancel()

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

    async def _save(
        self, run_id: str, ref: MessageRef, answer: Answer, first: asyncio.Future[bool]
    ) -> None:
        """Store the end of an answer. `first` gets the result of the first attempt, whatever it is."""
        try:
            first.set_result(await self._finish(ref, answer))
        except HistoryError as error:
            _log.warning("an answer is not stored yet", run_id=run_id, error=str(error))
            first.set_result(False)
            await self._retry(run_id, ref, answer)
        finally:
            if not first.done():
                first.set_result(False)

    async def _retry(self, run_id: str, ref: MessageRef, answer: Answer) -> None:
        """Store the end of an answer, with pauses of 0.5 to 15 s between the attempts."""
        if sum(self._unsaved.values()) > self._persistence.bytes:
            _log.error(
                "an answer could not be stored: too much waits for the database already",
                run_id=run_id,
            )
            return
        stored = False
        try:
            async for attempt in stamina.retry_context(
                on=HistoryError,
                attempts=None,
                timeout=self._persistence.retrying,
                wait_initial=0.5,
                wait_max=15.0,
            ):
                with attempt:
                    stored = await self._finish(ref, answer)
        except HistoryError as error:
            _log.error("an answer could not be stored", run_id=run_id, error=str(error))
        else:
            if stored:
                _log.info("an answer is stored after all", run_id=run_id)

    async def _finish(self, ref: MessageRef, answer: Answer) -> bool:
        return await (await self._conversations.history()).finish(ref, answer)

    def _saved(self, task: asyncio.Task[None]) -> None:
        del self._unsaved[task]
        if not task.cancelled() and (defect := task.exception()) is not None:
            _log.error("an answer was not stored, by a defect", exc_info=defect)


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
        tool_calls=transcript.tool_calls or None,
        sources=transcript.sources or None,
        ending=run.ending,
    )


def _characters(answer: Answer) -> int:
    """Return about how many characters an answer has."""
    called = sum(len(one.arguments) for one in answer.tool_calls or ())
    return len(answer.content) + len(answer.reasoning or "") + called
