"""Libraries that come with an extra, which is asked for by name where it is not installed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from stream_serve.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def needs(extra: str, parameter: str) -> Generator[None]:
    """Raise `SettingsError` for a library that comes with an extra and is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"this needs the library {error.name}, which comes with the extra {extra}: install "
            f"stream-serve[{extra}], or do without the setting",
            parameters=[parameter],
        ) from None
