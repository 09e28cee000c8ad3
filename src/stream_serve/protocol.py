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

    def on_headers_complete(self) -> None:
        """Begin a request; its task runs later, so that it finds the extension."""
        super().on_headers_complete()
        scope = cast("dict[str, Any]", self.scope)
        if self.cycle and self.cycle.scope is scope:
            # Weak: a cycle that refers to itself would wait for the garbage collector.
            scope["extensions"] = {WRITE: partial(_writer, ref(self.cycle))}


def _writer(reference: ref[RequestResponseCycle]) -> Callable[[bytes], bool] | None:
    """Give the function that writes, after the response's start; None where the body has another form
    than chunks."""
    cycle = reference()
    if cycle is None or not cycle.chunked_encoding or cycle.scope["method"] == "HEAD":
        return None
    flow, write = cycle.flow, cycle.transport.write

    def write_chunk(data: bytes) -> bool:
        if flow.write_paused or cycle.disconnected or cycle.response_complete:
            return False
        write(b"%x\r\n%b\r\n" % (len(data), data))
        return True

    return write_chunk
