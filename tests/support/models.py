"""A service with several models of one provider."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.service import HOLDS, Service

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping


@asynccontextmanager
async def offering(
    upstream_url: str, models: Mapping[str, str], **settings: Any
) -> AsyncGenerator[Service]:
    """Serve models, the first one by default, in front of a scripted upstream; keep conversations.

    `models` has by their names what the file says of them besides.
    """
    tables = [f'[[models]]\nname = "{name}"\n{more}\n' for name, more in models.items()]
    file = "".join([f'[[providers]]\nname = "scripted"\nurl = "{upstream_url}"\n', *tables])
    Path("stream-serve.toml").write_text(file, encoding="utf-8")
    database = f"sqlite:///{Path.cwd() / 'conversations.db'}"
    async with Service(database_url=database, **HOLDS, **settings) as running:
        yield running


@asynccontextmanager
async def seeing(upstream_url: str, scenario: str) -> AsyncGenerator[Service]:
    """Serve two models that do the same: `seeing` takes pictures, `blind` takes none."""
    target = f'targets = [{{ model = "{scenario}" }}]'
    models = {"seeing": f"{target}\nsees = true", "blind": f"{target}\nsees = false"}
    async with offering(upstream_url, models) as running:
        yield running
