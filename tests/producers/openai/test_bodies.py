"""The words in the bodies of refusals."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.errors import UpstreamAuth, UpstreamProtocol, UpstreamRejected
from stream_serve.producers.openai import bodies, failures
from stream_serve.producers.openai.reports import Report
from stream_serve.testing.scenarios.refusals import BODIES, REFUSED
from support.properties import steady

STEADY = steady(1)
URL = "https://user:secret@api.example/openai/chat/completions?api-key=secret#secret"


def body_of(value: object) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


@pytest.mark.parametrize("shape", [shape for shape in BODIES if not shape.startswith("path")])
def test_the_words_are_found_in_the_body_of_every_server(shape: str) -> None:
    details = failures.read_body(body_of(BODIES[shape]))
    assert details is not None
    assert REFUSED in details.message
    assert details.message.isprintable()


@pytest.mark.parametrize(
    ("body", "report"),
    [
        (b"no model loaded\r\n", Report("no model loaded")),
        ("\ufeff没有模型".encode(), Report("没有模型")),
        (b"404", Report()),
        (b"\x1f\x8b\x08\x00a", Report()),
        (bytes(range(256)), Report()),
        (b"\xff\xfe\xfd ab", Report()),
        (b"<html><body>no title</body></html>", Report()),
        (b"<html><head><title>a<b>c</title>", Report("a")),
        (b"<p>no</p>", Report()),
        (b"<TITLE>502 Bad&nbsp;Gateway</TITLE>", Report("502 Bad\xa0Gateway")),
        (b"upstream said: <!DOCTYPE html><title>no</title>", Report("upstream said: no")),
        (b'{"a": 1', Report()),
        (b'{"message": "a \\"b\\" \\u4e2d\\', Report('a "b" \u4e2d')),
        (b'{"message": "a", "code": 7}\n{"message": "b"}\n', Report("a", "7")),
        (b'data: {"error": "a"}\n\ndata: [DONE]\n\n', Report("a")),
        (b'["a", "b"]', Report("a; b")),
        (b'[{"message": "a"}, {"message": "b"}]', Report("a")),
        (b'{"message": "a", "code": 1.5, "type": ["b"]}', Report("a")),
        (b'{"error": {"errors": [{"message": "a", "reason": "b"}]}}', Report("a")),
        (b'{"requestId": "r", "Message": "a"}', Report("a", "", "r")),
        (b'{"error_description": "a", "error": "invalid_grant"}', Report("a", "invalid_grant")),
        (b'{"Response": {"Error": {"Code": "c", "Message": "a"}}}', Report("a", "c")),
        (b'{"base_resp": {"status_code": 1004, "status_msg": "a"}}', Report("a", "1004")),
        (b'{"fault": {"faultstring": "a", "detail": {"errorcode": "c"}}}', Report("a", "c")),
        (b'{"error": {"message": "a", "innererror": {"code": "c"}}}', Report("a (c)")),
    ],
)
def test_what_a_body_says(body: bytes, report: Report) -> None:
    found = bodies.read(body)
    assert (found or Report()).message == report.message
    if report.code or report.request_id:
        assert found == report


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ("", True),
        ("404 page not found", True),
        ("404 Not Found", True),
        ("Not Found", True),
        ("Error: Method Not Allowed.", True),
        ("Cannot POST /chat/completions", True),
        ("<html><head><title>404 Not Found</title></head></html>", True),
        ({"detail": "Not Found"}, True),
        ({"error": "Not Found"}, True),
        ({"status": 404, "error": "Not Found", "path": "/chat/completions"}, True),
        ({"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}, True),
        ({"error": {"message": "Invalid URL (POST /chat/completions)", "code": None}}, True),
        ({"error": {"message": "The model `m` does not exist", "code": None}}, False),
        ({"error": "model 'm' not found, try pulling it first"}, False),
        ({"error": {"code": "DeploymentNotFound", "message": "no such deployment"}}, False),
        ({"error": {"code": "model_not_found"}}, False),
        ("The model was not found.", False),
    ],
)
def test_a_404_that_says_nothing_else_is_a_wrong_path_and_names_it(
    body: object, *, wrong: bool
) -> None:
    failure = failures.from_status(
        404, failures.read_body(body_of(body)), headers={}, key_name="K", url=URL
    )
    assert type(failure) is (UpstreamProtocol if wrong else UpstreamRejected)
    assert failure.for_operator == ("https://api.example/openai/chat/completions" if wrong else "")
    assert "secret" not in str(failure)
    assert list(failure.parameters) == (["Endpoint.url"] if wrong else [])


def test_a_403_has_the_words_but_no_part_of_the_key() -> None:
    key = "sk-canary-0123456789"
    message = "Your key sk-can****6789 may not use the model m in this country."
    details = failures.read_body(body_of({"error": {"message": message}}), key=key)
    failure = failures.from_status(403, details, headers={}, key=key, key_name="K")
    assert type(failure) is UpstreamAuth
    assert str(failure).endswith("It says: Your key *** may not use the model m in this country.")
    failure = failures.from_status(401, details, headers={}, key=key, key_name="K")
    assert "model m" not in str(failure)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "a"}}, "the provider reported an error: a"),
        ({"detail": "a"}, "the provider reported an error: a"),
        ([{"error": {"message": "a"}}], "the provider reported an error: a"),
        ("a\x1b[1m b", "instead of a stream (text/event-stream): check its URL: a b"),
        ("<title>a</title>", "instead of a stream (text/event-stream): check its URL: a"),
        ({"odd": 1}, "instead of a stream (text/event-stream): check its URL"),
    ],
)
def test_what_came_as_if_all_was_well_is_an_error_only_where_it_says_so(
    body: object, words: str
) -> None:
    failure = failures.from_body(body_of(body), "text/x", request_id=None, key="", key_name="K")
    assert str(failure).endswith(words)
    assert (type(failure) is UpstreamProtocol) == ("instead" in words)


def test_a_code_or_an_id_outside_of_its_domain_is_left_out_and_a_sentence_becomes_the_message() -> (
    None
):
    error = {"message": "m", "code": "c\n<b>", "request_id": "r s"}
    assert failures.read(error) == failures.ErrorDetails("m")
    sentence = "no code, but why it failed: " * 10
    assert failures.read({"code": sentence}).message == sentence.strip()
    assert failures.read({"code": {"a": 1}, "type": "t"}).code == "t"


@STEADY
@given(st.binary(max_size=200) | st.text('<>{}[]":,\\\n title message0').map(str.encode))
def test_no_body_breaks_the_reading(body: bytes) -> None:
    failures.read_body(body)
    failures.from_body(body, "text/x", request_id=None, key="", key_name="K")


@pytest.mark.parametrize("piece", ["<title>", '{"message":"', "<", '{"error":', "data: {", '["'])
def test_a_body_of_beginnings_is_read_in_no_time(piece: str) -> None:
    failures.read_body((piece * 70_000).encode()[:65_536])
