"""The settings from the environment; only this module reads environment variables.

A setting `name` is read from the environment variable `STREAM_SERVE_NAME`, or from that line of the file
`.env` in the current folder. `DASHSCOPE_API_KEY` and `PORT` have the article's names. The file
`stream-serve.toml` is read with them, where there is one (`file.py`).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    AliasChoices,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from stream_serve.errors import SettingsError
from stream_serve.settings import file, values, words
from stream_serve.settings.catalog import (
    ENVIRONMENT,
    Catalog,
    ModelSettings,
    ProviderSettings,
    Target,
    Timeouts,
)
from stream_serve.settings.kinds import DASHSCOPE_MODEL, Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping


DASHSCOPE_URL: Final = "https://dashscope.aliyuncs.com/compatible-mode/v1"

_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_DASHSCOPE_KEY: Final = "DASHSCOPE_API_KEY"
_UPSTREAM_KEY: Final = "STREAM_SERVE_UPSTREAM_API_KEY"
_PREFIX: Final = "STREAM_SERVE_"
_OURS: Final = re.compile("STREAM_?SERVER?_(.*)", re.IGNORECASE)
_ENV_FILE: Final = ".env"

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Names = Annotated[tuple[str, ...], NoDecode]
NamesOrNone = Annotated[tuple[str, ...] | None, NoDecode]
OriginsOrNone = Annotated[
    tuple[Annotated[str, AfterValidator(values.origin)], ...] | None, NoDecode
]
ExactOrigins = Annotated[tuple[Annotated[str, AfterValidator(values.exact_origin)], ...], NoDecode]


class Settings(BaseSettings):
    """All settings with their defaults. Durations are seconds, sizes bytes."""

    model_config = SettingsConfigDict(
        env_prefix="STREAM_SERVE_",
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(
        3000,
        ge=0,
        le=65_535,
        validation_alias=AliasChoices("STREAM_SERVE_PORT", "PORT"),
        description="port to listen on; 0 takes a free one",
    )
    workers: int = Field(
        1,
        ge=1,
        le=1_000,
        validation_alias=AliasChoices("STREAM_SERVE_WORKERS", "WEB_CONCURRENCY"),
        description="processes that serve; more than one need STREAM_SERVE_REDIS_URL",
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: colours on a terminal, JSON elsewhere"
    )

    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="keys that callers may use, comma-separated; empty: no key is asked for"
    )
    allow_anonymous: bool = Field(
        default=False, description="listen on other addresses than this machine's without keys"
    )
    allowed_hosts: Names = Field((), description="more host names that this service answers for")
    cors_origins: OriginsOrNone = Field(
        None, description="origins that may call every endpoint; * is any"
    )
    embed_origins: ExactOrigins = Field(
        (), description="origins whose pages may embed the chat page and hand it a token"
    )
    max_head_bytes: int = Field(
        32_768, ge=1_024, description="a request's line and headers, and the trailers of its body"
    )
    max_body_bytes: int = Field(1_048_576, gt=0)

    dashscope_api_key: SecretStr | None = Field(
        None, validation_alias=AliasChoices("DASHSCOPE_API_KEY")
    )
    upstream_url: str | None = Field(
        None, description="base URL of an OpenAI-compatible server, without /chat/completions"
    )
    upstream_api_key: SecretStr | None = None
    upstream_kind: Kind | None = Field(
        None, description="what the server wants and does otherwise; unset: by its host, or generic"
    )
    config: Path | None = Field(
        None,
        description="file with several providers and models; unset: stream-serve.toml, if it is there",
    )
    require_finish: bool = Field(
        default=True,
        description="an answer without a finish_reason is incomplete; false: [DONE] alone is an end",
    )
    redis_url: SecretStr | None = Field(
        None, description="the Redis or Valkey that joins several processes into one service"
    )
    redis_timeout: Seconds = Field(2.0, description="of one call of Redis")
    flush_interval: Seconds = Field(
        0.025,
        description="between two times that events go to Redis or to the disk; as much a crash may lose",
    )
    run_log: Literal["memory", "disk"] = Field(
        "memory",
        description="where runs are without Redis; disk: also in runs.db beside the conversations, so "
        "that they survive a restart of the one process",
    )
    database_url: str = Field(
        "sqlite:///data/stream-serve.db", description="where conversations are kept"
    )
    save_interval: Seconds = Field(
        5.0, description="between two times that a running answer's text is stored"
    )
    max_conversation_messages: int = Field(10_000, ge=2, description="messages of one conversation")
    max_conversation_bytes: int = Field(
        67_108_864, gt=0, description="questions, answers and reasoning of one conversation"
    )
    max_conversations_per_key: int = Field(
        100_000, gt=0, description="conversations of one API key; without keys, of all callers"
    )
    max_conversation_bytes_per_key: int = Field(
        10_737_418_240, gt=0, description="questions, answers and reasoning in all of those"
    )
    streams_url: SecretStr | None = Field(
        None,
        description="file that keeps streams, the URL of a Redis, or memory; unset: the Redis of "
        "redis_url, without one streams.db beside the conversations",
    )
    max_streams_per_key: int = Field(10_000, gt=0, description="streams of one API key")
    max_stream_bytes_per_key: int = Field(
        10_737_418_240, gt=0, description="bytes in all of those streams"
    )
    max_stream_bytes: int = Field(1_073_741_824, gt=0, description="bytes of one stream")
    max_append_bytes: int = Field(8_388_608, gt=0, description="bytes of one append to a stream")
    max_append_bytes_per_key: int = Field(134_217_728, gt=0, description="of one API key, at once")
    stream_retention: int = Field(
        2_592_000, gt=0, description="how long a stream is kept after its last append"
    )
    long_poll_timeout: Seconds = Field(20.0, description="how long a long poll waits for more")
    save_timeout: Seconds = Field(
        1.0,
        description="how long the end of an answer and the receipt of a stop wait until it is stored; "
        "at most a tenth of the grace time",
    )
    save_retry_timeout: Seconds = Field(
        600.0, description="how long storing an answer is tried again in the background"
    )
    max_unsaved_bytes: int = Field(
        268_435_456,
        gt=0,
        description="answers that wait in the background for the database, together",
    )
    lease: Seconds = Field(
        10.0,
        ge=1,
        description="after which the runs of a process that does not renew it are interrupted",
    )
    history_tokens: int = Field(
        8_000, gt=0, description="tokens of a conversation's history that go to the provider"
    )

    model: str | None = Field(None, description="the model that answers when a request names none")
    system_prompt: str = "你是一个专业的编程助手"
    temperature: float | None = Field(
        None, ge=0, le=2, description="sent where a request names none; unset: the model's own"
    )
    thinking: bool | None = Field(
        None, description="whether models think where a request does not say; unset: as they do"
    )
    fixed_system_prompt: bool = Field(
        default=False, description="every question has this system prompt; callers bring no other"
    )
    allowed_models: Names = Field(
        (), description="models that callers may name, comma-separated; empty: any"
    )
    max_tokens: int | None = Field(
        None,
        ge=1,
        description="the most that a caller's maxTokens may be; sent where there is none",
    )
    max_thinking_budget: int | None = Field(
        None, ge=1, description="the same for thinkingBudget, where the provider takes one"
    )
    allow_content_urls: bool = Field(
        default=False,
        description="requests may name addresses, which the provider then fetches",
    )
    allowed_extra_body: NamesOrNone = Field(
        None,
        description="fields of extraBody that callers may use, comma-separated: * is any, none is "
        "none; unset: any, but none where a limit on callers is set",
    )

    connect_timeout: Seconds = 5.0
    first_token_timeout: Seconds = 60.0
    idle_timeout: Seconds = Field(30.0, description="between two tokens")
    run_timeout: Seconds = 600.0
    heartbeat_interval: Seconds = 15.0
    coalesce_interval: float = Field(
        0.0015,
        ge=0,
        le=0.1,
        description="how long tokens may wait for others in a busy process; 0: not at all",
    )
    run_retention: Seconds = Field(300.0, description="how long a run is known after its end")
    grace_timeout: Seconds = Field(
        30.0, description="from the signal to the end: how long runs may take to finish"
    )
    detached_timeout: Seconds = Field(
        300.0, description="how long a run goes on that nobody reads, where its caller wants that"
    )
    max_run_bytes: int = Field(16_777_216, gt=0, description="the events of one run")
    max_run_events: int = Field(200_000, gt=2, description="the number of events of one run")
    max_runs: int = Field(10_000, gt=0, description="runs at once in the process")
    max_runs_per_key: int = Field(1_000, gt=0, description="runs at once of one API key")
    max_readers_per_key: int = Field(10_000, gt=0, description="live readers of one API key")
    max_kept_runs: int = Field(10_000, gt=0, description="runs that are known after their end")
    max_kept_bytes: int = Field(268_435_456, gt=0, description="the events of those, together")
    max_event_bytes: int = Field(1_048_576, gt=0, description="one event of the provider's stream")
    continue_doors: Names = Field(
        (), description="doors whose runs go on when their client has gone, such as ai-sdk"
    )
    store_responses: bool = Field(
        default=True, description="whether responses may be kept in the conversations"
    )

    @field_validator(
        *("api_keys", "allowed_hosts", "cors_origins", "allowed_models", "allowed_extra_body"),
        *("continue_doors", "embed_origins"),
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part for part in (piece.strip() for piece in value.split(",")) if part)
        return value

    @field_validator("api_keys", mode="before")
    @classmethod
    def _check_keys(cls, value: object) -> object:
        if isinstance(value, str) and value.strip() and not value.replace(",", "").strip():
            raise ValueError("there is no key in it")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("dashscope_api_key", "upstream_api_key")
    @classmethod
    def _check_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is None:
            return None
        text = key.get_secret_value().strip()
        values.key(text)
        return SecretStr(text)

    @field_validator("upstream_url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        return None if url is None else values.base_url(url)

    _catalog: Catalog | None = PrivateAttr(None)

    @classmethod
    def load(cls, *, called: str | None = None, **overrides: Any) -> Settings:
        """Return the settings from the environment and `.env`; `overrides` win unless they are None.

        `called` is what whoever gave an override calls it (`--{}`); None: as the variable. Raises
        `SettingsError`, which names each wrong variable or override and never its value.
        """
        settings = cls.without_providers(called=called, **overrides)
        settings._catalog = settings._read_catalog()
        return settings

    @classmethod
    def without_providers(cls, *, called: str | None = None, **overrides: Any) -> Settings:
        """Return the settings as `load` does, without providers."""
        given = {name: value for name, value in overrides.items() if value is not None}
        try:
            return cls(**given)
        except UnicodeDecodeError:
            raise SettingsError("the file .env is not UTF-8: save it as UTF-8") from None
        except OSError as error:
            raise SettingsError(f"the file .env cannot be read: {error.strerror}") from None
        except ValidationError as error:
            typed = {name: called.format(name.replace("_", "-")) for name in given if called}
            lines = cls._explain(error, typed)
            raise SettingsError("wrong settings\n  " + "\n  ".join(lines)) from None

    @classmethod
    def _explain(cls, error: ValidationError, given: Mapping[str, str]) -> list[str]:
        """Return a line for each error; `given` is what some overrides are called."""
        lines: dict[str, None] = {}
        for one in error.errors(include_input=False, include_url=False):
            name = cls._name(one["loc"])
            said = words.words(one["type"], one.get("ctx", {}))
            it = "it " if said.startswith("should ") else ""
            lines[f"{given.get(name) or _typed(name)}: {it}{said}"] = None
        return list(lines)

    @classmethod
    def _name(cls, loc: tuple[int | str, ...]) -> str:
        """Return the setting that an error is about; pydantic says the first of its variables."""
        named = str(loc[0]) if loc else ""
        aliases = {names_of(name)[0]: name for name in cls.model_fields}
        return aliases.get(named, named)

    @classmethod
    def proxies(cls) -> dict[str, str]:
        """Return what the environment and `.env` say of proxies, by the names in small letters.

        `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` may be in small letters or capitals; the
        small ones win. Under CGI, HTTP_PROXY is a header of the caller and not read.
        """
        found: dict[str, str] = {}
        for source in (dotenv_values(_ENV_FILE), os.environ):
            for name in _PROXIES:
                capitals = (
                    "" if "REQUEST_METHOD" in source and name == "http_proxy" else name.upper()
                )
                if value := source.get(name) or source.get(capitals):
                    found[name] = value
        return found

    @classmethod
    def unknown(cls) -> list[tuple[str, str | None]]:
        """Return the variables that look like settings but are none, each with what it probably means."""
        known = {name: names_of(name)[0] for name in cls.model_fields}
        return [
            (name, known.get(values.nearest(found[1], known) or ""))
            for name in sorted(_variables())
            if (found := _OURS.match(name)) and name.upper() not in known.values()
        ]

    @classmethod
    def given(cls) -> list[tuple[str, str]]:
        """Return the settings that the environment or `.env` gives, each with where it comes from."""
        names = {name for setting in cls.model_fields for name in names_of(setting)}
        return [
            (name, "environment" if os.environ.get(name) else _ENV_FILE)
            for name, value in sorted(_variables().items())
            if name in names and value
        ]

    @property
    def catalog(self) -> Catalog | None:
        """The providers and models; None means the built-in demo model."""
        return self._catalog

    @property
    def placeholder_key(self) -> bool:
        """Whether a key is set to the article's placeholder, which counts as no key."""
        keys = (self.dashscope_api_key, self.upstream_api_key)
        return any(key is not None and not values.key(key.get_secret_value()) for key in keys)

    @property
    def unused_url(self) -> bool:
        """Whether `STREAM_SERVE_UPSTREAM_URL` is set though the file has providers, which win."""
        providers = () if self._catalog is None else self._catalog.providers
        return self.upstream_url is not None and all(one.name != ENVIRONMENT for one in providers)

    def _read_catalog(self) -> Catalog | None:
        """Return the catalog of the file, or else of the environment. Raises `SettingsError`."""
        own = self._provider()
        path = self.config or Path(file.DEFAULT)
        if self.config is None and os.path.lexists(path) and not path.is_file():
            raise SettingsError(f"{path}: this is no file that can be read: remove it")
        if self.config is not None or path.is_file():
            reader = file.Reader(
                path, variables=_variables(), fallback=own, common=self._timeouts()
            )
            return reader.read(self.model)
        if own is None:
            return None
        default = self.model or (DASHSCOPE_MODEL if own.kind == "dashscope" else "")
        models = (ModelSettings(name=default, targets=(Target(ENVIRONMENT, default),)),)
        return Catalog(providers=(own,), models=models if default else (), default=default)

    def _provider(self) -> ProviderSettings | None:
        """Return the provider that the environment configures, if it does.

        `STREAM_SERVE_UPSTREAM_URL` wins over `DASHSCOPE_API_KEY`. The DashScope key goes only to
        DashScope's own hosts, and only over HTTPS.
        """
        dashscope_key = _secret(self.dashscope_api_key)
        url, key, name = self.upstream_url, _secret(self.upstream_api_key), _UPSTREAM_KEY
        if url is None and not dashscope_key:
            return None
        url = url or DASHSCOPE_URL
        if kind_of(url) == "dashscope" and dashscope_key and (self.upstream_url is None or not key):
            key, name = dashscope_key, _DASHSCOPE_KEY
        return ProviderSettings(
            name=ENVIRONMENT,
            kind=self.upstream_kind or kind_of(url),
            url=url,
            key=key,
            key_name=name,
            traits={} if self.require_finish else {"require_finish": False},
            timeouts=self._timeouts(),
        )

    def _timeouts(self) -> Timeouts:
        return Timeouts(self.connect_timeout, self.first_token_timeout, self.idle_timeout)

    def check_exposure(self) -> None:
        """Raise `SettingsError` if other machines could use the service without API keys."""
        if self.api_keys or self.allow_anonymous or values.is_loopback(self.host):
            return
        raise SettingsError(
            f"listening on {self.host} would let everyone who reaches this machine spend your "
            "provider's tokens. Set STREAM_SERVE_API_KEYS to one or more keys, or listen on "
            "127.0.0.1, or say --allow-anonymous if that is what you want"
        )


def environment(**overrides: object) -> Mapping[str, str]:
    """Return overrides as environment variables, for child processes, which load their own settings.

    Overrides that are None or False are left out.
    """
    return {
        f"{_PREFIX}{name.upper()}": str(value).lower() if value is True else str(value)
        for name, value in overrides.items()
        if value is not None and value is not False
    }


def variable(name: str) -> str | None:
    """Return a variable of the environment, or of `.env`; None if it is not set, or empty."""
    return _variables().get(name) or None


def without(name: str | None) -> dict[str, str]:
    """Return the environment for a child process that is not to see a variable."""
    return {one: value for one, value in os.environ.items() if one != name}


def _secret(key: SecretStr | None) -> str:
    return values.key(key.get_secret_value()) if key is not None else ""


def _variables() -> dict[str, str | None]:
    """Return the environment's variables, and those of `.env` that it does not have."""
    return {**dotenv_values(_ENV_FILE), **os.environ}


def names_of(setting: str) -> list[str]:
    """Return the variables that give a setting, the first wins."""
    alias = Settings.model_fields[setting].validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [f"{_PREFIX}{setting.upper()}"]


def _typed(setting: str) -> str:
    """Return the variable that gives a setting here: the environment wins over `.env`."""
    names = names_of(setting)
    found = [name for source in (os.environ, _variables()) for name in names if source.get(name)]
    return (found or names)[0]
