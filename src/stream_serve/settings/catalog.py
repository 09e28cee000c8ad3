"""The catalog: which providers there are, and which models callers may use."""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

ENVIRONMENT: Final = "environment"
"""The name of the provider that environment variables configure."""


class Timeouts(Struct, frozen=True):
    """How long to wait for a provider, in seconds: for a connection, the first token, between two."""

    connect: float = 5.0
    first_token: float = 60.0
    idle: float = 30.0


class ProviderSettings(Struct, frozen=True, kw_only=True):
    """One OpenAI-compatible server, and what was said about it.

    - `url` is the base URL, which may have a query. `kind` names a set of defaults; `traits` has what was
      set otherwise, by the names of the traits.
    - `key` is empty for a server that wants none; `key_name` is where the key is set.
    - `headers` and `body` go out with every request. They may have secrets, as may a `proxy`'s URL.
      Without a `proxy` the environment says it; an empty one is none.
    """

    name: str
    kind: str
    url: str
    key: str = ""
    key_name: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, object] = field(default_factory=dict)
    traits: dict[str, object] = field(default_factory=dict)
    proxy: str | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    timeouts: Timeouts = Timeouts()

    def __repr__(self) -> str:
        url = self.url.partition("?")[0]  # its query may have a secret
        return f"ProviderSettings(name={self.name!r}, kind={self.kind!r}, url={url!r})"


class Target(Struct, frozen=True):
    """A provider, and the name that it knows a model by."""

    provider: str
    model: str


class ModelSettings(Struct, frozen=True, kw_only=True):
    """A model by the name that callers use. The first of its `targets` answers.

    `context` is in tokens. What is None is not known.
    """

    name: str
    targets: tuple[Target, ...]
    context: int | None = None
    thinks: bool | None = None
    sees: bool | None = None
    tools: bool | None = None
    temperature: bool | None = None


class Catalog(Struct, frozen=True, kw_only=True):
    """All providers and models.

    - `default` is the model that answers when a request names none; empty: the provider has to be asked
      which it has.
    - `fallback` is the provider of models that are not in the list; with `only_listed` these are refused.
    - `file` is the file that says all this; None: environment variables do.
    """

    providers: tuple[ProviderSettings, ...]
    models: tuple[ModelSettings, ...] = ()
    default: str = ""
    fallback: str = ENVIRONMENT
    only_listed: bool = False
    file: str | None = None
