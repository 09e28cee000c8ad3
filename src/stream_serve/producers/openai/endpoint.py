"""Where a provider is, and what it wants and does otherwise than OpenAI's own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, cast
from urllib.parse import unquote

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BETWEEN: Final = re.compile(r"[\s;,=]+")
_MIXED: Final = re.compile(r"\A(?!\d{4}-\d\d-\d\d(?:-preview)?\Z).*\d", re.DOTALL)
_SECRET: Final = re.compile("key|token|secret|passw|auth|cookie|credential|sig", re.IGNORECASE)


class Traits(Struct, frozen=True, kw_only=True):
    """What a server wants in a request, and how its stream is to be read.

    - `stream_options`: the request may ask for usage in the stream; with `continuous_usage` in every
      chunk (vLLM's `continuous_usage_stats`, or llama.cpp's `timings_per_token`).
    - `system_role`: the role of a system prompt; `user` puts it before the first question, for servers
      that know no such role.
    - `max_tokens`: what the limit on an answer's tokens is called.
    - `thinking`: where `enable_thinking` goes; None: the server cannot be told.
    - `think_tags`: whether `<think>…</think>` in the text is thinking: `auto` only at its very beginning.
    - `comments`: whether the stream's comments are life, which renews how long it may be silent: `first`
      until the first token.
    - `require_finish`: without it, [DONE] ends an answer properly even if no finish_reason has come.
    """

    stream_options: bool = True
    continuous_usage: bool | Literal["timings_per_token"] = False
    system_role: Literal["system", "developer", "user"] = "system"
    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    thinking: Literal["enable_thinking", "chat_template_kwargs"] | None = "enable_thinking"
    think_tags: Literal["never", "auto"] = "auto"
    comments: Literal["never", "first", "always"] = "first"
    require_finish: bool = True


class Endpoint(Struct, frozen=True):
    """An OpenAI-compatible server: its base URL, key and default model.

    - `url` may have a query, such as Azure's `api-version`. `model` is empty where nothing says which
      model is the default.
    - `key` is empty for a server that wants none. `key_name` is what the key is called where it is set,
      for errors. `auth` says how it is sent: as `Authorization: Bearer`, or as Azure's `api-key`.
    - `extra_headers` go out with every request, `extra_body` is part of every body. A value may be a
      secret, like the key.
    """

    url: str
    key: str
    model: str
    key_name: str = ""
    traits: Traits = Traits()
    auth: Literal["bearer", "api-key"] = "bearer"
    extra_headers: dict[str, str] = field(default_factory=dict)
    extra_body: dict[str, object] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Endpoint(url={self.url.partition('?')[0]!r}, model={self.model!r})"

    def address(self, path: str) -> str:
        """Return the URL of a path below the base, before the base's query."""
        base, mark, query = self.url.partition("?")
        return f"{base.rstrip('/')}/{path}{mark}{query}"

    def shown(self, path: str) -> str:
        """Return the URL of a path without the values of its query, of which one may be secret."""
        base, mark, query = self.address(path).partition("?")
        names = [f"{part.partition('=')[0]}=…" for part in query.split("&") if part]
        return base + mark + "&".join(names)

    @property
    def secrets(self) -> list[str]:
        """What may be secret beside the key, in the extra headers, the extra body and the query.

        A secret has at least eight characters, and digits unless its name says what it is; to cut out
        plain words and dates would only spoil others.
        """
        parts = [part.partition("=") for part in self.url.partition("?")[2].split("&")]
        every = [(name, unquote(value)) for name, _, value in parts]
        every += [
            (n, word) for n, value in self.extra_headers.items() for word in _BETWEEN.split(value)
        ]
        every += _texts("", self.extra_body)
        return [
            word
            for name, word in every
            if len(word) >= 8 and (_SECRET.search(name) or _MIXED.search(word))
        ]

    def headers(self, own: Mapping[str, str]) -> dict[str, str]:
        """Return the headers of a request: `own`, the key, and the extra ones, which win over both.

        The names of headers know no case (RFC 9110, 5.1).
        """
        headers = {**own, **self._key_header()}
        extra = {name.lower() for name in self.extra_headers}
        kept = {name: value for name, value in headers.items() if name.lower() not in extra}
        return {**kept, **self.extra_headers}

    def _key_header(self) -> dict[str, str]:
        if not self.key:
            return {}
        if self.auth == "api-key":
            return {"api-key": self.key}
        return {"Authorization": f"Bearer {self.key}"}


def _texts(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Return the texts in a JSON value, each with the name of its field."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for inner_name, inner in cast("dict[str, object]", value).items():
            yield from _texts(inner_name, inner)
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from _texts(name, inner)
