"""Finishing the runs of a process that is gone: their readers get a terminal event, and the stored
message agrees with the log.

How it works: the event log finds a log whose writer's lease has run out, and hands it over as an orphan
to which nobody else can write. Its events say what the run has said so far. The observers are told, so
that the answer is stored as interrupted; then the terminal event is written. Its number lies past
all numbers that the lost process can have given to events which never reached the log. So no client
takes it for one that it has seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from stream_serve.errors import RunInterrupted
from stream_serve.events import codec
from stream_serve.events.transcript import Transcript
from stream_serve.events.types import Error
from stream_serve.runs import view
from stream_serve.runs.lifecycle import State
from stream_serve.runs.view import RunState

if TYPE_CHECKING:
    from stream_serve.eventlog.base import Orphan
    from stream_serve.runs.observers import Observers

_FAILURE: Final = RunInterrupted("the process that made the answer is gone before it was complete")
_log: Final = structlog.stdlib.get_logger("stream_serve.runs")


async def finish(orphan: Orphan, run_id: str, *, first: int, observers: Observers) -> None:
    """Finish an orphan as interrupted; `first` is the number of its terminal event.

    Raises `LogUnavailable`; cancelled or failed, it can be repeated.
    """
    transcript = Transcript.of(event for _, event in codec.read(b"".join(orphan.frames)))
    error = Error.of(_FAILURE, str(_FAILURE))
    saving = observers.recovered(run_id, transcript, error)
    saved = None if saving is None else await saving
    error = msgspec.structs.replace(error, saved=saved)
    start = transcript.start
    ref = None if start is None else start.ref
    state = RunState(
        run_id=run_id,
        state=State.FAILED.value,
        model=start.model if start is not None else None,
        created_at=view.created(start),
        events=len(orphan.frames) + 1,
        readers=0,
        skipped=first - len(orphan.frames) - 1,
        error=error,
    )
    await orphan.finish([codec.frame(first, error)], first=first, summary=view.encode(state))
    _log.warning(
        "a run was finished for a process that is gone",
        run_id=run_id,
        events=len(orphan.frames),
        conversation_id=ref.conversation_id if ref is not None else None,
        saved=saved,
    )
