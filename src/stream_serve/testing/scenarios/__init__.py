"""The scenarios, by kind. Importing the registry from here registers all of them."""

from __future__ import annotations

from stream_serve.testing.scenarios import (
    answers,
    counts,
    endings,
    faults,
    floods,
    formats,
    refusals,
    shapes,
    strict,
    tool_forms,
    tools,
    transport,
)
from stream_serve.testing.scenarios.refusals import REDIRECTED
from stream_serve.testing.script import SCENARIOS, choose

__all__ = [
    "REDIRECTED",
    "SCENARIOS",
    "answers",
    "choose",
    "counts",
    "endings",
    "faults",
    "floods",
    "formats",
    "refusals",
    "shapes",
    "strict",
    "tool_forms",
    "tools",
    "transport",
]
