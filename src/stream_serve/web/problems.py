"""Errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.responses import Response

from stream_serve.errors import (
    BadCursor,
    BadRequest,
    BodyTooLarge,
    ConversationFull,
    ConversationNotFound,
    CursorBeyondLog,
    Draining,
    ForeignHost,
    ForeignOrigin,
    Full,
    HeadTooLarge,
    HistoryError,
    HistorySchemaError,
    HistoryUnavailable,
    InvalidFields,
    ItemNotFound,
    LogUnavailable,
    MessageNotFound,
    ModelsUnavailable,
    NotJSON,
    NotStarted,
    ResponseNotFound,
    RunConflict,
    RunNotFound,
    RunUnreachable,
    StoppedEarly,
    StorageFull,
    StreamServeError,
    TooManyReaders,
    TooManyRuns,
    Unauthorized,
    UnknownModel,
)
from stream_serve.events.types import Error
from stream_serve.settings import explain
from stream_serve.streams.errors import (
    BodyTooSlow,
    ProducerGap,
    StaleProducer,
    StreamClosed,
    StreamConflict,
    StreamGone,
    StreamNotFound,
    StreamsFull,
    StreamsUnavailable,
    StreamUnreadable,
    TooManyAppends,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


MEDIA_TYPE: Final = "application/problem+json"


class FieldProblem(Struct, frozen=True):
    """The path of a wrong field ("messages[2].content"), and what is wrong with it."""

    field: str
    message: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """The body of every error response (RFC 9457, 3.1). `code` is a stable name for programs."""

    title: str
    status: int
    detail: str
    code: str
    type: str = "about:blank"
    errors: list[FieldProblem] | None = None


def respond(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response for a problem, with its status; caches must not store it."""
    return Response(
        msgspec.json.encode(problem),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def _kind(error: StreamServeError) -> tuple[int, str] | None:
    return next((_KINDS[kind] for kind in type(error).mro() if kind in _KINDS), None)


def describe(error: StreamServeError | HTTPException) -> tuple[Problem, dict[str, str]]:
    """Return the problem that an error of ours or the framework's is, and the headers that go with it.

    These are Retry-After (RFC 9110, 10.2.3) if the error has one, and WWW-Authenticate with status 401
    (RFC 9110, 11.6.1).
    """
    if isinstance(error, HTTPException):
        return _of_framework(error)
    status, title = _kind(error) or _DEFECT
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    fields = error.fields if isinstance(error, InvalidFields) else ()
    problem = Problem(
        title=title or HTTPStatus(status).phrase,
        status=status,
        detail=explain(error),
        code=error.code,
        errors=[FieldProblem(field, message) for field, message in fields] or None,
    )
    return problem, headers


def from_error(error: StreamServeError | HTTPException) -> Response:
    """Return the response for an error of ours or the framework's, without CORS headers."""
    return respond(*describe(error))


def event(error: StreamServeError) -> Error:
    """Return an error as the event that tells one reader of several, in a stream that others read on."""
    problem, _ = describe(error)
    return Error(
        problem.detail, problem.code, retryable=error.retryable, retry_after=error.retry_after
    )


def known(error: Exception) -> bool:
    """Return whether an error is one of ours that a caller may be told."""
    return isinstance(error, StreamServeError) and _kind(error) is not None


_KINDS: Final[dict[type, tuple[int, str]]] = {
    BadRequest: (400, "The request cannot be understood"),
    Unauthorized: (401, "An API key is needed"),
    ForeignOrigin: (403, "This page's origin is not allowed here"),
    RunNotFound: (404, "No such run"),
    RunConflict: (409, "This run id was used for another request"),
    StoppedEarly: (409, "This run was stopped before it started"),
    CursorBeyondLog: (409, "The cursor is ahead of the run"),
    ConversationFull: (409, "The conversation is full"),
    StorageFull: (409, "There is no more room for conversations"),
    BodyTooLarge: (413, "The request body is too large"),
    NotJSON: (415, "The request body must be JSON"),
    ForeignHost: (421, "This service does not answer for that host"),
    InvalidFields: (422, "Some fields are missing or wrong"),
    UnknownModel: (422, "No such model"),
    ResponseNotFound: (404, "No such response"),
    ItemNotFound: (404, "No such item"),
    ModelsUnavailable: (503, "The provider cannot be asked for its models"),
    BodyTooSlow: (408, "The request body has not come"),
    TooManyRuns: (429, "Too many runs at once"),
    TooManyReaders: (429, "Too many readers at once"),
    TooManyAppends: (429, "Too much is appended at once"),
    HeadTooLarge: (431, "The request head is too large"),
    Full: (503, "The service is full"),
    Draining: (503, "The service is shutting down"),
    NotStarted: (503, "The service has not been started"),
    RunUnreachable: (503, "The process that has this run does not answer"),
    LogUnavailable: (503, "The service cannot do this now"),
    StaleProducer: (403, "A newer instance of this producer writes"),
    StreamNotFound: (404, "No such stream"),
    StreamConflict: (409, "The stream is not as the request supposes"),
    StreamClosed: (409, "The stream is closed"),
    ProducerGap: (409, "Appends of this producer are missing"),
    StreamsFull: (409, "There is no more room for this stream"),
    StreamGone: (410, "The stream was deleted"),
    StreamUnreadable: (500, "The stream cannot be read"),
    StreamsUnavailable: (503, "The service cannot reach its streams now"),
    ConversationNotFound: (404, ""),
    MessageNotFound: (404, ""),
    BadCursor: (400, ""),
    HistoryUnavailable: (503, ""),
    HistorySchemaError: (503, ""),
    HistoryError: (500, ""),
}
"""The status and the title of each error; with an empty title the status's phrase is used."""
_DEFECT: Final = (500, "")


def _of_framework(error: HTTPException) -> tuple[Problem, dict[str, str]]:
    phrase = HTTPStatus(error.status_code).phrase
    problem = Problem(
        title=phrase,
        status=error.status_code,
        detail=_DETAILS.get(error.status_code, phrase),
        code=phrase.lower().replace(" ", "_"),
    )
    return problem, dict(error.headers or {})


_DETAILS: Final = {
    403: "this path has no policy that says who may call it, so nobody may",
    404: "there is nothing at this path; the page docs describes what there is",
    405: "this path does not take this method; the page docs describes what there is",
}


DEFECT: Final = Problem(
    title="The service failed",
    status=500,
    detail="this is a defect of the service; its log says why",
    code="internal_error",
)
