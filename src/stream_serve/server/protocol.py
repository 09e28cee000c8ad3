"""`HttpProtocol`: uvicorn's HTTP/1.1 protocol, with direct writes and a limit for request heads.

Direct writes: an ASGI application sends by awaiting `send`, which needs a task that waits. So the scope
has an extension (`web.stream.WRITE`): a plain function that writes a piece of a chunked body from
wherever it is called. If the client is gone or reads too slowly, the function writes nothing and returns
False. The caller then uses `send`, which waits. For the same reason another extension (`GONE`) has a
function called when the client is gone.

The limit: the parser collects a head (the request line and the headers, RFC 9112, 2.1) from all the data
that comes, without a limit of its own. So it never gets more data at once than a head may still have,
and the bytes that it has read without completing anything are counted. These may belong to a head, to
the trailers of a body or the extension of a chunk (RFC 9112, 7.1), or be empty lines before a request.
When there are too many, the client gets 431 (RFC 6585, 5) after the responses to its earlier requests.
Then the connection is closed as in nginx's lingering close: first only for writing, so that the response
reaches a client that is still sending; its data is discarded for two seconds. An address that is longer
than `httptools.parse_url` reads, which a limit above 64 KiB lets in, gets 400 in the same way.

Appends: a whole `POST` to a stream that is there at once goes to `web.streams.appends`, and its response
is written in the same call, without a task. What that does not take goes the way of all requests, as does
a body that comes in several pieces, and a response that cannot be written now. The head of an append that
was taken is kept; if the next data is a whole request with the same head (`heads`), it is not parsed.

Hot doors: what starts most runs is called in place of the application (`web.hot`), with a `HotCycle`.

Pipelining: a connection is read on only when none of its requests waits for its turn, and the request
whose turn it is learns that the client is gone.

Only this module, `connection` and `cycle` depend on the inside of uvicorn: on the attributes of its
protocol and of a `RequestResponseCycle`, on the order of its pipeline, and on its framing of a chunked
body (RFC 9112, 7.1).
"""

from __future__ import annotations

from enum import Enum
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import ref

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from stream_serve.errors import BadRequest, HeadTooLarge
from stream_serve.server.connection import Connection
from stream_serve.server.cycle import ChunkWriter, HotCycle, for_http_1_0
from stream_serve.server.heads import HeaderLines, known
from stream_serve.web import problems
from stream_serve.web.hot import STATE
from stream_serve.web.stream import GONE, WRITE
from stream_serve.web.streams.appends import PREFIX, SUBMITTED

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable

    from uvicorn._types import ASGI3Application, HTTPScope
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from stream_serve.errors import StreamServeError
    from stream_serve.server.heads import KnownHead
    from stream_serve.streams.decisions import Appended
    from stream_serve.web.hot import Hot
    from stream_serve.web.streams.appends import Head, Submitted

_DEFAULT_MAX_HEAD: Final = 32_768
_MAX_ADDRESS: Final = 65_535  # `httptools.parse_url` reads no longer one
_HEADER_OVERHEAD: Final = 4  # ": " and CRLF
_LINGER: Final = 2.0
_PREFIX: Final = PREFIX.encode()


class Part(Enum):
    """The part of a request that the parser is reading."""

    NONE = "none"
    HEAD = "head"
    BODY = "body"


_HEAD: Final = Part.HEAD
_NONE: Final = Part.NONE


class HttpProtocol(Connection):
    """One connection of a client.

    uvicorn's option `h11_max_incomplete_event_size` is the limit for a head in bytes, as it is for
    uvicorn's h11 protocol; the default is 32 KiB.
    """

    _writer: ChunkWriter | None = None
    _part: Part = Part.NONE
    _incomplete = 0
    _completed = False
    _refusal: StreamServeError | None = None
    _turn: RequestResponseCycle | None = None
    _held: bytes | None = None
    _submitted: Submitted | None = None
    _taken: Submitted | None = None
    _known: KnownHead[Head] | None = None
    _when_gone: Callable[[], object] | None = None

    def prepare(self) -> None:
        """Make what all connections have in common."""
        config = self.config
        self._max_head = config.h11_max_incomplete_event_size or _DEFAULT_MAX_HEAD
        plain = not (self.root_path or config.access_log)
        self._hot: Hot | None = self.app_state.get(STATE) if plain else None
        self._lines = HeaderLines()

    def data_received(self, data: bytes) -> None:
        """Take an append that has the head of the one before it, or parse what came."""
        idle = self._part is _NONE and not self._incomplete
        if idle and self._known is not None and self._append_again(self._known, data):
            return
        self._known = self._taken = None
        self._parse(data)
        head = self._taken.head if idle and self._taken is not None else None
        if head is not None:
            self._known = known(data, head)

    def _parse(self, data: bytes) -> None:
        """Parse `data` in pieces no larger than a head may still have; send 431 above the limit."""
        self.begin_reading()
        while data and self._refusal is None:
            room = self._max_head - self._incomplete
            piece, data = data[:room], data[room:]
            self._completed = False
            super().data_received(piece)
            gone = self.transport.is_closing() or self.transport.get_protocol() is not self
            if gone or self._refusal is not None:
                return
            self._incomplete = (
                self._head_size() if self._completed else self._incomplete + len(piece)
            )
            if self._incomplete >= self._max_head:
                self._reject(self._too_large())
        if self._held is not None:
            self._enter()

    def on_message_begin(self) -> None:
        """Start to read a head. Its scope is made when it is needed."""
        self._part = _HEAD
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; discard a trailer of a body, as RFC 9110, 6.5.1 allows."""
        if self._part is _HEAD:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        """Receive a piece of a body; discard it where nobody reads on, but waits for the end."""
        self._completed = True
        if self._held is not None:
            self._held += body
        elif self._when_gone is None or self.cycle is not self._turn:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Finish reading a request."""
        self._completed = True
        self._part = Part.NONE
        if self._held is None or not self._append(self._held):
            super().on_message_complete()

    def on_headers_complete(self) -> None:
        """Start a request, or wait for its body if it may be an append."""
        self._completed = True
        refusal = self._too_large() if self._head_size() > self._max_head else None
        if refusal is None and len(self.url) > _MAX_ADDRESS:
            refusal = BadRequest(f"the address of a request may have at most {_MAX_ADDRESS} bytes")
        if refusal is not None:
            self._reject(refusal)
            raise refusal  # stops the parser within this piece
        self._part = Part.BODY
        self._held = b""
        if not self._may_append():
            self._enter()

    def _may_append(self) -> bool:
        """Return whether a request may be taken without a task, by its head."""
        return (
            self._hot is not None
            and self.url.startswith(_PREFIX)
            and not self.expect_100_continue
            and self._may_start()
            and self.may_respond()
        )

    def _append(self, body: bytes) -> bool:
        """Take an append, unless it was submitted; return whether its response was written."""
        submitted = self._submitted
        if submitted is None and self._hot is not None:
            submitted = self._hot.appends.submit(self.url, self.headers, body)
        if submitted is not None and submitted.fine:
            self._held = self._submitted = None
            parser = self.parser  # uvicorn has none after the end
            keep_alive = parser.should_keep_alive()
            self._taken = submitted if keep_alive else None
            self._respond(submitted, keep_alive=keep_alive)
            self.on_response_complete()
            return True
        self._submitted = submitted
        self._enter()
        return False

    def _append_again(self, head: KnownHead[Head], data: bytes) -> bool:
        """Take an append whose head is known; return whether its response was written.

        One that was submitted, and whose response is not there yet, is still to be parsed.
        """
        body = head.body_of(data)
        if not (body and self._hot and self.may_respond() and self.has_room()):
            return False
        submitted = self._hot.appends.submit_again(head.says, body)
        if submitted is None or not submitted.fine:
            self._submitted = submitted
            return False
        self._respond(submitted, keep_alive=True)
        self.count_request()
        return True

    def _enter(self) -> None:
        """Start a request, and add the extension to its scope before its task first runs."""
        body, self._held = self._held, None
        path, _, query = self.url.partition(b"?")
        door = None if self._hot is None or b"#" in query else self._hot.doors.get(path)
        if door is not None and self._may_start():
            self._begin(path, query, cast("ASGI3Application", door))
        else:
            self._begin_usual()
        if body:
            super().on_body(body)

    def _may_start(self) -> bool:
        """Return whether a request is one that a hot door takes, or that may be an append."""
        parser = self.parser  # uvicorn has none after the end
        return (
            parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and not parser.should_upgrade()
            and self.has_room()
        )

    def _begin(self, path: bytes, query: bytes, door: ASGI3Application) -> None:
        """Start a request to a hot door, or let it wait for its turn."""
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "scheme": self.scheme,
            "method": "POST",
            "root_path": "",
            "path": path.decode(),
            "raw_path": path,
            "query_string": query,
            "headers": self.headers,
            "state": self.app_state.copy(),
        }
        self.scope = cast("HTTPScope", scope)
        self.headers = []  # they are the scope's
        before, keep_alive = self.cycle, self.parser.should_keep_alive()
        self.cycle = HotCycle(self, self.scope, keep_alive=keep_alive)
        scope["extensions"] = self._extensions()
        if not before or before.response_complete:
            self._start_asgi_task(self.cycle, door)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, door))

    def _begin_usual(self) -> None:
        """Start a request of any other kind."""
        self.find_addresses()
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers += headers
        super().on_headers_complete()
        scope = cast("dict[str, Any]", self.scope)
        if self.cycle and self.cycle.scope is scope:
            scope["extensions"] = self._extensions()

    def _extensions(self) -> dict[str, Any]:
        # Weak references: a cycle that refers to itself lives until the garbage collector runs.
        whose = ref(self), ref(self.cycle)
        return {
            WRITE: partial(_open_writer, *whose),
            GONE: partial(_call_when_gone, *whose),
        }

    def open_writer(self, cycle: RequestResponseCycle) -> Callable[[bytes], bool]:
        """Return a function that writes a piece of the response's body, once a first one has been sent.

        The function returns False, and writes nothing, when the client cannot take more. The parser is
        let go: the response may go on for minutes, and the next request makes another one.
        """
        if self._part is Part.NONE:
            self.rest_reading()
        self._writer = ChunkWriter(cycle.transport.write, ready=not cycle.flow.write_paused)
        return self._writer.write

    def call_when_gone(self, call: Callable[[], object]) -> Callable[[], None]:
        """Have a function called if the client is gone before the response is complete; return what ends
        that. The rest of the request's body is not read any more."""
        self._when_gone = call
        self.flow.resume_reading()  # a body with much in it paused that, and would hide the client's end
        return partial(self._forget, call)

    def _forget(self, call: Callable[[], object]) -> None:
        if self._when_gone is call:  # else it is the next response's
            self._when_gone = None

    def on_response_complete(self) -> None:
        """Stop direct writes at the end of a response; send the refusal that waited for it."""
        self._close_writer()
        self._turn = self._when_gone = None
        super().on_response_complete()
        if self._refusal and self.cycle.response_complete and not self.transport.is_closing():
            self._refuse(self._refusal)

    def send_400_response(self, msg: str) -> None:
        """Send 400 for a request that cannot be parsed, unless it is refused in words of ours."""
        if self._refusal is None:
            super().send_400_response(msg)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop direct writes to a client that is gone, and tell the request whose turn it is."""
        self._close_writer()
        turn, self._turn = self._turn, None
        if turn is not None and turn is not self.cycle:  # uvicorn tells the newest one
            turn.disconnected = True
            turn.message_event.set()
        super().connection_lost(exc)
        self._tell_gone()

    def pause_writing(self) -> None:
        """Stop direct writes while the client reads too slowly."""
        super().pause_writing()
        if self._writer is not None:
            self._writer.ready = False

    def resume_writing(self) -> None:
        """Allow direct writes again."""
        super().resume_writing()
        if self._writer is not None:
            self._writer.ready = True

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._turn = cycle
        self._unset_keepalive_if_required()  # an append before it in the same data has set it
        if cycle.scope["http_version"] != "1.1":
            app = for_http_1_0(cycle, app)
        submitted, self._submitted = self._submitted, None
        if submitted is None:
            super()._start_asgi_task(cycle, app)
            return
        cast("dict[str, Any]", cycle.scope)[SUBMITTED] = submitted
        if submitted.done.done():
            super()._start_asgi_task(cycle, app)
        else:
            self.tasks.add(cast("Any", submitted.done))  # the server waits for it as for a task
            submitted.done.add_done_callback(partial(self._settle, cycle, app, submitted))

    def _settle(
        self,
        cycle: RequestResponseCycle,
        app: ASGI3Application,
        submitted: Submitted,
        done: Future[Appended],
    ) -> None:
        """Respond to an append that has waited."""
        self.tasks.discard(cast("Any", done))
        if not submitted.fine or cycle.disconnected or self.flow.write_paused:
            super()._start_asgi_task(cycle, app)
            return
        self._respond(submitted, keep_alive=cycle.keep_alive)
        cycle.response_complete = True
        self.on_response_complete()

    def _respond(self, submitted: Submitted, *, keep_alive: bool) -> None:
        """Write the response to an append."""
        status, lines = submitted.response()
        usual = self._lines.of(self.server_state.default_headers)
        end = b"\r\n" if keep_alive else b"connection: close\r\n\r\n"
        self.transport.write(b"".join((STATUS_LINE[status], usual, lines, end)))
        if not keep_alive:
            self.transport.close()

    def _head_size(self) -> int:
        """Return the size in bytes of the complete lines of the head that is being read."""
        if self._part is not _HEAD:
            return 0
        fields = sum(map(len, chain.from_iterable(self.headers)))
        return len(self.url) + fields + len(self.headers) * _HEADER_OVERHEAD

    def _too_large(self) -> HeadTooLarge:
        return HeadTooLarge(
            f"the request line and the headers may have at most {self._max_head} bytes together "
            "(STREAM_SERVE_MAX_HEAD_BYTES)"
        )

    def _reject(self, error: StreamServeError) -> None:
        """Parse nothing more, and send an error as soon as earlier requests have their responses."""
        self._refusal = error
        self.logger.warning("A request is refused: %s.", error)
        if self._held is not None:
            self._enter()
        cycle = self.cycle
        if self._part is Part.BODY:
            self._reject_body(cycle, error)
        elif not cycle or cycle.response_complete:
            self._refuse(error)

    def _reject_body(self, cycle: RequestResponseCycle, error: StreamServeError) -> None:
        """Reject a request while its body is being read."""
        if self.pipeline or (cycle.response_started and not cycle.response_complete):
            self.transport.close()
        elif cycle.response_complete:
            self._linger()
        else:
            cycle.disconnected = True
            cycle.message_event.set()
            self._tell_gone()
            self._refuse(error)

    def _refuse(self, error: StreamServeError) -> None:
        """Send an error without the application, and close the connection."""
        response = problems.from_error(error)
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
        """Close for writing now, and fully when the client closes or after two seconds."""
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.timeout_keep_alive_task = self.loop.call_later(_LINGER, self.transport.abort)
        else:
            self.transport.close()

    def _tell_gone(self) -> None:
        call, self._when_gone = self._when_gone, None
        if call is not None:
            call()

    def _close_writer(self) -> None:
        """Make the function that writes directly return False from now on."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.ready = False


def _open_writer(
    protocol: ref[HttpProtocol], cycle: ref[RequestResponseCycle]
) -> Callable[[bytes], bool] | None:
    """Return the function that writes.

    None if the body is not chunked, the client is gone, or the head is yet to go out.
    """
    connection, response = protocol(), cycle()
    if connection is None or response is None or response.disconnected:
        return None
    if isinstance(response, HotCycle):
        if response.headless:
            return None
    elif response.scope["method"] == "HEAD":
        return None
    if not response.chunked_encoding:
        return None
    return connection.open_writer(response)


def _call_when_gone(
    protocol: ref[HttpProtocol], cycle: ref[RequestResponseCycle], call: Callable[[], object]
) -> Callable[[], object]:
    """Have a function called when the client is gone, or now; return what ends that."""
    connection, response = protocol(), cycle()
    if connection is None or response is None or response.disconnected:
        call()
        return lambda: None
    return connection.call_when_gone(call)
