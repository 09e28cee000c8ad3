"""A stream in the words of a run: its events, for the clients that read runs, and its stop."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from stream_serve.settings import Settings
from stream_serve.streams import offsets
from stream_serve.streams.service import Streams
from stream_serve.web.dependencies import settings_of, streams_of
from stream_serve.web.response import json_response
from stream_serve.web.security import API, cors_headers, guarded, owner_of
from stream_serve.web.stream import EventStream
from stream_serve.web.streams.events import cursor_of, follow
from stream_serve.web.streams.request import path_of
from stream_serve.web.streams.stopping import MAX_WAIT, stop, wait_of

router = APIRouter(tags=["streams"])

_WAIT: Final = Query(description=f"seconds, at most {MAX_WAIT:g}")


@router.get("/ai/streams/{name:path}/events", response_class=EventStream, status_code=200)
@guarded(API)
async def follow_stream(
    request: Request,
    name: str,
    streams: Annotated[Streams, Depends(streams_of)],
    settings: Annotated[Settings, Depends(settings_of)],
) -> Response:
    """Stream the messages of a JSON stream after a cursor: first the stored ones, then the live ones.

    `name` is the stream's path at `/v1/stream/`, and may have slashes. Each message is an event as it
    was written; a job's are `log`, `progress`, `data`, `chunk`, and `end`, which is the last. A stream
    that is closed without one ends with `finishReason: "completed"`. The cursor is the `id` of the last
    event that the client has, in the header `Last-Event-ID` or the query parameter `after`. If the
    stream is closed and the client has all its events, the response is 204. A stream that is deleted
    while it is read ends with an `error` without an `id`.
    """
    headers = cors_headers(request.scope)
    key = (owner_of(request) or "", path_of(name))
    followed = await follow(streams, key, cursor_of(request))
    if followed is None:
        return Response(status_code=204, headers=headers)
    said = {"Stream-Next-Offset": offsets.text(followed.newest), **headers}
    return EventStream(followed, heartbeat=settings.heartbeat_interval, headers=said)


@router.post("/ai/streams/{name:path}/stop", response_class=Response)
@guarded(API)
async def stop_stream(
    request: Request,
    name: str,
    streams: Annotated[Streams, Depends(streams_of)],
    wait: Annotated[str | None, _WAIT] = None,
) -> Response:
    """Ask the producer of a stream to end, and show what is known of that. A second stop changes nothing.

    With `wait` the response comes when the producer has acknowledged it or the stream is closed, at the
    latest after so many seconds.
    """
    key = (owner_of(request) or "", path_of(name))
    receipt = await stop(streams, key, wait_of(wait), request.receive)
    return json_response(request, receipt)
