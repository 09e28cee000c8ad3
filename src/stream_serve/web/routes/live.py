"""`GET /ai/live`: several runs and streams in one, for clients with few connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from stream_serve.errors import StreamServeError
from stream_serve.runs import names
from stream_serve.runs.service import Runs
from stream_serve.settings import Settings
from stream_serve.streams.errors import StreamNotFound
from stream_serve.streams.service import Streams
from stream_serve.web import problems
from stream_serve.web.body import invalid
from stream_serve.web.dependencies import runs_of, settings_of, streams_of
from stream_serve.web.live import Line, LiveStream
from stream_serve.web.security import API, cors_headers, guarded, owner_of
from stream_serve.web.streams import events
from stream_serve.web.streams.request import path_of

if TYPE_CHECKING:
    from stream_serve.web.stream import Followed

router = APIRouter(tags=["runs"])

_MOST: Final = 100
"""Runs and streams in one response: their names fit into the head of a request, and each event has all
cursors."""
_MAX_DIGITS: Final = 16
_RUN: Final = "run"
_STREAM: Final = "stream"
_PREFIX: Final = "streams/"
"""What the names of a stream's events begin with: a run's id has no slash."""


@router.get("/ai/live", response_class=LiveStream, status_code=200)
@guarded(API)
async def follow_all(
    request: Request,
    runs: Annotated[Runs, Depends(runs_of)],
    streams: Annotated[Streams, Depends(streams_of)],
    settings: Annotated[Settings, Depends(settings_of)],
    run: Annotated[list[str] | None, Query()] = None,
    stream: Annotated[list[str] | None, Query()] = None,
) -> Response:
    """Stream the events of several runs and streams, each after its cursor, as they come.

    `run` is the id of a run, once for each, and `stream` the name of a stream. An event has the id of its
    run as its name (`event:`), or `streams/` and the name of its stream; and as its `id:` the cursor of
    the whole response: the number of the newest event of each, in the order of the request, with dots
    between. It goes into the header `Last-Event-ID`, or into the query parameter `after`; without it all
    begin with their first event. To read others, ask anew.

    What cannot be read, or not to its end, has an `error` without an `id:`; the others go on. If all have
    ended and the client has all their events, the response is 204.
    """
    del run, stream  # described; read in their order
    asked = _asked(request)
    names_and_cursors = zip(asked, _cursors(request, len(asked)), strict=True)
    lines = [Line(_name(*one), after) for one, after in names_and_cursors]
    headers = cors_headers(request.scope)
    live = LiveStream(lines, heartbeat=settings.heartbeat_interval, headers=headers)
    owner = owner_of(request)

    async def follow(kind: str, name: str, after: int) -> Followed | None:
        if kind == _RUN:
            return await runs.subscribe(name, owner=owner, after=after)
        return await events.follow(streams, (owner or "", name), after)

    try:
        for line, one in zip(lines, asked, strict=True):
            try:
                line.followed = await follow(*one, int(line.cursor))
            except StreamServeError as error:
                if not problems.known(error):
                    raise
                line.error = problems.event(error)
    except BaseException:
        live.close()
        raise
    if not any(line.followed or line.error for line in lines):
        return Response(status_code=204, headers=headers)
    return live


def _asked(request: Request) -> list[tuple[str, str]]:
    """Return what is asked for, each as its kind and its name, in that order. Raises `InvalidFields`."""
    asked = [item for item in request.query_params.multi_items() if item[0] in {_RUN, _STREAM}]
    if not 0 < len(asked) <= _MOST or len(set(asked)) < len(asked):
        raise invalid(
            _RUN,
            f"should be there once for each run, and stream for each stream, at most {_MOST} times",
        )
    return asked


def _name(kind: str, name: str) -> str:
    """Return the name of the events of a run or a stream. Raises `InvalidFields`."""
    if kind == _RUN:
        if not names.fits(name):
            raise invalid(_RUN, "should be the id of a run")
        return name
    try:
        return _PREFIX + path_of(name)
    except StreamNotFound as error:
        raise invalid(_STREAM, str(error)) from None


def _cursors(request: Request, count: int) -> list[int]:
    """Return the number of the last event that the client has, for each. Raises `InvalidFields`."""
    for name, text in (
        ("Last-Event-ID", request.headers.get("last-event-id")),
        ("after", request.query_params.get("after")),
    ):
        if text:
            cursors = text.split(".")
            if len(cursors) != count or not all(map(_is_number, cursors)):
                raise invalid(name, "should have the number of an event for each of them: 12.0.7")
            return [int(one) for one in cursors]
    return [0] * count


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
