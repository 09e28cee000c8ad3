"""The endpoints of a run: its state, its events, and its stop."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from stream_serve.events import codec
from stream_serve.runs import view
from stream_serve.runs.service import Runs
from stream_serve.settings import Settings
from stream_serve.web.dependencies import runs_of, settings_of
from stream_serve.web.dialects.registry import dialect_of
from stream_serve.web.fields import RunIdInPath
from stream_serve.web.joining import cursor_of, join
from stream_serve.web.response import json_response
from stream_serve.web.security import API, cors_headers, guarded, owner_of
from stream_serve.web.stream import EventStream

router = APIRouter(tags=["runs"])


class RunState(view.RunState, frozen=True, rename="camel", kw_only=True):
    """The response of `GET /ai/runs/{runId}`. Durations are in milliseconds.

    `state` is starting, waiting (for the first token), streaming, completed, stopped or failed;
    `events` is how many events there are, and `skipped` how many numbers no event has: before the end of
    a run whose process is gone, past all that may be missing. A value that is not known (yet) is null.
    """

    error: codec.Error | None = None  # pyright: ignore[reportIncompatibleVariableOverride]

    @classmethod
    def of(cls, state: view.RunState) -> RunState:
        """Return the response for a state, with its error in the article's format."""
        known: dict[str, Any] = msgspec.structs.asdict(state)
        if state.error is not None:
            known["error"] = codec.Error.of(state.error)
        return cls(**known)


@router.get("/ai/runs/{run_id}", response_class=Response)
@guarded(API)
async def show_run(
    request: Request, run_id: RunIdInPath, runs: Annotated[Runs, Depends(runs_of)]
) -> Response:
    """Show the state of a run; it is kept for some minutes after the end of the run."""
    state = await runs.state(run_id, owner=owner_of(request))
    return json_response(request, RunState.of(state))


@router.get("/ai/runs/{run_id}/events", response_class=EventStream, status_code=200)
@guarded(API)
async def follow_run(
    request: Request,
    run_id: RunIdInPath,
    runs: Annotated[Runs, Depends(runs_of)],
    settings: Annotated[Settings, Depends(settings_of)],
) -> Response:
    """Stream the events of a run after a cursor: first the stored ones, then the live ones.

    The cursor is the number of the last event that the client has, in the header `Last-Event-ID` or the
    query parameter `after`; without it the stream begins with event 1. If the run has ended and the
    client has all its events, the response is 204, which makes a browser's `EventSource` stop
    reconnecting (WHATWG HTML, "Server-sent events").

    `dialect` names the dialect of the stream, whichever the run was started in. With `after` the stream
    begins so that a new reader understands it; with `Last-Event-ID` it is only what the same reader has
    not had yet.
    """
    headers = cors_headers(request.scope)
    dialect = dialect_of(request.query_params.get("dialect"))
    joined = await join(runs, run_id, cursor_of(request), owner=owner_of(request), dialect=dialect)
    if joined is None:
        return Response(status_code=204, headers=headers)
    subscription, translator = joined
    return EventStream(
        subscription,
        heartbeat=settings.heartbeat_interval,
        headers={**headers, **(dialect.headers if dialect is not None else {})},
        translator=translator,
    )


@router.post("/ai/runs/{run_id}/stop", response_class=Response)
@guarded(API)
async def stop_run(
    request: Request, run_id: RunIdInPath, runs: Annotated[Runs, Depends(runs_of)]
) -> Response:
    """Stop a run in whichever process it is, and show the result. A second stop changes nothing.

    The response comes after the connection to the provider is closed. Readers of the run get `end` with
    `finishReason: "stopped"`. The stop of an unknown run is kept for a minute, in which a start with that
    id is rejected. 202 means that the process of the run did not respond; it gets the stop later.
    """
    receipt = await runs.stop(run_id, owner=owner_of(request))
    return json_response(request, receipt, status=202 if receipt.outcome == "unreachable" else 200)
