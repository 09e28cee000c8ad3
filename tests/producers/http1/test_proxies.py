"""Which proxy a URL has."""

from __future__ import annotations

import base64

import pytest

from stream_serve.errors import SettingsError
from stream_serve.producers import http1
from stream_serve.producers.http1.proxies import Proxy, proxy_for


@pytest.mark.parametrize(
    ("url", "host", "port", "pair"),
    [
        ("http://proxy.example:3128", "proxy.example", 3128, None),
        ("http://proxy.example", "proxy.example", 80, None),
        ("https://proxy.example", "proxy.example", 443, None),
        ("proxy.example:3128", "proxy.example", 3128, None),
        (" HTTP://Proxy.example:3128/ ", "proxy.example", 3128, None),
        ("http://[::1]:3128", "::1", 3128, None),
        ("http://bücher.example:1", "xn--bcher-kva.example", 1, None),
        ("http://user:p%40ss%3A@proxy.example:1", "proxy.example", 1, "user:p@ss:"),
        ("http://user@proxy.example:1", "proxy.example", 1, "user:"),
        ("user:%E5%AF%86@proxy.example:1", "proxy.example", 1, "user:密"),
    ],
)
def test_the_url_of_a_proxy_is_read(url: str, host: str, port: int, pair: str | None) -> None:
    proxy = Proxy.of(url)
    assert (proxy.host, proxy.port, proxy.secure) == (host, port, url.startswith("https:"))
    word, _, encoded = proxy.authorization.partition(" ")
    assert (word == "Basic") is (pair is not None)
    assert base64.b64decode(encoded).decode() == (pair or "")
    assert not pair or not {encoded, pair} & set(repr(proxy).split("'"))


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@",
        "socks5://user:secret@proxy.example:1",
        "http://user:secret@",
        "http://user:secret@proxy.example:port",
        "http://user:secret@[::1",
        "http://user:secret@pro xy",
        "http://user:secret@proxy.example:0",
        "http://user:secret@proxy..example:1",
        "",
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    access = http1.Access(proxy=url)
    with pytest.raises(SettingsError, match=r"proxy") as refused:
        http1.check(access)
    assert "secret" not in str(refused.value) + repr(access)


@pytest.mark.parametrize(
    ("url", "variables", "proxy"),
    [
        ("https://a.example", {"https_proxy": "p:1", "http_proxy": "q:1"}, "p:1"),
        ("http://a.example", {"https_proxy": "p:1", "http_proxy": "q:1"}, "q:1"),
        ("http://a.example", {"https_proxy": "p:1"}, None),
        ("http://a.example", {"https_proxy": "p:1", "all_proxy": "r:1"}, "r:1"),
        ("http://a.example", {"http_proxy": " ", "all_proxy": ""}, None),
        ("http://127.0.0.1", {"http_proxy": "p:1"}, "p:1"),
        ("http://a.example", {}, None),
    ],
)
def test_the_scheme_chooses_the_variable(
    url: str, variables: dict[str, str], proxy: str | None
) -> None:
    assert proxy_for(url, variables) == proxy


@pytest.mark.parametrize(
    ("entries", "without", "through"),
    [
        ("*", "http://a.example http://10.0.0.1", ""),
        ("example.com", "http://example.com http://A.EXAMPLE.com. https://a.b.example.com:8", ""),
        ("example.com", "", "http://notexample.com http://example.com.evil http://example.org"),
        (".example.com", "http://example.com http://a.example.com", "http://notexample.com"),
        ("*.example.com", "http://a.example.com", "http://notexample.com"),
        ("one, two\tthree four,,", "http://two http://four", "http://five"),
        ("localhost,127.0.0.1,::1", "http://localhost:1 http://127.0.0.1:1 http://[::1]:1", ""),
        ("localhost", "", "http://127.0.0.1"),
        ("127.0.0.1", "", "http://127.0.0.11 http://1.127.0.0.1"),
        ("10.0.0.0/8 fe80::/10", "http://10.9.9.9 http://[fe80::1]", "http://11.0.0.1 http://a"),
        ("10.0.0.0/8", "", "http://[::1]"),
        ("a.example:8080", "http://a.example:8080", "http://a.example http://a.example:80"),
        ("a.example:80", "http://a.example", "https://a.example"),
        ("[::1]:80 10.0.0.1:443", "http://[::1] https://10.0.0.1", "http://10.0.0.1"),
        ("https://a.example", "https://a.example", "http://a.example"),
        ("bücher.example", "", "http://a.example"),
        (". : [ [] /8 a:b:c", "", "http://a.example"),
    ],
)
def test_hosts_that_need_no_proxy_are_named_in_every_usual_way(
    entries: str, without: str, through: str
) -> None:
    variables = {"all_proxy": "p:1", "no_proxy": entries}
    assert [url for url in without.split() if proxy_for(url, variables) is not None] == []
    assert [url for url in through.split() if proxy_for(url, variables) is None] == []
