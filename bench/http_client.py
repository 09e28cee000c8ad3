"""A plain HTTP client for the few requests whose moment matters."""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http.client import HTTPMessage

_PATIENCE: Final = 20.0


class Request:
    """A POST that streams: open it, read until something came, close it."""

    def __init__(self, port: int, path: str, body: str) -> None:
        data = body.encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer bench\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        self._socket.sendall(head.encode() + data)

    def read_until(self, text: bytes) -> bytes:
        """Read until a text came; return what came. Raises `RuntimeError` when the stream ends."""
        seen = b""
        while text not in seen:
            piece = self._socket.recv(65_536)
            if not piece:
                raise RuntimeError(f"the stream ended before it said {text!r}: {seen[:300]!r}")
            seen += piece
        return seen

    def close(self) -> None:
        """Close the connection, as a reader does that goes away."""
        self._socket.close()


class Caller:
    """A connection for short requests, kept open."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
        self._connection.connect()

    def call(self, method: str, path: str) -> tuple[int, bytes]:
        """Send a request without a body; return the answer's status and body."""
        self._connection.request(method, path)
        response = self._connection.getresponse()
        return response.status, response.read()

    def exchange(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> tuple[HTTPMessage, bytes]:
        """Send a request; return the response's headers and body. Raises `RuntimeError` for a failure."""
        self._connection.request(method, path, body or None, headers or {})
        response = self._connection.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status}: {answer[:200]!r}")
        return response.headers, answer

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
