"""The tables of the file `stream-serve.toml`: their keys, and what each may be.

The JSON schema that editors use is made of these classes (`scripts/schema`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from stream_serve.settings import values
from stream_serve.settings.kinds import Kind  # noqa: TC001 - pydantic reads the annotation

Seconds = Annotated[float, Field(gt=0, le=86_400)]
_CLEAN = r"^[^\x00-\x1f\x7f]+$"
Name = Annotated[
    str, Field(min_length=1, max_length=200, pattern=_CLEAN), AfterValidator(values.name)
]
Key = Annotated[str, AfterValidator(values.key)]
File = Annotated[str, Field(min_length=1, pattern=_CLEAN)]


def _url(text: str) -> str:
    return values.base_url(text, secrets=True)


class Table(BaseModel):
    """A table that has no other keys than its own. What checks it is made where there is a file."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, defer_build=True
    )


class Timeouts(Table):
    """How long to wait for a provider, in seconds; absent: the service's settings."""

    connect: Seconds | None = Field(None, description="to connect")
    first_token: Seconds | None = Field(None, description="until the first token of an answer")
    idle: Seconds | None = Field(None, description="between two tokens")


class Provider(Table):
    """An OpenAI-compatible server."""

    name: Name = Field(description="what targets call it")
    kind: Kind | None = Field(
        None,
        description="a set of defaults for what the server wants and does otherwise; absent: the kind "
        "of the URL's host where that is known, else generic",
    )
    url: Annotated[str, AfterValidator(_url)] = Field(
        description="base URL, the part before /chat/completions; it may have a query"
    )
    key: Key | None = Field(None, description="the API key")
    key_env: Name | None = Field(
        None, description="instead of key: the environment variable, or line of .env, that has it"
    )
    key_file: File | None = Field(
        None, description="instead of key: the file that has it, from the folder of this file"
    )
    headers: dict[str, str] = Field({}, description="extra headers of every request")
    body: dict[str, object] = Field({}, description="extra fields of every request's body")

    stream_options: bool | None = Field(None, description="ask for usage in the stream")
    continuous_usage: bool | Literal["timings_per_token"] | None = Field(
        None,
        description="ask for usage in every chunk (vLLM); timings_per_token: llama.cpp's form of it",
    )
    system_role: Literal["system", "developer", "user"] | None = Field(
        None, description="the role of a system prompt; user: it is put before the first question"
    )
    max_tokens: Literal["max_tokens", "max_completion_tokens"] | None = Field(
        None, description="what the limit on an answer's tokens is called"
    )
    thinking: Literal["enable_thinking", "chat_template_kwargs", "none"] | None = Field(
        None, description="where enable_thinking goes; none: the server cannot be told"
    )
    think_tags: Literal["never", "auto"] | None = Field(
        None, description="auto: <think> at the very beginning of a text is thinking"
    )
    comments: Literal["never", "first", "always"] | None = Field(
        None, description="when comments of the stream are life; first: until the first token"
    )
    require_finish: bool | None = Field(
        None, description="an answer without a finish_reason is incomplete"
    )

    timeouts: Timeouts | None = None
    proxy: Annotated[str, AfterValidator(values.proxy_url)] | None = Field(
        None,
        description="http://… or https://… of a proxy for this provider; none: it is asked directly; "
        "absent: as the environment says",
    )
    ca_file: File | None = Field(
        None, description="certificates that may sign the server's, as PEM"
    )
    client_cert: File | None = Field(None, description="the client's own certificate, as PEM")
    client_key: File | None = Field(None, description="its key, unless that is in the same file")


class Target(Table):
    """A provider, and the name that it knows a model by."""

    provider: Name | None = Field(None, description="absent: the first provider")
    model: Name | None = Field(None, description="absent: the name that callers use")


def _same() -> Target:
    return Target.model_validate({})


class Model(Table):
    """A model that callers may ask for."""

    name: Name = Field(description="what callers call it")
    targets: list[Target] = Field(
        default_factory=lambda: [_same()],
        min_length=1,
        description="who answers: the first of these",
    )
    context: int | None = Field(None, ge=1, description="tokens of a question and its answer")
    thinks: bool | None = Field(None, description="it can think before it answers")
    sees: bool | None = Field(None, description="it takes images")
    tools: bool | None = Field(None, description="it can call tools")
    temperature: bool | None = Field(
        None, description="it can be told a temperature; false: the service's own is not sent"
    )
    default: bool = Field(default=False, description="it answers when a request names no model")


class Root(Table):
    """The whole file."""

    only_listed: bool = Field(
        default=False,
        description="refuse a model that is not listed; otherwise it is asked of the default model's "
        "provider",
    )
    providers: list[Provider] = []
    models: list[Model] = []


TRAITS = (
    *("stream_options", "continuous_usage", "system_role", "max_tokens", "thinking", "think_tags"),
    *("comments", "require_finish"),
)
"""The keys of a provider that are traits of it."""
