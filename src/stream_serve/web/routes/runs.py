"""The endpoints of a run: its state, and its stop."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from stream_serve.runs.runid import RunIdInPath
from stream_serve.runs.service import Runs
from stream_serve.settings import Settings
from stream_serve.web.body import invalid
from stream_serve.web.dependencies import runs_of, settings_of
from stream_serve.web.response import answer
from stream_serve.web.security import API, cors_headers, guarded, owner_of
from stream_serve.web.stream import EventStream

_MAX_DIGITS: Final = 16

router = APIRouter(tags=["runs"])


@router.get("/ai/runs/{run_id}", response_class=Response)
@guarded(API)
async def show_run(
    request: Request, run_id: RunIdInPath, runs: Annotated[Runs, Depends(runs_of)]
) -> Response:
    """Show the state of a run, until it is forgotten some minutes after its end."""
    return answer(request, await runs.state(run_id, owner=owner_of(request)))


@router.get("/ai/runs/{run_id}/events", response_class=EventStream, status_code=200)
@guarded(API)
async def follow_run(
    request: Request,
    run_id: RunIdInPath,
    runs: Annotated[Runs, Depends(runs_of)],
    settings: Annotated[Settings, Depends(settings_of)],
) -> Response:
    """Stream a run's events after a cursor, and go on live.

    The cursor is the number of the last event that was seen: the header `Last-Event-ID`, or the
    query's `after`; without one the stream begins with event 1. A finished run that was read to its
    end gets 204, which tells a browser's `EventSource` to stop reconnecting.
    """
    headers = cors_headers(request.scope)
    attachment = await runs.attach(run_id, owner=owner_of(request), after=_cursor(request))
    if attachment is None:
        return Response(status_code=204, headers=headers)
    return EventStream(attachment, heartbeat=settings.heartbeat_interval, headers=headers)


@router.post("/ai/runs/{run_id}/stop", response_class=Response)
@guarded(API)
async def stop_run(
    request: Request, run_id: RunIdInPath, runs: Annotated[Runs, Depends(runs_of)]
) -> Response:
    """Stop a run, from anywhere, and say what that did. Repeating it is harmless.

    The receipt comes when the connection to the provider is closed. Whoever still reads the run gets
    `end` with `finishReason: "stopped"`. The stop of an unknown run is kept for a minute: a start
    under that id is then refused. 202 says that the process which has the run did not answer: the
    stop waits for it.
    """
    receipt = await runs.stop(run_id, owner=owner_of(request))
    return answer(request, receipt, status=202 if receipt.outcome == "unreachable" else 200)


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
