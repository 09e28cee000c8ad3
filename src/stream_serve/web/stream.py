"""`EventStream`: a run's event log as an SSE response.

How it works: the response only reads. It takes what the log has, sends it in one piece, and waits for
more; one task watches for the client's going away, one timer for silence. When the client is gone, or
the response ends for another reason, it lets go of the run; what that means is for `runs` to say.

Two endings are not the run's. A reader that has to go on at another process gets a `retry:` field, and
reconnects with its cursor. One whose events are gone gets an `error` without an `id:`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from stream_serve import sse
from stream_serve.errors import EventsLost, LogLost
from stream_serve.events import Error, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from stream_serve.attachment import Attachment

_MOVE: Final = b"retry: 1000\n\n"
_LOST: Final = encode(
    Error.of(EventsLost("events of this run are gone: what came so far is not the whole of it"))
)
_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


class EventStream(Response):
    """Streams an attachment's events; `heartbeat` is the silence after which a comment goes out."""

    def __init__(
        self, attachment: Attachment, *, heartbeat: float, headers: Mapping[str, str]
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({**_HEADERS, "X-Run-Id": attachment.run_id, **headers})
        self._attachment = attachment
        self._heartbeat = heartbeat
        self._last = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until the run ends or the client goes away."""
        del scope
        loop = asyncio.get_running_loop()
        reader = self._attachment.reader
        self._last = loop.time()
        self._timer: asyncio.TimerHandle = loop.call_later(self._heartbeat, self._beat)
        watcher = loop.create_task(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            try:
                while (data := await reader.read()) is not None:
                    self._last = loop.time()
                    await send(
                        {
                            "type": "http.response.body",
                            "body": data or sse.HEARTBEAT,
                            "more_body": True,
                        }
                    )
                last = _MOVE if self._attachment.moved else b""
            except LogLost:
                last = b"data: " + _LOST + b"\n\n"
            await send({"type": "http.response.body", "body": last})
        except asyncio.CancelledError:
            # The server ends and has waited long enough for a client that does not read.
            return
        finally:
            self._timer.cancel()
            watcher.cancel()
            self._attachment.close()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._attachment.close()

    def _beat(self) -> None:
        """Wake the reader after silence; else wait for the rest of the time."""
        loop = asyncio.get_running_loop()
        left = self._last + self._heartbeat - loop.time()
        if left <= 0:
            self._attachment.reader.nudge()
            left = self._heartbeat
        self._timer = loop.call_later(left, self._beat)
