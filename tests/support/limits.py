"""Limits that no test meets by accident."""

from __future__ import annotations

from typing import Any

import msgspec

from stream_serve.runs.spec import Bounds, Limits

LIMITS = Limits(
    run=60,
    retention=60,
    detached=60,
    bounds=Bounds(bytes=1_000_000, events=100_000),
    total=1_000,
    each=100,
    kept=1_000,
    kept_bytes=100_000_000,
)


def limits(**changes: Any) -> Limits:
    """Return the limits with some changes."""
    return msgspec.structs.replace(LIMITS, **changes)
