"""`DirectAppends`: appends that a server takes without a task, past the application.

How it works: an append is short, and what an application costs for each request is more than the append
itself. So the server's protocol (`server.protocol`) first offers each whole `POST` that it has read to
`submit`. The rules are those of the endpoint, by the same functions: `security.Access` says whose the
request is, `request` what it asks for, `Streams.append` what becomes of it, `appended` what is said then.

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
from stream_serve.web.security import cors_headers
from stream_serve.web.streams import request
from stream_serve.web.streams.response import Raw

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.quotas.places import Places
    from stream_serve.streams.decisions import Append, Appended
    from stream_serve.streams.service import Streams
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
    """Whose a request is, and the CORS headers of its response."""

    owner: str
    cors: dict[str, str]


class Submitted(Struct, frozen=True):
    """An append that was submitted; `done` is its future."""

    asked: Append
    done: asyncio.Future[Appended]
    caller: Caller

    @property
    def fine(self) -> bool:
        """Whether it is done, and its response can be given."""
        return self.done.done() and not self.done.cancelled() and self.done.exception() is None

    def response(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Return the status and the headers of the response, which has no body."""
        response = appended(self.asked, self.done.result())
        return response.status, response.head(self.caller.cors)


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
            intake = request.Intake(self._places, caller.owner)
            intake.take(len(body))
        except (StreamServeError, HTTPException):
            return None  # the application meets it again, and says it
        self._on_append()
        done = self._append((caller.owner, path), asked)
        if done.done():
            intake.close()
        else:
            done.add_done_callback(lambda _: intake.close())
        return Submitted(asked, done, caller)

    def _append(self, key: tuple[str, str], asked: Append) -> asyncio.Future[Appended]:
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
        return Caller(scope["state"]["owner"] or "", cors_headers(scope))


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
