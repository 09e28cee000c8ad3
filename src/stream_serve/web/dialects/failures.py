"""Failures as OpenAI's error object, before a stream and in it.

Its clients repeat a request by themselves after 408, 409, 429 and every 5xx. So what a repetition cannot
mend has neither 409 nor a 5xx without `x-should-retry: false`.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_serve.events.types import Error

Json = dict[str, Any]

_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_exceeded",
}
_STATUSES: Final = {
    "upstream_rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "upstream_rejected": HTTPStatus.BAD_REQUEST,
    "upstream_context_exceeded": HTTPStatus.BAD_REQUEST,
    "upstream_timeout": HTTPStatus.GATEWAY_TIMEOUT,
    "run_timeout": HTTPStatus.GATEWAY_TIMEOUT,
    "run_interrupted": HTTPStatus.SERVICE_UNAVAILABLE,
    "events_lost": HTTPStatus.SERVICE_UNAVAILABLE,
    "stream_moved": HTTPStatus.SERVICE_UNAVAILABLE,
    "internal_error": HTTPStatus.INTERNAL_SERVER_ERROR,
}


def status_of(error: Error) -> int:
    """Return the status that an answer in one piece has after a failure of its run."""
    return _STATUSES.get(error.code, HTTPStatus.BAD_GATEWAY)


def error_object(message: str, *, status: int, code: str | None, param: str | None = None) -> Json:
    """Return OpenAI's error object."""
    other = (
        "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    )
    kind = other if code is None else _TYPES.get(status, other)
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def of_run(error: Error) -> Json:
    """Return the failure of a run as OpenAI's error object."""
    found = error_object(error.message, status=status_of(error), code=error.code)
    return found | {"retryable": error.retryable}


def response_of(error: Error, headers: Mapping[str, str]) -> Response:
    """Return the response for an answer in one piece whose run has failed."""
    return respond(
        status_of(error),
        of_run(error),
        retryable=error.retryable,
        retry_after=error.retry_after,
        headers=headers,
    )


def respond(
    status: int,
    body: Json,
    *,
    retryable: bool,
    retry_after: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the response with an error object, which says whether a repetition may help."""
    more: dict[str, str] = {"Cache-Control": "no-store", **(headers or {})}
    more["x-should-retry"] = "true" if retryable else "false"
    if retry_after is not None:
        more["Retry-After"] = str(math.ceil(retry_after))
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        media_type="application/json",
        headers=more,
    )
