"""The door for clients of AG-UI 1.0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Depends, Request

from stream_serve.errors import InvalidFields, RunNotFound
from stream_serve.web.asking import Asking, asking_of, run_id_of
from stream_serve.web.body import read_object
from stream_serve.web.dialects import ag_ui_request
from stream_serve.web.dialects.ag_ui import AgUi
from stream_serve.web.dialects.base import Translator
from stream_serve.web.joining import Cursor, cursor_of, join
from stream_serve.web.response import ignored_fields
from stream_serve.web.security import ASK, cors_headers, guarded
from stream_serve.web.stream import EventStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.errors import StreamServeError
    from stream_serve.runs.subscription import Subscription

_DIALECT: Final = AgUi()

router = APIRouter(include_in_schema=False)


@router.post("/ag-ui", response_class=EventStream, status_code=200)
@guarded(ASK)
async def run_agent(request: Request, asking: Annotated[Asking, Depends(asking_of)]) -> EventStream:
    """Run the model on a thread, as AG-UI's agents do, and stream its events.

    The same `threadId` and `runId` are the same run: a second request with them joins it, also after its
    end, and its messages are not read. With `Last-Event-ID` it goes on where a connection ended.
    """
    fields = await read_object(request, max_bytes=asking.settings.max_body_bytes)
    names = ag_ui_request.names_of(fields)
    run_id = run_id_of(request) or names.derived(asking.owner)
    default = asking.on_disconnect(_DIALECT.name)
    try:
        asked = ag_ui_request.read(fields, names, asking.settings, on_disconnect=default)
    except InvalidFields as error:
        # Nothing can be asked with it, such as the empty thread of a new page; a run can be joined.
        return await _join(request, asking, run_id, otherwise=error)
    if cursor_of(request) != Cursor() or ag_ui_request.has_answer(fields, run_id):
        # It was started before: to start it now would answer the question a second time.
        return await _join(request, asking, run_id)
    subscription = await asking.start(
        asked.question,
        run_id=run_id,
        fingerprint=names.fingerprint,
        on_disconnect=asked.on_disconnect,
        door=asked.door,
    )
    translator = Translator(_DIALECT.translation(run_id), newest=subscription.newest)
    return _stream(request, asking, (subscription, translator), asked.ignored)


async def _join(
    request: Request, asking: Asking, run_id: str, *, otherwise: StreamServeError | None = None
) -> EventStream:
    """Return the stream of a run that was started. Raises `RunNotFound`, or `otherwise` in its place."""
    cursor = cursor_of(request)
    try:
        joined = await join(asking.runs, run_id, cursor, owner=asking.owner, dialect=_DIALECT)
    except RunNotFound:
        if otherwise is None:
            raise
        raise otherwise from None
    if joined is None:
        raise RunNotFound("there is no such run")
    return _stream(request, asking, joined)


def _stream(
    request: Request,
    asking: Asking,
    joined: tuple[Subscription, Translator | None],
    ignored: Sequence[str] = (),
) -> EventStream:
    subscription, translator = joined
    headers = {**cors_headers(request.scope), **ignored_fields(ignored), **_DIALECT.headers}
    return EventStream(
        subscription,
        heartbeat=asking.settings.heartbeat_interval,
        headers=headers,
        translator=translator,
    )
