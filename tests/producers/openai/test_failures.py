"""The provider's failures in our words, and never its key."""

from __future__ import annotations

import email.utils
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.errors import (
    RunFailure,
    UpstreamAuth,
    UpstreamContextExceeded,
    UpstreamError,
    UpstreamFailed,
    UpstreamProtocol,
    UpstreamRateLimited,
    UpstreamRejected,
)
from stream_serve.events.codec import encode
from stream_serve.events.types import Error
from stream_serve.producers.openai.failures import (
    ErrorDetails,
    from_error,
    from_status,
    of_length,
    read,
    read_body,
    retry_after,
)
from stream_serve.settings import explain

if TYPE_CHECKING:
    from collections.abc import Mapping

from support.properties import steady

STEADY = steady(1)
KEY = "sk-canary-0123456789abcdef"
MASKED = ("sk-canar", "9abcdef", "sk-cana****cdef", "sk-***def")
KEY_NAME = "DASHSCOPE_API_KEY"


def dashscope(code: str, message: str = "what it said") -> bytes:
    error = {"message": message, "type": code, "param": None, "code": code}
    return json.dumps({"error": error, "request_id": "req-1"}).encode()


def refused(
    status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> UpstreamError:
    return from_status(status, read_body(body, key=KEY), headers=headers or {}, key_name=KEY_NAME)


def in_stream(error: object, request_id: str | None = None) -> UpstreamError:
    return from_error(read(error, request_id=request_id, key=KEY), key_name=KEY_NAME)


def event(failure: RunFailure) -> bytes:
    return encode(Error.of(failure, explain(failure)))


def shown(failure: RunFailure) -> str:
    return event(failure).decode() + repr(failure) + repr(vars(failure))


@pytest.mark.parametrize(
    ("status", "code", "kind", "retryable"),
    [
        (400, "invalid_parameter_error", UpstreamRejected, False),
        (400, "DataInspectionFailed", UpstreamRejected, False),
        (400, "data_inspection_failed", UpstreamRejected, False),
        (400, "invalid_request_error", UpstreamRejected, False),
        (400, "context_length_exceeded", UpstreamRejected, False),
        (400, "", UpstreamRejected, False),
        (401, "invalid_api_key", UpstreamAuth, False),
        (401, "InvalidApiKey", UpstreamAuth, False),
        (401, "", UpstreamAuth, False),
        (403, "access_denied", UpstreamAuth, False),
        (403, "", UpstreamAuth, False),
        (403, "DataInspectionFailed", UpstreamRejected, False),
        (404, "model_not_found", UpstreamRejected, False),
        (404, "", UpstreamProtocol, False),
        (405, "", UpstreamProtocol, False),
        (408, "", UpstreamFailed, True),
        (413, "", UpstreamRejected, False),
        (422, "", UpstreamRejected, False),
        (429, "Throttling.RateQuota", UpstreamRateLimited, True),
        (429, "Throttling.AllocationQuota", UpstreamRateLimited, True),
        (429, "limit_requests", UpstreamRateLimited, True),
        (429, "rate_limit_exceeded", UpstreamRateLimited, True),
        (429, "", UpstreamRateLimited, True),
        (429, "insufficient_quota", UpstreamRateLimited, False),
        (500, "InternalError", UpstreamFailed, True),
        (500, "", UpstreamFailed, True),
        (502, "", UpstreamFailed, True),
        (503, "ModelUnavailable", UpstreamFailed, True),
        (504, "", UpstreamFailed, True),
        (529, "overloaded_error", UpstreamFailed, True),
        (204, "", UpstreamProtocol, False),
        (301, "", UpstreamProtocol, False),
        (302, "", UpstreamProtocol, False),
        (307, "", UpstreamProtocol, False),
    ],
)
def test_each_status_is_the_failure_that_it_means(
    status: int, code: str, kind: type[RunFailure], retryable: bool
) -> None:
    failure = refused(status, dashscope(code) if code else b"")
    assert type(failure) is kind
    assert failure.retryable is retryable
    if code:
        assert (failure.provider_code, failure.request_id) == (code, "req-1")
    if kind is not UpstreamAuth and kind is not UpstreamRateLimited:
        assert str(status) in str(failure)


@pytest.mark.parametrize(
    ("code", "kind", "retryable"),
    [
        ("invalid_api_key", UpstreamAuth, False),
        ("InvalidApiKey", UpstreamAuth, False),
        ("access_denied", UpstreamAuth, False),
        ("Throttling", UpstreamRateLimited, True),
        ("Throttling.RateQuota", UpstreamRateLimited, True),
        ("Throttling.AllocationQuota", UpstreamRateLimited, True),
        ("limit_burst_rate", UpstreamRateLimited, True),
        ("rate_limit_exceeded", UpstreamRateLimited, True),
        ("insufficient_quota", UpstreamRateLimited, False),
        ("Arrearage", UpstreamRejected, False),
        ("invalid_parameter_error", UpstreamRejected, False),
        ("DataInspectionFailed", UpstreamRejected, False),
        ("data_inspection_failed", UpstreamRejected, False),
        ("content_filter", UpstreamRejected, False),
        ("server_error", UpstreamFailed, True),
        ("something_new", UpstreamFailed, True),
        (None, UpstreamFailed, True),
    ],
)
def test_each_code_in_a_stream_is_the_failure_that_it_means(
    code: str | None, kind: type[RunFailure], retryable: bool
) -> None:
    failure = in_stream({"message": "what it said", "code": code}, request_id="req-1")
    assert type(failure) is kind
    assert failure.retryable is retryable
    assert (failure.provider_code, failure.request_id) == (code, "req-1")
    assert ("what it said" in str(failure)) is (kind is not UpstreamAuth)


def test_an_unpaid_bill_is_the_same_failure_wherever_it_is_said() -> None:
    assert type(refused(400, dashscope("Arrearage"))) is type(in_stream({"code": "Arrearage"}))


def test_a_refused_key_names_the_setting_to_check_and_the_region() -> None:
    for failure in (refused(401), refused(403), in_stream({"code": "invalid_api_key"})):
        assert failure.parameters == [KEY_NAME]
        assert "DASHSCOPE_API_KEY" in explain(failure)
        assert "region" in str(failure)
    assert "401" in str(refused(401))


def test_a_redirect_says_which_setting_to_check() -> None:
    assert "check its URL" in str(refused(302))
    assert refused(302).parameters == ["Endpoint.url"]
    assert "STREAM_SERVE_UPSTREAM_URL" in explain(refused(302))


def test_the_providers_own_words_are_passed_on() -> None:
    assert "what it said" in str(refused(400, dashscope("invalid_parameter_error")))
    assert "what it said" in str(refused(429, dashscope("Throttling.RateQuota")))
    assert "what it said" in str(refused(500, dashscope("InternalError")))
    assert str(in_stream("overloaded")).endswith(": overloaded")


def test_a_used_up_quota_does_not_read_like_a_rate_limit() -> None:
    assert "quota" in str(refused(429, dashscope("insufficient_quota")))
    assert "rate" in str(refused(429))


@pytest.mark.parametrize("status", [429, 503, 400])
def test_the_time_to_wait_is_passed_on(status: int) -> None:
    assert refused(status, headers={"retry-after": "7"}).retry_after == 7.0
    assert refused(status).retry_after is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("999999999", 999_999_999.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("1e3", None),
        ("0x10", None),
        ("٣", None),
        ("9" * 5000, None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +0200", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 +9999", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_a_retry_after_is_seconds_or_a_date_and_rubbish_is_nothing(
    value: str | None, seconds: float | None
) -> None:
    assert retry_after(value) == seconds


def test_a_retry_after_in_the_future_is_the_whole_seconds_until_then() -> None:
    before = time.time()
    due = int(before) + 3600
    wait = retry_after(email.utils.format_datetime(datetime.fromtimestamp(due, UTC), usegmt=True))
    assert wait is not None
    assert wait == int(wait)
    assert due - time.time() <= wait <= due - before + 1


@STEADY
@given(
    st.text()
    | st.text("0123456789 :,-+GMTWedOctJan")
    | st.from_regex(r"\w{3}, \d{1,4} \w{3} \d{1,6} \d+:\d+:\d+ (GMT|[+-]\d{4,8})?")
)
def test_no_retry_after_breaks_anything(value: str) -> None:
    wait = retry_after(value)
    assert wait is None or wait >= 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"404 page not found",
        b"<html>404</html>",
        b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}',
        b'{"error":{"message":"Invalid URL (POST /chat/completions)","type":"invalid_request_error"}}',
        b'{"error":{"code":"404","message": "Resource not found"}}',
        b'{"error":{"message":"Method Not Allowed"}}',
    ],
)
def test_a_404_without_a_word_about_a_model_is_a_wrong_path(body: bytes) -> None:
    failure = refused(404, body)
    assert isinstance(failure, UpstreamProtocol)
    assert "path" in str(failure)
    assert failure.parameters == ["Endpoint.url"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"message":"The model `x` does not exist.","code":"model_not_found"}}',
        b'{"error":{"message":"model \'x\' not found, try pulling it first"}}',
        b'{"object":"error","message":"The model `x` does not exist.","code":404}',
        b'{"error":{"code":"DeploymentNotFound","message":"The API deployment does not exist"}}',
    ],
)
def test_a_404_about_a_model_is_not_a_wrong_path(body: bytes) -> None:
    assert isinstance(refused(404, body), UpstreamRejected)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 429, 500, 503, 302])
@pytest.mark.parametrize("code", ["", "invalid_api_key", "insufficient_quota", "Throttling", "x"])
def test_the_key_is_nowhere_in_a_failure_though_the_provider_repeats_it_everywhere(
    status: int, code: str
) -> None:
    error = {"message": f"the key {KEY} ({KEY})", "code": f"{code}{KEY}", "type": KEY, "param": KEY}
    bodies: list[object] = [
        {"error": error, "request_id": f"r {KEY}"},
        {"error": {**error, "code": code or None, "request_id": KEY}},
        {"error": KEY},
        {"message": KEY, "code": KEY, "request_id": KEY},
        {"error": {"message": "x" * 490 + KEY, "code": code}},
    ]
    for body in bodies:
        details = read_body(json.dumps(body).encode(), request_id=KEY, key=KEY)
        failure = from_status(status, details, headers={}, key_name=KEY_NAME)
        assert KEY not in shown(failure)
        assert "sk-canary" not in shown(failure)


@pytest.mark.parametrize("code", [None, "invalid_api_key", "Throttling", "content_filter", KEY])
def test_the_key_is_nowhere_in_a_failure_inside_a_stream(code: str | None) -> None:
    for error in ({"message": f"no {KEY}", "code": code, "request_id": KEY}, f"no {KEY}"):
        assert "sk-canary" not in shown(in_stream(error, request_id=KEY))


@pytest.mark.parametrize("part", MASKED)
def test_a_refused_key_is_not_shown_in_parts_either(part: str) -> None:
    message = f"Incorrect API key provided: {part}."
    for code in ("invalid_api_key", ""):
        assert part not in shown(refused(401, dashscope(code, message)))
        assert part not in shown(refused(403, dashscope(code, message)))
    assert part not in shown(in_stream({"message": message, "code": "invalid_api_key"}))


def test_without_a_key_nothing_is_cut_out_of_the_providers_words() -> None:
    assert read("a message", key="") == ErrorDetails("a message")


def test_long_words_of_the_provider_are_cut() -> None:
    long = "x" * 100_000
    error = {"message": long, "code": long}
    body = json.dumps({"error": error, "request_id": long}).encode()
    for failure in (refused(400, body), refused(429, body), in_stream(error, request_id=long)):
        assert len(str(failure)) < 700
        assert (failure.provider_code, failure.request_id) == (None, None)


@pytest.mark.parametrize("odd", ["x" * 8000, "a b", "a\r\nb", "<b>"])
def test_a_request_id_from_the_headers_that_is_none_is_left_out(odd: str) -> None:
    assert refused(502, b"<html>", headers={"x-request-id": odd}).request_id is None


@pytest.mark.parametrize(
    "text", ["\ud83d", "\ude00 half", "\0", "\r\ndata: x", "\u2028", "<script>"]
)
def test_whatever_the_provider_says_can_be_sent_on(text: str) -> None:
    error = {"message": text, "code": text, "request_id": text}
    body = json.dumps({"error": error}).encode()
    for failure in (refused(400, body), in_stream(error), in_stream(text)):
        assert b"\n" not in event(failure)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><h1>502 Bad Gateway</h1></html>",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"7",
        b"{}",
        b'{"odd": 1}',
        b'{"error": null}',
        b'{"error": {"message": 7}}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 5000,
    ],
)
def test_a_body_that_says_nothing_we_understand_is_not_repeated(body: bytes) -> None:
    assert read_body(body, key=KEY) is None
    failure = refused(502, body, headers={"x-request-id": "req-9"})
    assert str(failure) == "the provider failed with status 502"
    assert failure.request_id == "req-9"


@pytest.mark.parametrize(
    ("body", "details"),
    [
        (
            {"error": {"message": "m", "type": "t", "param": None, "code": "c"}, "request_id": "r"},
            ErrorDetails("m", "c", "r"),
        ),
        ({"error": {"message": "m", "type": "t", "code": None}}, ErrorDetails("m", "t", "header")),
        ({"error": {"message": "m", "code": 429}}, ErrorDetails("m", "429", "header", 429)),
        ({"error": {"message": "m", "request_id": "own"}}, ErrorDetails("m", None, "own")),
        ({"error": "text"}, ErrorDetails("text", None, "header")),
        ({"error": ["odd"]}, ErrorDetails("odd", None, "header")),
        ({"message": "m", "code": "c", "request_id": "r"}, ErrorDetails("m", "c", "r")),
        ({"code": "c"}, ErrorDetails("", "c", "header")),
    ],
)
def test_an_error_body_is_read_however_the_server_writes_it(
    body: dict[str, Any], details: ErrorDetails
) -> None:
    assert read_body(json.dumps(body).encode(), request_id="header") == details


CONTEXT = {"code": 400, "message": "no", "type": "exceed_context_size_error", "n_ctx": 4096}


def test_the_type_beside_a_numeric_code_says_that_the_prompt_is_too_long() -> None:
    error = refused(400, json.dumps({"error": CONTEXT}).encode())
    assert isinstance(of_length(error), UpstreamContextExceeded)
    assert error.provider_code == "exceed_context_size_error"
    error = in_stream(CONTEXT)
    assert isinstance(of_length(error), UpstreamContextExceeded)
    assert "status 400" in str(error)


@pytest.mark.parametrize("code", [None, 401, "401"])
def test_a_key_is_refused_whatever_type_stands_beside_it(code: object) -> None:
    body = {"error": {"message": "no key", "type": "invalid_request_error", "code": code}}
    assert isinstance(refused(401, json.dumps(body).encode()), UpstreamAuth)


@STEADY
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "message", "code", "type", "request_id", "x"]), inner
            )
        ),
        max_leaves=8,
    ),
    st.sampled_from([302, 400, 401, 403, 404, 429, 500, 503]),
)
def test_no_json_of_any_shape_breaks_the_reading_of_a_failure(body: object, status: int) -> None:
    json.loads(event(refused(status, json.dumps(body).encode())))
    json.loads(event(in_stream(body)))
