"""Errors before a stream, in the shape that the clients of each door read.

How it works: every error is a problem first (`problems`), with a status, a code and words. Clients of
OpenAI's API read only OpenAI's error object. Those of the UI protocols show the body as it is, so that it
is only the words. Everybody else gets the problem as RFC 9457 writes it.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, cast

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from stream_serve.errors import InvalidFields, StreamServeError
from stream_serve.settings.words import words
from stream_serve.web import problems
from stream_serve.web.body import field_name
from stream_serve.web.dialects import failures
from stream_serve.web.security import cors_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic_core import ErrorDetails
    from starlette.requests import Request
    from starlette.types import Scope

    from stream_serve.web.problems import Problem

    Shape = Callable[[Problem, Mapping[str, str]], Response]

_MAX_FIELDS: Final = 20
_RETRYABLE: Final = frozenset({408, 429, 500, 502, 503, 504})
_STATUSES: Final = {409: 400, 422: 400}
_CODES: Final[dict[str, tuple[int, str | None]]] = {
    "unauthorized": (401, "invalid_api_key"),
    "unknown_model": (404, "model_not_found"),
    "response_not_found": (404, None),
    "item_not_found": (404, None),
    "": (400, None),
}
_PARAMS: Final = {"unknown_model": "model", "item_not_found": "input"}


def refuse(scope: Scope, error: StreamServeError | HTTPException) -> Response:
    """Return the response for an error, without CORS headers."""
    return _respond(scope, *problems.describe(error))


async def on_error(request: Request, error: Exception) -> Response:
    """Respond to an error of ours or the framework's; one that should not have come this far is a
    defect."""
    if not isinstance(error, StreamServeError | HTTPException):
        raise error
    if isinstance(error, StreamServeError) and not problems.known(error):
        raise error
    response = refuse(request.scope, error)
    response.headers.update(cors_headers(request.scope))
    return response


async def on_wrong_parameters(request: Request, error: Exception) -> Response:
    """Return the response for query parameters that the framework could not read."""
    if not isinstance(error, RequestValidationError):
        raise error
    found = cast("Sequence[ErrorDetails]", error.errors()[:_MAX_FIELDS])
    fields = [(field_name(one["loc"][1:]), words(one["type"], one.get("ctx", {}))) for one in found]
    return await on_error(
        request, InvalidFields("; ".join(f"{name}: {said}" for name, said in fields), fields=fields)
    )


async def on_gone(request: Request, error: Exception) -> Response:
    """Return a response that nobody reads: the client has disconnected while it sent its body."""
    del request, error
    return Response(status_code=400)


async def on_defect(request: Request, error: Exception) -> Response:
    """Return the response for a defect of the service; the server logs the traceback."""
    del error
    return _respond(request.scope, problems.DEFECT, cors_headers(request.scope))


def _respond(scope: Scope, problem: Problem, headers: Mapping[str, str]) -> Response:
    path = str(scope.get("path", "")).removeprefix(str(scope.get("root_path", ""))) + "/"
    for door, shape in _SHAPES.items():
        if path.startswith(door):
            return shape(problem, headers)
    return problems.respond(problem, headers)


def _openai(problem: Problem, headers: Mapping[str, str]) -> Response:
    status, code = _CODES.get(problem.code, (problem.status, problem.code))
    status = _STATUSES.get(status, status)
    param = problem.errors[0].field if problem.errors else _PARAMS.get(problem.code)
    return failures.respond(
        status,
        failures.error_object(problem.detail, status=status, code=code, param=param),
        retryable=problem.status in _RETRYABLE,
        headers={"x-request-id": secrets.token_urlsafe(16), **headers},
    )


def _text(problem: Problem, headers: Mapping[str, str]) -> Response:
    return PlainTextResponse(
        problem.detail,
        status_code=problem.status,
        headers={"Cache-Control": "no-store", **headers},
    )


_SHAPES: Final[dict[str, Shape]] = {
    "/v1/stream/": problems.respond,
    "/v1/": _openai,
    "/api/chat/": _text,
    "/ag-ui/": _text,
}
"""The doors, by the beginning of their paths; the first that fits. All others get a problem."""
