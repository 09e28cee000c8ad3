"""`DirectAppends`: appends that a server takes without a task, past the application.

How it works: an append is short, and what an application costs for each request is more than the append
itself. So the server's protocol (`server.protocol`) first offers each whole `POST` that it has read to
`submit`. The rules are those of the endpoint, by the same functions: `security.Access` says whose the
request is, `request` what it asks for, `Streams.append` what becomes of it, `appended` what is said then.
Where a head comes again, the protocol says so (`submit_again`), and only the body is looked at.

Whatever is not a plain append is left to the application before anything has happened, above all what
will be refused. What fails afterwards is its task, too: it gets what was submitted (`SUBMITTED`) with the
request, and waits for that instead of appending again.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from starlette.exceptions import HTTPException

from stream_serve.errors import StreamServeError
from stream_serve.streams import offsets
from stream_serve.streams.decisions import Append, Appended
from stream_serve.web.security import cors_headers
from stream_serve.web.streams import request
from stream_serve.web.streams.response import Raw, written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream_serve.quotas.places import Places
    from stream_serve.streams.service import Streams
    from stream_serve.streams.state import Key
    from stream_serve.web.security import Access
    from stream_serve.web.streams.request import Headers

PREFIX: Final = "/v1/stream/"
RUNS: Final = "runs/"
STOP: Final = "/stop"
CONTROL: Final = "/control"
SUBMITTED: Final = "stream_serve.submitted"
"""Where what was `Submitted` already comes with the scope of its request."""

_PLAIN: Final = re.compile(rb"/v1/stream/([!$&-;=@-Z_a-z~]+)")
"""A path as it is: without a query, and without anything that is encoded (RFC 3986, 3.3)."""

_MAX_CALLERS: Final = 1_000
_MAX_CALLER: Final = 1_024
"""Bytes of the headers by which a caller is known; who sends more is looked up each time."""

_NOT_PLAIN: Final = frozenset({b"origin", b"content-encoding", b"transfer-encoding"})


class Caller(Struct, frozen=True):
    """Whose a request is, and the CORS headers of its response.

    `usual` are the lines of the response to an append of which there is nothing more to say than the
    offset, with a place for that.
    """

    owner: str
    cors: dict[str, str]
    usual: bytes


class Head(Struct, frozen=True):
    """What the head of an append says, whatever its body is: whose it is, its stream, and its type."""

    caller: Caller
    key: Key
    kind: str


class Submitted(Struct, frozen=True):
    """An append to the stream `key` that was submitted; `done` is its future."""

    asked: Append
    done: asyncio.Future[Appended]
    caller: Caller
    key: Key

    @property
    def fine(self) -> bool:
        """Whether it is done, and its response can be given."""
        return self.done.done() and not self.done.cancelled() and self.done.exception() is None

    @property
    def head(self) -> Head | None:
        """What its head says; None where that says something of this append alone."""
        kind = self.asked.content_type
        if kind is None or self.asked != Append(data=self.asked.data, content_type=kind):
            return None
        return Head(self.caller, self.key, kind)

    def response(self) -> tuple[int, bytes]:
        """Return the status and the header lines of the response, which has no body."""
        done = self.done.result()
        if self.asked.producer is None and not (done.closed or done.stop):
            return 204, self.caller.usual % done.tail
        response = appended(self.asked, done)
        return response.status, written(response.head(self.caller.cors))


class DirectAppends:
    """Takes appends of at most so many bytes, which `places` counts until they are done.

    `on_append` is called at the beginning of each, as for a request.
    """

    def __init__(
        self,
        access: Access,
        streams: Streams,
        places: Places,
        *,
        most: int,
        on_append: Callable[[], None],
    ) -> None:
        self._access = access
        self._streams = streams
        self._places = places
        self._most = most
        self._on_append = on_append
        self._callers: dict[tuple[bytes, bytes], Caller] = {}

    def submit(
        self, url: bytes, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> Submitted | None:
        """Append what a whole `POST` says; return None, and do nothing, where the application has to."""
        found = _PLAIN.fullmatch(url)
        given = dict(headers)
        if found is None or len(given) != len(headers) or not _NOT_PLAIN.isdisjoint(given):
            return None
        try:
            path = request.path_of(found[1].decode())
            if path.startswith(RUNS) or path.endswith((STOP, CONTROL)) or len(body) > self._most:
                return None
            caller = self._caller(url, given)
            request.check_head(given, self._most)
            asked = request.append_of(given, body)
        except (StreamServeError, HTTPException):
            return None  # the application meets it again, and says it
        return self._take(caller, (caller.owner, path), asked, len(body))

    def submit_again(self, head: Head, body: bytes) -> Submitted | None:
        """Append a body that is not empty, and came with a head that is known; as `submit` does."""
        if len(body) > self._most:
            return None
        try:
            data = request.packed(body, head.kind)
        except StreamServeError:
            return None
        if not data:
            return None
        return self._take(
            head.caller, head.key, Append(data=data, content_type=head.kind), len(body)
        )

    def _take(self, caller: Caller, key: Key, asked: Append, size: int) -> Submitted | None:
        """Append; return None where so many bytes more are too many at once for their owner."""
        if size and not self._places.enter(caller.owner, size):
            return None
        self._on_append()
        done = self._append(key, asked)
        if size and done.done():
            self._places.leave(caller.owner, size)
        elif size:
            done.add_done_callback(lambda _: self._places.leave(caller.owner, size))
        return Submitted(asked, done, caller, key)

    def _append(self, key: Key, asked: Append) -> asyncio.Future[Appended]:
        try:
            return self._streams.append(key, asked)
        except Exception as error:  # noqa: BLE001 - a defect: the application raises it
            failed: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            return failed

    def _caller(self, url: bytes, headers: Headers) -> Caller:
        """Return who calls. Raises as `Access.check` does.

        Who may append once may do so again: of a plain append, nothing else matters.
        """
        key = headers.get(b"host", b""), headers.get(b"authorization", b"")
        known = self._callers.get(key)
        if known is None:
            known = self._admitted(url, headers)
            if len(self._callers) == _MAX_CALLERS:
                self._callers.clear()
            if sum(map(len, key)) <= _MAX_CALLER:
                self._callers[key] = known
        return known

    def _admitted(self, url: bytes, headers: Headers) -> Caller:
        scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": url.decode(),
            "root_path": "",
            "query_string": b"",
            "headers": list(headers.items()),
        }
        self._access.check(scope)
        cors = cors_headers(scope)
        return Caller(scope["state"]["owner"] or "", cors, _usual(cors))


def _usual(cors: Mapping[str, str]) -> bytes:
    """Return the header lines of the response to most appends, with a place for the offset."""
    done = Appended(new=True, tail=0, closed=False, stop=False)
    lines = written(appended(Append(data=b""), done).head(cors)).replace(b"%", b"%%")
    return lines.replace(offsets.text(0).encode(), offsets.FORMAT.encode(), 1)


def appended(asked: Append, done: Appended) -> Raw:
    """Return the response to an append."""
    said = {"stream-next-offset": offsets.text(done.tail), "cache-control": "no-store"}
    if done.closed:
        said["stream-closed"] = "true"
    if done.stop:
        said["stream-stop-requested"] = "true"
    if asked.producer is None:
        return Raw(204, said)
    said["producer-epoch"] = str(done.epoch)
    said["producer-seq"] = str(done.seq)
    return Raw(200 if done.new and asked.data else 204, said)
