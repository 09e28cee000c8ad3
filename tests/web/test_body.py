"""How a wrong body is described: the path of a field, and the problem as JSON."""

from __future__ import annotations

import json
import sys

import pytest

from stream_serve.errors import BadRequest, Draining, InvalidFields, RequestError, Unauthorized
from stream_serve.web import problems
from stream_serve.web.body import Body, field_name
from stream_serve.web.chat import ChatBody
from stream_serve.web.conversations import NewBody


@pytest.mark.parametrize(
    ("loc", "name"),
    [
        ((), "body"),
        (("message",), "message"),
        (("messages", 2, "content"), "messages[2].content"),
        (("messages", 0), "messages[0]"),
        (("messages", 0, "content", 1, "text"), "messages[0].content[1].text"),
        ((0,), "[0]"),
        ((0, "a"), "[0].a"),
        (("", "a"), "a"),
    ],
)
def test_a_field_is_named_as_a_client_would_write_it(loc: tuple[int | str, ...], name: str) -> None:
    assert field_name(loc) == name


def test_a_name_that_the_caller_made_up_is_cut() -> None:
    assert field_name(("x" * 10_000,)) == "x" * 100
    assert len(field_name(tuple(["ab"] * 1000))) == 100


@pytest.mark.parametrize(("model", "field"), [(ChatBody, "message"), (NewBody, "title")])
def test_the_parser_keeps_no_text_of_a_body_when_the_body_is_gone(
    model: type[Body], field: str
) -> None:
    def read(first: int) -> None:
        for number in range(first, first + 1000):
            model.model_validate_json(f'{{"{field}": "{field} number {number}"}}')

    read(0)
    blocks = sys.getallocatedblocks()
    read(1000)
    assert sys.getallocatedblocks() - blocks < 500


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
    error = InvalidFields("two", errors=(("messages[2].content", "missing"), ("topP", "too big")))
    assert json.loads(bytes(problems.from_error(error).body))["errors"] == [
        {"field": "messages[2].content", "message": "missing"},
        {"field": "topP", "message": "too big"},
    ]


def test_a_problem_brings_the_headers_of_its_error() -> None:
    error = Unauthorized("no key", headers=(("WWW-Authenticate", "Bearer"),))
    response = problems.from_error(error)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("kind", RequestError.__subclasses__())
def test_every_refusal_becomes_a_problem_with_its_own_status_code_and_title(
    kind: type[RequestError],
) -> None:
    response = problems.from_error(kind("because"))
    problem = json.loads(bytes(response.body))
    assert response.status_code == problem["status"] == kind.status
    assert (problem["code"], problem["title"], problem["detail"]) == (
        kind.code,
        kind.title,
        "because",
    )


def test_a_problem_is_one_line_of_json_whatever_its_words_are() -> None:
    response = problems.from_error(Draining('</script>\r\n\0"\u2028'))
    assert b"\n" not in response.body
    assert json.loads(bytes(response.body))["detail"] == '</script>\r\n\0"\u2028'
