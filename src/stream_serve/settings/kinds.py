"""The kinds of providers that can be named, and the hosts whose kind is known.

What each kind wants and does otherwise is a table of the producers' room (`producers.openai.kinds`).
"""

from __future__ import annotations

import re
from typing import Final, Literal
from urllib.parse import urlsplit

Kind = Literal[
    "dashscope",
    "openai",
    "azure",
    "vllm",
    "llamacpp",
    "ollama",
    "mistral",
    "openrouter",
    "generic",
]

DASHSCOPE_MODEL: Final = "qwen-plus"
"""The model of a DashScope provider for which none is configured."""

_LABELS: Final = r"[a-z0-9-]+(\.[a-z0-9-]+)*"
_HOSTS: Final[tuple[tuple[re.Pattern[str], Kind], ...]] = (
    (re.compile(rf"{_LABELS}\.aliyuncs\.com"), "dashscope"),
    (re.compile(r"([a-z0-9-]+\.)?api\.openai\.com"), "openai"),
    (re.compile(rf"{_LABELS}\.openai\.azure\.com"), "azure"),
    (re.compile(rf"{_LABELS}\.cognitiveservices\.azure\.com"), "azure"),
    (re.compile(r"api\.mistral\.ai"), "mistral"),
    (re.compile(r"openrouter\.ai"), "openrouter"),
)


def kind_of(url: str) -> Kind:
    """Return the kind of the provider that a host belongs to; `generic` for every other host.

    Only the public hosts of a provider say something. A port never does.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https":
        return "generic"
    for hosts, kind in _HOSTS:
        if hosts.fullmatch(host):
            return kind
    return "generic"
