"""Every error that the service can raise comes out of the client as the same class."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

import msgspec
import pytest

from stream_serve.client import failures
from stream_serve.client.course import Course
from stream_serve.client.receipt import of_answer
from stream_serve.client.requests import authorization, base, body
from stream_serve.client.tail import receipt_of
from stream_serve.errors import (
    HistoryError,
    InternalError,
    InvalidFields,
    LogUnavailable,
    RequestError,
    RunFailure,
    ServiceProtocol,
    StreamServeError,
    UpstreamError,
)
from stream_serve.events.types import Error
from stream_serve.web.problems import describe

if TYPE_CHECKING:
    from collections.abc import Iterator


def family(kind: type[StreamServeError]) -> Iterator[type[StreamServeError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


RAISED = [
    kind
    for top in (RequestError, HistoryError, LogUnavailable, InternalError)
    for kind in family(top)
    if kind is not RequestError
]
FAILED = [kind for kind in family(RunFailure) if kind not in {RunFailure, UpstreamError}]


@pytest.mark.parametrize("kind", RAISED)
def test_a_problem_of_the_service_is_the_error_that_it_was(kind: type[StreamServeError]) -> None:
    raised = kind("words")
    problem, headers = describe(raised)
    small = {name.lower(): value for name, value in headers.items()}
    got = failures.of_answer(problem.status, small, msgspec.json.encode(problem))
    assert type(got) is kind
    assert (got.code, got.retryable, got.retry_after) == (
        raised.code,
        raised.retryable,
        raised.retry_after,
    )


@pytest.mark.parametrize("kind", FAILED)
def test_an_error_event_is_the_failure_that_it_was(kind: type[RunFailure]) -> None:
    raised = kind("words", provider_code="p", request_id="r")
    got = failures.of_event(Error.of(raised, "words"))
    assert type(got) is kind
    assert (got.code, got.retryable, str(got)) == (raised.code, raised.retryable, "words")
    assert (got.provider_code, got.request_id) == ("p", "r")


def test_wrong_fields_are_named() -> None:
    problem, headers = describe(InvalidFields("wrong", fields=[("topP", "too much")]))
    got = failures.of_answer(problem.status, headers, msgspec.json.encode(problem))
    assert isinstance(got, InvalidFields)
    assert got.fields == [("topP", "too much")]


def test_retry_after_is_a_number_or_a_date() -> None:
    later = datetime.now(UTC) + timedelta(seconds=90)
    seconds = failures.retry_after({"retry-after": format_datetime(later, usegmt=True)})
    assert seconds is not None
    assert 0 < seconds <= 90
    past = {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert failures.retry_after(past) == 0
    assert failures.retry_after({"retry-after": "7"}) == 7
    assert failures.retry_after({"retry-after": "9" * 400}) == 999_999_999
    for word in ("", "soon", "-1", "1.5", "²", f"Mon, 01 Jan {10**20} 00:00:00 GMT"):
        assert failures.retry_after({"retry-after": word}) in {None, 0.0}, word


def test_fields_are_said_in_pythons_spelling_or_the_apis() -> None:
    fields = {"system_prompt": None, "topP": 0.5, "extra_body": {"top_k": 1}}
    assert msgspec.json.decode(body("hi", fields)) == {
        "message": "hi",
        "systemPrompt": None,
        "topP": 0.5,
        "extraBody": {"top_k": 1},
    }


DEEP: Final = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "body",
    [b'{"code":"x","z":%b}' % DEEP, b'{"code":"\xff"}', b'{"code":"\\ud800"}', b"1e999", b""],
    ids=["deep", "no UTF-8", "surrogate", "large", "empty"],
)
def test_whatever_the_bytes_of_an_answer_are_it_is_an_error_of_ours(body: bytes) -> None:
    assert isinstance(failures.of_answer(404, {}, body), RequestError)
    for read in (of_answer, receipt_of):
        with pytest.raises(ServiceProtocol):
            read(200, {}, body.replace(b"code", b"asked"))
    one = Course("a")
    one.accept(200, {"content-type": "text/event-stream"})
    with pytest.raises(ServiceProtocol):
        list(one.feed(b"id: 1\ndata: " + body.replace(b"code", b"type") + b"\n\n"))


@pytest.mark.parametrize(
    "url",
    [
        "localhost:3000",
        "ftp://a",
        "http://u:p@a",
        "http://a?x=1",
        "",
        "http://[::1",
        "http://:80",
        "http://a:b",
        "http://a:99999",
        "http://a..b",
    ],
)
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="not the address"):
        base(url)


@pytest.mark.parametrize("key", ["sk-…", "sk-1\n"])
def test_what_cannot_be_a_key_is_refused_at_once(key: str) -> None:
    with pytest.raises(ValueError, match="key: an API key has") as refused:
        authorization(key)
    assert key not in str(refused.value)


def test_an_address_may_have_a_path() -> None:
    assert base("https://a.example/ai-service/") == "https://a.example/ai-service"
