"""When a client tries again, and what it says in the end."""

from __future__ import annotations

from stream_serve.errors import ServiceUnreachable
from stream_serve.jobs.patience import Patience, Tries

__all__ = ["Patience", "Tries", "unreachable"]


def unreachable(why: object, url: str) -> ServiceUnreachable:
    """Return the error of a service that no connection lasts to."""
    return ServiceUnreachable(f"no connection to {url} lasts: {why or 'it was closed early'}")
