"""Readers of runs that have been started already: where each begins, and in which dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from stream_serve.errors import RunNotFound
from stream_serve.web.body import invalid
from stream_serve.web.dialects.base import Retelling, Translator

if TYPE_CHECKING:
    from starlette.requests import Request

    from stream_serve.runs.service import Runs
    from stream_serve.runs.subscription import Subscription
    from stream_serve.web.dialects.base import Dialect

_MAX_DIGITS: Final = 16


class Cursor(Struct, frozen=True):
    """The number of the last event that a client has, 0 for none.

    `resumed` says that it goes on where its connection ended (`Last-Event-ID`). Else it is new here.
    """

    after: int = 0
    resumed: bool = False


def cursor_of(request: Request) -> Cursor:
    """Return the cursor of a request, in a header or in its query. Raises `InvalidFields`."""
    for name, text in (
        ("Last-Event-ID", request.headers.get("last-event-id")),
        ("after", request.query_params.get("after")),
    ):
        if text:
            if not (text.isascii() and text.isdigit() and len(text) < _MAX_DIGITS):
                raise invalid(name, "should be the number of an event")
            return Cursor(int(text), resumed=name != "after")
    return Cursor()


async def join(
    runs: Runs, run_id: str, cursor: Cursor, *, owner: str | None, dialect: Dialect | None
) -> tuple[Subscription, Translator | None] | None:
    """Subscribe to a run from a cursor on, in a dialect; None for the native one.

    Returns None when the run is over, the client has all its events, and its dialect has nothing more to
    say. Raises `RunNotFound`, `CursorBeyondLog`, `LogUnavailable`.
    """
    subscription = await runs.subscribe(run_id, owner=owner, after=cursor.after)
    if dialect is None:
        return None if subscription is None else (subscription, None)
    translation = dialect.translation(run_id)
    if subscription is None and not isinstance(translation, Retelling):
        return None
    if subscription is None or cursor.after:
        subscription = await _from_start(runs, run_id, subscription, owner)
    translator = Translator(
        translation, after=cursor.after, resumed=cursor.resumed, newest=subscription.newest
    )
    return subscription, translator


async def _from_start(
    runs: Runs, run_id: str, other: Subscription | None, owner: str | None
) -> Subscription:
    """Return a subscription to a run from its first event on, in place of another one."""
    try:
        whole = await runs.subscribe(run_id, owner=owner)
    finally:
        if other is not None:
            other.close()
    if whole is None:
        raise RunNotFound("there is no such run")
    return whole
