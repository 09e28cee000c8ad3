"""What a client asks for, as values: one request each, with nothing that sends it."""

from __future__ import annotations

import re
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Struct

from stream_serve.jobs.base import PRODUCER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_serve.jobs.outbox import Batch

_BASE: Final = re.compile(r"https?://[^/?#@\s]+(/[^?#\s]*)?\Z")

STREAM: Final = {"Accept": "text/event-stream", "Connection": "close"}
"""The headers of whatever is answered by a stream. Its connection ends with it: mostly before the stream
is at its end, and sometimes from another thread, which must not end what the pool has made of it."""


class Request(Struct, frozen=True):
    """One HTTP request; `path` follows the service's address."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None = None


def base(url: str) -> str:
    """Return the address of a service, without a slash at its end. Raises `ValueError`."""
    if not (_BASE.match(url) and _has_place(url)):
        raise ValueError(f"{url!r} is not the address of a service, such as http://localhost:3000")
    return url.rstrip("/")


def _has_place(url: str) -> bool:
    """Return whether an address has a host that can be one, and no port that can be none."""
    try:
        parts = urlsplit(url)
        return parts.port != 0 and bool((parts.hostname or "").encode("idna"))
    except ValueError:
        return False


def authorization(key: str | None) -> dict[str, str]:
    """Return the headers that go with every request of a client. Raises `ValueError`."""
    headers = {"User-Agent": "stream-serve-client"}
    if key is not None:
        if not (key.isascii() and key.isprintable()):
            raise ValueError("key: an API key has no characters but those of printable ASCII")
        headers["Authorization"] = f"Bearer {key}"
    return headers


def new_id() -> str:
    """Return an id for a run, which nobody else has."""
    return token_urlsafe(16)


def body(message: str | None, fields: Mapping[str, Any]) -> bytes:
    """Return the body of a start: fields in Python's spelling (`system_prompt`) are in the API's."""
    named = {_camel(name): value for name, value in fields.items()}
    if message is not None:
        named["message"] = message
    return msgspec.json.encode(named)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def start(run_id: str, body: bytes) -> Request:
    """Return the request that starts a run. Sent again, it joins the run."""
    headers = {**STREAM, "Content-Type": "application/json", "Idempotency-Key": run_id}
    return Request("POST", "/ai/chat/stream-sse", headers, body)


def follow(run_id: str, after: int) -> Request:
    """Return the request for a run's events after a cursor."""
    headers = {**STREAM, "Last-Event-ID": str(after)}
    return Request("GET", f"/ai/runs/{quote(run_id, safe='')}/events", headers)


def tail(name: str, after: int) -> Request:
    """Return the request for the messages of a stream after a cursor."""
    headers = {**STREAM, "Last-Event-ID": str(after)}
    return Request("GET", f"/ai/streams/{quote(name)}/events", headers)


def stop_stream(name: str, wait: float) -> Request:
    """Return the request that asks a stream's producer to end; it waits for the acknowledgement."""
    return Request("POST", f"/ai/streams/{quote(name)}/stop?wait={wait:.3f}", {})


def stop(run_id: str) -> Request:
    """Return the request that stops a run."""
    return Request("POST", f"/ai/runs/{quote(run_id, safe='')}/stop", {})


def stream(method: Literal["GET", "PUT", "DELETE"], name: str) -> Request:
    """Return a request about a stream.

    `PUT` makes one of JSON, `GET` reads nothing of it, and `DELETE` removes it if it is closed.
    """
    headers = {"PUT": {"Content-Type": "application/json"}, "DELETE": {"Stream-Closed": "true"}}
    query = "?offset=now" if method == "GET" else ""
    return Request(method, f"/v1/stream/{quote(name)}{query}", headers.get(method, {}))


def control(name: str) -> Request:
    """Return the request for what the producer of a stream has to know, as it changes."""
    headers = {"Accept": "text/event-stream"}
    return Request("GET", f"/v1/stream/{quote(name)}/control?live=sse", headers)


def append(name: str, batch: Batch) -> Request:
    """Return an append of a job. Sent again, it is not doubled."""
    headers = {
        "Content-Type": "application/json",
        "Producer-Id": PRODUCER,
        "Producer-Epoch": str(batch.epoch),
        "Producer-Seq": str(batch.number),
        "Stream-Lease": f"{batch.lease:.3f}",
    }
    if batch.last:
        headers["Stream-Closed"] = "true"
    body = b"[" + b",".join(batch.messages) + b"]" if batch.messages else b""
    return Request("POST", f"/v1/stream/{quote(name)}", headers, body)
