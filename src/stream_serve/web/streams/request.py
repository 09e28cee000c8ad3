"""What a request says in its path, query and headers (Durable Streams 1.0, section 5)."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import parse_qsl, unquote

from msgspec import Struct

from stream_serve.errors import BadRequest, BodyTooLarge
from stream_serve.streams import messages, offsets
from stream_serve.streams.decisions import Append, Create
from stream_serve.streams.errors import BodyTooSlow, StreamNotFound, TooManyAppends
from stream_serve.streams.state import JSON, media_type
from stream_serve.web.streams import cursors

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope

    from stream_serve.quotas.places import Places

    Headers = dict[bytes, bytes]
    Live = Literal["", "long-poll", "sse"]

MAX_PATH: Final = 1_024
_MAX_VALUE: Final = 1_024
_MAX_TYPE: Final = 256
_MAX_NUMBER: Final = 2**53 - 1
_MAX_SECONDS: Final = 10 * 365 * 86_400
_FIELDS: Final = 100
_DIGITS: Final = 18
_SILENCE: Final = 30.0
"""Seconds between two pieces of a body, above which what has come is not kept for the rest."""

_MAX_LEASE: Final = 86_400.0
_TYPE: Final = re.compile(r"[\w!#$%&'*+.^`|~-]+/[\w!#$%&'*+.^`|~-]+(\s*;[\x20-\x7e]*)?", re.ASCII)
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffd]")
"""In a name: control characters, and what is no UTF-8, which would make one name of several."""

_RESERVED: Final = "__ds"


class ClientGone(Exception):
    """The client has disconnected while it sent its body."""


class Reading(Struct, frozen=True):
    """How a stream is to be read: from `start`, None for the end, in which mode."""

    start: int | None
    live: Live
    cursor: int | None


def path_of(path: str) -> str:
    """Return the path of a stream. Raises `StreamNotFound` for one that no stream can have."""
    parts = path.split("/")
    if (
        not path
        or len(path.encode("utf-8", "replace")) > MAX_PATH
        or _UNFIT.search(path)
        or parts[0] == _RESERVED
        or not {"", ".", ".."}.isdisjoint(parts)
    ):
        raise StreamNotFound(
            f"no stream can have this name: at most {MAX_PATH} bytes, no empty part between two "
            f"slashes, none that is a dot or two, UTF-8 without control characters, and not {_RESERVED} "
            "first"
        )
    return path


class Intake:
    """What has come of one body; `places` counts it with the owner's others, until it is closed."""

    def __init__(self, places: Places, owner: str) -> None:
        self._places = places
        self._owner = owner
        self._size = 0

    def take(self, size: int) -> None:
        """Count so many bytes more. Raises `TooManyAppends`."""
        if not size:
            return
        if not self._places.enter(self._owner, size):
            raise TooManyAppends(
                f"what this key appends has {self._places.most} bytes on its way, as many as it may have "
                "at once: send less at a time, or try again (STREAM_SERVE_MAX_APPEND_BYTES_PER_KEY)"
            )
        self._size += size

    def close(self) -> None:
        """Count it no more. Twice is fine."""
        if self._size:
            self._places.leave(self._owner, self._size)
            self._size = 0


def check_head(headers: Headers, most: int) -> None:
    """Check what is said of a body before it is read. Raises `BodyTooLarge`, `BadRequest`."""
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and (len(declared) > _DIGITS or int(declared) > most):
        raise _too_large(most)
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise BadRequest("send the body as it is, without a Content-Encoding")


async def read_body(receive: Receive, headers: Headers, most: int, intake: Intake) -> bytes:
    """Return the body, which `intake` counts.

    Raises `BodyTooLarge` before more than `most` bytes are in memory, `BadRequest`, `TooManyAppends`,
    `BodyTooSlow`, `ClientGone`.
    """
    check_head(headers, most)
    pieces = bytearray()
    more = True
    while more:
        message = await receive() if not pieces else await _more(receive)
        if message["type"] != "http.request":
            raise ClientGone
        body: bytes = message.get("body", b"")
        # Before the next piece is waited for, which may never come.
        if len(pieces) + len(body) > most:
            raise _too_large(most)
        intake.take(len(body))
        more = message.get("more_body", False)
        if not (pieces or more):
            return body
        pieces += body
    return bytes(pieces)


async def _more(receive: Receive) -> Message:
    """Return the next piece. Raises `BodyTooSlow`."""
    try:
        async with asyncio.timeout(_SILENCE):
            return await receive()
    except TimeoutError:
        raise BodyTooSlow(
            f"nothing more of the body has come for {_SILENCE:g} seconds: send it again"
        ) from None


def create_of(headers: Headers, body: bytes, *, kind: str | None) -> Create:
    """Return what a `PUT` asks for; `kind` is the type of the source of a fork. Raises `BadRequest`."""
    given = content_type(headers)
    data = packed(body, given or kind)
    return Create(
        content_type=given,
        ttl=_ttl(headers),
        expires_at=_expires_at(headers),
        closed=_is_true(headers, b"stream-closed"),
        data=data,
    )


def fork_of(headers: Headers, prefix: str) -> tuple[str, int | None, int] | None:
    """Return which stream is to be forked where: its path, the position (None: its end), the sub-offset.

    `prefix` is what the path of a stream begins with here. None if nothing is to be forked. Raises
    `BadRequest`, `StreamNotFound`.
    """
    source = _text(headers, b"stream-forked-from")
    offset = _text(headers, b"stream-fork-offset")
    sub = _text(headers, b"stream-fork-sub-offset")
    if source is None:
        if offset is not None or sub is not None:
            raise BadRequest("Stream-Fork-Offset and -Sub-Offset need Stream-Forked-From")
        return None
    if not source.startswith(prefix):
        raise BadRequest(f"Stream-Forked-From: it should be the path of a stream here, {prefix}…")
    position = None if offset is None else offsets.position(offset)
    return path_of(unquote(source[len(prefix) :])), position, _number(sub or "0", _SUB)


def only_closed(headers: Headers) -> bool:
    """Return whether a `DELETE` means the stream only if it is closed, which is ours."""
    return _is_true(headers, b"stream-closed")


def append_of(headers: Headers, body: bytes) -> Append:
    """Return what a `POST` asks for. Raises `BadRequest`."""
    kind = content_type(headers) if body else None
    if body and kind is None:
        raise BadRequest("send the stream's type as Content-Type")
    data = packed(body, kind)
    if body and not data:
        raise BadRequest("the body is an empty array: it has no message")
    return Append(
        data=data,
        content_type=kind,
        close=b"stream-closed" in headers and _is_true(headers, b"stream-closed"),
        seq=_text(headers, b"stream-seq"),
        producer=_producer(headers) if _PRODUCER & headers.keys() else None,
        lease=_lease(headers) if b"stream-lease" in headers else None,
        acknowledge=_is_true(headers, b"stream-stop-acknowledged"),
    )


def reading_of(scope: Scope) -> Reading:
    """Return how a `GET` wants to read. Raises `BadRequest`."""
    query: bytes = scope["query_string"]
    if not query:
        return Reading(0, "", None)
    given = _parameters(query)
    offset = [value for name, value in given if name == "offset"]
    live = [value for name, value in given if name == "live"]
    cursor = [value for name, value in given if name == "cursor"]
    if max(len(offset), len(live), len(cursor)) > 1:
        raise BadRequest("offset, live and cursor may be there once each")
    if live and live[0] not in {"long-poll", "sse"}:
        raise BadRequest("live: it should be long-poll or sse")
    if live and not offset:
        raise BadRequest("offset: it is needed with live: -1 is the beginning, now the end")
    return Reading(
        offsets.position(offset[0]) if offset else 0,
        live[0] if live else "",  # pyright: ignore[reportArgumentType] - checked above
        cursors.parse(cursor[0]) if cursor else None,
    )


def value_of(scope: Scope, name: str) -> str | None:
    """Return a parameter of the query; None if it is not there. Raises `BadRequest`."""
    values = [value for known, value in _parameters(scope["query_string"]) if known == name]
    if len(values) > 1:
        raise BadRequest(f"{name}: it may be there once")
    return values[0] if values else None


def _parameters(query: bytes) -> list[tuple[str, str]]:
    """Return the names and values of a query. Raises `BadRequest`."""
    try:
        return parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_FIELDS)
    except ValueError:
        raise BadRequest(f"the query may have at most {_FIELDS} parameters") from None


def content_type(headers: Headers) -> str | None:
    """Return the content type; None if there is none. Raises `BadRequest`."""
    given = headers.get(b"content-type")
    if not given:
        return None
    text = given.decode("latin-1")
    if len(text) > _MAX_TYPE or _TYPE.fullmatch(text) is None:
        raise BadRequest("Content-Type: it should be a type and a subtype, such as text/plain")
    return text


def packed(body: bytes, kind: str | None) -> bytes:
    """Return a body as it is kept in a stream of this type. Raises `BadRequest`."""
    return messages.pack(body) if body and kind and media_type(kind) == JSON else body


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the body may have at most {most} bytes: divide it (STREAM_SERVE_MAX_APPEND_BYTES)"
    )


def _text(headers: Headers, name: bytes) -> str | None:
    value = headers.get(name)
    if value is None:
        return None
    if len(value) > _MAX_VALUE:
        raise BadRequest(f"{name.decode()}: it may have at most {_MAX_VALUE} bytes")
    return value.decode("latin-1")


def _is_true(headers: Headers, name: bytes) -> bool:
    """Only `true` counts; whatever else is as good as nothing (4.1)."""
    return headers.get(name, b"").lower() == b"true"


_SUB: Final = "Stream-Fork-Sub-Offset"


def _number(text: str, name: str) -> int:
    if _NUMBER.fullmatch(text) is None or int(text) > _MAX_NUMBER:
        raise BadRequest(f"{name}: it should be a whole number, from 0 to {_MAX_NUMBER}")
    return int(text)


def _ttl(headers: Headers) -> int | None:
    given = _text(headers, b"stream-ttl")
    if given is None:
        return None
    seconds = _number(given, "Stream-TTL")
    if seconds > _MAX_SECONDS:
        raise BadRequest(f"Stream-TTL: it may be at most {_MAX_SECONDS} seconds")
    return seconds


def _expires_at(headers: Headers) -> float | None:
    given = _text(headers, b"stream-expires-at")
    if given is None:
        return None
    if _TIME.fullmatch(given) is not None:
        with suppress(ValueError, OverflowError):
            # In UTC it may have another year, and no time has the year 10000.
            return datetime.fromisoformat(given.upper()).astimezone(UTC).timestamp()
    raise BadRequest(
        "Stream-Expires-At: it should be a time such as 2030-01-31T12:00:00Z (RFC 3339)"
    )


_PRODUCER: Final = {b"producer-id", b"producer-epoch", b"producer-seq"}


def _producer(headers: Headers) -> tuple[str, int, int]:
    name = _text(headers, b"producer-id")
    epoch = _text(headers, b"producer-epoch")
    seq = _text(headers, b"producer-seq")
    if name is None or epoch is None or seq is None:
        raise BadRequest("Producer-Id, Producer-Epoch and Producer-Seq belong together: send all")
    if not name:
        raise BadRequest("Producer-Id: it should not be empty")
    return name, _number(epoch, "Producer-Epoch"), _number(seq, "Producer-Seq")


def _lease(headers: Headers) -> float:
    given = _text(headers, b"stream-lease") or ""
    if _SECONDS.fullmatch(given) is None or not 0 < float(given) <= _MAX_LEASE:
        raise BadRequest(f"Stream-Lease: it should be seconds, above 0, at most {_MAX_LEASE:.0f}")
    return float(given)


def time_text(seconds: float) -> str:
    """Return a time as RFC 3339 writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
