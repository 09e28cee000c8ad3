"""Where a command writes a stream of this machine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from stream_serve import logging
from stream_serve.backends import create_streams, streams_are_apart
from stream_serve.errors import SettingsError
from stream_serve.library.jobs import Jobs, is_known, key_of
from stream_serve.settings import Settings, variable

if TYPE_CHECKING:
    from stream_serve.jobs.base import Connect


KEY: Final = "STREAM_KEY"
"""The variable that has the API key, unless another one is named."""

GIVE: Final = f"put it into the variable {KEY}, or name another one with --key-env"


def key_in(name: str | None) -> str | None:
    """Return the API key in a variable; None where none is named and `KEY` is not set.

    Raises `SettingsError`.
    """
    found = variable(name or KEY)
    if found is None and name is not None:
        raise SettingsError(f"--key-env: the variable {name} is not set")
    return found


def connect(name: str, key_env: str | None) -> Connect:
    """Return what gives the stream's place. Raises `SettingsError`, `ValueError` for a name."""
    key = key_in(key_env)
    settings = Settings.load()
    logging.configure("error", settings.log_format)
    if not streams_are_apart(settings):
        raise SettingsError(
            "the streams are kept in the memory of the service (STREAM_SERVE_STREAMS_URL): name the "
            "service with --url"
        )
    if not settings.api_keys and key_env is None:
        key = None  # where there are no keys a stream belongs to everybody
    elif settings.api_keys and key is None:
        raise SettingsError(f"a stream belongs to an API key: {GIVE}")
    elif key is not None and not is_known(key, settings.api_keys):
        raise SettingsError(
            f"the key in {key_env or KEY} is none of STREAM_SERVE_API_KEYS: put one of them there"
        )
    jobs = Jobs(partial(create_streams, settings), lambda: None, apart=True)
    return jobs.connect(key_of(name, None, key))
