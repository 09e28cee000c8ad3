"""What responses have in common: JSON from our own structs, and headers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.responses import Response

from stream_serve.web.security import cors_headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msgspec import Struct
    from starlette.requests import Request

_SHOWN: Final = 10
_SHOWN_LENGTH: Final = 40
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_.-]")


def json_response(request: Request, value: Struct, *, status: int = 200) -> Response:
    """Return a response with `value` as JSON and the CORS headers; caches must not store it."""
    return Response(
        msgspec.json.encode(value),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **cors_headers(request.scope)},
    )


def ignored_fields(names: Sequence[str]) -> dict[str, str]:
    """Return the header that names the ignored fields, if there are any: cleaned, and not too many."""
    if not names:
        return {}
    shown = [_UNFIT.sub("?", name[:_SHOWN_LENGTH]) or "?" for name in names[:_SHOWN]]
    if len(names) > _SHOWN:
        shown.append("...")
    return {"X-Ignored-Fields": ", ".join(shown)}
