"""What a client asks for, as values: one request each, with nothing that sends it."""

from __future__ import annotations

import re
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

_BASE: Final = re.compile(r"https?://[^/?#@\s]+(/[^?#\s]*)?\Z")


class Request(Struct, frozen=True):
    """One HTTP request; `path` follows the service's address."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None = None


def base(url: str) -> str:
    """Return the address of a service, without a slash at its end. Raises `ValueError`."""
    if not _BASE.match(url):
        raise ValueError(f"{url!r} is not the address of a service, such as http://localhost:3000")
    return url.rstrip("/")


def authorization(key: str | None) -> dict[str, str]:
    """Return the headers that go with every request of a client."""
    headers = {"User-Agent": "stream-serve-client"}
    if key is not None:
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
    headers = {
        "Accept": "text/event-stream",
        "Content-Type": "application/json",
        "Idempotency-Key": run_id,
    }
    return Request("POST", "/ai/chat/stream-sse", headers, body)


def follow(run_id: str, after: int) -> Request:
    """Return the request for a run's events after a cursor."""
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    return Request("GET", f"/ai/runs/{quote(run_id, safe='')}/events", headers)


def stop(run_id: str) -> Request:
    """Return the request that stops a run."""
    return Request("POST", f"/ai/runs/{quote(run_id, safe='')}/stop", {})
