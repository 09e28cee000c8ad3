"""`stream-serve models`: lists the models that callers may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from stream_serve.errors import RequestError
from stream_serve.producers.provider import offered
from stream_serve.settings import explain_to_operator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from stream_serve.producers.provider import Model, Provider
    from stream_serve.settings import Settings


async def show(provider: Provider, settings: Settings, console: Console) -> bool:
    """Print the models; a provider for which none is configured is asked. Return whether one answers."""
    problem = ""
    if not any(one.default for one in provider.models):
        try:
            await provider.model_for(None)
        except RequestError as error:
            problem = explain_to_operator(error)
    catalog = settings.catalog
    only_listed = catalog is not None and catalog.only_listed
    if models := offered(provider.models, settings.allowed_models, only_listed=only_listed):
        console.print(_table(models))
    if problem:
        console.print(Text(problem, style="red"))
    if catalog is not None and not (only_listed or settings.allowed_models):
        console.print(f"Other models are asked of the provider {catalog.fallback}.", style="dim")
    return not problem


def _table(models: Sequence[Model]) -> Table:
    table = Table(box=None)
    for heading in ("model", "default", "context", "thinks", "sees", "tools"):
        table.add_column(heading)
    for one in models:
        table.add_row(
            Text(one.name),
            "yes" if one.default else "",
            "" if one.context is None else str(one.context),
            *(_said(value) for value in (one.thinks, one.sees, one.tools)),
        )
    return table


def _said(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"
