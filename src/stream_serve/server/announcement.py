"""The first log lines of the service: its addresses, its model, and warnings about its settings.

Where it cannot listen, what to do about it.
"""

from __future__ import annotations

import structlog

from stream_serve import __version__
from stream_serve.settings import PLACEHOLDER_KEY, Settings

_log = structlog.stdlib.get_logger("stream_serve.server")


def say_cannot_listen(settings: Settings) -> None:
    """Log what to do where the system has just refused, in its own words, to let the service listen."""
    _log.error(
        "the service cannot listen there: stop what does, or choose another address with --port and "
        "--host (STREAM_SERVE_PORT, STREAM_SERVE_HOST)",
        host=settings.host,
        port=settings.port,
    )


def announce(settings: Settings, url: str) -> None:
    """Log the `url` that the service listens on, its model, and warnings about its settings."""
    catalog = settings.catalog
    _log.info(
        "listening",
        url=url,
        page=f"{url}/",
        debugger=f"{url}/test-stream.html",
        version=__version__,
        model="demo" if catalog is None else catalog.default or "not configured",
        keys=len(settings.api_keys),
        workers=settings.workers,
    )
    for name, meant in Settings.unknown():
        hint = "is it misspelt?" if meant is None else f"did you mean {meant}?"
        _log.warning(f"{name} is not a setting of this service: {hint}")
    if catalog is not None and catalog.file is not None:
        _log.info(
            "providers and models are configured by a file",
            file=catalog.file,
            providers=len(catalog.providers),
            models=len(catalog.models),
        )
        if settings.unused_url:
            _log.warning(f"STREAM_SERVE_UPSTREAM_URL is not used: {catalog.file} has the providers")
    if settings.placeholder_key:
        _log.warning(
            f"the API key is the placeholder {PLACEHOLDER_KEY}, which counts as no key: put your own "
            "into .env"
        )
    if "*" in (settings.cors_origins or ()):
        _log.warning(
            "STREAM_SERVE_CORS_ORIGINS is *: the pages of every site may call this service"
            + ("" if settings.api_keys else ", and spend the tokens of its provider")
        )
    if catalog is None:
        _log.warning(
            "no provider is configured, so the built-in demo model answers: set DASHSCOPE_API_KEY "
            "(or STREAM_SERVE_UPSTREAM_URL and STREAM_SERVE_MODEL) in .env to connect a real one"
        )
