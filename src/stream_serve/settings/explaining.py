"""Errors in the words of who serves: with the names of the settings that they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_serve.settings.environment import names_of
from stream_serve.settings.parameters import SETTING_OF

if TYPE_CHECKING:
    from stream_serve.errors import StreamServeError


def explain(error: StreamServeError) -> str:
    """Return the message of an error, followed by the variables that set what it is about.

    A parameter that no setting sets is left as it is.
    """
    names = ", ".join(
        names_of(SETTING_OF[name])[0] if name in SETTING_OF else name for name in error.parameters
    )
    return f"{error} ({names})" if names else str(error)


def explain_to_operator(error: StreamServeError) -> str:
    """Return what `explain` does, and what only the operator may read, such as an address."""
    told = f" [{error.for_operator}]" if error.for_operator else ""
    return explain(error) + told
