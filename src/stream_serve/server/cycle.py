"""`HotCycle`: one request to a hot door (`web.hot`) and its response, on a connection of uvicorn's.

How it works: it stands where uvicorn's own cycle does, with the same attributes, and sends on its own.
What uvicorn checks and writes for each header is done for the whole head at once. The head goes out
together with the first piece of the body, and a system call less.

`for_http_1_0` is beside it: it changes uvicorn's own cycle for a client that speaks HTTP/1.0.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from uvicorn._types import (
        ASGI3Application,
        ASGIReceiveCallable,
        ASGISendCallable,
        ASGISendEvent,
        HTTPScope,
        Scope,
    )

_CHUNK: Final = b"%x\r\n%b\r\n"
_LAST: Final = b"0\r\n\r\n"


class ChunkWriter:
    """Writes chunks of a body (RFC 9112, 7.1) while it is `ready`.

    One small object with slots rather than a closure: it is used for every token.
    """

    __slots__ = ("_write", "ready")

    def __init__(self, write: Callable[[bytes], None], *, ready: bool) -> None:
        self._write = write
        self.ready = ready

    def write(self, data: bytes) -> bool:
        """Write `data` as one chunk and return True; when not ready, write nothing and return False."""
        if self.ready:
            self._write(_CHUNK % (len(data), data))
            return True
        return False


class Flag:
    """Stands in for an `asyncio.Event`, which keeps 700 bytes for many waiters: here one task waits."""

    __slots__ = ("_set", "_waiter")

    def __init__(self) -> None:
        self._set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Let the task that waits go on, and those that come until `clear`."""
        self._set = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        """Let the next task wait again."""
        self._set = False

    async def wait(self) -> None:
        """Wait until it is set; return at once if it is."""
        if not self._set:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None


class HotCycle(RequestResponseCycle):
    """A `POST` of HTTP/1.1; its response has a body."""

    disconnected = False
    more_body = True
    response_started = False
    response_complete = False
    chunked_encoding: bool | None = None
    _head = b""

    def __init__(self, protocol: HttpToolsProtocol, scope: HTTPScope, *, keep_alive: bool) -> None:
        self.scope = scope
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.default_headers = protocol.server_state.default_headers
        self.message_event = cast("asyncio.Event", Flag())
        self.on_response = protocol.on_response_complete
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = protocol.expect_100_continue
        self.body = bytearray()

    @property
    def headless(self) -> bool:
        """Whether nothing of the response has gone out yet."""
        return not self.response_started or self._head != b""

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the response, as uvicorn does; nothing where the client is gone.

        Waits while the client takes no more; cancelled then, it has sent nothing of this part. Raises
        `RuntimeError` after the end.
        """
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self.start(message["status"], list(message.get("headers", ())))
        elif message["type"] == "http.response.body":
            self._send(message.get("body", b""), more=message.get("more_body", False))

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Send the head with what follows. Raises `RuntimeError` for a header that would be several."""
        self.response_started = True
        self.waiting_for_100_continue = False
        said = [*self.default_headers, *headers]
        fields = dict(said)
        self.keep_alive = self.keep_alive and fields.get(b"connection") != b"close"
        if not self.keep_alive and b"connection" not in fields:
            said.append((b"connection", b"close"))
        self.chunked_encoding = b"content-length" not in fields
        if self.chunked_encoding:
            said.append((b"transfer-encoding", b"chunked"))
        lines = b"".join([b"%b: %b\r\n" % one for one in said])
        if not len(said) == lines.count(b"\n") == lines.count(b"\r"):
            raise RuntimeError("a header of a response has a line end in it")
        self._head = b"%b%b\r\n" % (STATUS_LINE[status], lines)

    def _send(self, body: bytes, *, more: bool) -> None:
        """Send a piece of the body, which may be empty, and its end unless there are `more`."""
        if self.response_complete:
            raise RuntimeError("the response has been sent")
        if self.chunked_encoding:
            chunk = _CHUNK % (len(body), body) if body else b""
            body = chunk if more else chunk + _LAST
        head, self._head = self._head, b""
        self.transport.write(head + body)
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()


def for_http_1_0(cycle: RequestResponseCycle, app: ASGI3Application) -> ASGI3Application:
    """Return an application that responds to a client of HTTP/1.0 with what that can read.

    It knows no chunks (RFC 9112, 6.1): a body of unknown length ends with the connection. Nor does it
    know an interim response (RFC 9110, 10.1.1).
    """
    cycle.waiting_for_100_continue = False

    async def respond(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        sized = True

        async def tell(message: ASGISendEvent) -> None:
            nonlocal sized
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message.get("headers", ())}
                sized = b"content-length" in names
                if not sized:
                    cycle.chunked_encoding = cycle.keep_alive = False
            elif message["type"] == "http.response.body" and not sized:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, tell)

    return respond
