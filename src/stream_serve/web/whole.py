"""Answers in one piece: the events of a run, gathered while somebody still waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from stream_serve.errors import EventsLost, LogLost, StreamMoved
from stream_serve.events.types import End, Error
from stream_serve.web.stream import close_when_gone

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from stream_serve.events.types import Event
    from stream_serve.runs.subscription import Subscription


async def gather(
    subscription: Subscription, request: Request, add: Callable[[Event], object]
) -> End | Error:
    """Give `add` each event of a run but the last one, and return that.

    Raises Starlette's `ClientDisconnect` if the client does not wait for the end. However this ends, it
    lets go of the run.
    """
    unwatch = close_when_gone(subscription, request.scope, request.receive)
    try:
        async for event in subscription.events():
            if isinstance(event, End | Error):
                return event
            add(event)
    except LogLost:
        lost = EventsLost("events of this run are gone: the answer cannot be given as a whole")
        return Error.of(lost, str(lost))
    finally:
        unwatch()
        subscription.close()
    if subscription.redirected:
        moved = StreamMoved("this process ends: ask again for the run, at another one")
        return Error.of(moved, str(moved))
    raise ClientDisconnect
