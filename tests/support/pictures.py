"""A service with a model that takes pictures, and one that does not."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_MODELS: Final = """
[[providers]]
name = "scripted"
url = "{url}"
key = "sk-scripted"

[[models]]
name = "seeing"
targets = [{{ model = "{scenario}" }}]
sees = true
default = true

[[models]]
name = "blind"
targets = [{{ model = "{scenario}" }}]
sees = false
"""


@asynccontextmanager
async def seeing(upstream_url: str, scenario: str) -> AsyncGenerator[Service]:
    """Serve the two models, `seeing` and `blind`, in front of a scripted upstream; keep conversations."""
    file = _MODELS.format(url=upstream_url, scenario=scenario)
    Path("stream-serve.toml").write_text(file, encoding="utf-8")
    async with Service(database_url=f"sqlite:///{Path.cwd() / 'kept.db'}") as running:
        yield running
