"""`Reply`: everything that a script can do with the connection of one request."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from typing import TYPE_CHECKING, Final, NoReturn

from aiohttp import web

from stream_serve.testing.chunks import dump, fresh_id
from stream_serve.testing.records import Phase, Side

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_serve.testing.records import ConnectionRecord, Ledger, Record

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Connection(web.RequestHandler):
    """A server connection that records when it was opened and closed, and by which side.

    A FIN from the peer counts as a disconnect, as it does for the gateways in front of real providers:
    unsent data is dropped, and the script is cancelled at once.
    """

    ledger: Ledger
    record: ConnectionRecord
    ended_by_script: bool = False
    stale: bool = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Record the connection in the ledger."""
        peer = transport.get_extra_info("peername")
        self.record = self.ledger.connect(peer[1] if peer else 0)
        super().connection_made(transport)

    def eof_received(self) -> None:
        """Treat the peer's FIN as its disconnect."""
        self._record_end()  # now, and not after unsent data has been flushed
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Record the end of the connection; aiohttp then cancels the script."""
        self._record_end()
        super().connection_lost(exc)

    def force_close(self) -> None:
        """Record that this side closes, as aiohttp does with a connection that is idle for too long."""
        self.ended_by_script = True
        super().force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Respond to invalid HTTP or to an error in a script, and close the connection."""
        self.ended_by_script = True  # aiohttp closes the connection after this response
        return super().handle_error(request, status, exc, message)

    def abort(self, *, reset: bool = False) -> None:
        """Close the connection from the script's side now; `reset` sends a RST instead of a FIN."""
        self.ended_by_script = True
        transport = self.transport
        if transport is None:
            return
        if reset:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()

    def _record_end(self) -> None:
        self.ledger.disconnect(self.record, Side.SCRIPT if self.ended_by_script else Side.PEER)


class Reply:
    """The response to one request, for its script.

    Every method may raise `ConnectionError` after the peer has disconnected, and every method that
    waits is cancelled as soon as it does. So a script needs no clean-up of its own.
    """

    def __init__(
        self, request: web.BaseRequest, connection: Connection, ledger: Ledger, record: Record
    ) -> None:
        self.record: Final = record
        self.response: web.StreamResponse | None = None
        self._request: Final = request
        self._connection: Final = connection
        self._ledger: Final = ledger

    async def open(
        self,
        status: int = 200,
        *,
        content_type: str = EVENT_STREAM,
        headers: Mapping[str, str] | None = None,
    ) -> web.StreamResponse:
        """Send the status line and the headers now, and return aiohttp's response."""
        response = web.StreamResponse(status=status)
        response.headers["Content-Type"] = content_type
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Request-Id"] = fresh_id("req")
        response.headers.update(headers or {})
        self.response = response
        await response.prepare(self._request)
        self._advance(Phase.HEADERS)
        return response

    async def write(self, data: bytes, *, events: int = 0) -> None:
        """Send bytes in one write; `events` is the number of events that they complete."""
        response = self.response or await self.open()
        self.record.events_sent += events
        self.record.bytes_sent += len(data)
        self._advance(Phase.STREAMING)
        await response.write(data)

    async def send(self, *events: bytes) -> None:
        """Send events, each in a write of its own."""
        for one in events:
            await self.write(one, events=1)

    async def end(self) -> web.StreamResponse:
        """End the response properly, if it has not ended; the connection can be used again."""
        response = self.response or await self.open()
        if self.record.phase is not Phase.DONE:
            await response.write_eof()
            if not response.keep_alive:
                self._connection.ended_by_script = True
            self.record.close(Side.SCRIPT)
            self._advance(Phase.DONE)
        return response

    async def whole(
        self,
        status: int,
        body: bytes,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a whole response with its Content-Length."""
        length = {"Content-Length": str(len(body))}
        await self.open(status, content_type=content_type, headers={**length, **(headers or {})})
        await self.write(body)
        await self.end()

    async def json(
        self, status: int, value: object, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a whole response with `value` as JSON."""
        await self.whole(status, dump(value), headers=headers)

    def raw(self, data: bytes) -> None:
        """Write bytes to the socket directly, without any HTTP framing."""
        transport = self._request.transport
        if transport is None:
            raise ConnectionResetError
        self.record.bytes_sent += len(data)
        transport.write(data)
        self._ledger.touch()

    async def pause(self, seconds: float) -> None:
        """Sleep; 0 s still runs other tasks once, so that a fast script notices a disconnect."""
        await asyncio.sleep(seconds)

    async def held(self, seconds: float | None = None) -> None:
        """Wait until a test releases the answer, or for so many seconds."""
        with contextlib.suppress(TimeoutError):
            await self._ledger.until(lambda: self.record.released, seconds)

    async def forever(self) -> NoReturn:
        """Wait until the peer disconnects, which cancels the script."""
        while True:
            await asyncio.get_running_loop().create_future()

    async def reset(self) -> NoReturn:
        """Close the connection with a RST; the peer may lose data that it has not read yet."""
        self._connection.abort(reset=True)
        self._record_cut()
        return await self.forever()

    async def close(self) -> NoReturn:
        """Close the connection with a FIN after the data written so far, without ending the response."""
        self._connection.ended_by_script = True
        transport = self._request.transport
        if transport is not None:
            transport.close()
        self._record_cut()
        return await self.forever()

    def let_go_stale(self) -> None:
        """Make the connection close as soon as its next request arrives."""
        self._connection.stale = True

    def _record_cut(self) -> None:
        self.record.close(Side.SCRIPT, time.time())
        self._ledger.touch()

    def _advance(self, phase: Phase) -> None:
        self.record.phase = phase
        self._ledger.touch()
