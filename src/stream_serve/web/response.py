"""JSON responses from our own structs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from stream_serve.web.security import cors_headers

if TYPE_CHECKING:
    from msgspec import Struct
    from starlette.requests import Request


def json_response(request: Request, value: Struct, *, status: int = 200) -> Response:
    """Return a response with `value` as JSON and the CORS headers; caches must not store it."""
    return Response(
        msgspec.json.encode(value),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **cors_headers(request.scope)},
    )
