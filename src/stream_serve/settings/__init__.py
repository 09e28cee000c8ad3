"""All settings: environment variables, `.env`, and the file `stream-serve.toml`."""

from __future__ import annotations

from stream_serve.settings.catalog import (
    ENVIRONMENT,
    Catalog,
    ModelSettings,
    ProviderSettings,
    Target,
)
from stream_serve.settings.environment import (
    DASHSCOPE_URL,
    Settings,
    environment,
    variable,
    without,
)
from stream_serve.settings.explaining import explain, explain_to_operator
from stream_serve.settings.kinds import DASHSCOPE_MODEL
from stream_serve.settings.parameters import SETTING_OF
from stream_serve.settings.values import PLACEHOLDER_KEY, is_loopback

__all__ = [
    "DASHSCOPE_MODEL",
    "DASHSCOPE_URL",
    "ENVIRONMENT",
    "PLACEHOLDER_KEY",
    "SETTING_OF",
    "Catalog",
    "ModelSettings",
    "ProviderSettings",
    "Settings",
    "Target",
    "environment",
    "explain",
    "explain_to_operator",
    "is_loopback",
    "variable",
    "without",
]
