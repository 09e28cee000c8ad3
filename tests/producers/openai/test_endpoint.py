"""Where a provider is, and which headers every request to it has."""

from __future__ import annotations

import pytest

from stream_serve.producers.openai.endpoint import Endpoint

KEY = "sk-canary"


@pytest.mark.parametrize(
    ("base", "address"),
    [
        ("http://h/v1", "http://h/v1/chat/completions"),
        ("http://h/v1/", "http://h/v1/chat/completions"),
        ("http://h", "http://h/chat/completions"),
        (
            "https://h/openai/deployments/d?api-version=2024-10-21",
            "https://h/openai/deployments/d/chat/completions?api-version=2024-10-21",
        ),
        ("https://h/v1/?a=1&b=/x", "https://h/v1/chat/completions?a=1&b=/x"),
    ],
)
def test_a_path_comes_before_the_query_of_the_base(base: str, address: str) -> None:
    assert Endpoint(base, "", "m").address("chat/completions") == address


def test_a_key_goes_out_in_the_form_that_the_server_wants() -> None:
    bearer = Endpoint("http://h", KEY, "m")
    assert bearer.headers({"A": "1"}) == {"A": "1", "Authorization": f"Bearer {KEY}"}
    azure = Endpoint("http://h", KEY, "m", auth="api-key")
    assert azure.headers({}) == {"api-key": KEY}
    assert Endpoint("http://h", "", "m").headers({}) == {}


def test_an_extra_header_takes_the_place_of_ours_whatever_its_case() -> None:
    endpoint = Endpoint(
        "http://h",
        KEY,
        "m",
        extra_headers={"authorization": "Token t", "user-agent": "x", "X-A": "b"},
    )
    assert endpoint.headers({"User-Agent": "ours", "Accept": "*/*"}) == {
        "Accept": "*/*",
        "authorization": "Token t",
        "user-agent": "x",
        "X-A": "b",
    }


def test_nothing_secret_is_shown() -> None:
    endpoint = Endpoint(
        f"http://h/v1?key={KEY}",
        KEY,
        "m",
        extra_headers={"X-Key": KEY},
        extra_body={"key": KEY},
    )
    assert KEY not in repr(endpoint)
    assert "http://h/v1" in repr(endpoint)


def test_a_date_in_the_query_is_no_secret() -> None:
    endpoint = Endpoint(f"http://h/v1?api-version=2024-10-21&sig={KEY}", "", "m")
    assert endpoint.secrets == [KEY]
    assert Endpoint("http://h/v1?api-version=2024-08-01-preview", "", "m").secrets == []
