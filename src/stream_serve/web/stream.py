"""`EventStream`: a run's event log as an SSE response.

How it works: the response only reads. It takes what the log has, sends it in one piece, and waits for
more; one task watches for the client's going away, one timer for silence. When the client is gone, or
the response ends for another reason, it lets go of the run; what that means is for `runs` to say.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from stream_serve.sse import HEARTBEAT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from stream_serve.runs import Attachment

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
        self.init_headers({**_HEADERS, "X-Run-Id": attachment.run.id, **headers})
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
            while (data := await reader.read()) is not None:
                self._last = loop.time()
                await send(
                    {"type": "http.response.body", "body": data or HEARTBEAT, "more_body": True}
                )
            await send({"type": "http.response.body", "body": b""})
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
