"""`HttpProtocol`: uvicorn's HTTP protocol, with a way for a stream to write at once, and a limit for
the head of a request.

An ASGI application sends by awaiting `send`, which takes a task that is waiting to do so. Here the
scope has one more extension (`web.stream.WRITE`): a function that writes a piece of a chunked body
right away, from wherever it is called. It says False, and writes nothing, when the client reads too
slowly or is gone; then `send` is the way, which waits.

The parser joins a head (RFC 9112, 2.1: the request line and the headers) out of all the pieces that
come, however long it gets. So it is given no more at once than a head may still have, and what it has
taken without completing anything is counted: a head, the trailers of a body, the extension of a chunk
(RFC 9112, 7.1), or line ends in front of a request. Whoever sends more gets 431 (RFC 6585, 5), in its
turn behind the answers that are on their way. Then the connection is closed: first for writing, so
that the answer reaches a client that still sends; what that sends is thrown away for a short time.

This is the one place that knows uvicorn from inside: what a `RequestResponseCycle` has, and that a
chunked body is framed by it (RFC 9112, 7.1).
"""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import ref

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from stream_serve.errors import HeadTooLarge
from stream_serve.web import problems
from stream_serve.web.stream import WRITE

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from uvicorn import Config
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

_MAX_HEAD: Final = 32_768
_LINE: Final = 4  # ": " and the line end
_LINGER: Final = 2.0


class Part(Enum):
    """Which part of a request is being read."""

    NONE = "none"
    HEAD = "head"
    BODY = "body"


class HttpProtocol(HttpToolsProtocol):
    """One connection of a client.

    A head may have as many bytes as uvicorn's option `h11_max_incomplete_event_size` says, which
    means the same for its other protocol; 32 KiB without it.
    """

    _writer: ChunkWriter | None = None
    _part: Part = Part.NONE
    _taken = 0
    _moved = False
    _refused = False

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._most = config.h11_max_incomplete_event_size or _MAX_HEAD

    def data_received(self, data: bytes) -> None:
        """Parse what came, in pieces no larger than what a head may still have."""
        while data and not self._refused:
            room = self._most - self._taken
            piece, data = data[:room], data[room:]
            self._moved = False
            super().data_received(piece)
            if self.transport.is_closing() or self.transport.get_protocol() is not self:
                return
            self._taken = self._head_size() if self._moved else self._taken + len(piece)
            if self._taken >= self._most:
                self._refuse()

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._part = Part.HEAD
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; the trailers of a body are nobody's here (RFC 9110, 6.5.1)."""
        if self._part is Part.HEAD:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._moved = True
        self._part = Part.NONE
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        """Begin a request; its task runs later, so that it finds the extension."""
        self._moved = True
        if self._head_size() > self._most:
            self._refuse()
            raise ValueError("the head is too large")  # ends the parser's work on this piece
        self._part = Part.BODY
        super().on_headers_complete()
        scope = cast("dict[str, Any]", self.scope)
        if self.cycle and self.cycle.scope is scope:
            # Weak: a cycle that refers to itself would wait for the garbage collector.
            scope["extensions"] = {WRITE: partial(_write_at_once, ref(self), ref(self.cycle))}

    def write_at_once(self, cycle: RequestResponseCycle) -> Callable[[bytes], bool]:
        """Give the function that writes a piece of a response's body, after the response's start."""
        self._writer = ChunkWriter(cycle.transport.write, ready=not cycle.flow.write_paused)
        return self._writer.write

    def on_response_complete(self) -> None:
        """Write nothing behind a response's end."""
        self._shut()
        super().on_response_complete()
        if self._refused and self.cycle.response_complete and not self.transport.is_closing():
            self._answer_refusal()

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed, unless it was refused for its size."""
        if not self._refused:
            super().send_400_response(msg)

    def connection_lost(self, exc: Exception | None) -> None:
        """Write nothing to a client that is gone."""
        self._shut()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Write nothing to a client that reads too slowly."""
        super().pause_writing()
        if self._writer is not None:
            self._writer.ready = False

    def resume_writing(self) -> None:
        """Write again."""
        super().resume_writing()
        if self._writer is not None:
            self._writer.ready = True

    def _head_size(self) -> int:
        """Return how large the head that is being read is, as far as its lines are complete."""
        if self._part is not Part.HEAD:
            return 0
        return len(self.url) + sum(len(name) + len(value) + _LINE for name, value in self.headers)

    def _refuse(self) -> None:
        """Take nothing more, and say why as soon as what was asked before is answered."""
        self._refused = True
        self.logger.warning("The head of a request has more than %d bytes: refused.", self._most)
        cycle = self.cycle
        if self._part is Part.BODY:
            self._end_body(cycle)
        elif not cycle or cycle.response_complete:
            self._answer_refusal()

    def _end_body(self, cycle: RequestResponseCycle) -> None:
        """Refuse a request whose body is being read."""
        if self.pipeline or (cycle.response_started and not cycle.response_complete):
            self.transport.close()
        elif cycle.response_complete:
            self._linger()
        else:
            cycle.disconnected = True
            cycle.message_event.set()
            self._answer_refusal()

    def _answer_refusal(self) -> None:
        response = problems.from_error(
            HeadTooLarge(
                f"the request line and the headers may have at most {self._most} bytes together "
                "(STREAM_SERVE_MAX_HEAD_BYTES)"
            )
        )
        headers = [
            *self.server_state.default_headers,
            *response.raw_headers,
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        body = bytes(response.body)
        self.transport.write(STATUS_LINE[response.status_code] + lines + b"\r\n" + body)
        self._linger()

    def _linger(self) -> None:
        """Close for writing, and altogether when the client has read that or some time is over."""
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.timeout_keep_alive_task = self.loop.call_later(_LINGER, self.transport.abort)
        else:
            self.transport.close()

    def _shut(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.ready = False


class ChunkWriter:
    """Writes chunks while it is `ready`: one small object, since every token touches what it needs."""

    __slots__ = ("_write", "ready")

    def __init__(self, write: Callable[[bytes], None], *, ready: bool) -> None:
        self._write = write
        self.ready = ready

    def write(self, data: bytes) -> bool:
        """Write a chunk; False, and nothing written, when it is not ready."""
        if self.ready:
            self._write(b"%x\r\n%b\r\n" % (len(data), data))
            return True
        return False


def _write_at_once(
    protocol: ref[HttpProtocol], cycle: ref[RequestResponseCycle]
) -> Callable[[bytes], bool] | None:
    """Give the function that writes; None where the body has another form than chunks, or the client
    is gone."""
    connection, response = protocol(), cycle()
    if connection is None or response is None or response.disconnected:
        return None
    if not response.chunked_encoding or response.scope["method"] == "HEAD":
        return None
    return connection.write_at_once(response)
