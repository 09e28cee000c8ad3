"""The endpoints of a run: its state, and its stop."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from msgspec import Struct
from starlette.responses import Response

from stream_serve.events import Error, Usage
from stream_serve.run import Receipt, Run
from stream_serve.runs import Runs
from stream_serve.settings import Settings
from stream_serve.web.answer import answer
from stream_serve.web.body import invalid
from stream_serve.web.dependencies import runs_of, settings_of
from stream_serve.web.gate import cors_headers, owner_of
from stream_serve.web.stream import EventStream

RUN_ID: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")
_MAX_DIGITS: Final = 16

router = APIRouter(tags=["runs"])


class RunState(Struct, frozen=True, rename="camel"):
    """What `GET /ai/runs/{runId}` answers. Durations are in milliseconds.

    `state` is starting, waiting (for the first token), streaming, completed, stopped or failed;
    `events` is the number of the newest event. What is not known yet is null.
    """

    run_id: str
    state: str
    model: str
    created_at: str
    events: int
    readers: int
    first_token_ms: float | None
    duration_ms: float
    finish_reason: str | None
    usage: Usage | None
    error: Error | None
    upstream_closed: bool | None

    @classmethod
    def of(cls, run: Run) -> RunState:
        """Describe a run as it is now."""
        first = run.first_token_seconds
        return cls(
            run_id=run.id,
            state=run.state.value,
            model=run.model,
            created_at=datetime.fromtimestamp(run.created_at, UTC).isoformat(
                timespec="milliseconds"
            ),
            events=run.events,
            readers=run.readers,
            first_token_ms=None if first is None else round(first * 1000, 1),
            duration_ms=round(run.seconds * 1000, 1),
            finish_reason=run.finish_reason,
            usage=run.usage,
            error=Error.of(run.failure) if run.failure is not None else None,
            upstream_closed=run.call.socket_closed,
        )


@router.get("/ai/runs/{run_id}", response_class=Response)
async def show_run(
    request: Request, run_id: str, runs: Annotated[Runs, Depends(runs_of)]
) -> Response:
    """Show the state of a run, until it is forgotten some minutes after its end."""
    run = runs.get(run_id, owner=owner_of(request))
    return answer(request, RunState.of(run))


@router.get("/ai/runs/{run_id}/events", response_class=EventStream, status_code=200)
async def follow_run(
    request: Request,
    run_id: str,
    runs: Annotated[Runs, Depends(runs_of)],
    settings: Annotated[Settings, Depends(settings_of)],
) -> Response:
    """Stream a run's events after a cursor, and go on live.

    The cursor is the number of the last event that was seen: the header `Last-Event-ID`, or the
    query's `after`; without one the stream begins with event 1. A finished run that was read to its
    end gets 204, which tells a browser's `EventSource` to stop reconnecting.
    """
    after = _cursor(request)
    owner = owner_of(request)
    run = runs.get(run_id, owner=owner)
    if run.closed and after == run.events:
        return Response(status_code=204, headers=cors_headers(request.scope))
    attachment = await runs.attach(run_id, owner=owner, after=after)
    return EventStream(
        attachment,
        heartbeat=settings.heartbeat_interval,
        headers=cors_headers(request.scope),
    )


@router.post("/ai/runs/{run_id}/stop", response_class=Response)
async def stop_run(
    request: Request, run_id: str, runs: Annotated[Runs, Depends(runs_of)]
) -> Response:
    """Stop a run, from anywhere, and say what that did. Repeating it is harmless.

    The receipt comes when the connection to the provider is closed. Whoever still reads the run gets
    `end` with `finishReason: "stopped"`. The stop of an unknown run is kept for a minute: a start
    under that id is then refused.
    """
    owner = owner_of(request)
    if not RUN_ID.fullmatch(run_id):
        runs.get(run_id, owner=owner)  # raises: no run has such an id, and no start can have it
    receipt: Receipt = await runs.stop(run_id, owner=owner)
    return answer(request, receipt)


def _cursor(request: Request) -> int:
    """Give the number of the last event that the client has, 0 for none."""
    for name, text in (
        ("Last-Event-ID", request.headers.get("last-event-id")),
        ("after", request.query_params.get("after")),
    ):
        if text:
            if not (text.isascii() and text.isdigit() and len(text) < _MAX_DIGITS):
                raise invalid(name, "should be the number of an event")
            return int(text)
    return 0
