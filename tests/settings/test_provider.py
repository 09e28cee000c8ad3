"""The provider that the environment names: its URL, its key and where that may go, its model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.errors import SettingsError
from stream_serve.settings import (
    DASHSCOPE_MODEL,
    DASHSCOPE_URL,
    PLACEHOLDER_KEY,
    ProviderSettings,
    Settings,
)

if TYPE_CHECKING:
    from collections.abc import Callable


CANARY = "canary-7f3a"
INTERNATIONAL = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"


def provider(**settings: Any) -> ProviderSettings:
    catalog = Settings.load(**settings).catalog
    assert catalog is not None
    (found,) = catalog.providers
    return found


def default(**settings: Any) -> str:
    catalog = Settings.load(**settings).catalog
    assert catalog is not None
    return catalog.default


def facts(**settings: Any) -> tuple[str, str, str, str]:
    found = provider(**settings)
    return found.url, found.key, default(**settings), found.key_name


def refusal(**settings: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.load(**settings)
    return str(caught.value)


def test_with_a_dashscope_key_dashscope_answers(env: Callable[..., None]) -> None:
    env(DASHSCOPE_API_KEY=" sk-dash ")
    assert facts() == (DASHSCOPE_URL, "sk-dash", DASHSCOPE_MODEL, "DASHSCOPE_API_KEY")
    assert provider().kind == "dashscope"
    env(STREAM_SERVE_MODEL="qwen-max")
    assert default() == "qwen-max"


def test_the_url_wins_over_the_dashscope_key_and_never_gets_it(env: Callable[..., None]) -> None:
    env(DASHSCOPE_API_KEY="sk-dash")
    assert facts(upstream_url="http://localhost:8000/v1", model="m") == (
        *("http://localhost:8000/v1", "", "m", "STREAM_SERVE_UPSTREAM_API_KEY"),
    )


def test_a_url_has_its_own_key_also_when_it_is_dashscopes(env: Callable[..., None]) -> None:
    env(DASHSCOPE_API_KEY="sk-dash")
    for url in ("https://api.example/v1", INTERNATIONAL):
        found = facts(upstream_url=url, upstream_api_key=" sk-own ", model="m")
        assert found == (url, "sk-own", "m", "STREAM_SERVE_UPSTREAM_API_KEY")


@pytest.mark.parametrize(
    "url",
    [
        INTERNATIONAL,
        "https://dashscope.aliyuncs.com/compatible-mode/v1",
        "https://DashScope.ALIYUNCS.com/v1",
        "https://dashscope-us.aliyuncs.com:443/v1",
    ],
)
def test_another_host_of_dashscopes_gets_the_dashscope_key_and_model(url: str) -> None:
    found = facts(upstream_url=url, dashscope_api_key="sk-dash")
    assert found[:3] == (url, "sk-dash", DASHSCOPE_MODEL)


def test_the_setting_to_look_at_is_the_one_that_the_key_came_from() -> None:
    found = provider(upstream_url=INTERNATIONAL, dashscope_api_key="sk-dash")
    assert found.key_name == "DASHSCOPE_API_KEY"
    found = provider(upstream_url=INTERNATIONAL, upstream_api_key="sk-own")
    assert found.key_name == "STREAM_SERVE_UPSTREAM_API_KEY"


@pytest.mark.parametrize(
    "url",
    [
        "https://evilaliyuncs.com/v1",
        "https://aliyuncs.com.evil.example/v1",
        "https://dashscope.aliyuncs.com.evil.example/v1",
        "https://evil.example/dashscope.aliyuncs.com",
        "https://evil.example/.aliyuncs.com",
        "https://evil.example:80/x.aliyuncs.com/v1",
        "https://dashscope-aliyuncs.com/v1",
        "https://dashscope.aliyuncs.com.cn/v1",
        "https://dashscope.aliyuncs.co/v1",
        "https://evil.example#.aliyuncs.com",
    ],
)
def test_the_dashscope_key_never_goes_to_a_host_that_only_looks_like_dashscopes(url: str) -> None:
    try:
        found = provider(upstream_url=url, dashscope_api_key="sk-dash", model="m")
    except SettingsError:
        return
    assert found.key == ""


def test_a_url_without_a_model_leaves_it_to_the_server() -> None:
    catalog = Settings.load(
        upstream_url="http://localhost:8000/v1", dashscope_api_key="sk-dash"
    ).catalog
    assert catalog is not None
    assert (catalog.default, catalog.models) == ("", ())


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://dashscope.aliyuncs.com/compatible-mode/v1", "dashscope"),
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://me.openai.azure.com/openai/v1", "azure"),
        ("https://api.mistral.ai/v1", "mistral"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("http://api.openai.com/v1", "generic"),
        ("https://api.openai.com.evil.example/v1", "generic"),
        ("https://evilapi.openai.com.example/v1", "generic"),
        ("http://localhost:11434/v1", "generic"),
    ],
)
def test_the_kind_of_a_provider_is_known_by_its_own_hosts_only(url: str, kind: str) -> None:
    assert provider(upstream_url=url, model="m").kind == kind
    assert provider(upstream_url=url, model="m", upstream_kind="vllm").kind == "vllm"


def test_a_url_may_have_a_query() -> None:
    url = "https://me.openai.azure.com/openai/deployments/d"
    query = "?api-version=2024-10-21"
    assert provider(upstream_url=url + query, model="d").url == url + query
    assert provider(upstream_url=f"{url}/chat/completions{query}").url == url + query


@pytest.mark.parametrize(
    "url",
    [
        *("http://h:0/v1", "http://h:port/v1", "http://h:65536/v1", "http://[::1/v1", "http:///v1"),
        *("http://a..example/v1", f"http://{'a' * 64}.example/v1", "http://.bücher.example/v1"),
    ],
)
def test_a_host_or_port_that_nobody_can_have_is_refused_at_the_start(url: str) -> None:
    """The resolver would refuse the name only at the first question, and port 0 is none."""
    with pytest.raises(SettingsError, match=r"STREAM_SERVE_UPSTREAM_URL: it must be an http"):
        Settings.load(upstream_url=url)


def test_what_is_wrong_is_said_in_our_words() -> None:
    with pytest.raises(SettingsError, match=r"STREAM_SERVE_UPSTREAM_URL: it must be an http"):
        Settings.load(upstream_url="host")


def test_the_articles_placeholder_counts_as_no_key_and_is_noticed() -> None:
    settings = Settings.load(dashscope_api_key=PLACEHOLDER_KEY)
    assert settings.catalog is None
    assert settings.placeholder_key
    own = Settings.load(upstream_api_key=f" {PLACEHOLDER_KEY} ", upstream_url="http://h", model="m")
    assert own.placeholder_key
    assert own.catalog is not None
    assert own.catalog.providers[0].key == ""
    assert not Settings.load(dashscope_api_key="sk-real").placeholder_key
    assert not Settings.load().placeholder_key


def test_a_placeholder_for_the_urls_own_key_does_not_hide_the_dashscope_key() -> None:
    found = provider(
        upstream_url=INTERNATIONAL, upstream_api_key=PLACEHOLDER_KEY, dashscope_api_key="sk-dash"
    )
    assert found.key == "sk-dash"


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://h/v1/", "http://h/v1"),
        ("http://h/v1///", "http://h/v1"),
        (" http://h/v1 ", "http://h/v1"),
        ("http://h/v1/chat/completions", "http://h/v1"),
        ("http://h/v1/chat/completions/", "http://h/v1"),
        ("http://h", "http://h"),
        ("https://h:8443/a/b", "https://h:8443/a/b"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_the_base_url_is_cleared_of_what_people_paste_with_it(given: str, base: str) -> None:
    assert Settings.load(upstream_url=given).upstream_url == base


@pytest.mark.parametrize(
    "url",
    [
        f"https://{CANARY}@h/v1",
        f"https://user:{CANARY}@h/v1",
        f"https://:{CANARY}@h/v1",
        f"https://h/v1?api-key={CANARY}",
        f"ftp://{CANARY}/v1",
        f"//{CANARY}/v1",
        f"/{CANARY}",
        f"sk-{CANARY}",
        f"https:///{CANARY}",
        f"https://user:{CANARY}@h\u2100st/v1",
        f"https://[{CANARY}]/v1",
        f"https://[::1/{CANARY}",
    ],
)
def test_a_url_that_is_wrong_or_carries_a_credential_is_refused_without_being_repeated(
    url: str,
) -> None:
    said = refusal(upstream_url=url)
    assert "STREAM_SERVE_UPSTREAM_URL" in said
    assert CANARY not in said
