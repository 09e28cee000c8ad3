"""Requests that have a body, without a server."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request


def request(body: str) -> Request:
    """Return a request that has this body."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body.encode(), "more_body": False}

    headers = [(b"content-type", b"application/json")]
    return Request({"type": "http", "headers": headers}, receive)
