"""`RunLog`: the service's log line of each run, never its text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from msgspec import Struct, structs

from stream_serve.runs.observers import Observer
from stream_serve.runs.view import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.runs.run import Run

_EVENT: Final = "run"
_log: Final = structlog.stdlib.get_logger("stream_serve.runs")


class RunLine(Struct, frozen=True, kw_only=True):
    """What is logged of a run that is done. Durations are in milliseconds; what is not known is null."""

    run_id: str
    model: str
    state: str
    finish_reason: str | None
    provider_finish_reason: str | None
    code: str | None
    provider_request_id: str | None
    first_token_ms: float | None
    duration_ms: float | None
    events: int
    prompt_tokens: int | None
    completion_tokens: int | None
    usage_source: str | None
    upstream_closed: bool | None
    conversation_id: str | None


class RunLog(Observer):
    """Logs each run by `write`, which is given what is logged (the event's name) and the line."""

    def __init__(self, write: Callable[[str, RunLine], None] | None = None) -> None:
        self._write = write or _say

    def done(self, run: Run) -> None:
        """Write the line."""
        error, usage = run.error, run.usage
        line = RunLine(
            run_id=run.id,
            model=run.model,
            state=run.state.value,
            finish_reason=run.finish_reason,
            provider_finish_reason=run.provider_finish_reason,
            code=error.code if error is not None else None,
            provider_request_id=error.request_id if error is not None else None,
            first_token_ms=milliseconds(run.first_token_seconds),
            duration_ms=milliseconds(run.seconds),
            events=run.events,
            prompt_tokens=usage.prompt_tokens if usage is not None else None,
            completion_tokens=usage.completion_tokens if usage is not None else None,
            usage_source=usage.source if usage is not None else None,
            upstream_closed=run.producer.closed,
            conversation_id=run.ref.conversation_id if run.ref is not None else None,
        )
        self._write(_EVENT, line)


def _say(event: str, line: RunLine) -> None:
    """Log a line as all others are logged."""
    _log.info(event, **structs.asdict(line))
