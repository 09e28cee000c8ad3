"""`GET /ai/live`: several runs in one stream, for clients with few connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from stream_serve.errors import CursorBeyondLog, RunNotFound
from stream_serve.events.types import Error
from stream_serve.runs import names
from stream_serve.runs.service import Runs
from stream_serve.settings import Settings
from stream_serve.web import problems
from stream_serve.web.body import invalid
from stream_serve.web.dependencies import runs_of, settings_of
from stream_serve.web.live import Line, LiveStream
from stream_serve.web.security import API, cors_headers, guarded, owner_of

if TYPE_CHECKING:
    from collections.abc import Sequence

router = APIRouter(tags=["runs"])

_MAX_RUNS: Final = 100
"""Runs in one stream: their ids fit into the head of a request, and each event has all cursors."""
_MAX_DIGITS: Final = 16


@router.get("/ai/live", response_class=LiveStream, status_code=200)
@guarded(API)
async def follow_runs(
    request: Request,
    run: Annotated[list[str], Query()],
    runs: Annotated[Runs, Depends(runs_of)],
    settings: Annotated[Settings, Depends(settings_of)],
) -> Response:
    """Stream the events of several runs, each after its cursor, as they come.

    `run` is the id of a run, once for each. An event has the id of its run as its name (`event:`), and
    as its `id:` the cursor of the whole stream: the number of the newest event of each run, in the
    order of the request, with dots between. It goes into the header `Last-Event-ID`, or into the query
    parameter `after`; without it all runs begin with event 1. To read other runs, ask anew.

    A run that cannot be read has an `error` without an `id:`; the others go on. If all runs have ended
    and the client has all their events, the response is 204.
    """
    lines = _lines(run, request)
    headers = cors_headers(request.scope)
    stream = LiveStream(lines, heartbeat=settings.heartbeat_interval, headers=headers)
    try:
        for line in lines:
            await _open(line, runs, owner_of(request))
    except BaseException:
        stream.close()
        raise
    if not any(line.subscription or line.error for line in lines):
        return Response(status_code=204, headers=headers)
    return stream


def _lines(run_ids: Sequence[str], request: Request) -> list[Line]:
    """Return what is asked for. Raises `InvalidFields`."""
    if not 0 < len(run_ids) <= _MAX_RUNS or len(set(run_ids)) < len(run_ids):
        raise invalid("run", f"should be there once for each run, at most {_MAX_RUNS} times")
    if not all(map(names.fits, run_ids)):
        raise invalid("run", "should be the id of a run")
    for name, text in (
        ("Last-Event-ID", request.headers.get("last-event-id")),
        ("after", request.query_params.get("after")),
    ):
        if text:
            cursors = text.split(".")
            if len(cursors) != len(run_ids) or not all(map(_is_number, cursors)):
                raise invalid(name, "should have the number of an event for each run: 12.0.7")
            return [Line(one, int(after)) for one, after in zip(run_ids, cursors, strict=True)]
    return [Line(one, 0) for one in run_ids]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < _MAX_DIGITS


async def _open(line: Line, runs: Runs, owner: str | None) -> None:
    """Subscribe to a run, or note why it cannot be read. Raises `LogUnavailable`."""
    run_id, after = line.name.decode(), int(line.cursor)
    try:
        line.subscription = await runs.subscribe(run_id, owner=owner, after=after)
    except (RunNotFound, CursorBeyondLog) as error:
        problem, _ = problems.describe(error)
        line.error = Error(problem.detail, problem.code, retryable=False)
