"""A script's hands: what it can do with one request's connection, noted in the request's record."""

from __future__ import annotations

import asyncio
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
    """A server connection that notes when it opened, when it closed and who closed it.

    A peer's FIN counts as going away, as it does for the gateways in front of real providers: what
    is still unsent is dropped and the script is cancelled at once.
    """

    ledger: Ledger
    record: ConnectionRecord
    ended_by_script: bool = False
    stale: bool = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Enter the connection in the ledger."""
        peer = transport.get_extra_info("peername")
        self.record = self.ledger.connect(peer[1] if peer else 0)
        super().connection_made(transport)

    def eof_received(self) -> None:
        """Take the peer's FIN for its going away."""
        self._note_end()  # now, and not when what is unsent has been flushed
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note the end, then have the script cancelled."""
        self._note_end()
        super().connection_lost(exc)

    def force_close(self) -> None:
        """Close on our side, as aiohttp does when a connection stays idle for too long."""
        self.ended_by_script = True
        super().force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, or a script's own mistake, and close."""
        self.ended_by_script = True  # such an answer closes its connection
        return super().handle_error(request, status, exc, message)

    def abort(self, *, reset: bool = False) -> None:
        """Drop the connection now, on the script's side; `reset` sends a RST and not a FIN."""
        self.ended_by_script = True
        transport = self.transport
        if transport is None:
            return
        if reset:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()

    def _note_end(self) -> None:
        self.ledger.disconnect(self.record, Side.SCRIPT if self.ended_by_script else Side.PEER)


class Reply:
    """One request's answer, in the hands of its script.

    Every method may raise `ConnectionError` when the peer has gone, and every one that waits is
    cancelled in that moment: a script needs no clean-up of its own.
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
        """Send the status line and the headers, at once."""
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
        """Send bytes in one write; `events` says how many whole events they complete."""
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
        """End the answer properly, once; the connection can be used again."""
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
        """Send an answer that is no stream, with its length, and end it."""
        length = {"Content-Length": str(len(body))}
        await self.open(status, content_type=content_type, headers={**length, **(headers or {})})
        await self.write(body)
        await self.end()

    async def json(
        self, status: int, value: object, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a JSON answer that is no stream."""
        await self.whole(status, dump(value), headers=headers)

    def raw(self, data: bytes) -> None:
        """Put bytes on the wire past HTTP."""
        transport = self._request.transport
        if transport is None:
            raise ConnectionResetError
        self.record.bytes_sent += len(data)
        transport.write(data)
        self._ledger.touch()

    async def pause(self, seconds: float) -> None:
        """Wait; zero lets other tasks run once, so that a fast script notices a closed peer."""
        await asyncio.sleep(seconds)

    async def forever(self) -> NoReturn:
        """Wait until the peer goes away."""
        while True:
            await asyncio.get_running_loop().create_future()

    async def reset(self) -> NoReturn:
        """Cut the connection with a RST: what the peer has not read yet may be lost to it."""
        self._connection.abort(reset=True)
        self._note_cut()
        return await self.forever()

    async def close(self) -> NoReturn:
        """Cut the connection with a FIN after what was written, without ending the answer."""
        self._connection.ended_by_script = True
        transport = self._request.transport
        if transport is not None:
            transport.close()
        self._note_cut()
        return await self.forever()

    def let_go_stale(self) -> None:
        """Have the connection closed in the moment when its next request arrives."""
        self._connection.stale = True

    def _note_cut(self) -> None:
        self.record.close(Side.SCRIPT, time.time())
        self._ledger.touch()

    def _advance(self, phase: Phase) -> None:
        self.record.phase = phase
        self._ledger.touch()
