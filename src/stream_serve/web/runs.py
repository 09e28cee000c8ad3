"""The endpoints of a run: its state, and its stop."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request
from msgspec import Struct
from starlette.responses import Response

from stream_serve.events import Error, Usage
from stream_serve.run import Receipt, Run
from stream_serve.runs import Runs
from stream_serve.web.dependencies import runs_of
from stream_serve.web.gate import cors_headers, owner_of

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
            model=run.call.model,
            created_at=datetime.fromtimestamp(run.created_at, UTC).isoformat(
                timespec="milliseconds"
            ),
            events=run.events,
            readers=run.readers,
            first_token_ms=None if first is None else round(first * 1000, 1),
            duration_ms=round(run.seconds * 1000, 1),
            finish_reason=run.finish_reason,
            usage=run.usage,
            error=run.error,
            upstream_closed=run.call.socket_closed,
        )


@router.get("/ai/runs/{run_id}", response_class=Response)
async def show_run(
    request: Request, run_id: str, runs: Annotated[Runs, Depends(runs_of)]
) -> Response:
    """Show the state of a run, until it is forgotten some minutes after its end."""
    run = runs.get(run_id, owner=owner_of(request))
    return _json(request, RunState.of(run))


@router.post("/ai/runs/{run_id}/stop", response_class=Response)
async def stop_run(
    request: Request, run_id: str, runs: Annotated[Runs, Depends(runs_of)]
) -> Response:
    """Stop a run, from anywhere, and say what that did. Repeating it is harmless.

    The receipt comes when the connection to the provider is closed. Whoever still reads the run gets
    `end` with `finishReason: "stopped"`.
    """
    receipt: Receipt = await runs.stop(run_id, owner=owner_of(request))
    return _json(request, receipt)


def _json(request: Request, value: Struct) -> Response:
    return Response(
        msgspec.json.encode(value),
        media_type="application/json",
        headers={"Cache-Control": "no-store", **cors_headers(request.scope)},
    )
