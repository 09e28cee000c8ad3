"""Finishing the runs of a process that is gone: their readers get a terminal event, and the stored
message agrees with the log.

How it works: the event log finds a log whose writer's lease has run out and hands it over as an
orphan, to which nobody but we can write. Its events say what the answer was so far, and, in a
conversation, which message it is. That message is stored as interrupted; then the terminal event is
written. Its number lies past all numbers that the lost process can have given to events which never
reached the log, so that no client takes it for one that it has seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from stream_serve.conversations.base import Answer, Status, Turn
from stream_serve.errors import RunInterrupted
from stream_serve.events import sse
from stream_serve.events.types import Chunk, Error, Reasoning, Start, encode
from stream_serve.runs import view as report
from stream_serve.runs.lifecycle import State
from stream_serve.runs.view import RunState

if TYPE_CHECKING:
    from stream_serve.conversations.recorder import Recorder
    from stream_serve.eventlog.base import Orphan
    from stream_serve.events.types import Event

_log = structlog.stdlib.get_logger("stream_serve.runs")


async def finish(orphan: Orphan, run_id: str, *, first: int, recorder: Recorder | None) -> None:
    """Finish an orphan as interrupted; `first` is the number of its terminal event.

    Raises `LogUnavailable`; cancelled or failed, it can be repeated.
    """
    events = [event for _, event in report.read_events(b"".join(orphan.frames))]
    start = next((event for event in events if isinstance(event, Start)), None)
    failure = RunInterrupted("the process that made the answer is gone before it was complete")
    turn = _turn(start)
    saved = None
    if recorder is not None and turn is not None:
        saved = await recorder.store(run_id, turn, _answer(events, failure))
    error = Error.of(failure, saved=saved)
    state = RunState(
        run_id=run_id,
        state=State.FAILED.value,
        model=start.model if start is not None else None,
        created_at=None,
        events=first,
        readers=0,
        error=error,
    )
    await orphan.finish([sse.frame(first, encode(error))], first=first, note=report.encode(state))
    _log.warning(
        "a run was finished for a process that is gone",
        run_id=run_id,
        events=len(orphan.frames),
        conversation_id=turn.conversation_id if turn is not None else None,
        saved=saved,
    )


def _turn(start: Start | None) -> Turn | None:
    if start is None or not (start.conversation_id and start.user_message_id and start.message_id):
        return None
    return Turn(
        conversation_id=start.conversation_id,
        user_message_id=start.user_message_id,
        answer_id=start.message_id,
        path=[],
    )


def _answer(events: list[Event], failure: RunInterrupted) -> Answer:
    return Answer(
        status=Status.INTERRUPTED,
        content="".join(event.content for event in events if isinstance(event, Chunk)),
        reasoning="".join(event.content for event in events if isinstance(event, Reasoning))
        or None,
        error=failure.code,
    )
