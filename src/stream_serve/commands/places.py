"""Where a command writes a stream of this machine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from stream_serve import logging
from stream_serve.backends import create_streams, streams_are_apart
from stream_serve.errors import SettingsError
from stream_serve.library.jobs import Jobs, key_of
from stream_serve.settings import Settings, variable

if TYPE_CHECKING:
    from stream_serve.jobs.base import Connect


def key_in(name: str | None) -> str | None:
    """Return the API key in a variable; None without one. Raises `SettingsError`."""
    if name is None:
        return None
    found = variable(name)
    if found is None:
        raise SettingsError(f"--key-env: the variable {name} is not set")
    return found


def connect(name: str, key: str | None) -> Connect:
    """Return what gives the stream's place. Raises `SettingsError`, `ValueError` for a name."""
    settings = Settings.load()
    logging.configure("error", settings.log_format)
    if not streams_are_apart(settings):
        raise SettingsError(
            "the streams are kept in the memory of the service (STREAM_SERVE_STREAMS_URL): name the "
            "service with --url"
        )
    if settings.api_keys and key is None:
        raise SettingsError("a stream belongs to an API key: name its variable with --key-env")
    jobs = Jobs(partial(create_streams, settings), lambda: None, apart=True)
    return jobs.connect(key_of(name, None, key))
