"""The bytes of a request."""

from __future__ import annotations

from stream_serve.producers.http1.request import request_head, with_body, without_body


def test_a_request_names_the_host_and_quotes_the_path() -> None:
    head = request_head("https://bücher.example:8443/v1/a b/é", {"A": "b"})
    assert head == b"POST /v1/a%20b/%C3%A9 HTTP/1.1\r\nHost: xn--bcher-kva.example:8443\r\nA: b"


def test_an_empty_path_is_the_root() -> None:
    assert request_head("http://a.example", {}).startswith(b"POST / HTTP/1.1\r\n")


def test_a_query_is_kept_and_quoted() -> None:
    head = request_head("https://a.example/v1?api-version=2024-10-21&a=b c%20é#part", {})
    assert head.startswith(
        b"POST /v1?api-version=2024-10-21&a=b%20c%20%C3%A9 HTTP/1.1\r\nHost: a.example"
    )
    assert request_head("http://a.example?a=1", {}).startswith(b"POST /?a=1 HTTP/1.1\r\n")


def test_a_get_has_neither_a_body_nor_its_length() -> None:
    head = request_head("http://a.example/v1", {"A": "b"}, "GET")
    assert without_body(head) == b"GET /v1 HTTP/1.1\r\nHost: a.example\r\nA: b\r\n\r\n"


def test_an_ipv6_host_keeps_its_brackets() -> None:
    assert request_head("http://[::1]:80/v1", {}).endswith(b"\r\nHost: [::1]:80")


def test_a_body_is_framed_by_its_length() -> None:
    head = request_head("http://a.example/v1", {})
    assert with_body(head, b"{}") == head + b"\r\nContent-Length: 2\r\n\r\n{}"


def test_a_proxy_gets_the_whole_url() -> None:
    head = request_head("http://[::1]:81/v1?a=b", {}, absolute=True)
    assert head == b"POST http://[::1]:81/v1?a=b HTTP/1.1\r\nHost: [::1]:81"
    assert request_head("http://a.example", {}, absolute=True).startswith(
        b"POST http://a.example/ "
    )
