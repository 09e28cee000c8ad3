"""Errors as problems: the status and the title of each, and what else a response says of it."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from stream_serve import errors
from stream_serve.errors import (
    BadRequest,
    Draining,
    HistoryError,
    InvalidFields,
    RequestError,
    RunNotFound,
    StreamServeError,
    TooManyRuns,
    Unauthorized,
)
from stream_serve.quotas import readers
from stream_serve.settings import explain_to_operator
from stream_serve.streams import errors as stream_errors
from stream_serve.web import problems, refusals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.responses import Response

REQUEST = Request({"type": "http", "state": {}})
STATUSES = {
    "BadRequest": (400, "The request cannot be understood"),
    "Unauthorized": (401, "An API key is needed"),
    "ForeignOrigin": (403, "This page's origin is not allowed here"),
    "RunNotFound": (404, "No such run"),
    "RunConflict": (409, "This run id was used for another request"),
    "StoppedEarly": (409, "This run was stopped before it started"),
    "CursorBeyondLog": (409, "The cursor is ahead of the run"),
    "BodyTooLarge": (413, "The request body is too large"),
    "NotJSON": (415, "The request body must be JSON"),
    "ForeignHost": (421, "This service does not answer for that host"),
    "InvalidFields": (422, "Some fields are missing or wrong"),
    "UnknownModel": (422, "No such model"),
    "ResponseNotFound": (404, "No such response"),
    "ItemNotFound": (404, "No such item"),
    "ModelsUnavailable": (503, "The provider cannot be asked for its models"),
    "TooManyRuns": (429, "Too many runs at once"),
    "TooManyReaders": (429, "Too many readers at once"),
    "TooManyAppends": (429, "Too much is appended at once"),
    "BodyTooSlow": (408, "The request body has not come"),
    "StreamUnreadable": (500, "The stream cannot be read"),
    "HeadTooLarge": (431, "The request head is too large"),
    "Full": (503, "The service is full"),
    "Draining": (503, "The service is shutting down"),
    "NotStarted": (503, "The service has not been started"),
    "RunUnreachable": (503, "The process that has this run does not answer"),
    "LogUnavailable": (503, "The service cannot do this now"),
    "StaleProducer": (403, "A newer instance of this producer writes"),
    "StreamNotFound": (404, "No such stream"),
    "StreamConflict": (409, "The stream is not as the request supposes"),
    "StreamClosed": (409, "The stream is closed"),
    "ProducerGap": (409, "Appends of this producer are missing"),
    "StreamsFull": (409, "There is no more room for this stream"),
    "StreamGone": (410, "The stream was deleted"),
    "StreamsUnavailable": (503, "The service cannot reach its streams now"),
    "ConversationFull": (409, "The conversation is full"),
    "StorageFull": (409, "There is no more room for conversations"),
    "ConversationNotFound": (404, "Not Found"),
    "MessageNotFound": (404, "Not Found"),
    "BadCursor": (400, "Bad Request"),
    "HistoryUnavailable": (503, "Service Unavailable"),
    "HistorySchemaError": (503, "Service Unavailable"),
}
WAITS = {
    "ModelsUnavailable": "2",
    "TooManyRuns": "2",
    "TooManyReaders": "2",
    "TooManyAppends": "1",
    "Full": "2",
    "Draining": "5",
    "NotStarted": "2",
    "StreamsUnavailable": "2",
    "RunUnreachable": "2",
    "LogUnavailable": "2",
    "HistoryUnavailable": "5",
    "HistorySchemaError": "5",
}


def kind(name: str) -> type[StreamServeError]:
    where = (errors, stream_errors, readers)
    return next(getattr(one, name) for one in where if hasattr(one, name))


def problem(response: Response) -> dict[str, Any]:
    """Return the body of a problem, which says the status of its response."""
    assert response.headers["content-type"] == problems.MEDIA_TYPE == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    body: dict[str, Any] = json.loads(bytes(response.body))
    assert body["status"] == response.status_code
    return body


def leaves(base: type[StreamServeError]) -> Iterator[str]:
    """Name the classes below `base` that have none below them."""
    for child in base.__subclasses__():
        if child.__subclasses__():
            yield from leaves(child)
        else:
            yield child.__name__


def test_every_refusal_has_a_status_of_its_own() -> None:
    assert {*leaves(RequestError), *leaves(HistoryError), "LogUnavailable"} == set(STATUSES)
    kinds: dict[type[StreamServeError], tuple[int, str]] = vars(problems)["_KINDS"]
    assert {one.__name__ for one in kinds} == {*STATUSES, "HistoryError"}


@pytest.mark.parametrize("name", STATUSES)
async def test_every_refusal_becomes_a_problem_with_its_own_status_code_and_title(
    name: str,
) -> None:
    for response in (
        problems.from_error(kind(name)("because")),
        await refusals.on_error(REQUEST, kind(name)("because")),
    ):
        status, title = STATUSES[name]
        assert problem(response) == {
            "title": title,
            "status": status,
            "detail": "because",
            "code": kind(name).code,
        }


def test_no_two_refused_requests_share_a_title() -> None:
    titles = [STATUSES[name][1] for name in leaves(RequestError)]
    assert len(set(titles)) == len(titles)


def test_what_only_the_operator_may_read_is_in_no_problem() -> None:
    error = StreamServeError("it is away", for_operator="10.0.0.5:6379")
    assert problems.describe(error)[0].detail == "it is away"
    assert explain_to_operator(error) == "it is away [10.0.0.5:6379]"


@pytest.mark.parametrize("name", STATUSES)
def test_a_problem_says_when_to_try_again_where_that_is_known(name: str) -> None:
    error = kind(name)(message="because")
    assert problems.from_error(error).headers.get("retry-after") == WAITS.get(name)
    assert (error.retry_after is not None) is (STATUSES[name][0] in {429, 503})


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "0"), (0.1, "1"), (3.0, "3"), (3.2, "4")])
def test_the_time_to_wait_is_in_whole_seconds_and_never_too_short(
    seconds: float, header: str
) -> None:
    assert (
        problems.from_error(TooManyRuns("", retry_after=seconds)).headers["retry-after"] == header
    )


def test_a_problem_is_this_json_and_says_so() -> None:
    response = problems.from_error(BadRequest("no JSON at all"))
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert json.loads(bytes(response.body)) == {
        "title": "The request cannot be understood",
        "status": 400,
        "detail": "no JSON at all",
        "code": "bad_request",
    }


def test_a_problem_names_the_fields_that_are_wrong() -> None:
    error = InvalidFields("two", fields=(("messages[2].content", "missing"), ("topP", "too big")))
    assert problem(problems.from_error(error))["errors"] == [
        {"field": "messages[2].content", "message": "missing"},
        {"field": "topP", "message": "too big"},
    ]


def test_a_problem_names_the_settings_that_it_is_about_as_they_are_written() -> None:
    error = TooManyRuns("too many runs", parameters=["Limits.each", "DASHSCOPE_API_KEY"])
    assert problem(problems.from_error(error))["detail"] == (
        "too many runs (STREAM_SERVE_MAX_RUNS_PER_KEY, DASHSCOPE_API_KEY)"
    )


def test_a_problem_brings_the_headers_of_its_error() -> None:
    response = problems.from_error(Unauthorized("no key"))
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("name", sorted(set(STATUSES) - {"Unauthorized"}))
def test_only_who_has_no_key_is_asked_for_one(name: str) -> None:
    assert "www-authenticate" not in problems.from_error(kind(name)("no")).headers


def test_a_problem_is_one_line_of_json_whatever_its_words_are() -> None:
    response = problems.from_error(Draining('</script>\r\n\0"\u2028'))
    assert b"\n" not in response.body
    assert json.loads(bytes(response.body))["detail"] == '</script>\r\n\0"\u2028'


def test_an_error_below_a_known_one_has_its_status() -> None:
    class Special(RunNotFound):
        """A kind of its own."""

    assert problems.from_error(Special("no")).status_code == 404


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "forbidden"), (404, "not_found"), (405, "method_not_allowed"), (418, "i'm_a_teapot")],
)
async def test_what_the_framework_refuses_is_a_problem_too(status: int, code: str) -> None:
    error = HTTPException(status, headers={"Allow": "GET"})
    for response in (problems.from_error(error), await refusals.on_error(REQUEST, error)):
        body = problem(response)
        assert (body["status"], body["code"]) == (status, code)
        assert body["title"] == HTTPStatus(status).phrase
        assert response.headers["allow"] == "GET"


async def test_a_defect_says_nothing_of_itself() -> None:
    response = await refusals.on_defect(REQUEST, ValueError("a secret"))
    assert problem(response)["code"] == "internal_error"
    assert response.status_code == 500
    assert b"secret" not in response.body


async def test_a_client_that_is_gone_gets_nothing() -> None:
    assert (await refusals.on_gone(REQUEST, ClientDisconnect())).body == b""


async def test_what_is_somebody_elses_error_is_raised_on() -> None:
    with pytest.raises(ZeroDivisionError):
        await refusals.on_error(REQUEST, ZeroDivisionError())


@pytest.mark.parametrize("name", ["LogLost", "PeerUnreachable", "InternalError", "SettingsError"])
async def test_an_error_that_no_caller_should_see_is_a_defect(name: str) -> None:
    error = kind(name)("inner words")
    with pytest.raises(kind(name)):
        await refusals.on_error(REQUEST, error)


async def test_a_query_parameter_that_the_framework_cannot_read_is_a_field_that_is_wrong() -> None:
    error = RequestValidationError(
        [
            {"type": "int_parsing", "loc": ("query", "limit"), "msg": "theirs", "input": "secret"},
            {
                "type": "literal_error",
                "loc": ("query", "format"),
                "msg": "theirs",
                "input": "xml",
                "ctx": {"expected": "'json' or 'markdown'"},
            },
        ]
    )
    response = await refusals.on_wrong_parameters(REQUEST, error)
    assert response.status_code == 422
    problem = json.loads(bytes(response.body))
    assert problem["code"] == "invalid_fields"
    assert problem["errors"] == [
        {"field": "limit", "message": "should be a whole number"},
        {"field": "format", "message": "should be 'json' or 'markdown'"},
    ]
    assert "secret" not in str(problem)
