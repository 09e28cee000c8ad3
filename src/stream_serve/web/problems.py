"""Errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.responses import Response

from stream_serve.errors import (
    BadCursor,
    ConversationNotFound,
    HistoryError,
    HistorySchemaError,
    HistoryUnavailable,
    MessageNotFound,
    RequestError,
)
from stream_serve.web.security import cors_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

MEDIA_TYPE: Final = "application/problem+json"


class FieldProblem(Struct, frozen=True):
    """One field of the body, by its path ("messages[2].content"), and what is wrong with it."""

    field: str
    message: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """The body of every error answer. `code` is a stable name for programs."""

    title: str
    status: int
    detail: str
    code: str
    type: str = "about:blank"
    errors: list[FieldProblem] | None = None


def respond(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Give a problem as a response."""
    return Response(
        msgspec.json.encode(problem),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def from_error(error: RequestError | HTTPException) -> Response:
    """Return an error as a response, without CORS headers."""
    if isinstance(error, HTTPException):
        return _from_framework(error)
    problem = Problem(
        title=error.title,
        status=error.status,
        detail=str(error),
        code=error.code,
        errors=[FieldProblem(field, message) for field, message in error.errors] or None,
    )
    return respond(problem, dict(error.headers))


async def on_request_error(request: Request, error: Exception) -> Response:
    """Answer one of our own errors."""
    if not isinstance(error, RequestError):
        raise error
    response = from_error(error)
    response.headers.update(cors_headers(request.scope))
    return response


def _from_framework(error: HTTPException) -> Response:
    phrase = HTTPStatus(error.status_code).phrase
    problem = Problem(
        title=phrase,
        status=error.status_code,
        detail=_DETAILS.get(error.status_code, phrase),
        code=phrase.lower().replace(" ", "_"),
    )
    return respond(problem, error.headers)


_DETAILS: Final = {
    403: "this path has no policy that says who may call it, so nobody may",
    404: "there is nothing at this path; /docs describes what there is",
    405: "this path does not take this method; /docs describes what there is",
}
_HISTORY: Final[dict[type[HistoryError], tuple[int, str]]] = {
    ConversationNotFound: (404, "conversation_not_found"),
    MessageNotFound: (404, "message_not_found"),
    BadCursor: (400, "bad_cursor"),
    HistoryUnavailable: (503, "history_unavailable"),
    HistorySchemaError: (503, "history_schema"),
}


async def on_history_error(request: Request, error: Exception) -> Response:
    """Answer what the conversations refuse, or a database that is away."""
    status, code = next(
        (answer for kind, answer in _HISTORY.items() if isinstance(error, kind)), (500, "history")
    )
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=str(error), code=code)
    retry = {"Retry-After": "5"} if status == 503 else {}
    return respond(problem, {**retry, **cors_headers(request.scope)})


async def on_log_error(request: Request, error: Exception) -> Response:
    """Answer that what joins the processes is away."""
    problem = Problem(
        title="The service cannot do this now",
        status=503,
        detail=str(error),
        code="log_unavailable",
    )
    return respond(problem, {"Retry-After": "2", **cors_headers(request.scope)})


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the framework refuses: unknown paths, wrong methods."""
    if not isinstance(error, HTTPException):
        raise error
    response = _from_framework(error)
    response.headers.update(cors_headers(request.scope))
    return response


async def on_gone(request: Request, error: Exception) -> Response:
    """Answer nobody: the client left while it sent its body."""
    del request, error
    return Response(status_code=400)


async def on_defect(request: Request, error: Exception) -> Response:
    """Answer a defect of ours; the server logs the traceback."""
    del error
    problem = Problem(
        title="The service failed",
        status=500,
        detail="this is a defect of the service; its log says why",
        code="internal_error",
    )
    return respond(problem, cors_headers(request.scope))
