"""`Raw`: a small response that is sent as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.types import Receive, Scope, Send

BROWSER: Final = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
}
"""On each response: no browser takes the bytes for something else, nor shows them to another site (12.7).
Pages of allowed origins read them by CORS."""

_BROWSER: Final = [(name.encode(), value.encode()) for name, value in BROWSER.items()]
_NO_BODY: Final = frozenset({204, 304})


class Raw:
    """A response of one piece."""

    __slots__ = ("_body", "_headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.status = status
        self._headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
        ]
        self._body = body

    def head(self, cors: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        """Return all headers, with those for browsers."""
        headers = [*self._headers, *_BROWSER]
        if cors:
            headers += [(name.lower().encode(), value.encode()) for name, value in cors.items()]
        if self.status not in _NO_BODY:
            headers.append((b"content-length", b"%d" % len(self._body)))
        return headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, with the headers for browsers."""
        del receive
        headers = self.head(scope["state"].get("cors", {}))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})


def written(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return headers as lines (RFC 9112, 5)."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])
