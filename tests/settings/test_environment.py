"""The settings of the environment: where they come from, what is refused, and how they are said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.errors import LogUnavailable, SettingsError, TooManyRuns, UpstreamAuth
from stream_serve.settings import (
    SETTING_OF,
    Settings,
    environment,
    explain,
    is_loopback,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import SecretStr

CANARY = "canary-7f3a"
INTERNATIONAL = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"


def dotenv(text: str, encoding: str = "utf-8") -> None:
    Path(".env").write_text(text, encoding=encoding)


def secret(key: SecretStr | None) -> str | None:
    return None if key is None else key.get_secret_value()


def refusal(**settings: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.load(**settings)
    return str(caught.value)


def test_without_any_setting_it_listens_here_and_the_demo_answers() -> None:
    settings = Settings.load()
    assert (settings.host, settings.port) == ("127.0.0.1", 3000)
    assert settings.catalog is None
    assert settings.api_keys == ()
    settings.check_exposure()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("host", "0.0.0.0", "0.0.0.0"),
        ("port", "8080", 8080),
        ("log_level", "debug", "debug"),
        ("log_format", "json", "json"),
        ("allow_anonymous", "true", True),
        ("allowed_hosts", "a.example, *.b.example", ("a.example", "*.b.example")),
        (
            "cors_origins",
            "https://a.example,https://b.example",
            ("https://a.example", "https://b.example"),
        ),
        ("cors_origins", "*", ("*",)),
        (
            "cors_origins",
            "HTTPS://App.Example:443/, http://[::1]:8080",
            ("https://app.example", "http://[::1]:8080"),
        ),
        (
            "embed_origins",
            "https://App.example, http://localhost:8000/",
            ("https://app.example", "http://localhost:8000"),
        ),
        ("max_body_bytes", "10", 10),
        ("max_head_bytes", "1024", 1024),
        ("upstream_url", "http://localhost:11434/v1", "http://localhost:11434/v1"),
        ("model", "llama", "llama"),
        ("system_prompt", "你好", "你好"),
        ("temperature", "0.7", 0.7),
        ("thinking", "false", False),
        ("fixed_system_prompt", "true", True),
        ("allowed_models", "qwen-plus, qwen-max", ("qwen-plus", "qwen-max")),
        ("max_tokens", "1000", 1000),
        ("max_thinking_budget", "500", 500),
        ("allow_content_urls", "true", True),
        ("allowed_extra_body", "top_k,min_p", ("top_k", "min_p")),
        ("allowed_extra_body", "none", ("none",)),
        ("connect_timeout", "1.5", 1.5),
        ("first_token_timeout", "1.5", 1.5),
        ("idle_timeout", "1.5", 1.5),
        ("run_timeout", "1.5", 1.5),
        ("heartbeat_interval", "1.5", 1.5),
        ("run_retention", "1.5", 1.5),
        ("grace_timeout", "1.5", 1.5),
        ("max_run_bytes", "10", 10),
        ("max_event_bytes", "10", 10),
        ("continue_doors", "ai-sdk,ag-ui", ("ai-sdk", "ag-ui")),
        ("store_responses", "false", False),
    ],
)
def test_a_setting_is_a_variable_of_its_name_or_a_line_of_the_env_file(
    env: Callable[..., None], name: str, text: str, value: object
) -> None:
    dotenv(f"STREAM_SERVE_{name.upper()}={text}\n")
    assert getattr(Settings.load(), name) == value
    Path(".env").unlink()
    env(**{f"STREAM_SERVE_{name.upper()}": text})
    assert getattr(Settings.load(), name) == value


def test_every_setting_has_been_thought_of() -> None:
    assert set(Settings.model_fields) == {
        *("host", "port", "log_level", "log_format", "api_keys", "allow_anonymous"),
        *("allowed_hosts", "cors_origins", "max_body_bytes", "dashscope_api_key", "upstream_url"),
        *("upstream_api_key", "model", "system_prompt", "connect_timeout", "first_token_timeout"),
        *("idle_timeout", "run_timeout", "heartbeat_interval", "run_retention", "grace_timeout"),
        *("max_run_bytes", "max_event_bytes", "max_run_events", "max_runs", "max_runs_per_key"),
        *("max_kept_runs", "max_kept_bytes", "detached_timeout", "database_url", "save_interval"),
        *("lease", "history_tokens", "redis_url", "redis_timeout", "flush_interval", "workers"),
        *("coalesce_interval", "require_finish", "max_head_bytes", "fixed_system_prompt"),
        *("allowed_models", "max_tokens", "max_thinking_budget", "allow_content_urls"),
        *("allowed_extra_body", "continue_doors", "store_responses"),
        *("upstream_kind", "config", "embed_origins", "temperature", "thinking"),
        *("save_timeout", "save_retry_timeout", "max_unsaved_bytes", "max_conversation_messages"),
        *("max_conversation_bytes", "max_conversations_per_key", "max_conversation_bytes_per_key"),
        *("streams_url", "max_streams_per_key", "max_stream_bytes_per_key", "max_stream_bytes"),
        *("max_append_bytes_per_key", "max_readers_per_key"),
        *("max_append_bytes", "stream_retention", "long_poll_timeout", "run_log"),
    }


def test_what_is_said_in_code_wins_over_the_environment_and_that_over_the_file(
    env: Callable[..., None],
) -> None:
    dotenv("STREAM_SERVE_MODEL=file\nSTREAM_SERVE_PORT=1\nSTREAM_SERVE_HOST=localhost\n")
    env(STREAM_SERVE_MODEL="environment", STREAM_SERVE_PORT="2")
    settings = Settings.load(port=3, host=None)
    assert (settings.model, settings.port, settings.host) == ("environment", 3, "localhost")


def test_the_port_may_have_the_short_name_and_the_long_one_wins(env: Callable[..., None]) -> None:
    env(PORT="4000")
    assert Settings.load().port == 4000
    assert Settings.load(port=0).port == 0
    env(STREAM_SERVE_PORT="5000")
    assert Settings.load().port == 5000


def test_the_port_of_the_environment_wins_over_that_of_the_file(env: Callable[..., None]) -> None:
    dotenv("STREAM_SERVE_PORT=6000\n")
    env(PORT="4000")
    assert Settings.load().port == 4000


def test_the_dashscope_key_has_the_articles_name(env: Callable[..., None]) -> None:
    env(DASHSCOPE_API_KEY="sk-dash")
    assert secret(Settings.load().dashscope_api_key) == "sk-dash"


def test_an_empty_variable_is_as_good_as_none(env: Callable[..., None]) -> None:
    env(DASHSCOPE_API_KEY="", STREAM_SERVE_PORT="", STREAM_SERVE_UPSTREAM_URL="")
    settings = Settings.load()
    assert settings.port == 3000
    assert settings.catalog is None


def test_unknown_lines_of_the_env_file_are_nobodys_business() -> None:
    dotenv("OTHER_PROGRAM=1\nSTREAM_SERVE_MODEL=m # a comment\n")
    assert Settings.load().model == "m"


def test_an_env_file_with_a_byte_order_mark_is_read_from_its_first_line() -> None:
    dotenv("DASHSCOPE_API_KEY=sk-first\n", encoding="utf-8-sig")
    assert secret(Settings.load().dashscope_api_key) == "sk-first"


def test_an_env_file_in_another_encoding_is_refused_in_words() -> None:
    dotenv(f"# 密钥\nDASHSCOPE_API_KEY=sk-{CANARY}\n", encoding="gbk")
    said = refusal()
    assert ".env" in said
    assert CANARY not in said


def test_keys_for_callers_are_a_comma_list_and_blanks_do_not_count(
    env: Callable[..., None],
) -> None:
    env(STREAM_SERVE_API_KEYS=" k1, k2,,  ,k3,")
    assert [secret(key) for key in Settings.load().api_keys] == ["k1", "k2", "k3"]
    env(STREAM_SERVE_API_KEYS=" , ")
    with pytest.raises(SettingsError, match="STREAM_SERVE_API_KEYS"):
        Settings.load()


def test_a_misspelt_setting_is_named(env: Callable[..., None]) -> None:
    dotenv("STREAM_SERVE_MODELL=x\nSTREAM_SERVE_MODEL=y\nOTHER=z\n")
    env(STREAM_SERVE_API_KEY="x")
    assert Settings.unknown() == [
        ("STREAM_SERVE_API_KEY", "STREAM_SERVE_API_KEYS"),
        ("STREAM_SERVE_MODELL", "STREAM_SERVE_MODEL"),
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("STREAM_SERVE_UPSTREAM_KEY", "STREAM_SERVE_UPSTREAM_API_KEY"),
        ("STREAM_SERVE_DASHSCOPE_API_KEY", "DASHSCOPE_API_KEY"),
        ("STREAM_SERVE_WORKER", "STREAM_SERVE_WORKERS"),
        ("STREAM_SERVER_PORT", "STREAM_SERVE_PORT"),
        ("STREAM_SERVE_IDLE_TIMOUT", "STREAM_SERVE_IDLE_TIMEOUT"),
        ("stream_serve_hots", "STREAM_SERVE_HOST"),
        ("STREAM_SERVE_QQQ", None),
    ],
)
def test_a_misspelt_setting_comes_with_the_nearest_one(
    env: Callable[..., None], name: str, meant: str | None
) -> None:
    env(**{name: "x"})
    assert Settings.unknown() == [(name, meant)]


def test_what_is_given_is_said_with_its_place_and_without_its_value(
    env: Callable[..., None],
) -> None:
    dotenv(f"DASHSCOPE_API_KEY={CANARY}\nSTREAM_SERVE_MODEL=m\nSTREAM_SERVE_HOST=\nOTHER=1\n")
    env(STREAM_SERVE_MODEL="n", PORT="1")
    assert Settings.given() == [
        ("DASHSCOPE_API_KEY", ".env"),
        ("PORT", "environment"),
        ("STREAM_SERVE_MODEL", "environment"),
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STREAM_SERVE_PORT", CANARY),
        ("STREAM_SERVE_PORT", "65536"),
        ("STREAM_SERVE_PORT", "-1"),
        ("STREAM_SERVE_LOG_LEVEL", CANARY),
        ("STREAM_SERVE_LOG_FORMAT", CANARY),
        ("STREAM_SERVE_ALLOW_ANONYMOUS", CANARY),
        ("STREAM_SERVE_MAX_BODY_BYTES", CANARY),
        ("STREAM_SERVE_MAX_BODY_BYTES", "0"),
        ("STREAM_SERVE_MAX_HEAD_BYTES", CANARY),
        ("STREAM_SERVE_MAX_HEAD_BYTES", "1023"),
        ("STREAM_SERVE_RUN_TIMEOUT", CANARY),
        ("STREAM_SERVE_RUN_TIMEOUT", "0"),
        ("STREAM_SERVE_RUN_TIMEOUT", "-1"),
        ("STREAM_SERVE_RUN_TIMEOUT", "inf"),
        ("STREAM_SERVE_RUN_TIMEOUT", "nan"),
        ("STREAM_SERVE_RUN_TIMEOUT", "86401"),
        ("STREAM_SERVE_MAX_EVENT_BYTES", "0"),
        ("STREAM_SERVE_UPSTREAM_URL", f"sk-{CANARY}"),
        ("STREAM_SERVE_UPSTREAM_API_KEY", f"sk {CANARY}"),
        ("STREAM_SERVE_UPSTREAM_API_KEY", f"sk-{CANARY}\u00e9"),
        ("STREAM_SERVE_UPSTREAM_API_KEY", f"sk-{CANARY}\r\nX-Injected: 1"),
        ("STREAM_SERVE_UPSTREAM_API_KEY", f"sk-{CANARY}\nx"),
        ("STREAM_SERVE_UPSTREAM_API_KEY", f"sk-{CANARY}\x7f"),
        ("DASHSCOPE_API_KEY", f"sk {CANARY}"),
        ("DASHSCOPE_API_KEY", f"“sk-{CANARY}”"),
    ],
)
def test_a_wrong_value_is_refused_with_the_variables_name_and_never_the_value(
    env: Callable[..., None], variable: str, value: str
) -> None:
    env(**{variable: value})
    said = refusal()
    assert variable in said
    assert CANARY not in said


def test_every_wrong_variable_is_named_at_once(env: Callable[..., None]) -> None:
    env(STREAM_SERVE_PORT="x", STREAM_SERVE_LOG_LEVEL="y", DASHSCOPE_API_KEY="a b")
    said = refusal()
    for name in ("STREAM_SERVE_PORT", "STREAM_SERVE_LOG_LEVEL", "DASHSCOPE_API_KEY"):
        assert said.count(f"\n  {name}: ") == 1


def test_a_refusal_does_not_drag_the_values_along(env: Callable[..., None]) -> None:
    env(STREAM_SERVE_UPSTREAM_API_KEY=f"sk {CANARY}", DASHSCOPE_API_KEY=f"sk-{CANARY}")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert CANARY not in repr(caught.value)


def test_no_key_is_ever_shown() -> None:
    settings = Settings.load(
        dashscope_api_key=f"sk-1-{CANARY}",
        upstream_api_key=f"sk-2-{CANARY}",
        api_keys=f"k-3-{CANARY},k-4-{CANARY}",
        upstream_url=INTERNATIONAL,
    )
    assert settings.catalog is not None
    (found,) = settings.catalog.providers
    assert CANARY in found.key
    shown = [repr(settings), str(settings), f"{settings}", settings.model_dump_json()]
    shown += [str(settings.model_dump()), repr(found), str(found), f"{found}"]
    shown += [repr(settings.catalog)]
    assert not [text for text in shown if CANARY in text]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ([], "what to do"),
        (["DASHSCOPE_API_KEY"], "what to do (DASHSCOPE_API_KEY)"),
        (["Echo.delay"], "what to do (Echo.delay)"),
        (
            ["Bounds.bytes", "Bounds.events"],
            "what to do (STREAM_SERVE_MAX_RUN_BYTES, STREAM_SERVE_MAX_RUN_EVENTS)",
        ),
    ],
)
def test_an_error_is_explained_with_the_variables_that_set_what_it_is_about(
    parameters: list[str], said: str
) -> None:
    for kind in (SettingsError, TooManyRuns, UpstreamAuth, LogUnavailable):
        assert explain(kind("what to do", parameters=parameters)) == said


@pytest.mark.parametrize("parameter", SETTING_OF)
def test_each_variable_in_an_explanation_is_one_that_is_read(
    env: Callable[..., None], parameter: str
) -> None:
    error = SettingsError("x", parameters=[parameter])
    name = explain(error).removeprefix("x (").removesuffix(")")
    field = SETTING_OF[parameter]
    env(**{name: "[not a value\x01"})
    changed = ""
    try:
        if getattr(Settings.load(), field) != Settings.model_fields[field].default:
            changed = name
    except SettingsError as error:
        changed = str(error)
    assert name in changed


def test_settings_cannot_be_changed_once_they_are_loaded() -> None:
    settings = Settings.load()
    with pytest.raises(ValueError, match="frozen"):
        settings.host = "0.0.0.0"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.5.5.5", "::1", "[::1]", "localhost"])
def test_this_machine_alone_may_be_served_without_keys(host: str) -> None:
    assert is_loopback(host)
    Settings.load(host=host).check_exposure()


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "[::]", "192.168.1.2", "example.com", "localhost.evil.example", "127.1"],
)
def test_other_machines_are_served_with_keys_or_by_an_explicit_word(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(SettingsError, match="STREAM_SERVE_API_KEYS"):
        Settings.load(host=host).check_exposure()
    with pytest.raises(SettingsError, match="STREAM_SERVE_API_KEYS"):
        Settings.load(host=host, api_keys=" , ").check_exposure()
    Settings.load(host=host, api_keys="k").check_exposure()
    Settings.load(host=host, allow_anonymous=True).check_exposure()


def test_overrides_survive_the_way_through_the_environment(env: Callable[..., None]) -> None:
    given = {"host": "0.0.0.0", "port": 0, "log_level": "debug", "allow_anonymous": True}
    variables = environment(**given, model=None)
    assert set(variables) == {f"STREAM_SERVE_{name.upper()}" for name in given}
    env(**variables)
    loaded = Settings.load()
    assert {name: getattr(loaded, name) for name in given} == given
    assert environment(allow_anonymous=False) == {}
