"""The stop of a stream over HTTP: the receipt, and the wait for the producer's acknowledgement."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from stream_serve.streams import offsets
from stream_serve.streams.decisions import NOT_FOUND
from stream_serve.streams.errors import StreamNotFound
from stream_serve.web.body import invalid
from stream_serve.web.streams.request import time_text

if TYPE_CHECKING:
    from starlette.types import Receive

    from stream_serve.streams.entry import Follower
    from stream_serve.streams.service import Streams
    from stream_serve.streams.state import Key, Stop

MAX_WAIT: Final = 60.0
"""Seconds, above which proxies give a request up; whoever waits longer asks again."""

_SECONDS: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?", re.ASCII)


class StopReceipt(Struct, frozen=True):
    """When a stop was asked for, when the producer acknowledged it, and the stream's offset by then."""

    asked: str
    acknowledged: str | None
    appended: str | None

    @classmethod
    def of(cls, stop: Stop) -> StopReceipt:
        """Return the receipt of a stop."""
        heard = stop.acknowledged
        if heard is None:
            return cls(time_text(stop.asked), None, None)
        return cls(time_text(stop.asked), time_text(heard), offsets.text(stop.tail))


def wait_of(text: str | None) -> float:
    """Return for how many seconds a stop waits, as its query says. Raises `InvalidFields`."""
    if text is None:
        return 0.0
    if not _SECONDS.fullmatch(text) or float(text) > MAX_WAIT:
        raise invalid("wait", f"should be a number of seconds, at most {MAX_WAIT:g}")
    return float(text)


async def stop(streams: Streams, key: Key, wait: float, receive: Receive) -> StopReceipt:
    """Ask the producer to end, and wait until it acknowledges, the stream ends, or the client goes.

    Raises `StreamNotFound`, also when the stream is removed meanwhile, `StreamGone`.
    """
    asked = await streams.stop(key)
    if not wait or asked.acknowledged is not None:
        return StopReceipt.of(asked)
    follower = await streams.follow(key)
    watcher = asyncio.get_running_loop().create_task(_watch(receive, follower))
    data = None if follower.state is None else follower.state.data
    try:
        deadline = time.monotonic() + wait
        while (state := follower.state) is not None and state.data == data:
            known = state.stop or asked
            left = deadline - time.monotonic()
            ended = state.closed or follower.closed or watcher.done()
            if known.acknowledged is not None or ended or left <= 0:
                return StopReceipt.of(known)
            with suppress(TimeoutError):
                await follower.wait(left)
        raise StreamNotFound(NOT_FOUND)
    finally:
        watcher.cancel()
        follower.close()


async def _watch(receive: Receive, follower: Follower) -> None:
    """End the wait when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    follower.nudge()
