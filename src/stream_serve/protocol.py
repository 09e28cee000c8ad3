"""`HttpProtocol`: uvicorn's HTTP protocol, with a way for a stream to write at once.

An ASGI application sends by awaiting `send`, which takes a task that is waiting to do so. Here the
scope has one more extension (`web.stream.WRITE`): a function that writes a piece of a chunked body
right away, from wherever it is called. It says False, and writes nothing, when the client reads too
slowly or is gone; then `send` is the way, which waits.

This is the one place that knows uvicorn from inside: what a `RequestResponseCycle` has, and that a
chunked body is framed by it (RFC 9112, 7.1).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast
from weakref import ref

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stream_serve.web.stream import WRITE

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class HttpProtocol(HttpToolsProtocol):
    """One connection of a client."""

    _writer: ChunkWriter | None = None

    def on_headers_complete(self) -> None:
        """Begin a request; its task runs later, so that it finds the extension."""
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
