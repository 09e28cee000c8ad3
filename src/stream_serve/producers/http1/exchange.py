"""One request and the response to it: the parser's callbacks, and the futures that wait for them.

How it works: two futures say how far the response is. `_head` is done when the headers of the final
response are there, and `_body` when nobody is to be told more of the body. A response that fails sets an
error in both. `_complete` says that the response has come to its end or never will: the connection
carries nothing more of this exchange.

The parser adds each piece of the body to a list. What one read from the socket has brought of them is
passed on as one piece (`deliver`), and so is what came before `read_body`. The pieces of a body
with a coding stay apart: one that is not true takes what the same piece has before the fault with it.
"""

from __future__ import annotations

import asyncio
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

import httptools

from stream_serve.producers.http1 import chunks
from stream_serve.producers.http1.base import (
    IncompleteResponse,
    ProtocolError,
    StaleConnection,
)
from stream_serve.producers.http1.head import HeadReader
from stream_serve.producers.http1.inflate import Decoder, decoded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stream_serve.producers.http1.base import Receiver
    from stream_serve.producers.http1.head import Head


class Channel(Protocol):
    """What an exchange needs of the connection that carries it."""

    def parse_with(self, parse: Callable[[bytes], None]) -> None:
        """Call `parse` itself, with no call in between, with all that comes until `release`."""
        ...

    def delay_acks(self) -> None:
        """Acknowledge two of a stream's small segments at once, from now on."""
        ...

    def release(self) -> bool:
        """Keep the connection for another exchange; return False when it is closed."""
        ...

    async def close(self) -> None:
        """Close the connection at once, and wait until its socket is closed, for at most a second."""
        ...


class Exchange:
    """A request that was sent, and the response to it as it arrives; see `HTTPExchange`."""

    __slots__ = (
        "_body",
        "_codings",
        "_complete",
        "_connection",
        "_early",
        "_end_waiter",
        "_head",
        "_kept",
        "_parser",
        "_persistent",
        "_pieces",
        "_reader",
        "_receive",
        "_released",
        "_reusable",
        "_unframed",
        "headers",
        "on_body",
        "status",
    )

    def __init__(self, connection: Channel, *, kept: bool = False) -> None:
        """Read the response from `connection`; `kept` says whether it has carried an exchange before."""
        loop = asyncio.get_running_loop()
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self._connection: Final = connection
        self._head: asyncio.Future[None] = loop.create_future()
        self._body: asyncio.Future[None] = loop.create_future()
        self._complete = False
        self._end_waiter: asyncio.Future[None] | None = None
        self._receive: Receiver | None = None
        self._pieces: list[bytes] = []
        self.on_body: Final = self._pieces.append
        self._early: list[bytes] = []
        self._kept: Final = kept
        self._reader: HeadReader | None = HeadReader()
        self._codings: Sequence[str] = ()
        self._unframed = False
        self._persistent = False
        self._reusable = False
        self._released = False
        self._parser: httptools.HttpResponseParser | None = None
        connection.parse_with(self._read_head)

    async def read_head(self) -> None:
        """Wait for the status and the headers of the final response.

        Raises `ProtocolError` and `IncompleteResponse`, of which `StaleConnection` is a kind, and
        `ssl.SSLError` for a TLS alert. After a cancellation, only `close` is of use.
        """
        await self._head

    async def read_body(self, receive: Receiver) -> None:
        """Call `receive` with each piece of the body, to the body's end or until `discard_rest`.

        Content codings are undone (RFC 9110, 8.4). Call it once, after `read_head`. Raises
        `IncompleteResponse`, `ProtocolError` for a content coding that is not known, not true or grows
        too far, and what `receive` raises. Cancelled or failed, it does not call `receive` again.
        """
        try:
            self._receive = decoded(self._codings, receive)
            early, self._early = self._early, []
            if self._codings:
                self._pass_on(early)
            elif early:
                receive(b"".join(early))
            if self._complete:
                _check_complete(self._receive)
            await self._body
        finally:
            self.discard_rest()

    def discard_rest(self) -> None:
        """End `read_body` without an error: the rest of the body is read, and nobody is told."""
        self._receive = None
        if not self._body.done():
            self._body.set_result(None)

    async def finish(self, timeout: float) -> bool:
        """Discard the rest of the body and keep the connection for another request, if it can be kept.

        It can when the response is complete within `timeout` seconds, nothing came after it (RFC 9112,
        9.2) and neither side wants to close (RFC 9112, 9.3); else it is closed. Returns whether it is
        kept. Cancelled, it closes the connection.
        """
        try:
            self.discard_rest()
            if not self._complete:
                self._end_waiter = asyncio.get_running_loop().create_future()
                await asyncio.wait([self._end_waiter], timeout=timeout)
            if self._complete and self._reusable and not self._released:
                self._released = self._connection.release()
        finally:
            await self.close()
        return self._released

    async def close(self) -> None:
        """Close the connection at once, and wait until its socket is closed, for at most a second.

        A cancellation ends only the waiting. Does nothing when the exchange is finished or closed.
        """
        if not self._released:
            await self._connection.close()

    def protocol_error(self) -> None:
        """Record that from here on the body is not framed as the head says."""
        self.deliver()
        self._reusable = False
        self.fail("what came is not HTTP")

    def connection_lost(self, error: Exception | None) -> None:
        """Record that the connection is closed; `error` is None when it was closed in order.

        A body without a length and without chunks ends with the connection (RFC 9112, 6.3, rule 8);
        every other response is incomplete (RFC 9112, 8).
        """
        self._reusable = False
        if error is None and self._unframed:
            self._end()
        if isinstance(error, ssl.SSLError):
            _set_error(self._head, error)
        elif self._kept and self._reader is not None and self._reader.empty:
            _set_error(self._head, StaleConnection("the connection was closed while it was idle"))
        self.fail("the connection was closed")

    def fail(self, why: str, head_error: type[Exception] = IncompleteResponse) -> None:
        """End the response: `read_head` raises `head_error`, or `read_body` an `IncompleteResponse`.

        Does nothing to what has ended before.
        """
        _set_error(self._head, head_error(why))
        _set_error(self._body, IncompleteResponse(why))
        self._end()

    def on_message_begin(self) -> None:
        """Record a second response, which is no response to a request of ours (RFC 9112, 9.2)."""
        if self._complete:
            self._reusable = False

    def deliver(self) -> None:
        """Pass on what a read has brought of the body."""
        pieces = self._pieces
        if not pieces:
            return
        if self._receive is not None:
            try:
                if self._codings:
                    self._pass_on(pieces)
                else:
                    self._receive(b"".join(pieces))
            except Exception as error:  # noqa: BLE001 - it is raised to the caller of `read_body`
                self._receive = None
                _set_error(self._body, error)
        elif not self._body.done():
            self._early += pieces
        pieces.clear()

    def _pass_on(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            if self._receive is not None:
                self._receive(piece)

    def on_message_complete(self) -> None:
        """Record the end of the response."""
        if self._parser is not None:
            self.deliver()
            self._reusable = self._persistent
            self._end()

    def _read_head(self, data: bytes) -> None:
        """Collect the head; as soon as it is whole, let the parser read the body."""
        reader = self._reader
        if reader is None:
            return
        try:
            found = reader.feed(data)
        except ProtocolError as error:
            self.fail(str(error), ProtocolError)
            return
        if found is not None:
            self._begin_body(*found)

    def _begin_body(self, head: Head, rest: bytes) -> None:
        self._reader = None
        self.status, self.headers, self._codings = head.status, head.headers, head.codings
        self._unframed, self._persistent = not head.framed, head.persistent
        # An exchange and its parser refer to each other until the response is complete.
        self._parser = parser = httptools.HttpResponseParser(self)
        parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_spaces_after_chunk_size=True,
            lenient_optional_cr_before_lf=True,
            lenient_chunked_length=True,  # in a trailer
        )
        feed = parser.feed_data
        if head.chunked:
            feed = chunks.reading(rest, feed, self, self._connection)
        self._connection.parse_with(feed)
        self._connection.delay_acks()
        if not self._head.done():
            if self._kept and head.status == HTTPStatus.REQUEST_TIMEOUT:
                # What servers send on a connection that has been idle too long (RFC 9110, 15.5.9).
                _set_error(self._head, StaleConnection("the connection was idle for too long"))
            else:
                self._head.set_result(None)
        parser.feed_data(head.canonical)
        if rest:
            feed(rest)

    def _end(self) -> None:
        self._parser = self._reader = None
        self._complete = True
        if self._end_waiter is not None and not self._end_waiter.done():
            self._end_waiter.set_result(None)
        try:
            _check_complete(self._receive)
        except IncompleteResponse as error:
            _set_error(self._body, error)
        self.discard_rest()


def _check_complete(receive: Receiver | None) -> None:
    """Raise `IncompleteResponse` if a body has ended before what it encodes."""
    if isinstance(receive, Decoder) and not receive.complete:
        raise IncompleteResponse("the body ends in the middle of its coding")


def _set_error(future: asyncio.Future[None], error: Exception) -> None:
    """Set an exception which nobody has to retrieve."""
    if not future.done():
        future.set_exception(error)
        future.exception()
